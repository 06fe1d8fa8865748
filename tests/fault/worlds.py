"""A world of one test: a database and a Redis, and instances that come and go.

A test has an instance die or stop at a crash point (service/base/crash.h), lets others go on, and ends
with the audit:

    with world.crash("commit_before_commit") as shop:       # an instance that is to die there
        world.buy(shop, world.make_sale(shop))              # ... and does: no answer
    world.recovers()                                        # all that was asked for, again, and the audit

Every purchase is asked for by world.buy() under a key of its own, so that it can be asked for again.
"""

import contextlib
import http.client
import os
import shutil
import signal
import threading

import snapup
from snapup import PATIENCE_S, ROOT, unique, wait_until

# Refusals that ask the shopper to come again.
NOT_NOW = {"recovering", "unavailable", "overloaded", "idempotency_in_progress"}
NO_ANSWER = (OSError, http.client.HTTPException)


class Purchase:
    """One shopper's wish under one key, and the ids it was answered with."""

    def __init__(self, sale, qty=1):
        self.sale, self.qty = sale, qty
        self.shopper, self.key = unique("shopper-"), unique("key-")
        self.answer = None  # the first one
        self.ids = set()

    def ask(self, shop, **more):
        """Asks once; the answer, or None when the connection broke."""
        try:
            answer = shop.buy(self.sale, self.shopper, qty=self.qty, key=self.key, **more)
        except NO_ANSWER:
            return None
        if answer.status in (201, 202):
            self.ids.add(answer.json["id"])
        return answer

    def ask_until_sure(self, shop, not_now=frozenset()):
        """Asks as often as it takes; the 201. not_now: further codes that ask to come again."""

        def sure():
            answer = self.ask(shop)
            assert answer is not None, "an instance that should serve does not"
            if answer.status == 201:
                return answer
            assert answer.code in NOT_NOW | not_now, answer
            return None

        return wait_until(sure, message=lambda: f"no answer to {self.key}: {self.ask(shop)}")


