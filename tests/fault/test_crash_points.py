"""Every crash point of service/base/crash.h: the instance dies there, others go on, nothing is lost.

The table CRASHES says for each point what makes an instance pass it. After each crash the one that died
starts again, a second one beside it; every key that was used is used again through both, and the audit
must be content. Then the same with Redis dying, too, and with instances that are stopped instead of
killed and go on when the world has moved on without them.
"""

import re
import time

import pytest

from helpers_world import commits_held_up
from snapup import ROOT, unique, wait_until
from worlds import NO_ANSWER

STOCK = 10
# What a worker remembers until its next look at the gate, a fifth of a second later.
A_MOMENT_AGO = {"sold_out"}


def silence(call, *args, **more):
    """The answer, or None when the instance died before it gave one."""
    try:
        return call(*args, **more)
    except NO_ANSWER:
        return None


def figures(shop, sale):
    return shop.assert_audit_ok(sale)["items"][0]


# --- What passes a point: each ends with the instance dead --------------------------------------------


def purchase(world, point):
    with world.crash(point) as shop:
        sale = world.make_sale(shop, stock=STOCK)
        assert world.buy(shop, sale).answer is None


def purchase_after_others(world, point):
    """Shards, neighbours that were served, and a crowd that dies with the instance."""
    with world.crash(point, passes=4) as shop:
        sale = world.make_sale(shop, stock=STOCK, shards=3, limit=2)
        served = [world.buy(shop, sale).answer for _ in range(4)]
        assert [answer is None for answer in served] == [False, False, False, True]


def queued_purchase(world, point):
    """A 202 is a promise, too, as long as one of the stores is there."""
    with world.crash(point) as shop:
        world.buy(shop, world.make_sale(shop, stock=STOCK), asynchronous=True)


def fenced(world, point):
    """The shard moves on to another epoch between reserving and writing; a 202 was given before."""
    with world.crash(point) as shop:
        fence_a_purchase(world, shop)
    world.queued_are_lost()


def fence_a_purchase(world, shop):
    sale = world.make_sale(shop, stock=STOCK)
    with commits_held_up(shop):
        world.buy(shop, sale, asynchronous=True).answer.expect(202)
        # With the log the rebuild would wait to write the order, too, and might be the first.
        world.move_on(sale, keep_log=False)
    return sale


def acknowledgement(world, point):
    """The order is durable; its log entry is to go when no further call takes it along."""
    with world.crash(point) as shop:
        world.buy(shop, world.make_sale(shop, stock=STOCK))


def used_key(world, point):
    """The key's order was cancelled, so Redis has forgotten it: reserved, and lost at the insert."""
    with world.crash(point) as shop:
        first = world.buy(shop, world.make_sale(shop, stock=STOCK))
        shop.cancel(first.answer.json).expect(200)
        first.ask(shop)  # answered or not: giving back and looking up go on beside each other


def cancellation(world, point):
    with world.crash(point) as shop:
        order = world.order(shop, world.make_sale(shop, stock=1))
        assert silence(shop.cancel, order) is None
    for shop in world.recovers():
        assert shop.cancel(order).expect(200).json["state"] == "cancelled"
    world.order(shop, world.sales[0], not_now=A_MOMENT_AGO)  # its unit is for sale again


def expiry(world, point):
    with world.crash(point) as shop:
        order = world.order(shop, world.make_sale(shop, stock=1, pay_within_s=1))
    shops = world.recovers()
    shops[0].wait_order(order, "expired")
    world.order(shops[1], world.sales[0], not_now=A_MOMENT_AGO)


def leave_entry(world):
    """A sale with a live order, a cancelled one, and one that was told 202 and is in Redis' log alone: its
    instance died. Its id is to be that of the order that comes of it."""
    shop = world.start(port=world.port)
    sale = world.make_sale(shop, stock=STOCK, limit=2)
    world.order(shop, sale, qty=2)
    shop.cancel(world.order(shop, sale)).expect(200)
    with commits_held_up(shop):
        world.buy(shop, sale, asynchronous=True).answer.expect(202)
        shop.instance.kill()
    return sale


def rebuild(world, point):
    sale = leave_entry(world)
    world.restart_redis()
    with world.crash(point, wait=False):
        pass
    assert figures(world.recovers()[0], sale)["live"] == 3


def sweep(world, point):
    sale = leave_entry(world)
    with world.crash(point):
        pass
    assert figures(world.recovers()[0], sale)["live"] == 3


