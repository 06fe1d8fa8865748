"""Paying: begun by the shopper, decided by the channel's notification, exactly once."""

import json
import time

import pytest

from helpers_crowd import tally
from snapup import (
    OPERATOR_KEY, STOREFRONT_KEY, in_parallel, mint, parse_time, sign_webhook, unique, wait_until,
)

PAYMENT_MEMBERS = {"object", "id", "order", "channel", "phase", "state", "amount", "currency", "action",
                   "created_at"}
TOLERANCE_S = 300


@pytest.fixture
def order(shop):
    """An order of ¥99.00 that waits to be paid."""
    return shop.buy(shop.make_sale(stock=5)).expect(201).json


def event(payment, kind="payment.succeeded", **changes):
    """What the sandbox would say of a payment; changes replace members of its object."""
    subject = {"id": unique("sbx_"), "payment": payment["id"], "order": payment["order"],
               "amount": payment["amount"], "currency": payment["currency"], **changes}
    return {"id": unique("evt_"), "object": "event", "type": kind, "created": int(time.time()),
            "data": {"object": subject}}


def get_payment(shop, payment, shopper):
    return shop.client.get(f"/v1/payments/{payment['id']}", token=mint(shopper))


def wait_payment(shop, payment, order, state):
    return wait_until(lambda: (lambda p: p["state"] == state and p)(
        get_payment(shop, payment, order["shopper"]).expect(200).json), message=f"payment {state}")


def outcome(answer):
    receipt = answer.expect(200).json
    assert set(receipt) == {"object", "received", "outcome"}
    assert (receipt["object"], receipt["received"]) == ("webhook_receipt", True)
    return receipt["outcome"]


# --- Beginning ---------------------------------------------------------------------------------------


def test_create(shop, order):
    payment = shop.pay(order, body={"channel": "sandbox", "return_url": "https://shop.example/thanks"})
    payment = payment.expect(201).json
    assert set(payment) >= PAYMENT_MEMBERS
    expected = {"object": "payment", "order": order["id"], "channel": "sandbox", "phase": "full",
                "state": "pending", "amount": 9900, "currency": "CNY"}
    assert {name: payment[name] for name in expected} == expected
    assert payment["id"].startswith("pay_")
    parse_time(payment["created_at"])
    action = payment["action"]
    assert action["type"] == "redirect"
    assert action["sandbox_url"].startswith(shop.sandbox.url)
    assert action["url"] == action["redirect"] == action["sandbox_url"]
    assert f"/pay/{payment['id']}?order={order['id']}&amount=9900&currency=CNY&" in action["url"]
    assert get_payment(shop, payment, order["shopper"]).expect(200).json == payment


def test_create_by_a_code(shop, order):
    payment = shop.pay(order, body={"channel": "sandbox", "action": "qr_code"}).expect(201).json
    action = payment["action"]
    assert set(action) == {"type", "qr_code", "sandbox_url"}
    assert (action["type"], action["qr_code"]) == ("qr_code", action["sandbox_url"])
    assert get_payment(shop, payment, order["shopper"]).expect(200).json == payment
    again = shop.pay(order, body={"action": "redirect"}).expect(201).json
    assert again == payment, "it goes on with the open one"
    shop.play(payment, "pay")
    shop.wait_order(order, "paid")


@pytest.mark.parametrize("action", ["none", "", "QR_CODE", 1, ["redirect"]])
def test_an_unknown_action(shop, order, action):
    refused = shop.pay(order, body={"action": action}).expect(400, "invalid_request")
    assert refused.json["param"] == "action"


def test_the_order_names_its_payments(shop, order):
    payment = shop.pay(order).expect(201).json
    assert shop.get_order(order).json["payments"] == [payment]


def test_an_order_has_one_open_payment(shop, order):
    """A shopper who comes back to the page goes on with it: two could both be paid."""
    ids = {shop.pay(order).expect(201).json["id"] for _ in range(3)}
    ids |= {a.expect(201).json["id"] for a in in_parallel([lambda: shop.pay(order)] * 10, threads=5)}
    assert len(ids) == 1