class World:
    def __init__(self, folder, mariadb, database):
        self.folder, self.database = folder, database
        folder.mkdir()
        self.stack = snapup.Stack(folder / "stack")
        self.sql_settings = {"sql": mariadb.settings["sql"], "sql_database": database}
        self._start_redis()
        mariadb.sql(f"CREATE DATABASE {database}", database="mysql")
        self.sql, self.redis = self.stack.sql, self.stack.redis
        self.sandbox_port, self.port = snapup.free_port(), snapup.free_port()
        self.settings = {
            **self.stack.settings,
            "production": 0,
            "workers": 1,
            "master_key": os.urandom(32).hex(),
            "sandbox_secret": os.urandom(16).hex(),
            "schema_dir": ROOT / "schema",
            "functions_file": ROOT / "service/redis/functions.lua",
            "openapi_file": ROOT / "service/api/openapi.yaml",
        }
        self.sandbox = snapup.Sandbox(folder, self.settings["sandbox_secret"],
                                      f"http://127.0.0.1:{self.port}/v1/webhooks/sandbox")
        self.sandbox.start()
        self.settings["sandbox_url"] = self.sandbox.url
        first = snapup.Instance(folder, self.settings, name="first")
        first.command("migrate")
        first.command("demo")
        self.started, self.sales, self.purchases = [], [], []

    @contextlib.contextmanager
    def test(self):
        """Around each test: nothing of an earlier one runs, and no instance ends badly."""
        self.started, self.sales, self.purchases = [], [], []
        self.second_fault_at = self.second_fault = None  # what breaks right after that crash
        try:
            yield
        except BaseException as error:
            # Which of its parallel neighbours' logs belong to it would be hard to see otherwise.
            logs = "".join(f"\n--- {one.name}\n{one.log()[-3000:]}" for one in self.started)
            raise AssertionError(f"{error}\n{logs}") from error
        finally:
            for one in self.started:
                one.kill()
        for one in self.started:
            assert one.complaint() is None, one.complaint()

    def end(self):
        self.sandbox.stop()
        self.stack.stop("redis")

    # --- Instances -----------------------------------------------------------------------------------

    def start(self, port=None, wait=True, **settings):
        """Another instance; the shop through it."""
        instance = snapup.Instance(self.folder, {**self.settings, **settings}, port=port,
                                   name=unique("snapup-"))
        self.started.append(instance)
        instance.start(wait)
        return snapup.Shop(instance, self.stack, self.sandbox)

    @contextlib.contextmanager
    def crash(self, point, passes=1, wait=True, **settings):
        """The shop through an instance that dies at a point within this block, or soon after it."""
        shop = self.start(port=self.port, wait=wait, crash_at=f"{point}:{passes}", **settings)
        yield shop
        wait_until(lambda: not shop.instance.alive,
                   message=lambda: f"{point} is not reached:\n{shop.instance.log()[-3000:]}")
        assert shop.instance.child.poll() == -signal.SIGKILL, shop.instance.complaint()
        assert f"crash point: {point}\n" in shop.instance.log()
        if point == self.second_fault_at:
            self.second_fault()

    @contextlib.contextmanager
    def pause(self, point, passes=1, wait=True, **settings):
        """The same, but it stops there; yields (shop, wait_stopped, go_on)."""
        shop = self.start(port=self.port, wait=wait, crash_at=f"{point}:{passes}:stop", **settings)
        pid = shop.instance.pid

        def state():
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                return stat.read().rsplit(") ", 1)[1][0]

        def wait_stopped():
            wait_until(lambda: state() == "T", message=f"{point} is not reached")
            assert f"crash point: {point}\n" in shop.instance.log()

        try:
            yield shop, wait_stopped, lambda: os.kill(pid, signal.SIGCONT)
        finally:
            if shop.instance.alive:
                os.kill(pid, signal.SIGCONT)

    # --- Redis ---------------------------------------------------------------------------------------

    def _start_redis(self):
        self.stack.start("redis")
        self.stack.settings.update(self.sql_settings)

    def kill_redis(self):
        pid = int((self.folder / "stack/redis/pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}/exe"))

    def restart_redis(self):
        """As by kill -9; it comes back with what its log has."""
        self.kill_redis()
        self._start_redis()

    def empty_redis(self):
        """As by kill -9; it comes back with nothing."""
        self.kill_redis()
        self.queued_are_lost()
        shutil.rmtree(self.folder / "stack/redis/data")
        self._start_redis()

    def epoch(self, sale, ready=False):
        """Of the sale's shard in MariaDB; ready: 0 while it is closed."""
        rows = self.sql(f"SELECT epoch * {'ready' if ready else '1'} AS n FROM shards "
                        f"WHERE sale = (SELECT no FROM sales WHERE id = '{sale.id}')")
        return int(rows[0]["n"])

    def move_on(self, sale, keep_log=True):
        """Closes the sale's gate until it is rebuilt under a new epoch; returns when it is. Without its
        log the rebuild knows of no order that was not written.

        Whoever is paused through this holds an epoch that is over."""
        before = self.epoch(sale)
        shard = f"su:{{{sale.id}.0}}"
        if keep_log:
            assert self.redis("HDEL", f"{shard}:left", "#ready") == 1
        else:
            assert self.redis("DEL", f"{shard}:log") == 1
        wait_until(lambda: self.epoch(sale, ready=True) > before, message="nobody rebuilds")

    def queued_are_lost(self):
        """Log and owner are gone: who was told 202 and has no order yet may be given another one."""
        for purchase in self.purchases:
            if purchase.answer is not None and purchase.answer.status == 202:
                purchase.ids.clear()

    # --- What is asked for ---------------------------------------------------------------------------

    def make_sale(self, shop, **document):
        sale = shop.make_sale(**document)
        self.sales.append(sale)
        return sale

    def buy(self, shop, sale, qty=1, **more):
        """Asks once and keeps the purchase, whatever came of it."""
        purchase = Purchase(sale, qty)
        self.purchases.append(purchase)
        purchase.answer = purchase.ask(shop, **more)
        return purchase

    def buy_beside(self, shop, sale):
        """Asks from a thread, until it is let in; wait_answered() joins it."""
        purchase = Purchase(sale)
        self.purchases.append(purchase)
        purchase.thread = threading.Thread(target=purchase.ask_until_sure, args=(shop,), daemon=True)
        purchase.thread.start()
        return purchase

    def wait_answered(self, purchase):
        """The 201, whose id is among purchase.ids."""
        purchase.thread.join(PATIENCE_S)
        assert purchase.ids and not purchase.thread.is_alive(), "a purchase hangs"

    def order(self, shop, sale, not_now=frozenset(), **more):
        """The document of an order that succeeds, as soon as the shop sells."""
        purchase = self.buy(shop, sale, **more)
        return purchase.ask_until_sure(shop, not_now).json

    # --- Afterwards ----------------------------------------------------------------------------------

    def recovers(self, not_now=frozenset()):
        """Starts the one that died and another one; has every purchase asked for again through both.
        Each is one order, and the audit is content. Returns both shops."""
        shops = [self.start(port=self.port, wait=False), self.start(wait=False)]
        for shop in shops:
            shop.instance.wait_ready()
        self.all_is_well(shops, not_now)
        return shops

    def all_is_well(self, shops, not_now=frozenset()):
        for shop in shops:
            for purchase in self.purchases:
                purchase.ask_until_sure(shop, not_now)
        for purchase in self.purchases:
            assert len(purchase.ids) == 1, f"one key, several orders: {purchase.ids}"
            assert self.orders_of(purchase.shopper) == 1
        for shop in shops:
            for sale in self.sales:
                document = shop.assert_audit_ok(sale)
                assert not any(document["pending"].values()), document["pending"]

    def orders_of(self, shopper):
        rows = self.sql(f"SELECT COUNT(*) AS n FROM orders WHERE shopper = '{shopper}'")
        return int(rows[0]["n"])
