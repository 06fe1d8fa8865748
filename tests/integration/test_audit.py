"""The audit: its shape, its figures, and who may see it. Every other family ends with it."""

import pytest

from snapup import OPERATOR_KEY, in_parallel, mint, parse_time, unique

FIGURES = {"allocated", "left", "live", "paid", "released", "ledger_left", "gate_left", "gate_held"}


def test_shape(shop):
    sale = shop.make_sale(stock=5)
    audit = shop.audit(sale)
    assert audit["object"] == "audit"
    assert audit["sale"] == sale.id
    assert audit["ok"] is True
    parse_time(audit["checked_at"])
    assert [set(item) for item in audit["items"]] == [FIGURES | {"sku"}]
    assert set(audit["pending"]) == {"log", "committing", "releases"}
    assert all(isinstance(value, int) for value in audit["pending"].values())
    assert audit["money"] == {"unapplied": 0, "unmatched": 0}
    assert audit["checks"]
    for check in audit["checks"]:
        assert set(check) == {"name", "promise", "ok", "expected", "found"}
        assert check["promise"] in {f"P{n}" for n in range(1, 8)}
        assert check["ok"] is True


def test_it_looks_at_the_promises_of_stock(shop):
    """A promise without a row would be kept by nobody."""
    audit = shop.audit(shop.make_sale())
    assert {"P1", "P2", "P3", "P4"} <= {check["promise"] for check in audit["checks"]}
    names = [check["name"] for check in audit["checks"]]
    assert len(names) == len(set(names))


def figures(shop, sale, sku=None):
    audit = shop.assert_audit_ok(sale)
    return next(item for item in audit["items"] if item["sku"] == (sku or sale.sku))


def expect_figures(shop, sale, **expected):
    found = figures(shop, sale)
    assert {name: found[name] for name in expected} == expected


def test_figures_follow_an_item_through_its_life(shop):
    sale = shop.make_sale(stock=10, limit=3)
    expect_figures(shop, sale, allocated=10, left=10, live=0, paid=0, released=0, ledger_left=10,
                   gate_left=10, gate_held=0)

    first = shop.buy(sale, qty=3).expect(201).json
    second = shop.buy(sale, qty=2).expect(201).json
    expect_figures(shop, sale, allocated=10, left=5, live=5, paid=0, released=0, ledger_left=5,
                   gate_left=5, gate_held=5)

    shop.cancel(second).expect(200)
    expect_figures(shop, sale, allocated=10, left=7, live=3, released=2, ledger_left=7, gate_left=7,
                   gate_held=3)

    shop.play(shop.pay(first).expect(201).json)
    shop.wait_order(first, "paid")
    expect_figures(shop, sale, live=3, paid=3, ledger_left=7, gate_left=7, gate_held=3)

    shop.add_stock(sale, 5).expect(200)
    expect_figures(shop, sale, allocated=15, left=12, live=3, ledger_left=12, gate_left=12)

    shop.add_stock(sale, -4).expect(200)
    expect_figures(shop, sale, allocated=11, left=8, live=3, ledger_left=8, gate_left=8)


def test_items_are_apart(shop):
    items = [{"sku": unique("sku-"), "name": "One", "price": 1, "stock": stock, "limit": 9}
             for stock in (3, 5)]
    sale = shop.make_sale(items=items)
    shop.buy(sale, qty=2, sku=sale.skus[1]).expect(201)
    assert figures(shop, sale, sale.skus[0])["left"] == 3
    assert figures(shop, sale, sale.skus[1])["left"] == 3


@pytest.mark.parametrize("shards", [2, 7, 64])
def test_shards_add_up(shop, shards):
    sale = shop.make_sale(stock=20, limit=2, shards=shards)
    for _ in range(20):
        shop.buy(sale).expect(201)
    shop.buy(sale).expect(409, "sold_out")
    expect_figures(shop, sale, allocated=20, left=0, live=20, ledger_left=0, gate_left=0, gate_held=20)


def test_a_draft_can_be_audited(shop):
    audit = shop.audit(shop.make_sale(publish=False, stock=4))
    assert audit["ok"] is True
    assert (audit["items"][0]["live"], audit["items"][0]["gate_held"]) == (0, 0)


def test_nothing_is_pending_once_quiet(shop):
    sale = shop.make_sale()
    shop.cancel(shop.buy(sale).expect(201).json).expect(200)
    assert shop.audit(sale, wait=5)["pending"] == {"log": 0, "committing": 0, "releases": 0}


def test_a_ledger_that_was_tampered_with_is_noticed(shop):
    """The audit must be able to fail, or it proves nothing."""
    sale = shop.make_sale(stock=5)
    shop.buy(sale).expect(201)
    shop.assert_audit_ok(sale)
    row = (f"item = (SELECT no FROM items WHERE sale = (SELECT no FROM sales WHERE id = '{sale.id}')) "
           f"AND shard = 0")
    shop.sql(f"UPDATE shard_stock SET held = held + 1 WHERE {row}")
    try:
        audit = shop.audit(sale, wait=0)
        assert audit["ok"] is False
        assert [check for check in audit["checks"] if not check["ok"]], "no check says why"
    finally:
        shop.sql(f"UPDATE shard_stock SET held = held - 1 WHERE {row}")
    shop.assert_audit_ok(sale)


def test_who_waited_too_long_for_the_thread_is_told_so_P7(shop, instance):
    """Audits that wait for quiet must not pile up: what waited for ten seconds for one of the two threads is not run."""
    sale = shop.make_sale(limit=2)
    shop.buy(sale, qty=2).expect(201)
    of_sale = f"sale = (SELECT no FROM sales WHERE id = '{sale.id}')"
    with instance() as other:
        through = shop.at(other)
        shop.sql(f"UPDATE items SET per_shopper = 1 WHERE {of_sale}")  # so that the audit waits in vain
        try:
            answers = in_parallel([lambda: through.client.get(
                f"/v1/sales/{sale.id}/audit?wait=12", token="sk_demo")] * 3, threads=3)
        finally:
            shop.sql(f"UPDATE items SET per_shopper = 2 WHERE {of_sale}")
        assert sorted(answer.status for answer in answers) == [200, 200, 503]
        refused = next(answer for answer in answers if answer.status == 503)
        assert refused.expect(503, "overloaded").headers["Retry-After"]
        through.assert_audit_ok(sale)


# --- Who may ---------------------------------------------------------------------------------------


def test_operators_may(shop):
    assert shop.audit(shop.make_sale(), token=OPERATOR_KEY)["ok"] is True


def test_shoppers_may_not(shop):
    sale = shop.make_sale()
    path = f"/v1/sales/{sale.id}/audit"
    shop.client.get(path).expect(401, "unauthenticated")
    shop.client.get(path, token=mint("nosy")).expect(403, "forbidden")


def test_of_a_sale_that_is_not_there(shop):
    shop.client.get("/v1/sales/none/audit", token="sk_demo").expect(404, "sale_not_found")


@pytest.mark.parametrize("wait", ["-1", "x", "1.5", "", "99999999999999999999"])
def test_wait_is_checked(shop, wait):
    path = f"/v1/sales/{shop.make_sale().id}/audit?wait={wait}"
    answer = shop.client.get(path, token="sk_demo").expect(400, "invalid_request")
    assert answer.json["param"] == "wait"
