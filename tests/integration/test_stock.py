"""Stock added and taken back while selling."""

import pytest

from helpers_crowd import in_flight, order_request, tally
from snapup import OPERATOR_KEY, STOREFRONT_KEY, in_parallel, mint, parse_time, unique, wait_until


def stock_path(sale, sku=None):
    return f"/v1/sales/{sale.id}/items/{sku or sale.sku}/stock"


def test_the_answer_is_the_movement(shop):
    sale = shop.make_sale(stock=5)
    movement = shop.add_stock(sale, 3, reason="second delivery").expect(200).json
    assert movement["id"].startswith("mov_")
    parse_time(movement["created_at"])
    expected = {"object": "stock_movement", "sale": sale.id, "sku": sale.sku, "delta": 3,
                "reason": "second delivery", "allocated": 8, "left": 8}
    assert {name: movement[name] for name in expected} == expected
    assert set(movement) == set(expected) | {"id", "created_at"}


def test_added_units_reopen_what_was_sold_out(shop):
    sale = shop.make_sale(stock=1)
    shop.buy(sale).expect(201)
    assert shop.buy(sale).expect(409, "sold_out").json["left"] == 0
    assert shop.add_stock(sale, 2).expect(200).json["left"] == 2
    wait_until(lambda: shop.buy(sale).status == 201)
    wait_until(lambda: not shop.get_sale(sale).json["items"][0]["sold_out"])
    shop.buy(sale).expect(201)
    shop.buy(sale).expect(409, "sold_out")
    assert shop.assert_audit_ok(sale)["items"][0]["allocated"] == 3


def test_units_taken_back_cannot_be_bought(shop):
    sale = shop.make_sale(stock=5, limit=5)
    assert shop.add_stock(sale, -3, reason="broken").expect(200).json["left"] == 2
    assert shop.buy(sale, qty=3).expect(409, "sold_out").json["left"] == 2
    shop.buy(sale, qty=2).expect(201)
    assert shop.assert_audit_ok(sale)["items"][0]["allocated"] == 2


def test_no_more_is_taken_back_than_is_left(shop):
    sale = shop.make_sale(stock=5, limit=5)
    shop.buy(sale, qty=3).expect(201)
    answer = shop.add_stock(sale, -3).expect(409, "not_enough_left")
    assert answer.json["left"] == 2
    assert shop.add_stock(sale, -2).expect(200).json["left"] == 0
    shop.add_stock(sale, -1).expect(409, "not_enough_left")
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert (audited["allocated"], audited["left"], audited["live"]) == (3, 0, 3)


@pytest.mark.parametrize("shards", [4, 16])
def test_over_several_shards(shop, shards):
    sale = shop.make_sale(stock=10, limit=10, shards=shards)
    assert shop.add_stock(sale, 7).expect(200).json["left"] == 17
    assert shop.add_stock(sale, -9).expect(200).json["left"] == 8
    shop.add_stock(sale, -9).expect(409, "not_enough_left")
    assert shop.audit(sale)["items"][0]["left"] == 8
    for _ in range(8):
        shop.buy(sale).expect(201)
    shop.buy(sale).expect(409, "sold_out")
    shop.assert_audit_ok(sale)


def test_of_a_draft(shop):
    """A draft has no stock yet that could move."""
    sale = shop.make_sale(publish=False, stock=5)
    shop.add_stock(sale, 2).expect(409, "invalid_state")
    shop.sale_action(sale, "publish").expect(200)
    shop.wait_state(sale, "open")
    assert shop.assert_audit_ok(sale)["items"][0]["allocated"] == 5


def test_of_a_paused_sale(shop):
    sale = shop.make_sale(stock=1)
    shop.sale_action(sale, "pause").expect(200)
    assert shop.add_stock(sale, 4).expect(200).json["left"] == 5


def test_of_an_ended_sale(shop):
    """Refused, but for the replay of what was done before."""
    sale, key = shop.make_sale(stock=1), {"Idempotency-Key": unique("key-")}
    first = shop.add_stock(sale, 4, headers=key).expect(200)
    shop.sale_action(sale, "end").expect(200)
    assert shop.add_stock(sale, 4, headers=key).expect(200).json == first.json
    shop.add_stock(sale, 4).expect(409, "sale_ended")


# --- Idempotency -------------------------------------------------------------------------------------


