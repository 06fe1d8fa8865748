"""Sales: made, published, opened and closed by the clock, paused, ended, and read by the public."""

import copy
import time

import pytest

from helpers_world import other_storefront
from snapup import OPERATOR_KEY, STOREFRONT_KEY, mint, parse_time, unique, wait_until

# Promised: how late a sale may open or close, in seconds.
OPENING_S = 0.050


# --- Making ------------------------------------------------------------------------------------------


def test_create_answers_the_draft(shop):
    document = shop.sale_document(stock=7, limit=2, price=12300)
    document["items"][0]["list_price"] = 19900
    sale = shop.create_sale(document).expect(201).json
    assert sale["object"] == "sale"
    assert sale["state"] == "draft"
    for member in ("id", "name", "kind", "currency", "starts_at", "ends_at", "pay_within_s"):
        assert sale[member] == document[member]
    for member in ("server_time", "created_at"):
        assert abs(parse_time(sale[member]) - time.time()) < 60
    given = document["items"][0]
    assert sale["items"] == [{"sku": given["sku"], "name": "Phone", "price": 12300, "list_price": 19900,
                              "limit": 2, "left": 7, "sold_out": False}]


def test_an_id_is_made_where_none_is_given(shop):
    document = shop.sale_document()
    del document["id"]
    made = [shop.create_sale(document).expect(201).json["id"] for _ in range(2)]
    assert all(one.startswith("sale_") for one in made)
    assert made[0] != made[1]
    shop.client.get(f"/v1/sales/{made[0]}", token=STOREFRONT_KEY).expect(200)


def test_list_price_may_be_missing(shop):
    sale = shop.create_sale(shop.sale_document()).expect(201).json
    assert sale["items"][0]["list_price"] is None


def test_any_offset_is_read(shop):
    document = shop.sale_document()
    document["starts_at"] = "2026-11-11T00:00:00+08:00"
    document["ends_at"] = "2099-11-11T00:00:00.25-05:30"
    sale = shop.create_sale(document).expect(201).json
    assert sale["starts_at"] == "2026-11-10T16:00:00.000Z"
    assert sale["ends_at"] == "2099-11-11T05:30:00.250Z"


def test_names_may_be_in_any_script(shop):
    document = shop.sale_document(name="双十一 抢购 🎉")
    assert shop.create_sale(document).expect(201).json["name"] == document["name"]
    assert shop.client.get(f"/v1/sales/{document['id']}", token=STOREFRONT_KEY).json["name"] == document["name"]


def test_ids_are_taken_once(shop):
    document = shop.sale_document()
    shop.create_sale(document).expect(201)
    shop.create_sale(document).expect(409, "sale_exists")


def test_ids_know_upper_and_lower_case(shop):
    document = shop.sale_document()
    shop.create_sale(document).expect(201)
    shop.create_sale({**document, "id": document["id"].upper()}).expect(201)


