"""bench/baseline, the service that Snapup is compared with: it has to sell rightly, or the comparison
says nothing. Its packages come from npm, as `make bench-compare` gets them."""

import json
import os
import shutil
import subprocess

import pytest

from snapup import BUILD, ROOT, STOREFRONT_KEY, Client, clean_env, free_port, in_parallel, mint, unique, wait_until
from snapup.processes import Process

DATABASE = "baseline_test"
NPM_S = 300


class Baseline(Process):
    """The cluster, with two workers."""

    name = "baseline"

    def __init__(self, folder, settings):
        super().__init__(folder)
        self.settings, self.port = settings, free_port()
        self.client = Client("127.0.0.1", self.port)

    def start(self):
        place = {"PORT": self.port, "WORKERS": 2, "REDIS": self.settings["redis"].removeprefix("unix:"),
                 "SQL": self.settings["sql"].removeprefix("unix:"), "SQL_USER": self.settings["sql_user"],
                 "SQL_DATABASE": DATABASE, "SQL_CONNECTIONS": 8}
        env = clean_env() | {f"BASELINE_{key}": str(value) for key, value in place.items()}
        self.spawn(["node", ROOT / "build/baseline/server.js"], env)
        wait_until(lambda: not self.alive or self.is_live(), message=self.log)
        assert self.alive, self.log()

    def is_live(self):
        try:
            return self.client.get("/livez").status == 200
        except OSError:
            return False

    def open_sale(self, stock, limit=1):
        sale = unique("sale-")
        body = {"id": sale, "name": "Phones", "kind": "flash", "currency": "CNY",
                "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2036-01-01T00:00:00Z", "pay_within_s": 900,
                "items": [{"sku": "phone", "name": "Phone", "price": 4999, "stock": stock, "limit": limit}]}
        self.client.post("/v1/sales", body, token=STOREFRONT_KEY).expect(201)
        self.client.post(f"/v1/sales/{sale}/publish", token=STOREFRONT_KEY).expect(200)
        return sale

    def buy(self, sale, shopper, key, qty=1):
        return self.client.post("/v1/orders", {"sale": sale, "sku": "phone", "qty": qty}, token=mint(shopper),
                                headers={"Idempotency-Key": key})

    def left(self, sale):
        return self.client.get(f"/v1/sales/{sale}").expect(200).json["items"][0]["left"]