def test_one_key_moves_once(shop):
    sale, key = shop.make_sale(stock=5), {"Idempotency-Key": unique("key-")}
    first = shop.add_stock(sale, 10, headers=key).expect(200)
    assert "Idempotent-Replayed" not in first.headers
    again = shop.add_stock(sale, 10, headers=key).expect(200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    shop.add_stock(sale, 11, headers=key).expect(422, "idempotency_mismatch")
    assert shop.assert_audit_ok(sale)["items"][0]["allocated"] == 15


def test_one_key_taking_back_moves_once(shop):
    sale, key = shop.make_sale(stock=5), {"Idempotency-Key": unique("key-")}
    first = shop.add_stock(sale, -4, headers=key).expect(200)
    assert shop.add_stock(sale, -4, headers=key).expect(200).json == first.json
    assert shop.assert_audit_ok(sale)["items"][0]["allocated"] == 1


def test_many_at_once_with_one_key_move_once(shop):
    sale, key = shop.make_sale(stock=5), {"Idempotency-Key": unique("key-")}
    answers = in_parallel([lambda: shop.add_stock(sale, 10, headers=key)] * 24, threads=12)
    assert set(tally(answers)) <= {(200, "stock_movement"), (409, "idempotency_in_progress")}
    assert shop.add_stock(sale, 10, headers=key).expect(200).headers["Idempotent-Replayed"] == "true"
    assert shop.assert_audit_ok(sale)["items"][0]["allocated"] == 15


def test_without_a_key_every_call_moves(shop):
    sale = shop.make_sale(stock=1)
    assert [shop.add_stock(sale, 1).expect(200).json["allocated"] for _ in range(3)] == [2, 3, 4]


# --- Against a crowd ---------------------------------------------------------------------------------


def test_taking_back_races_with_buyers(shop):
    """Whoever comes first has the units; none is both sold and taken back."""
    sale = shop.make_sale(stock=100)
    requests = [order_request(sale, mint(unique("shopper-"))) for _ in range(150)]
    moves = [lambda: shop.add_stock(sale, -5)] * 10
    results = in_parallel([lambda: in_flight(shop, requests, conns=10), *moves], threads=6)
    bought = sum(answer.status == 201 for answer in results[0])
    taken = 5 * sum(answer.status == 200 for answer in results[1:])
    assert {code for _, code in tally(results[0])} <= {"order", "sold_out"}
    assert {code for _, code in tally(results[1:])} <= {"stock_movement", "not_enough_left"}
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert audited["allocated"] == 100 - taken
    assert audited["live"] == bought
    assert audited["left"] == 100 - taken - bought


def test_adding_in_parallel_adds_up(shop):
    sale = shop.make_sale(stock=0, shards=3)
    for answer in in_parallel([lambda: shop.add_stock(sale, 7)] * 20, threads=8):
        answer.expect(200)
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert (audited["allocated"], audited["left"]) == (140, 140)


# --- What is refused ---------------------------------------------------------------------------------

BAD = [
    ("delta", {"reason": "x"}),
    ("delta", {"delta": 0, "reason": "x"}),
    ("delta", {"delta": 1.5, "reason": "x"}),
    ("delta", {"delta": "1", "reason": "x"}),
    ("delta", {"delta": None, "reason": "x"}),
    ("delta", {"delta": True, "reason": "x"}),
    (None, {"delta": 2**63, "reason": "x"}),
    (None, {"delta": -(2**63) - 1, "reason": "x"}),
    ("delta", {"delta": -(2**63), "reason": "x"}),
    ("delta", {"delta": 10**9 + 1, "reason": "x"}),
    ("delta", {"delta": -(10**9) - 1, "reason": "x"}),
    ("reason", {"delta": 1}),
    ("reason", {"delta": 1, "reason": ""}),
    ("reason", {"delta": 1, "reason": 7}),
    ("reason", {"delta": 1, "reason": "x" * 801}),
    ("why", {"delta": 1, "reason": "x", "why": "y"}),
]


@pytest.mark.parametrize("param,body", BAD, ids=[f"{row[0]}-{n}" for n, row in enumerate(BAD)])
def test_invalid_moves_name_the_field(shop, bad_stock_sale, param, body):
    answer = shop.client.post(stock_path(bad_stock_sale), body, token=STOREFRONT_KEY)
    answer.expect(400, "invalid_request")
    if param is not None:  # a number past 64 bits is not read as far as its field
        assert answer.json["param"] == param


@pytest.fixture(scope="module")
def bad_stock_sale(shop):
    """One sale for all refusals: after them it is as it was."""
    sale = shop.make_sale(stock=5)
    yield sale
    audited = shop.assert_audit_ok(sale)["items"][0]
    assert (audited["allocated"], audited["left"]) == (5, 5)


def test_who_may(shop, bad_stock_sale):
    body = {"delta": 1, "reason": "x"}
    shop.client.post(stock_path(bad_stock_sale), body).expect(401, "unauthenticated")
    shop.add_stock(bad_stock_sale, 1, token=mint("shopper")).expect(403, "forbidden")


def test_operators_may(shop):
    assert shop.add_stock(shop.make_sale(stock=1), 1, token=OPERATOR_KEY).expect(200).json["left"] == 2


def test_what_is_not_there(shop, bad_stock_sale):
    shop.client.post("/v1/sales/none/items/a/stock", {"delta": 1, "reason": "x"},
                     token=STOREFRONT_KEY).expect(404, "sale_not_found")
    shop.add_stock(bad_stock_sale, 1, sku="none").expect(404, "item_not_found")
