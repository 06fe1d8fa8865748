"""What outlasts the process, Redis and MariaDB being stopped, and what is said meanwhile."""

import contextlib
import http.client
import threading
import time

from helpers_crowd import order_request
from snapup import PATIENCE_S, STOREFRONT_KEY, mint, parse_time, unique, wait_until

# Refusals that a shopper may see while a part is away or comes back.
NOT_NOW = {"recovering", "unavailable", "overloaded"}


class Storm:
    """Shoppers who buy one after another on several connections, until the service hangs up or stop.

    Each has a key of its own, so that who got no answer can ask again."""

    def __init__(self, shop, sale, conns=8):
        self.shop, self.sale = shop, sale
        self.acknowledged, self.asked, self.odd = {}, {}, []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._buy, daemon=True) for _ in range(conns)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.acknowledged) >= 100, message="the storm does not get going")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive()

    def _buy(self):
        with contextlib.suppress(OSError, EOFError), self.shop.raw() as conn:
            while not self.stopping.is_set():
                shopper = unique("shopper-")
                self.asked[shopper] = order_request(self.sale, mint(shopper), key=shopper)
                conn.send(self.asked[shopper])
                answer = conn.read_answer()
                if answer.status == 201:
                    self.acknowledged[shopper] = answer.json["id"]
                elif answer.status != 503:
                    self.odd.append(answer)

    def in_mariadb(self):
        """Shoppers of the sale with an order, as the table has them."""
        rows = self.shop.sql(
            "SELECT shopper FROM orders JOIN items ON items.no = orders.item "
            f"JOIN sales ON sales.no = items.sale WHERE sales.id = '{self.sale.id}'")
        return {row["shopper"] for row in rows}

    def assert_nothing_is_lost(self):
        assert self.odd == []
        assert set(self.acknowledged) <= self.in_mariadb()
        # Whoever asked gets the order that there is, or a new one: never a second.
        unsure = sorted(set(self.asked) - set(self.acknowledged))[:100]
        for shopper in unsure + sorted(self.acknowledged)[:50]:
            answer = ask_until_sure(self.shop, self.sale, shopper)
            assert answer.json["id"] == self.acknowledged.get(shopper, answer.json["id"])
        audited = self.shop.assert_audit_ok(self.sale)["items"][0]
        assert audited["live"] == len(self.in_mariadb())


def ask_until_sure(shop, sale, shopper, key=None):
    """The answer to a purchase with a key, asked as often as it takes."""
    def sure():
        answer = shop.buy(sale, shopper, key=key or shopper)
        assert answer.status == 201 or answer.code in NOT_NOW | {"idempotency_in_progress"}, answer
        return answer.status == 201 and answer

    return wait_until(sure)


def sells_again(shop, sale):
    """Buys until it succeeds; everything before that is a clear refusal to try later."""
    def sold():
        answer = shop.buy(sale)
        if answer.status == 201:
            return answer.json
        assert answer.status == 503 and answer.code in NOT_NOW, answer
        assert int(answer.headers["Retry-After"]) >= 1
        return None

    return wait_until(sold, timeout=2 * PATIENCE_S)


