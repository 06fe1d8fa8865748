"""Runs of the load tool made by hand, as bench/report.schema.json has them."""

import math
import random


def quantiles(n, median_us):
    """Plausible times: the tail is some ten times the median."""
    return {"n": n, "mean": round(1.2 * median_us, 1), "p50": median_us, "p90": 2 * median_us,
            "p99": 4 * median_us, "p99.9": 7 * median_us, "p99.99": 9 * median_us,
            "max": 12 * median_us}


def times(orders, refusals, median_us):
    return {"orders": quantiles(orders, median_us), "refusals": quantiles(refusals, median_us // 3),
            "all": quantiles(orders + refusals, median_us // 2)}


def spectrum(n, median_us):
    """Up to the last of n requests, in steps of a tenth of a nine."""
    points, nines = [], 0.0
    while 10 ** nines < n:
        points.append([int(median_us * (0.5 + 1.8 * nines ** 1.5)) + 40, 1 - 10 ** -nines])
        nines += 0.1
    return points + [[max(12 * median_us, points[-1][0]), 1]]


def series(intervals, orders_per_s, median_us, seed):
    """Units sell for two thirds of the run, then it is refusals alone."""
    dice = random.Random(seed)
    sells = [k < intervals * 2 / 3 for k in range(intervals)]
    wave = [1 + 0.12 * math.sin(k / 3) + dice.uniform(-0.08, 0.08) for k in range(intervals)]
    orders = [int(orders_per_s / 2 * w) if s else 0 for w, s in zip(wave, sells)]
    refusals = [0 if s else int(orders_per_s * 0.9 * w) for w, s in zip(wave, sells)]
    p50 = [int(median_us * w * (1 if s else 0.3)) for w, s in zip(wave, sells)]
    left, stock = sum(orders), []
    for n in orders:
        left -= n
        stock.append(left)
    return {
        "interval_s": 0.5, "t": [(k + 1) / 2 for k in range(intervals)],
        "sent": [a + b + 3 for a, b in zip(orders, refusals)], "orders": orders,
        "refusals": refusals, "errors": [int(k % 17 == 5) for k in range(intervals)],
        "p50_us": p50, "p90_us": [2 * v for v in p50], "p99_us": [4 * v for v in p50],
        "p999_us": [7 * v for v in p50],
        "max_us": [12 * v + (200_000 if k % 23 == 11 else 0) for k, v in enumerate(p50)],
        "in_flight": [int(256 * w * 0.8) for w in wave], "stock": stock,
        "cpu": {"service": [round(0.62 * w, 3) for w in wave],
                "redis": [round(0.21 * w, 3) for w in wave],
                "mariadb": [round(0.55 * w, 3) if s else 0.02 for w, s in zip(wave, sells)],
                "generator": [round(0.45 * w, 3) for w in wave]},
        "commit_group": [round(90 * w, 1) if s else 0 for w, s in zip(wave, sells)],
    }


def sample_run(intervals=60, orders_per_s=40_000, median_us=5200, seed=1):
    """A run with all that a run can have."""
    over_time = series(intervals, orders_per_s, median_us, seed)
    orders, refusals = sum(over_time["orders"]), sum(over_time["refusals"])
    errors = sum(over_time["errors"])
    sent = orders + refusals + errors
    latency, service = times(orders, refusals, median_us), times(orders, refusals, median_us * 4 // 5)
    ledger = {"rows": orders, "live": orders, "live_units": orders, "allocated": orders,
              "held": orders, "matched": orders, "missing": 0, "doubles": 0}
    return {
        "object": "run", "version": 1, "tool": "0.1.0", "scenario": "rush",
        "about": "A crowd at T0 for scarce stock", "started_at": "2026-11-24T12:00:00.000Z",
        "duration_s": intervals / 2, "sale": "rush-ABCDEFGHIJ", "load": "open",
        "settings": {"url": "http://127.0.0.1:8080", "arrivals": "constant 40000/s for 30s",
                     "shoppers": sent, "units": orders, "items": 1, "qty": 1, "shards": 1,
                     "connections": 256, "threads": 1, "timeout_ms": 30000},
        "generator": {"cpu_user_us": 9_100_000, "cpu_system_us": 4_300_000, "cpu_share": 0.447,
                      "late_p50_us": 21, "late_p99_us": 310, "late_max_us": 4100,
                      "late_share": 0.0},
        "totals": {"shoppers": sent, "sent": sent, "orders": orders, "repeats": 0, "queued": 0,
                   "refusals": refusals, "paid": 0, "errors": errors, "opened": 256,
                   "connect_failures": 0, "lost": 0, "timeouts": 0, "bad_answers": 0},
        "rates": {"requests_per_s": sent * 2 / intervals, "orders_per_s": orders_per_s * 1.01,
                  "refusals_per_s": orders_per_s * 1.8},
        "latency": latency, "service_time": service,
        "steps": [{"name": "order", "request": "POST /v1/orders", "sent": sent,
                   "latency": latency["all"], "service_time": service["all"],
                   "answers": [
                       {"status": 201, "code": "", "n": orders, "expected": True},
                       {"status": 409, "code": "sold_out", "n": refusals, "expected": True},
                       {"status": 503, "code": "overloaded", "n": errors, "expected": False}]}],
        "spectrum": spectrum(sent, median_us), "series": over_time,
        "commit_groups": [{"le": 1, "n": 40}, {"le": 2, "n": 22}, {"le": 4, "n": 31},
                          {"le": 8, "n": 90}, {"le": 16, "n": 350}, {"le": 32, "n": 1210},
                          {"le": 64, "n": 3900}, {"le": 128, "n": 5200}, {"le": 256, "n": 800},
                          {"le": 512, "n": 0}, {"le": "+Inf", "n": 0}],
        "cpu_us": {"service": 12_400_000, "redis": 3_100_000, "mariadb": 9_800_000,
                   "generator": 13_400_000},
        "ledger": ledger,
        "promises": [{"promise": f"P{n}", "ok": True, "found": f"{orders} live, {orders} allocated"}
                     for n in (1, 2, 3, 4)],
        "audit": {"object": "audit", "sale": "rush-ABCDEFGHIJ", "ok": True, "checks": [
            {"name": "held_is_live", "promise": "P4", "ok": True, "expected": orders,
             "found": orders}]},
        "thresholds": [{"text": "p99>25ms", "unit": "us", "value": 20_800, "ok": True}],
        "valid": True, "exit": 0,
    }
