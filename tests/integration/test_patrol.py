"""The audit that never ends: what is wrong is healed, and what is only busy is left alone."""

import json
import random

from helpers_crowd import cancel_request, in_flight, order_request, tally
from snapup import mint, unique, wait_until

LOOKS = 4
HEALED_IN_S = 40  # ten seconds' grace, looks every two, a rebuild; and a slow machine


def epoch(shop, sale, shard=0):
    rows = shop.sql(f"SELECT h.epoch FROM shards h JOIN sales s ON s.no = h.sale "
                    f"WHERE s.id = '{sale.id}' AND h.shard = {shard} AND h.ready = 1")
    return int(rows[0]["epoch"]) if rows else None


def events(instance, name, sale):
    """Log lines of this event about this sale."""
    lines = (json.loads(line) for line in instance.log().splitlines() if line.startswith("{"))
    return [line for line in lines if line.get("event") == name and line.get("sale") == sale.id]


def test_a_spoilt_gate_is_healed_once_and_the_sale_goes_on(shop, instance):
    richer, poorer = shop.make_sale(stock=20), shop.make_sale(stock=20, shards=2)
    with instance() as other:
        both = (shop.instance, other)
        for sale in (richer, poorer):
            shop.buy(sale).expect(201)
        before = {sale.id: epoch(shop, sale) for sale in (richer, poorer)}
        shop.stack.redis("HINCRBY", f"su:{{{richer.id}.0}}:left", richer.sku, 3)
        shop.stack.redis("HINCRBY", f"su:{{{poorer.id}.0}}:left", poorer.sku, -2)
        assert shop.audit(richer, wait=0)["ok"] is False
        wait_until(lambda: any(daemon.metric("snapup_audit_ok") == 0 for daemon in both))
        for sale in (richer, poorer):
            wait_until(lambda: epoch(shop, sale) not in (None, before[sale.id]), timeout=HEALED_IN_S)
            shop.assert_audit_ok(sale)
        for daemon in both:
            wait_until(lambda: daemon.metric("snapup_audit_ok") == 1)
        shop.buy(richer).expect(201)
        # Both instances saw it; one of them rebuilt it, and the other's doubt was about an epoch gone by.
        for sale in (richer, poorer):
            assert epoch(shop, sale) == before[sale.id] + 1
        assert epoch(shop, poorer, shard=1) == 1
        for sale, expected, found in ((richer, 19, 22), (poorer, None, None)):
            healed = [line for daemon in both for line in events(daemon, "shard_healed", sale)]
            assert 1 <= len(healed) <= 2
            assert {(line["level"], line["shard"], line["sku"]) for line in healed} == {("error", 0, sale.sku)}
            assert all(line["wrong_ms"] >= 10000 for line in healed)
            if expected:
                assert {(line["expected"], line["found"]) for line in healed} == {(expected, found)}
            assert [line for daemon in both for line in events(daemon, "audit_broken", sale)]
        assert sum(daemon.metric("snapup_heals_total") for daemon in both) >= 2


def test_a_crowd_is_no_fault(shop, instance):
    """Purchases, cancellations and stock on its way while it looks, again and again."""
    dice = random.Random(20261112)
    sale = shop.make_sale(stock=400, limit=3, shards=2)
    looks, live = set(), {}
    with instance() as other:
        through = shop.at(other)
        while len(looks) < LOOKS:
            tokens = [mint(unique("shopper-")) for _ in range(200)]
            leaving = dice.sample(sorted(live), len(live) // 2)
            requests = [order_request(sale, token, qty=dice.randint(1, 3)) for token in tokens]
            requests += [cancel_request(order, live[order]) for order in leaving]
            answers = in_flight(through, requests)
            assert {status for status, _ in tally(answers)} <= {200, 201, 409}
            for order in leaving:
                del live[order]
            live.update({answer.json["id"]: token
                         for token, answer in zip(tokens, answers) if answer.status == 201})
            shop.add_stock(sale, 200).expect(200)
            shop.add_stock(sale, -5).expect(200)
            looks.add(other.metric("snapup_audit_timestamp_seconds"))
        assert other.metric("snapup_heals_total") == 0
        assert other.metric("snapup_audit_broken_total") == 0
        assert other.metric("snapup_audit_ok") == 1
    assert not events(shop.instance, "shard_healed", sale)
    shop.assert_audit_ok(sale)