# --- The daemon --------------------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(shop):
    sale, shopper = shop.make_sale(stock=3, limit=2, shards=2), unique("shopper-")
    draft, paused = shop.make_sale(publish=False), shop.make_sale()
    shop.sale_action(paused, "pause").expect(200)
    order = shop.buy(sale, shopper, key="k").expect(201).json
    paid = shop.buy(sale).expect(201).json
    payment = shop.pay(paid, headers={"Idempotency-Key": "p"}).expect(201).json
    shop.play(payment)
    shop.wait_order(paid, "paid")
    moved = shop.add_stock(sale, 1, headers={"Idempotency-Key": sale.id}).expect(200).json
    before = shop.assert_audit_ok(sale)["items"]

    shop.instance.restart()

    assert shop.assert_audit_ok(sale)["items"] == before
    assert shop.get_order(order).expect(200).json == order
    assert shop.get_order(paid).json["state"] == "paid"
    again = ask_until_sure(shop, sale, shopper, key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == order
    shop.buy(sale, shopper, qty=2, key="k").expect(422, "idempotency_mismatch")
    assert shop.add_stock(sale, 1, headers={"Idempotency-Key": sale.id}).expect(200).json == moved
    assert shop.pay(paid, headers={"Idempotency-Key": "p"}).expect(201).json["id"] == payment["id"]
    assert shop.client.get(f"/v1/sales/{draft.id}", token=STOREFRONT_KEY).json["state"] == "draft"
    assert shop.get_sale(paused).json["state"] == "paused"
    shop.buy(sale, shopper, qty=2).expect(409, "limit_reached")
    shop.buy(sale, qty=2).expect(201)
    shop.buy(sale).expect(409, "sold_out")
    shop.assert_audit_ok(sale)


def test_orders_expire_that_ran_out_while_nobody_was_there(shop):
    sale = shop.make_sale(stock=1, pay_within_s=1)
    order = shop.buy(sale).expect(201).json
    assert shop.instance.stop() == 0
    wait_until(lambda: time.time() > parse_time(order["pay_by"]) + 0.5)
    shop.instance.start()
    shop.wait_order(order, "expired")
    assert shop.assert_audit_ok(sale)["items"][0]["left"] == 1


def test_a_clean_stop_under_load_answers_what_it_took(shop):
    sale = shop.make_sale(stock=100_000)
    with Storm(shop, sale) as storm:
        assert shop.instance.stop() == 0
    shop.instance.start()
    storm.assert_nothing_is_lost()
    sells_again(shop, sale)


def test_a_killed_daemon_loses_nothing_it_acknowledged(shop):
    sale = shop.make_sale(stock=100_000, shards=2)
    with Storm(shop, sale) as storm:
        shop.instance.kill()
    shop.instance.start()
    sells_again(shop, sale)
    storm.assert_nothing_is_lost()


def test_draining_says_so(shop, instance):
    """No new connection is taken and the one there is closes, but a request under way is answered."""
    sale = shop.make_sale()
    with instance() as other, other.raw() as conn:
        conn.send(order_request(sale, mint(unique("shopper-"))))
        conn.read_answer().expect(201)
        assert other.stop() == 0
        assert conn.read_until_close() == b""


# --- Redis -------------------------------------------------------------------------------------------


def test_redis_goes_and_comes_back(shop):
    sale, shopper = shop.make_sale(stock=50, limit=2), unique("shopper-")
    order = shop.buy(sale, shopper, key="k").expect(201).json
    left = shop.assert_audit_ok(sale)["items"][0]["left"]

    shop.stack.stop("redis")
    try:
        wait_until(lambda: shop.buy(sale).status == 503)
        refused = shop.buy(sale).expect(503)
        assert refused.code in NOT_NOW
        assert int(refused.headers["Retry-After"]) >= 1
        wait_until(lambda: shop.client.get("/readyz").status == 503)
        shop.client.get("/livez").expect(200)
        assert shop.get_order(order).expect(200).json == order  # MariaDB has it
    finally:
        shop.stack.start("redis")

    shop.instance.wait_ready()
    fresh = sells_again(shop, sale)
    assert ask_until_sure(shop, sale, shopper, key="k").json == order
    shop.buy(sale, shopper, qty=2).expect(409, "limit_reached")
    shop.cancel(fresh).expect(200)
    assert shop.assert_audit_ok(sale)["items"][0]["left"] == left


def test_redis_restarts_under_load(shop):
    """Its run id is another one then, and what it says of the stock is not believed unseen."""
    sale = shop.make_sale(stock=100_000)
    with Storm(shop, sale) as storm:
        shop.stack.stop("redis")
        shop.stack.start("redis")
        sold = len(storm.acknowledged)
        wait_until(lambda: len(storm.acknowledged) >= sold + 100, timeout=2 * PATIENCE_S,
                   message="the shop does not sell again")
    shop.instance.wait_ready()
    storm.assert_nothing_is_lost()


# --- MariaDB -----------------------------------------------------------------------------------------


def test_mariadb_goes_and_comes_back(shop):
    sale, shopper = shop.make_sale(stock=50), unique("shopper-")
    order = shop.buy(sale, shopper, key="k").expect(201).json
    with contextlib.ExitStack() as stack:
        shop.stack.stop("mariadb")
        stack.callback(shop.stack.start, "mariadb")
        wait_until(lambda: shop.client.get("/readyz").status == 503)
        shop.client.get("/livez").expect(200)
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = shop.buy(sale, shopper)
            assert answer.status == 503 or answer.code == "limit_reached", answer
    shop.instance.wait_ready()
    sells_again(shop, sale)
    assert ask_until_sure(shop, sale, shopper, key="k").json == order
    shop.assert_audit_ok(sale)