def publication(world, point):
    with world.crash(point) as shop:
        sale = world.make_sale(shop, publish=False, stock=STOCK)
        assert silence(shop.sale_action, sale, "publish") is None
    for shop in world.recovers():
        shop.sale_action(sale, "publish").expect(200)
        shop.wait_state(sale, "open")
        world.order(shop, sale)
    assert figures(shop, sale)["left"] == STOCK - 2


BY_CODE = {"action": "qr_code"}  # the channel is told, not only the shopper


def payment(world, point):
    with world.crash(point) as shop:
        order = world.order(shop, world.make_sale(shop))
        assert silence(shop.pay, order, body=BY_CODE) is None
    shops = world.recovers()
    ids = {shop.pay(order, body=BY_CODE).expect(201).json["id"] for shop in shops}
    shops[0].play(shops[1].pay(order).expect(201).json)
    assert shops[1].wait_order(order, "paid")["payments"][0]["id"] in ids
    assert len(ids) == 1
    assert figures(shops[1], world.sales[0])["paid"] == 1


def capture_of(payment):
    subject = {"id": unique("sbx_"), "payment": payment["id"], "order": payment["order"],
               "amount": payment["amount"], "currency": payment["currency"]}
    return {"id": unique("evt_"), "object": "event", "type": "payment.succeeded",
            "created": int(time.time()), "data": {"object": subject}}


def notification(world, point):
    with world.crash(point) as shop:
        order = world.order(shop, world.make_sale(shop))
        event = capture_of(shop.pay(order).expect(201).json)
        assert silence(shop.webhook, event) is None
    for shop in world.recovers():  # the channel tells it again
        assert shop.webhook(event).expect(200).json["received"] is True
        assert shop.get_order(order).expect(200).json["state"] == "paid"
    rows = world.sql(f"SELECT COUNT(*) AS n FROM webhook_events WHERE event = '{event['id']}'")
    assert rows == [{"n": "1"}]
    assert figures(shop, world.sales[0])["paid"] == 1


def time_passes(world):
    """A try that died is taken up after half a minute (flow/idempotency.c), which is over now."""
    world.sql("UPDATE idempotency SET started_ms = 0 WHERE status = 0")


def stock_movement(world, point, delta, shards=1):
    """The storefront, which got no answer, asks again under its key: moved once, one answer."""
    key = {"Idempotency-Key": unique("key-")}
    with world.crash(point) as shop:
        sale = world.make_sale(shop, stock=STOCK, shards=shards)
        assert silence(shop.add_stock, sale, delta, headers=key) is None
    shops = world.recovers()
    time_passes(world)
    answers = [wait_until(lambda shop=shop: (lambda a: a.status == 200 and a)(
        shop.add_stock(sale, delta, headers=key))) for shop in shops]
    assert answers[0].json["delta"] == delta
    assert answers[0].json == answers[1].json
    assert figures(shops[1], sale)["allocated"] == STOCK + delta
    assert figures(shops[0], sale)["left"] == STOCK + delta


def stock_added(world, point):
    stock_movement(world, point, delta=7, shards=2)


def stock_taken(world, point):
    stock_movement(world, point, delta=-4)


def stock_drawn(world, point):
    """A shard that is sold out takes over units of another one."""
    with world.crash(point) as shop:
        sale = world.make_sale(shop, stock=8, shards=2, limit=8)
        assert world.buy(shop, sale, qty=5).answer is None
    shops = world.recovers(not_now={"sold_out"})  # units on their way are nobody's for a moment
    assert figures(shops[0], sale)["allocated"] == 8


def payment_under_a_key(world, point):
    key = {"Idempotency-Key": unique("key-")}
    with world.crash(point) as shop:
        order = world.order(shop, world.make_sale(shop))
        assert silence(shop.pay, order, body=BY_CODE, headers=key) is None
    shops = world.recovers()
    shops[0].pay(order, body=BY_CODE, headers=key).expect(409, "idempotency_in_progress")
    time_passes(world)
    ids = {shop.pay(order, body=BY_CODE, headers=key).expect(201).json["id"] for shop in shops}
    assert len(ids) == 1
    assert len(shops[0].get_order(order).json["payments"]) == 1


def page_under_a_key(world, point):
    """Its answer was kept with it, so whoever asks again need not wait."""
    key = {"Idempotency-Key": unique("key-")}
    with world.crash(point) as shop:
        order = world.order(shop, world.make_sale(shop))
        assert silence(shop.pay, order, headers=key) is None
    shops = world.recovers()
    answers = [shop.pay(order, headers=key).expect(201) for shop in shops]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == ["true"] * len(shops)
    assert shops[0].get_order(order).json["payments"] == [answers[0].json]