def install():
    """As `make bench-compare` does. Without Node, or out of reach of npm, there is nothing to test."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no Node here: make deps installs it")
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "--no-print-directory", "build/baseline/.installed"], cwd=ROOT, env=env, check=False,
                          capture_output=True, text=True, timeout=NPM_S, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        ping = subprocess.run(["npm", "ping", "--fetch-retries=0"], check=False, capture_output=True, timeout=NPM_S)
        if ping.returncode != 0:
            pytest.skip("npm's registry is out of reach")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def baseline(folder, stack):
    install()
    service = Baseline(folder, stack.settings)
    try:
        service.start()
        yield service
    finally:
        code = service.stop()
    assert code == 0, service.log()


def orders_of(stack, sale):
    return stack.sql(f"SELECT id, sku, shopper, idem, qty, amount FROM orders WHERE sale = '{sale}'", DATABASE)


def test_an_order_is_in_mariadb_when_it_is_answered(baseline, stack):
    sale = baseline.open_sale(stock=5, limit=2)
    alice = unique("alice-")
    answer = baseline.buy(sale, alice, "key-1", qty=2).expect(201)
    order = answer.json
    assert (order["sale"], order["sku"], order["qty"], order["amount"]) == (sale, "phone", 2, 9998)
    assert orders_of(stack, sale) == [{"id": order["id"].removeprefix("ord_"), "sku": "phone", "shopper": alice,
                                       "idem": "key-1", "qty": "2", "amount": "9998"}]
    assert answer.headers["Location"] == f"/v1/orders/{order['id']}"
    assert baseline.client.get(answer.headers["Location"], token=mint(alice)).expect(200).json == order
    baseline.client.get(answer.headers["Location"], token=mint("bob")).expect(404, "order_not_found")
    assert baseline.left(sale) == 3


def test_the_last_unit_is_sold_once(baseline, stack):
    sale = baseline.open_sale(stock=1)
    alice = unique("alice-")
    first = baseline.buy(sale, alice, "key-1").expect(201)
    refused = baseline.buy(sale, "bob", "key-1").expect(409, "sold_out")
    assert refused.json["left"] == 0
    assert baseline.buy(sale, alice, "key-1").expect(201).json == first.json
    assert [row["shopper"] for row in orders_of(stack, sale)] == [alice]


def test_a_crowd_gets_what_there_is(baseline, stack):
    sale = baseline.open_sale(stock=7)
    answers = in_parallel([lambda: baseline.buy(sale, unique("shopper-"), "key")] * 40, threads=16)
    assert sorted(a.status for a in answers) == [201] * 7 + [409] * 33
    assert {a.code for a in answers if a.status == 409} == {"sold_out"}
    assert {f"ord_{row['id']}" for row in orders_of(stack, sale)} == {a.json["id"] for a in answers if a.status == 201}
    assert baseline.left(sale) == 0


def test_a_key_buys_once(baseline, stack):
    sale, alice = baseline.open_sale(stock=5, limit=3), unique("alice-")
    first = baseline.buy(sale, alice, "key-1").expect(201)
    again = baseline.buy(sale, alice, "key-1").expect(201)
    assert again.json == first.json
    assert (first.headers["Idempotent-Replayed"], again.headers["Idempotent-Replayed"]) == (None, "true")
    baseline.buy(sale, alice, "key-1", qty=2).expect(422, "idempotency_mismatch")
    assert len(orders_of(stack, sale)) == 1 and baseline.left(sale) == 4
    baseline.buy(sale, alice, "key-2", qty=2).expect(201)
    baseline.buy(sale, alice, "key-3").expect(409, "limit_reached")


def test_mariadb_knows_a_key_that_redis_does_not(baseline, stack):
    sale, alice = baseline.open_sale(stock=5), unique("alice-")
    first = baseline.buy(sale, alice, "key-1").expect(201)
    stack.redis("DEL", f"baseline:{{{sale}}}:keys", f"baseline:{{{sale}}}:held")
    again = baseline.buy(sale, alice, "key-1").expect(201)
    assert again.json == first.json and again.headers["Idempotent-Replayed"] == "true"
    other = baseline.open_sale(stock=5)
    baseline.buy(other, alice, "key-1").expect(422, "idempotency_mismatch")
    assert (baseline.left(sale), baseline.left(other)) == (4, 5)


def test_an_order_that_is_not_written_gives_its_unit_back(baseline, stack):
    sale, alice = baseline.open_sale(stock=1), unique("alice-")
    stack.sql("RENAME TABLE orders TO elsewhere", DATABASE)
    try:
        baseline.buy(sale, alice, "key-1").expect(503, "unavailable")
    finally:
        stack.sql("RENAME TABLE elsewhere TO orders", DATABASE)
    assert baseline.left(sale) == 1
    baseline.buy(sale, alice, "key-1").expect(201)


def test_the_load_tool_plays_its_rush_on_it(baseline):
    """What bench-compare counts: as many orders as there are units, and everybody else refused."""
    argv = [BUILD / "snapup-bench", "run", "rush", "--url", f"http://127.0.0.1:{baseline.port}", "--no-proof", "--quiet",
            "--shoppers", "200", "--units", "50", "--connections", "16", "--fail-if", "errors>0", "--fail-if",
            "timeouts>0", "--json", "-"]
    done = subprocess.run(list(map(str, argv)), env=clean_env(), check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert (totals["orders"], totals["refusals"]) == (50, 150)
