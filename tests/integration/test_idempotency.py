"""One key, one order, one answer - of purchases; other families look after their own keys."""

import pytest

from snapup import mint, unique, wait_until


def test_same_key_same_body(shop):
    sale, shopper, key = shop.make_sale(stock=5, limit=5), unique("shopper-"), unique("key ")
    first = shop.buy(sale, shopper, key=key).expect(201)
    assert "Idempotent-Replayed" not in first.headers
    for _ in range(3):
        again = shop.buy(sale, shopper, key=key).expect(201)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json == first.json
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 1


def test_same_key_same_meaning(shop):
    """The body is compared by what it says, not by its bytes: clients print JSON as they like."""
    sale, shopper, key = shop.make_sale(limit=2), unique("shopper-"), {"Idempotency-Key": unique("key-")}
    first = shop.buy(sale, shopper, key=key["Idempotency-Key"]).expect(201)
    body = '{ "qty" : 1,\n "sku":"%s", "sale":"%s" }' % (sale.sku, sale.id)
    again = shop.client.post("/v1/orders", body, token=mint(shopper), headers=key).expect(201)
    assert again.json["id"] == first.json["id"]


def test_same_key_through_another_instance(shop, instance):
    sale, shopper, key = shop.make_sale(limit=2), unique("shopper-"), unique("key-")
    first = shop.buy(sale, shopper, key=key).expect(201)
    with instance() as other:
        again = shop.at(other).buy(sale, shopper, key=key).expect(201)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json == first.json
        shop.at(other).buy(sale, shopper, qty=2, key=key).expect(422, "idempotency_mismatch")


def test_same_key_another_body(shop):
    sale, shopper, key = shop.make_sale(stock=9, limit=9), unique("shopper-"), unique("key-")
    other = shop.make_sale()
    shop.buy(sale, shopper, qty=1, key=key).expect(201)
    shop.buy(sale, shopper, qty=2, key=key).expect(422, "idempotency_mismatch")
    shop.buy(other, shopper, qty=1, key=key).expect(422, "idempotency_mismatch")
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 1
    assert shop.assert_audit_ok(other)["items"][0]["live"] == 0


def test_same_key_of_another_shopper(shop):
    sale, key = shop.make_sale(stock=5), unique("key-")
    ids = {shop.buy(sale, key=key).expect(201).json["id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_answer_shows_the_order_as_it_is_now(shop):
    sale, shopper, key = shop.make_sale(), unique("shopper-"), unique("key-")
    order = shop.buy(sale, shopper, key=key).expect(201).json
    shop.cancel(order).expect(200)
    again = shop.buy(sale, shopper, key=key).expect(201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.json["id"], again.json["state"]) == (order["id"], "cancelled")
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 0


def test_r15_a_winner_may_ask_again_whatever_became_of_the_sale(shop):
    """The key is looked up before sold out, paused and ended."""
    sale, shopper, key = shop.make_sale(stock=1), unique("shopper-"), unique("key-")
    order = shop.buy(sale, shopper, key=key).expect(201).json
    shop.buy(sale).expect(409, "sold_out")
    assert shop.buy(sale, shopper, key=key).expect(201).json["id"] == order["id"]
    for verb, code in (("pause", "sale_paused"), ("end", "sale_ended")):
        shop.sale_action(sale, verb).expect(200)
        wait_until(lambda code=code: shop.buy(sale).code == code)
        assert shop.buy(sale, shopper, key=key).expect(201).json["id"] == order["id"]


def test_r15_a_winner_may_ask_again_long_after_the_end(shop, shop_with):
    """The memory that knows who holds nothing is given back once nobody asks (10 s), and comes again with
    who does. He is looked up meanwhile; nobody who holds something is ever refused."""
    own, stock, size = shop_with(workers=1), 1 << 21, 8 << 20
    sale, shopper, key = own.make_sale(stock=stock), unique("shopper-"), unique("key-")
    order = own.buy(sale, shopper, key=key).expect(201).json

    def filter_bytes():
        return own.instance.metric("snapup_filter_bytes")

    def is_kept():
        return filter_bytes() > kept - size / 2

    def a_loser_is_looked_up():
        before = own.instance.metric("snapup_refused_locally_total")
        own.buy(sale, key=unique("key-")).expect(409, "sale_ended")
        return own.instance.metric("snapup_refused_locally_total") == before

    def ask_again():
        again = own.buy(sale, shopper, key=key).expect(201)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json == order

    own.sale_action(sale, "end").expect(200)
    wait_until(lambda: own.buy(sale).code == "sale_ended")
    ask_again()
    wait_until(lambda: not a_loser_is_looked_up())
    ask_again()
    kept = filter_bytes()  # with those of other sales, which this daemon has found by now
    wait_until(lambda: not is_kept(), timeout=30)
    assert a_loser_is_looked_up()
    ask_again()
    wait_until(lambda: not a_loser_is_looked_up())
    ask_again()
    wait_until(is_kept)
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 1


def test_refusals_are_not_remembered(shop):
    sale, shopper, key = shop.make_sale(stock=1), unique("shopper-"), unique("key-")
    blocker = shop.buy(sale).expect(201).json
    shop.buy(sale, shopper, key=key).expect(409, "sold_out")
    shop.cancel(blocker).expect(200)
    wait_until(lambda: shop.buy(sale, shopper, key=key).status == 201)


def test_without_a_key_each_purchase_is_its_own(shop):
    sale, shopper = shop.make_sale(stock=5, limit=5), unique("shopper-")
    ids = {shop.buy(sale, shopper).expect(201).json["id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("key", ["k" * 255, "with blanks and ~!@#$%^&*()", '"quoted"', "a"])
def test_keys_may_be_any_printable_ascii(shop, key):
    sale, shopper = shop.make_sale(limit=2), unique("shopper-")
    first = shop.buy(sale, shopper, key=key).expect(201).json
    assert shop.buy(sale, shopper, key=key).expect(201).json["id"] == first["id"]


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there", "umlaut \xe4"])
def test_keys_that_are_not(shop, key):
    answer = shop.buy(shop.make_sale(), key=key).expect(400, "invalid_request")
    assert answer.json["param"] == "Idempotency-Key"


def test_keys_that_differ_in_case_are_two(shop):
    sale, shopper, key = shop.make_sale(stock=5, limit=5), unique("shopper-"), unique("key-")
    ids = {shop.buy(sale, shopper, key=one).expect(201).json["id"] for one in (key, key.upper())}
    assert len(ids) == 2


def test_r16_shoppers_that_differ_in_case_are_two(shop):
    sale, shopper = shop.make_sale(), unique("shopper-")
    shop.buy(sale, shopper).expect(201)
    shop.buy(sale, shopper.upper()).expect(201)


def test_respond_async_replays_a_used_key(shop):
    """A 202 under a new id would be a second order for one key."""
    sale, shopper, key = shop.make_sale(), unique("shopper-"), unique("key-")
    first = shop.buy(sale, shopper, key=key).expect(201).json
    shop.cancel(first, shopper).expect(200)
    again = shop.buy(sale, shopper, key=key, asynchronous=True).expect(201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.json["id"], again.json["state"]) == (first["id"], "cancelled")
    shop.assert_audit_ok(sale)