def sale_under_a_key(world, point):
    key = {"Idempotency-Key": unique("key-")}
    with world.crash(point) as shop:
        document = shop.sale_document()
        del document["id"]
        assert silence(shop.create_sale, document, headers=key) is None
    shops = world.recovers()
    time_passes(world)
    ids = {shop.create_sale(document, headers=key).expect(201).json["id"] for shop in shops}
    assert len(ids) == 1


CRASHES = [
    ("reserve_before_call", purchase),
    ("reserve_after_call", purchase),
    ("reserve_after_call", queued_purchase),
    ("reserve_again_before", fenced),
    ("commit_before_begin", purchase),
    ("commit_before_begin", queued_purchase),
    ("commit_after_insert", purchase),
    ("commit_before_commit", purchase),
    ("commit_before_commit", purchase_after_others),
    ("commit_before_commit", queued_purchase),
    ("commit_after_commit", purchase),
    ("commit_after_commit", purchase_after_others),
    ("commit_after_commit", queued_purchase),
    ("answer_before", purchase),
    ("ack_before", acknowledgement),
    ("ack_after", acknowledgement),
    ("release_before", used_key),
    ("release_after", used_key),
    ("deliver_before_call", cancellation),
    ("deliver_after_call", cancellation),
    ("cancel_after_commit", cancellation),
    ("expire_before_commit", expiry),
    ("expire_after_commit", expiry),
    ("rebuild_after_bump", rebuild),
    ("rebuild_after_close", rebuild),
    ("rebuild_after_log", rebuild),
    ("rebuild_after_note", rebuild),
    ("rebuild_mid_load", rebuild),
    ("rebuild_before_open", rebuild),
    ("rebuild_after_open", rebuild),
    ("sweep_before_complete", sweep),
    ("sweep_after_commit", sweep),
    ("sweep_after_settle", sweep),
    ("publish_after_allocate", publication),
    ("payment_before_call", payment),
    ("payment_after_call", payment),
    ("webhook_before_commit", notification),
    ("webhook_after_commit", notification),
    ("stock_add_after_commit", stock_added),
    ("stock_take_after_gate", stock_taken),
    ("stock_take_after_gate", stock_drawn),
    ("stock_take_after_commit", stock_taken),
    ("stock_take_after_commit", stock_drawn),
    ("idem_after_claim", stock_added),
    ("idem_after_claim", payment_under_a_key),
    ("idem_after_claim", page_under_a_key),
    ("idem_after_claim", sale_under_a_key),
    ("idem_before_finish", stock_added),
    ("idem_before_finish", stock_taken),
    ("idem_before_finish", payment_under_a_key),
    ("idem_before_finish", sale_under_a_key),
]
# Those after which recovers() is theirs to call.
ENDS_ITSELF = {cancellation, expiry, rebuild, sweep, publication, payment, notification, stock_added,
               stock_taken, stock_drawn, payment_under_a_key, page_under_a_key, sale_under_a_key}


def test_every_point_is_tested():
    table = (ROOT / "service/base/crash.h").read_text()
    points = re.findall(r"^ +X\((\w+),", table, re.MULTILINE)
    assert points
    assert set(points) == {point for point, _ in CRASHES}


@pytest.mark.parametrize("point, scenario", CRASHES, ids=lambda p: getattr(p, "__name__", p))
def test_one_key_one_order_whatever_dies(world, point, scenario):
    scenario(world, point)
    if scenario not in ENDS_ITSELF:
        world.recovers()


# --- Two faults: the instance, and Redis with it ------------------------------------------------------

# Where the stores disagree the most. With Redis' data gone the log is gone, too: who was told 201 has an
# order; who was told nothing asks again.
TWO_FAULTS = [
    ("reserve_after_call", purchase),
    ("commit_before_commit", purchase_after_others),
    ("commit_after_commit", purchase_after_others),
    ("ack_before", acknowledgement),
    ("release_before", used_key),
    ("deliver_after_call", cancellation),
    ("cancel_after_commit", cancellation),
    ("expire_after_commit", expiry),
    ("rebuild_after_bump", rebuild),
    ("rebuild_mid_load", rebuild),
    ("rebuild_before_open", rebuild),
    ("sweep_after_commit", sweep),
    ("publish_after_allocate", publication),
    ("stock_add_after_commit", stock_added),
    ("stock_take_after_gate", stock_taken),
    ("stock_take_after_commit", stock_drawn),
]


