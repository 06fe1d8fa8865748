"""Crowds. What one shopper may do is in test_orders.py; here everybody does it at once."""

import random

import pytest

from helpers_crowd import cancel_request, in_flight, order_request, tally
from snapup import in_parallel, mint, unique


def crowd_of(sale, n, **more):
    """Requests of n shoppers who want one unit each."""
    return [order_request(sale, mint(unique("shopper-")), **more) for _ in range(n)]


def test_a_thousand_requests_with_one_key_make_one_order(shop):
    sale, shopper, key = shop.make_sale(stock=2000, limit=2000), unique("shopper-"), unique("key-")
    request = order_request(sale, mint(shopper), key=key)
    answers = in_flight(shop, [request] * 1000, conns=100)
    assert set(tally(answers)) <= {(201, "order"), (409, "idempotency_in_progress")}
    made = [answer for answer in answers if answer.status == 201]
    assert len({answer.json["id"] for answer in made}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in made) == 1
    assert shop.sql(f"SELECT COUNT(*) AS n FROM orders WHERE shopper = '{shopper}'") == [{"n": "1"}]
    again = shop.buy(sale, shopper, key=key).expect(201)
    assert again.json["id"] == made[0].json["id"]
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 1


def test_one_key_with_two_bodies_at_once(shop):
    """One of them is the first; nobody of the others gets its order."""
    sale, shopper, key = shop.make_sale(stock=2000, limit=2000), unique("shopper-"), unique("key-")
    requests = [order_request(sale, mint(shopper), qty=qty, key=key) for qty in (1, 2)] * 100
    answers = in_flight(shop, requests)
    assert set(tally(answers)) <= {(201, "order"), (409, "idempotency_in_progress"),
                                   (422, "idempotency_mismatch")}
    made = {(answer.json["id"], answer.json["qty"]) for answer in answers if answer.status == 201}
    assert len(made) == 1
    qty = made.pop()[1]
    for n, answer in enumerate(answers):
        assert answer.status != 201 or n % 2 + 1 == qty, "the other body was told this order"
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == qty


def test_one_key_through_two_instances(shop, instance):
    sale, shopper, key = shop.make_sale(stock=2000, limit=2000), unique("shopper-"), unique("key-")
    request = order_request(sale, mint(shopper), key=key)
    with instance() as other:
        both = in_parallel([lambda: in_flight(shop, [request] * 100, conns=20),
                            lambda: in_flight(shop.at(other), [request] * 100, conns=20)], threads=2)
    answers = both[0] + both[1]
    assert set(tally(answers)) <= {(201, "order"), (409, "idempotency_in_progress")}
    assert len({answer.json["id"] for answer in answers if answer.status == 201}) == 1
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 1


def test_a_thousand_shoppers_for_the_last_unit(shop):
    sale = shop.make_sale(stock=1)
    answers = in_flight(shop, crowd_of(sale, 1000), conns=100)
    assert tally(answers) == {(201, "order"): 1, (409, "sold_out"): 999}
    assert {answer.json["left"] for answer in answers if answer.status == 409} == {0}
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 1


@pytest.mark.parametrize("shards", [2, 8])
def test_every_unit_is_sold_whatever_shard_it_is_in(shop, shards):
    sale = shop.make_sale(stock=37, shards=shards)
    answers = in_flight(shop, crowd_of(sale, 400))
    assert tally(answers) == {(201, "order"): 37, (409, "sold_out"): 363}
    assert shop.assert_audit_ok(sale)["items"][0]["left"] == 0


def test_a_crowd_through_two_instances(shop, instance):
    sale = shop.make_sale(stock=50, shards=2)
    with instance() as other:
        both = in_parallel([lambda: in_flight(shop, crowd_of(sale, 200)),
                            lambda: in_flight(shop.at(other), crowd_of(sale, 200))], threads=2)
    assert tally(both[0] + both[1]) == {(201, "order"): 50, (409, "sold_out"): 350}
    shop.assert_audit_ok(sale)


def test_one_shopper_at_once_from_everywhere_stays_within_the_limit(shop):
    sale, shopper = shop.make_sale(stock=1000, limit=3), unique("shopper-")
    answers = in_flight(shop, [order_request(sale, mint(shopper))] * 300, conns=100)
    assert tally(answers) == {(201, "order"): 3, (409, "limit_reached"): 297}
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 3


