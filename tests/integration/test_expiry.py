"""Orders that nobody pays give their units back, soon after their time and not before it."""

import time

import pytest

from helpers_crowd import in_flight, order_request, tally
from snapup import in_parallel, mint, parse_time, unique, wait_until

PAY_WITHIN_S = 2
# Promised: the stock is back this long after the deadline, at the latest.
SWEPT_WITHIN_S = 2
# What a test may see later than that, for its own polling and a busy machine.
GRACE_S = 0.5


def wait_expired(shop, order):
    """The order, and when it was seen expired; never before its time."""
    pay_by = parse_time(order["pay_by"])

    def gone():
        # The deadline is looked at first, or the state could change between the two.
        before = time.time() < pay_by
        state = shop.get_order(order).expect(200).json["state"]
        assert not before or state == "pending_payment", f"{state} before its time"
        return state == "expired"

    wait_until(gone, timeout=PAY_WITHIN_S + SWEPT_WITHIN_S + 10)
    return time.time()


@pytest.fixture(scope="module")
def expired(shop):
    """An order that ran out, with its sale; for all who look at one."""
    sale, shopper = shop.make_sale(stock=1, pay_within_s=PAY_WITHIN_S), unique("shopper-")
    order = shop.buy(sale, shopper, key="only").expect(201).json
    payment = shop.pay(order).expect(201).json
    seen_at = wait_expired(shop, order)
    return sale, order, payment, seen_at


def test_an_order_expires_within_two_seconds(expired):
    _, order, _, seen_at = expired
    assert parse_time(order["pay_by"]) == pytest.approx(parse_time(order["created_at"]) + PAY_WITHIN_S)
    assert seen_at <= parse_time(order["pay_by"]) + SWEPT_WITHIN_S + GRACE_S


def test_an_expired_order_takes_no_payment(shop, expired):
    shop.pay(expired[1]).expect(409, "invalid_state")


def test_an_expired_order_cannot_be_cancelled(shop, expired):
    shop.cancel(expired[1]).expect(409, "invalid_state")


def test_its_key_still_leads_to_it(shop, expired):
    sale, order, *_ = expired
    again = shop.buy(sale, order["shopper"], key="only").expect(201)
    assert (again.json["id"], again.json["state"]) == (order["id"], "expired")


def test_its_units_and_its_limit_are_free(shop):
    sale, shopper = shop.make_sale(stock=1, pay_within_s=PAY_WITHIN_S), unique("shopper-")
    order = shop.buy(sale, shopper).expect(201).json
    shop.buy(sale).expect(409, "sold_out")
    shop.buy(sale, shopper).expect(409, "limit_reached")
    pay_by = parse_time(order["pay_by"])
    second = wait_until(lambda: (lambda a: a.status == 201 and a)(shop.buy(sale, shopper)), timeout=15).json
    assert pay_by <= time.time() <= pay_by + SWEPT_WITHIN_S + GRACE_S
    assert second["id"] != order["id"]
    assert shop.get_order(order).json["state"] == "expired"
    shop.cancel(second).expect(200)
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert (audited["left"], audited["live"], audited["released"]) == (1, 0, 2)


def test_money_that_comes_after_the_end_is_not_lost(shop, expired):
    """The sandbox tells of it anyway; the order stays expired, the payment shows the money."""
    sale, order, payment, _ = expired
    shop.play(payment)
    wait_until(lambda: shop.client.get(f"/v1/payments/{payment['id']}", token=mint(order["shopper"])).json[
        "state"] == "unapplied")
    assert shop.get_order(order).json["state"] == "expired"
    assert shop.audit(sale)["items"][0]["live"] == 0


def test_paid_and_cancelled_orders_stay(shop):
    sale = shop.make_sale(stock=3, pay_within_s=PAY_WITHIN_S)
    paid, cancelled, left = (shop.buy(sale).expect(201).json for _ in range(3))
    shop.play(shop.pay(paid).expect(201).json)
    shop.wait_order(paid, "paid")
    shop.cancel(cancelled).expect(200)
    wait_expired(shop, left)  # so the sweep has passed all three
    assert shop.get_order(paid).json["state"] == "paid"
    assert shop.get_order(cancelled).json["state"] == "cancelled"
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert (audited["live"], audited["paid"], audited["released"], audited["left"]) == (1, 1, 2, 2)


def test_the_sweep_goes_on_after_the_sale(shop):
    sale = shop.make_sale(stock=1, pay_within_s=PAY_WITHIN_S)
    order = shop.buy(sale).expect(201).json
    shop.sale_action(sale, "end").expect(200)
    wait_expired(shop, order)
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 0


def test_a_crowd_buys_while_orders_expire(shop):
    """All units run out together, and a crowd is there when they come back: each is sold once more."""
    sale = shop.make_sale(stock=200, limit=1, pay_within_s=PAY_WITHIN_S, shards=2)
    first = in_flight(shop, [order_request(sale, mint(unique("shopper-"))) for _ in range(200)])
    assert tally(first) == {(201, "order"): 200}
    bought = []

    def crowd():
        while len(bought) < 150 and time.time() < until:
            requests = [order_request(sale, mint(unique("shopper-"))) for _ in range(40)]
            answers = in_flight(shop, requests, conns=4)
            assert {code for _, code in tally(answers)} <= {"order", "sold_out"}
            bought.extend(answer.json for answer in answers if answer.status == 201)

    until = time.time() + 20
    in_parallel([crowd, crowd], threads=2)
    assert len(bought) >= 150
    for answer in first[:5]:
        shop.wait_order(answer, "expired")
    shop.assert_audit_ok(sale)
    # The second crowd does not pay either. Once it is quiet every unit is back.
    wait_until(lambda: shop.audit(sale)["items"][0]["left"] == 200, timeout=15, interval=0.1)
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert (audited["live"], audited["released"]) == (0, 200 + len(bought))