def test_everything_has_a_default(shop, order):
    assert shop.pay(order, body={}).expect(201).json["channel"] == "sandbox"


def test_create_with_a_key(shop, order):
    key = {"Idempotency-Key": unique("key ")}
    first = shop.pay(order, headers=key).expect(201)
    assert "Idempotent-Replayed" not in first.headers
    again = shop.pay(order, headers=key).expect(201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    other = {"channel": "sandbox", "return_url": "https://shop.example/"}
    shop.pay(order, body=other, headers=key).expect(422, "idempotency_mismatch")
    assert len(shop.get_order(order).json["payments"]) == 1


def test_one_key_many_times_at_once(shop, order):
    key = {"Idempotency-Key": unique("key-")}
    answers = in_parallel([lambda: shop.pay(order, headers=key)] * 20, threads=10)
    assert set(tally(answers)) <= {(201, "payment"), (409, "idempotency_in_progress")}
    assert len({answer.json["id"] for answer in answers if answer.status == 201}) == 1
    assert len(shop.get_order(order).json["payments"]) == 1


def test_a_key_belongs_to_its_order(shop):
    """The same key for another order of the same shopper is another request."""
    sale, shopper, key = shop.make_sale(limit=2), unique("shopper-"), {"Idempotency-Key": unique("key-")}
    first, second = (shop.buy(sale, shopper).expect(201).json for _ in range(2))
    shop.pay(first, headers=key).expect(201)
    shop.pay(second, headers=key).expect(422, "idempotency_mismatch")


@pytest.mark.parametrize("channel", ["paypal", "Sandbox", "x" * 16])
def test_an_unknown_channel(shop, order, channel):
    shop.pay(order, body={"channel": channel}).expect(404, "channel_not_found")


def test_orders_of_others(shop, order):
    payment = shop.pay(order).expect(201).json
    stranger = unique("shopper-")
    shop.pay(order, stranger).expect(404, "order_not_found")
    get_payment(shop, payment, stranger).expect(404, "payment_not_found")
    shop.client.get(f"/v1/payments/{payment['id']}").expect(401, "unauthenticated")
    for token in (STOREFRONT_KEY, OPERATOR_KEY):
        assert shop.client.get(f"/v1/payments/{payment['id']}", token=token).expect(200).json == payment


def test_storefront_pays_for_its_shopper(shop, order):
    shop.pay(order, token=STOREFRONT_KEY, headers={"Snapup-Shopper": order["shopper"]}).expect(201)


@pytest.mark.parametrize("payment", ["pay_00000000000000000000000000", "pay_x", "x",
                                     "ord_01JC9V5B1Z8Q4M3T5W7Y9A0B1C"])
def test_a_payment_that_is_not_there(shop, payment):
    shop.client.get(f"/v1/payments/{payment}", token=mint("shopper")).expect(404, "payment_not_found")


def test_orders_that_take_no_payment(shop, order):
    shop.cancel(order).expect(200)
    shop.pay(order).expect(409, "invalid_state")
    shop.pay("ord_00000000000000000000000000", "shopper").expect(404, "order_not_found")


# --- Through the sandbox -----------------------------------------------------------------------------


def test_paying(shop, order):
    payment = shop.pay(order).expect(201).json
    paid_before = shop.instance.metric("snapup_orders_paid_total")
    assert shop.play(payment, "pay").status < 400
    paid = shop.wait_order(order, "paid")
    assert parse_time(paid["paid_at"]) == pytest.approx(time.time(), abs=60)
    assert parse_time(paid["paid_at"]) >= parse_time(order["created_at"])
    assert [one["state"] for one in paid["payments"]] == ["succeeded"]
    assert wait_payment(shop, payment, order, "succeeded")["amount"] == 9900
    wait_until(lambda: shop.instance.metric("snapup_orders_paid_total") == paid_before + 1)  # counted right after the commit
    shop.pay(order).expect(409, "invalid_state")
    audited = shop.assert_audit_ok(order["sale"])["items"][0]
    assert (audited["live"], audited["paid"]) == (1, 1)


def test_declining_leaves_the_order_payable(shop, order):
    first = shop.pay(order).expect(201).json
    shop.play(first, "decline")
    wait_payment(shop, first, order, "failed")
    assert shop.get_order(order).json["state"] == "pending_payment"
    second = shop.pay(order).expect(201).json
    assert second["id"] != first["id"]
    shop.play(second, "pay")
    paid = shop.wait_order(order, "paid")
    assert sorted(one["state"] for one in paid["payments"]) == ["failed", "succeeded"]
    shop.assert_audit_ok(order["sale"])


def test_pressing_the_button_twice_pays_once(shop, order):
    payment = shop.pay(order).expect(201).json
    paid_before = shop.instance.metric("snapup_orders_paid_total")
    in_parallel([lambda: shop.play(payment, "pay")] * 4, threads=4)
    shop.wait_order(order, "paid")
    assert wait_payment(shop, payment, order, "succeeded")
    wait_until(lambda: shop.instance.metric("snapup_orders_paid_total") == paid_before + 1)  # counted right after the commit
    shop.assert_audit_ok(order["sale"])


# --- Notifications -----------------------------------------------------------------------------------


def test_a_notification_pays(shop, order):
    payment = shop.pay(order).expect(201).json
    assert outcome(shop.webhook(event(payment))) == "applied"
    assert shop.get_order(order).json["state"] == "paid"


def test_a_notification_twice_is_harmless(shop, order):
    payment = shop.pay(order).expect(201).json
    notification = event(payment)
    repeated = shop.instance.metric("snapup_webhooks_repeated_total")
    assert outcome(shop.webhook(notification)) == "applied"
    paid = shop.get_order(order).json
    for _ in range(3):
        assert outcome(shop.webhook(notification)) == "repeated"
    assert shop.get_order(order).json == paid
    wait_until(lambda: shop.instance.metric("snapup_webhooks_repeated_total") == repeated + 3)  # counted right after the commit
    shop.assert_audit_ok(order["sale"])


def test_a_notification_many_times_at_once_is_applied_once(shop, order):
    notification = event(shop.pay(order).expect(201).json)
    outcomes = [outcome(a) for a in in_parallel([lambda: shop.webhook(notification)] * 20, threads=10)]
    assert sorted(outcomes) == ["applied"] + ["repeated"] * 19
    assert shop.get_order(order).json["state"] == "paid"


def test_another_event_of_the_same_money_changes_nothing(shop, order):
    """Channels repeat themselves under new event ids, too."""
    payment = shop.pay(order).expect(201).json
    first = event(payment)
    again = {**first, "id": unique("evt_")}
    assert outcome(shop.webhook(first)) == "applied"
    assert outcome(shop.webhook(again)) in ("repeated", "ignored")
    assert get_payment(shop, payment, order["shopper"]).json["state"] == "succeeded"
    shop.assert_audit_ok(order["sale"])


def test_a_late_decline_does_not_undo_a_payment(shop, order):
    payment = shop.pay(order).expect(201).json
    shop.webhook(event(payment)).expect(200)
    shop.webhook(event(payment, "payment.failed")).expect(200)
    assert shop.get_order(order).json["state"] == "paid"
    assert get_payment(shop, payment, order["shopper"]).json["state"] == "succeeded"


def test_money_after_a_decline_is_not_lost(shop, order):
    """Reordered: the failure of a first try arrives before the success of it."""
    payment = shop.pay(order).expect(201).json
    shop.webhook(event(payment, "payment.failed")).expect(200)
    shop.webhook(event(payment)).expect(200)
    state = get_payment(shop, payment, order["shopper"]).json["state"]
    assert (state, shop.get_order(order).json["state"]) in {
        ("succeeded", "paid"), ("unapplied", "pending_payment")}


def test_money_of_a_second_payment_is_not_lost(shop, order):
    """The first is said to have failed, the second is paid; then the first turns out paid after all."""
    first = shop.pay(order).expect(201).json
    assert outcome(shop.webhook(event(first, "payment.failed"))) == "applied"
    second = shop.pay(order).expect(201).json
    assert second["id"] != first["id"]
    assert outcome(shop.webhook(event(second))) == "applied"
    paid = shop.get_order(order).json
    assert outcome(shop.webhook(event(first))) == "unapplied"
    assert get_payment(shop, first, order["shopper"]).json["state"] == "unapplied"
    now = shop.get_order(order).json
    assert (now["state"], now["paid_at"]) == ("paid", paid["paid_at"])


def test_money_for_a_cancelled_order_is_recorded_and_visible(shop, order):
    payment = shop.pay(order).expect(201).json
    shop.cancel(order).expect(200)
    before = shop.audit(order["sale"])
    counted = shop.instance.metric("snapup_payments_unapplied_total")
    notification = event(payment)
    assert outcome(shop.webhook(notification)) == "unapplied"
    assert outcome(shop.webhook(notification)) == "repeated"
    assert shop.get_order(order).json["state"] == "cancelled"
    assert get_payment(shop, payment, order["shopper"]).json["state"] == "unapplied"
    wait_until(lambda: shop.instance.metric("snapup_payments_unapplied_total") == counted + 1)  # counted right after the commit
    after = shop.audit(order["sale"])
    assert after["items"] == before["items"], "the units stay free"
    assert after["money"]["unapplied"] == before["money"]["unapplied"] + 1
    assert after["ok"] is True, "nothing is lost, so no promise is broken"


def test_a_notification_before_its_payment_exists_is_recorded(shop, order):
    # Hexadecimal digits are base32 digits, too.
    unknown = {**shop.pay(order).expect(201).json, "id": f"pay_{unique('').upper():0>26}"}
    counted = shop.instance.metric("snapup_webhooks_unmatched_total")
    before = shop.audit(order["sale"])
    notification = event(unknown)
    assert outcome(shop.webhook(notification)) == "unmatched"
    assert outcome(shop.webhook(notification)) == "repeated"
    wait_until(lambda: shop.instance.metric("snapup_webhooks_unmatched_total") == counted + 1)  # counted right after the commit
    assert shop.get_order(order).json["state"] == "pending_payment"
    after = shop.audit(order["sale"])
    assert after["money"]["unmatched"] == before["money"]["unmatched"] + 1
    recorded = shop.sql(f"SELECT outcome FROM webhook_events WHERE event = '{notification['id']}'")
    assert recorded == [{"outcome": "unmatched"}]


@pytest.mark.parametrize("change", [{"amount": 9899}, {"amount": 9901}, {"amount": 99}, {"currency": "USD"}])
def test_other_money_than_asked_for_does_not_pay(shop, order, change):
    payment = shop.pay(order).expect(201).json
    assert outcome(shop.webhook(event(payment, **change))) == "mismatch"
    assert shop.get_order(order).json["state"] == "pending_payment"
    assert get_payment(shop, payment, order["shopper"]).json["state"] == "pending"
    assert outcome(shop.webhook(event(payment))) == "applied", "the right money still does"


def test_a_payment_under_the_wrong_order_does_not_pay(shop, order):
    other = shop.buy(shop.make_sale()).expect(201).json
    payment = shop.pay(order).expect(201).json
    assert outcome(shop.webhook(event(payment, order=other["id"]))) == "mismatch"
    for one in (order, other):
        assert shop.get_order(one).json["state"] == "pending_payment"


def test_types_we_do_not_use_are_recorded_and_ignored(shop, order):
    payment = shop.pay(order).expect(201).json
    assert outcome(shop.webhook(event(payment, "payment.sneezed"))) == "ignored"
    assert get_payment(shop, payment, order["shopper"]).json["state"] == "pending"


def test_members_we_do_not_know_are_fine(shop, order):
    """The channel's format is the channel's: it may grow."""
    notification = event(shop.pay(order).expect(201).json, note="new")
    notification["livemode"] = False
    assert outcome(shop.webhook(notification)) == "applied"


# --- Signatures --------------------------------------------------------------------------------------


def forgeries(secret, body):
    now = int(time.time())
    good = sign_webhook(body, secret)
    digest = good.split("v1=")[1]
    return {
        "no_header": "",
        "garbage": "garbage",
        "wrong_secret": sign_webhook(body, "other"),
        "another_body": sign_webhook(body + b" ", secret),
        "old": sign_webhook(body, secret, now - TOLERANCE_S - 5),
        "ahead": sign_webhook(body, secret, now + TOLERANCE_S + 60),
        "another_time": f"t={now - 1},v1={digest}" if f"t={now - 1}," not in good else f"t={now},v1={digest}",
        "no_time": f"v1={digest}",
        "no_digest": f"t={now}",
        "empty_digest": f"t={now},v1=",
        "cut_digest": good[:-2],
        "longer_digest": good + "00",
        "other_scheme": good.replace("v1=", "v0="),
        "time_twice": good.replace("t=", f"t={now},t=", 1).replace(f"t={now},", "t=1,", 1),
        "time_not_a_number": good.replace("t=", "t=x", 1),
        "time_negative": f"t=-{now},v1={digest}",
        "time_huge": f"t=99999999999999999999,v1={digest}",
        "far_too_long": good + ",v1=" + "0" * 2000,
    }


@pytest.mark.parametrize("name", list(forgeries("", b"")))
def test_bad_signatures(shop, unpaid, name):
    order, notification = unpaid
    body = json.dumps(notification).encode()
    signature = forgeries(shop.sandbox.secret, body)[name]
    shop.webhook(body, signature=signature).expect(400, "bad_signature")
    assert shop.get_order(order).json["state"] == "pending_payment"
    assert shop.sql(f"SELECT event FROM webhook_events WHERE event = '{notification['id']}'") == []


@pytest.fixture(scope="module")
def unpaid(shop):
    """An order that stays unpaid, and a notification that would pay it."""
    order = shop.buy(shop.make_sale()).expect(201).json
    return order, event(shop.pay(order).expect(201).json)


def test_the_tolerance_itself_is_fine(shop, order):
    notification = event(shop.pay(order).expect(201).json)
    answer = shop.webhook(notification, t=int(time.time()) - TOLERANCE_S + 20)
    assert outcome(answer) == "applied"


def test_any_of_several_digests_may_match(shop, order):
    """A channel that rotates its secret signs with both."""
    body = json.dumps(event(shop.pay(order).expect(201).json)).encode()
    stamp, digest = sign_webhook(body, shop.sandbox.secret).split(",")
    signature = f"{stamp},v1={'0' * 64},v0=x,{digest}"
    assert outcome(shop.webhook(body, signature=signature)) == "applied"


def test_it_is_the_raw_body_that_is_signed(shop, order):
    """White space, order of members and escapes are the channel's own."""
    notification = event(shop.pay(order).expect(201).json)
    body = json.dumps(notification, indent=3, sort_keys=True).replace("evt_", "\\u0065vt_").encode() + b"\n"
    assert outcome(shop.webhook(body)) == "applied"
    assert shop.get_order(order).json["state"] == "paid"


@pytest.mark.parametrize("drop", ["id", "type", "data"])
def test_a_signed_body_that_is_no_event(shop, order, drop):
    notification = event(shop.pay(order).expect(201).json)
    del notification[drop]
    shop.webhook(notification).expect(400, "invalid_request")


def test_webhooks_of_a_channel_that_is_not_there(shop, order):
    notification = event(shop.pay(order).expect(201).json)
    shop.webhook(notification, channel="paypal").expect(404, "channel_not_found")