def test_units_for_which_several_were_asked(shop):
    """The last ones go to whoever asks for no more than there are."""
    sale = shop.make_sale(stock=10, limit=4)
    requests = [order_request(sale, mint(unique("shopper-")), qty=4) for _ in range(50)]
    answers = in_flight(shop, requests)
    assert tally(answers) == {(201, "order"): 2, (409, "sold_out"): 48}
    assert {answer.json["left"] for answer in answers if answer.status == 409} <= {10, 6, 2}
    shop.buy(sale, qty=2).expect(201)
    shop.assert_audit_ok(sale)


def test_fewer_left_than_anybody_asks_for(shop):
    """What is left in all shards together is less than one order: it is not handed round among them."""
    sale = shop.make_sale(stock=44, shards=16, limit=5)
    requests = [order_request(sale, mint(unique("shopper-")), qty=5) for _ in range(200)]
    assert tally(in_flight(shop, requests, conns=64, timeout=20)) == {(201, "order"): 8, (409, "sold_out"): 192}
    moved = shop.sql("SELECT COUNT(*) AS n FROM stock_movements m JOIN items i ON i.no = m.item "
                     f"JOIN sales s ON s.no = i.sale WHERE s.id = '{sale.id}'")[0]["n"]
    assert int(moved) < 2000
    shop.assert_audit_ok(sale)


def test_queued_orders_of_a_crowd_become_durable(shop):
    sale = shop.make_sale(stock=60)
    answers = in_flight(shop, crowd_of(sale, 200, headers="Prefer: respond-async\r\n"))
    assert tally(answers) == {(202, "order"): 60, (409, "sold_out"): 140}
    for answer in answers:
        if answer.status == 202:
            shop.wait_order(answer.json["id"], "pending_payment", answer.json["shopper"])
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 60


def test_winners_who_ask_again_get_their_order_and_losers_nothing(shop):
    sale = shop.make_sale(stock=100)
    requests = [order_request(sale, mint(unique("shopper-")), key="k") for _ in range(300)]
    first = in_flight(shop, requests)
    again = in_flight(shop, requests)
    assert tally(first) == tally(again) == {(201, "order"): 100, (409, "sold_out"): 200}
    for before, after in zip(first, again):
        assert before.status == after.status
        if after.status == 201:
            assert after.headers["Idempotent-Replayed"] == "true"
            assert after.json["id"] == before.json["id"]
    shop.assert_audit_ok(sale)


def test_a_crowd_that_buys_and_cancels(shop):
    """Several hundred shoppers over several items; in the end the books agree with what they were told."""
    dice = random.Random(20261111)
    items = [{"sku": f"thing-{n}", "name": "Thing", "price": 100 * (n + 1), "stock": 60, "limit": 3}
             for n in range(4)]
    sale = shop.make_sale(items=items, shards=2)
    tokens = [mint(unique("shopper-")) for _ in range(400)]
    token_of, live = {}, {}

    for _ in range(4):
        wishes = []
        for token in dice.sample(tokens, 300):
            sku, qty = dice.choice(sale.skus), dice.randint(1, 3)
            wishes.append((token, order_request(sale, token, qty=qty, sku=sku)))
        leaving = dice.sample(sorted(live), len(live) // 2)
        requests = [request for _, request in wishes] + [cancel_request(i, token_of[i]) for i in leaving]
        order = dice.sample(range(len(requests)), len(requests))
        shuffled = in_flight(shop, [requests[i] for i in order], conns=40)
        answers = [None] * len(requests)
        for i, answer in zip(order, shuffled):
            answers[i] = answer
        for (token, _), answer in zip(wishes, answers):
            if answer.status == 201:
                token_of[answer.json["id"]] = token
                live[answer.json["id"]] = answer.json
            else:
                assert answer.expect(409).code in ("sold_out", "limit_reached")
        for order_id, answer in zip(leaving, answers[len(wishes):]):
            assert answer.expect(200).json["state"] == "cancelled"
            del live[order_id]

    assert len(token_of) > 200, "the crowd bought too little to prove anything"
    audited = {item["sku"]: item for item in shop.assert_audit_ok(sale)["items"]}
    for sku in sale.skus:
        held = sum(order["qty"] for order in live.values() if order["sku"] == sku)
        assert (audited[sku]["live"], audited[sku]["left"]) == (held, 60 - held)
    for order in live.values():
        assert order["amount"] == order["qty"] * 100 * (sale.skus.index(order["sku"]) + 1)