@pytest.mark.parametrize("redis", ["restarted", "emptied"])
@pytest.mark.parametrize("point, scenario", TWO_FAULTS, ids=lambda p: getattr(p, "__name__", p))
def test_redis_dies_with_the_instance(world, point, scenario, redis):
    world.second_fault_at = point
    world.second_fault = {"restarted": world.restart_redis, "emptied": world.empty_redis}[redis]
    scenario(world, point)
    if scenario not in ENDS_ITSELF:
        world.recovers()


# --- Stopped instead of killed ------------------------------------------------------------------------


def pause_in_purchase(world, point, meanwhile):
    """An instance stops at a point of a purchase; meanwhile(other shop, sale) happens; it goes on. The
    purchase is one order afterwards, whatever it was told."""
    other = world.start()
    with world.pause(point) as (shop, wait_stopped, go_on):
        sale = world.make_sale(other, stock=STOCK)
        shop.wait_state(sale, "open")
        purchase = world.buy_beside(shop, sale)
        wait_stopped()
        meanwhile(other, sale)
        go_on()
        world.wait_answered(purchase)
        world.all_is_well([shop, other])
    assert figures(other, sale)["live"] == len(world.purchases)


@pytest.mark.parametrize("point", ["reserve_after_call", "commit_before_begin"])
@pytest.mark.parametrize("redis", ["kept", "restarted", "emptied"])
def test_r2_paused_with_a_reservation_of_an_older_epoch(world, point, redis):
    """Its commit is fenced: the shard was rebuilt, with or without the reservation."""

    def meanwhile(other, sale):
        if redis == "kept":
            world.move_on(sale)
        else:
            before = world.epoch(sale)
            (world.restart_redis if redis == "restarted" else world.empty_redis)()
            wait_until(lambda: world.epoch(sale, ready=True) > before)
        world.order(other, sale)

    pause_in_purchase(world, point, meanwhile)


def test_r2_r22_fenced_order_keeps_its_id(world):
    """What was told 202 outlasts its epoch as long as its owner does, unless somebody is quicker to use
    its key or to take the last unit: it goes again under its id."""
    other = world.start()
    with world.pause("reserve_again_before") as (shop, wait_stopped, go_on):
        sale = fence_a_purchase(world, shop)
        wait_stopped()
        world.move_on(sale)
        world.order(other, sale)
        go_on()
        queued = world.purchases[0]
        other.wait_order(queued.answer.json, "pending_payment", queued.shopper)
        world.all_is_well([shop, other])
    assert figures(other, sale)["live"] == 2


def test_r2_paused_before_it_reserves(world):
    """Its call names an epoch that is over, and reserves nothing."""

    def meanwhile(other, sale):
        world.move_on(sale)
        for _ in range(STOCK - 1):
            world.order(other, sale)

    pause_in_purchase(world, "reserve_before_call", meanwhile)


@pytest.mark.parametrize("point", ["rebuild_after_bump", "rebuild_after_close", "rebuild_after_log",
                                   "rebuild_after_note", "rebuild_mid_load", "rebuild_before_open"])
def test_r6_paused_rebuilder_is_overtaken(world, point):
    """Another one rebuilds and sells; what the first still does under its epoch changes nothing."""
    sale = leave_entry(world)
    world.restart_redis()
    with world.pause(point, wait=False) as (shop, wait_stopped, go_on):
        wait_stopped()
        stale = world.epoch(sale)
        world.sql("UPDATE shards SET until_ms = 0")  # its lease lapses, which is only politeness
        other = world.start()
        newer = wait_until(lambda: world.epoch(sale, ready=True) > stale and world.epoch(sale))
        world.order(other, sale)
        go_on()
        shop.instance.wait_ready()
        world.order(shop, sale)
        world.all_is_well([shop, other])
    assert figures(other, sale)["live"] == 5
    assert world.epoch(sale, ready=True) == newer


@pytest.mark.parametrize("point", ["commit_after_insert", "commit_before_commit"])
def test_r12_paused_inside_a_transaction_blocks_nobody(world, point):
    """Its locks are those of the item that all want; MariaDB ends its transaction in seconds."""

    pause_in_purchase(world, point, world.order)


def test_r13_paused_after_a_commit_of_an_older_epoch(world):
    """What was committed stays committed: it is in the rebuilt gate, and answered 201."""
    pause_in_purchase(world, "commit_after_commit", lambda other, sale: world.move_on(sale))