def test_create_with_a_key(shop):
    document, key = shop.sale_document(), {"Idempotency-Key": unique("key ")}
    first = shop.create_sale(document, headers=key).expect(201)
    assert "Idempotent-Replayed" not in first.headers
    again = shop.create_sale(document, headers=key).expect(201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    shop.create_sale({**document, "name": "Other"}, headers=key).expect(422, "idempotency_mismatch")


MISSING = object()


def item(**changes):
    return [{"sku": "a", "name": "A", "price": 1, "stock": 1, "limit": 1, **changes}]


INVALID = [
    ("id", "id", ""),
    ("id", "id", "x" * 65),
    ("id", "id", "a b"),
    ("id", "id", "a/b"),
    ("id", "id", "ä"),
    ("id", "id", 7),
    ("name", "name", MISSING),
    ("name", "name", ""),
    ("name", "name", "x" * 201),
    ("name", "name", 7),
    ("name", "name", None),
    ("kind", "kind", MISSING),
    ("kind", "kind", "auction"),
    ("currency", "currency", MISSING),
    ("currency", "currency", "cny"),
    ("currency", "currency", "CNYX"),
    ("currency", "currency", "C1Y"),
    ("starts_at", "starts_at", MISSING),
    ("starts_at", "starts_at", "tomorrow"),
    ("starts_at", "starts_at", "2026-11-11"),
    ("starts_at", "starts_at", "2026-11-11T00:00:00"),
    ("starts_at", "starts_at", "2026-02-30T00:00:00Z"),
    ("starts_at", "starts_at", 1794355200),
    ("ends_at", "ends_at", MISSING),
    ("ends_at", "ends_at", "2000-01-01T00:00:00Z"),
    ("pay_within_s", "pay_within_s", MISSING),
    ("pay_within_s", "pay_within_s", 0),
    ("pay_within_s", "pay_within_s", -1),
    ("pay_within_s", "pay_within_s", 604801),
    ("pay_within_s", "pay_within_s", 1.5),
    ("pay_within_s", "pay_within_s", "900"),
    ("shards", "shards", 0),
    ("shards", "shards", 65),
    ("shards", "shards", "1"),
    ("colour", "colour", "red"),
    ("items", "items", MISSING),
    ("items", "items", []),
    ("items", "items", {}),
    ("items", "items", [item(sku=f"s{n}")[0] for n in range(1001)]),
    ("items[0]", "items", ["a"]),
    ("items[0].sku", "items", item(sku="")),
    ("items[0].sku", "items", item(sku="x" * 65)),
    ("items[0].sku", "items", item(sku="a b")),
    ("items[0].sku", "items", item(sku="a\nb")),
    ("items[1].sku", "items", item() + item()),
    ("items[0].name", "items", item(name="")),
    ("items[0].name", "items", item(name=[])),
    ("items[0].price", "items", item(price=0)),
    ("items[0].price", "items", item(price=-1)),
    ("items[0].price", "items", item(price=1.5)),
    ("items[0].price", "items", item(price="9900")),
    ("items[0].price", "items", item(price=10**12 + 1)),
    ("items[0].price", "items", item(price=2**63 - 1)),
    (None, "items", item(price=2**63)),
    ("items[0].list_price", "items", item(list_price=0)),
    ("items[0].list_price", "items", item(list_price="1")),
    ("items[0].stock", "items", item(stock=-1)),
    ("items[0].stock", "items", item(stock=10**9 + 1)),
    ("items[0].stock", "items", item(stock=True)),
    ("items[0].limit", "items", item(limit=0)),
    ("items[0].limit", "items", item(limit=10001)),
    ("items[0].limit", "items", item(limit=None)),
    ("items[1].limit", "items", item() + item(sku="b", limit=0)),
    ("items[0].size", "items", item(size="XL")),
]


def changed(document, member, value):
    document = copy.deepcopy(document)
    if value is MISSING:
        del document[member]
    else:
        document[member] = value
    return document


@pytest.mark.parametrize("param,member,value", INVALID,
                         ids=[f"{row[0]}-{n}" for n, row in enumerate(INVALID)])
def test_invalid_documents_name_the_field(shop, param, member, value):
    document = changed(shop.sale_document(), member, value)
    answer = shop.create_sale(document).expect(400, "invalid_request")
    if param is not None:  # a number past 64 bits is not read as far as its field
        assert answer.json["param"] == param
    if member != "id":
        shop.client.get(f"/v1/sales/{document['id']}", token=STOREFRONT_KEY).expect(404, "sale_not_found")


@pytest.mark.parametrize("member", ["sku", "name", "price", "stock", "limit"])
def test_members_an_item_needs(shop, member):
    document = shop.sale_document()
    del document["items"][0][member]
    assert shop.create_sale(document).expect(400, "invalid_request").json["param"] == f"items[0].{member}"


BOUNDS = [
    {"shards": 64},
    {"shards": 1},
    {"pay_within_s": 604800},
    {"pay_within_s": 1},
    {"name": "双" * 200},
    {"items": item(price=10**12, stock=0, limit=10000)},
    {"items": item(stock=10**9)},
    {"items": [item(sku=f"s{n}")[0] for n in range(1000)]},
]


@pytest.mark.parametrize("change", BOUNDS, ids=[str(n) for n in range(len(BOUNDS))])
def test_bounds_are_inside(shop, change):
    shop.create_sale({**shop.sale_document(), **change}).expect(201)


# --- Who may -----------------------------------------------------------------------------------------


def test_only_storefronts_make_sales(shop):
    document = shop.sale_document()
    shop.create_sale(document, token=mint("shopper")).expect(403, "forbidden")
    shop.client.post("/v1/sales", document).expect(401, "unauthenticated")


@pytest.mark.parametrize("verb", ["publish", "pause", "resume", "end"])
def test_only_storefronts_change_sales(shop, verb):
    sale = shop.make_sale()
    shop.sale_action(sale, verb, token=mint("shopper")).expect(403, "forbidden")
    shop.client.post(f"/v1/sales/{sale.id}/{verb}").expect(401, "unauthenticated")
    assert shop.get_sale(sale).json["state"] == "open"


@pytest.mark.parametrize("verb", ["publish", "pause", "resume", "end"])
def test_a_sale_of_another_storefront_is_not_there(shop, verb):
    sale = shop.make_sale()
    with other_storefront(shop) as key:
        shop.sale_action(sale, verb, token=key).expect(404, "sale_not_found")
        shop.client.get(f"/v1/sales/{sale.id}/audit", token=key).expect(404, "sale_not_found")
        shop.add_stock(sale, 1, token=key).expect(404, "sale_not_found")
    assert shop.get_sale(sale).json["state"] == "open"


@pytest.mark.parametrize("verb", ["publish", "pause", "resume", "end"])
def test_changing_a_sale_that_is_not_there(shop, verb):
    shop.sale_action("none", verb).expect(404, "sale_not_found")


def test_operators_change_any_sale(shop):
    sale = shop.make_sale()
    assert shop.sale_action(sale, "pause", token=OPERATOR_KEY).expect(200).json["state"] == "paused"


# --- States ------------------------------------------------------------------------------------------


def test_a_draft_is_for_its_storefront_alone(shop):
    sale = shop.make_sale(publish=False)
    path = f"/v1/sales/{sale.id}"
    shop.client.get(path).expect(404, "sale_not_found")
    shop.client.get(path, token=mint("shopper")).expect(404, "sale_not_found")
    with other_storefront(shop) as key:
        shop.client.get(path, token=key).expect(404, "sale_not_found")
    assert shop.client.get(path, token=STOREFRONT_KEY).expect(200).json["state"] == "draft"
    assert shop.client.get(path, token=OPERATOR_KEY).expect(200).json["state"] == "draft"
    shop.buy(sale).expect(404, "sale_not_found")


def test_publish_opens_a_sale_whose_time_has_come(shop):
    sale = shop.make_sale(publish=False)
    assert shop.sale_action(sale, "publish").expect(200).json["state"] == "open"
    shop.wait_state(sale, "open")


def test_publish_schedules_a_sale_whose_time_has_not(shop):
    sale = shop.make_sale(publish=False, starts_in_s=600)
    assert shop.sale_action(sale, "publish").expect(200).json["state"] == "scheduled"
    shop.wait_state(sale, "scheduled")


def test_pause_and_resume(shop):
    sale = shop.make_sale(stock=5)
    answer = shop.sale_action(sale, "pause").expect(200)
    assert (answer.json["object"], answer.json["id"], answer.json["state"]) == ("sale", sale.id, "paused")
    shop.wait_state(sale, "paused")
    wait_until(lambda: shop.buy(sale).status == 409)
    shop.buy(sale).expect(409, "sale_paused")
    assert shop.sale_action(sale, "resume").expect(200).json["state"] == "open"
    wait_until(lambda: shop.buy(sale).status == 201)
    shop.assert_audit_ok(sale)


def test_end_is_for_good(shop):
    sale = shop.make_sale()
    assert shop.sale_action(sale, "end").expect(200).json["state"] == "ended"
    shop.wait_state(sale, "ended")
    wait_until(lambda: shop.buy(sale).status == 409)
    shop.buy(sale).expect(409, "sale_ended")
    shop.assert_audit_ok(sale)


def test_what_was_bought_before_the_end_can_be_paid_and_cancelled(shop):
    sale = shop.make_sale(stock=2)
    kept, dropped = (shop.buy(sale).expect(201).json for _ in range(2))
    shop.sale_action(sale, "end").expect(200)
    shop.cancel(dropped).expect(200)
    shop.play(shop.pay(kept).expect(201).json)
    shop.wait_order(kept, "paid")
    shop.assert_audit_ok(sale)


# (calls before, call, code of its refusal)
ILLEGAL = [
    ([], "pause", "invalid_state"),
    ([], "resume", "invalid_state"),
    (["publish", "pause"], "publish", "invalid_state"),
    (["publish", "end"], "publish", "sale_ended"),
    (["publish", "end"], "pause", "sale_ended"),
    (["publish", "end"], "resume", "sale_ended"),
    (["publish", "pause", "end"], "resume", "sale_ended"),
    (["end"], "publish", "sale_ended"),
]


def run_steps(shop, steps):
    """A draft that went through steps, and its state then."""
    sale, state = shop.make_sale(publish=False), "draft"
    for step in steps:
        state = shop.sale_action(sale, step).expect(200).json["state"]
    return sale, state


def state_of(shop, sale):
    return shop.client.get(f"/v1/sales/{sale.id}", token=STOREFRONT_KEY).expect(200).json["state"]


@pytest.mark.parametrize("before,verb,code", ILLEGAL, ids=["-".join([*row[0], row[1]]) for row in ILLEGAL])
def test_illegal_transitions(shop, before, verb, code):
    sale, state = run_steps(shop, before)
    shop.sale_action(sale, verb).expect(409, code)
    assert state_of(shop, sale) == state


@pytest.mark.parametrize("steps,state", [
    (["publish", "publish"], "open"),
    (["publish", "resume"], "open"),
    (["publish", "pause", "pause"], "paused"),
    (["publish", "pause", "resume", "resume"], "open"),
    (["publish", "end", "end"], "ended"),
], ids="-".join)
def test_repeated_transitions_give_the_same_answer(shop, steps, state):
    """Who lost an answer may ask again."""
    sale, found = run_steps(shop, steps)
    assert found == state
    assert state_of(shop, sale) == state


def test_a_scheduled_sale_can_be_ended(shop):
    sale = shop.make_sale(starts_in_s=600)
    assert shop.sale_action(sale, "end").expect(200).json["state"] == "ended"


def test_actions_take_no_body(shop):
    sale = shop.make_sale(publish=False)
    answer = shop.sale_action(sale, "publish", body={"when": "now"})
    assert answer.status in (400, 413), answer


# --- The clock ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(3))
def test_opens_by_the_clock(shop, attempt):
    """Nobody buys before starts_at, anybody 50 ms after it."""
    sale = shop.make_sale(stock=10, limit=10, starts_in_s=1.2)
    shopper = unique("shopper-")
    starts = parse_time(sale["starts_at"])
    opened, refused_at = None, 0
    while opened is None:
        sent_at = time.time()
        answer = shop.buy(sale, shopper)
        if answer.status == 201:
            assert time.time() >= starts, "an order before the time"
            opened = answer.json
        else:
            answer.expect(409, "sale_not_open")
            assert answer.json["opens_at"] == sale["starts_at"]
            refused_at = sent_at
        assert sent_at < starts + 5, "the sale does not open"
    assert refused_at > 0, "the sale was open before it was tried"
    # A request that was sent later than this and refused shows a sale that opened too late.
    assert refused_at <= starts + OPENING_S
    assert parse_time(opened["created_at"]) >= starts
    shop.wait_state(sale, "open")
    shop.assert_audit_ok(sale)


def test_closes_by_the_clock(shop):
    sale = shop.make_sale(stock=10000, limit=10000, ends_in_s=1.5)
    shopper = unique("shopper-")
    ends = parse_time(sale["ends_at"])
    bought_at, answer = 0, None
    while answer is None or answer.status == 201:
        sent_at = time.time()
        answer = shop.buy(sale, shopper)
        if answer.status == 201:
            bought_at = sent_at
        assert sent_at < ends + 5, "the sale does not close"
    answer.expect(409, "sale_ended")
    assert 0 < bought_at <= ends + OPENING_S
    shop.wait_state(sale, "ended")
    shop.assert_audit_ok(sale)


def test_a_pause_lasts_past_the_opening(shop):
    sale = shop.make_sale(starts_in_s=0.8)
    shop.sale_action(sale, "pause").expect(200)
    starts = parse_time(sale["starts_at"])
    wait_until(lambda: time.time() > starts + OPENING_S)
    shop.buy(sale).expect(409, "sale_paused")
