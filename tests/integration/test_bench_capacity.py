"""`snapup-bench capacity`: the search itself is in tests/unit/bench_capacity_test.c."""

import itertools
import json
import subprocess

import jsonschema
import pytest

from snapup import BUILD, ROOT, clean_env

SCHEMA = json.loads((ROOT / "bench/capacity.schema.json").read_text())


def capacity(*args):
    done = subprocess.run([BUILD / "snapup-bench", "capacity", *map(str, args)], env=clean_env(), check=False,
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def place(shop, settings):
    """Where the shop is, and MariaDB beside it; keys are those of the demo."""
    return ["--url", f"http://{shop.address}", "--sql", settings["sql"], "--sql-user", settings["sql_user"],
            "--sql-database", settings["sql_database"]]


@pytest.mark.parametrize("args, why", [
    ((), "want a scenario"),
    (("rush",), "--slo: what must hold"),
    (("rush", "--slo"), "wants a comparison"),
    (("rush", "--slo", "p99"), "wants a comparison"),
    (("rush", "--slo=p77<1ms"), "wants p50"),
    (("rush", "--slo", "p99<1ms", "--probe", "10"), "--probe: want a duration from 1s to 10min"),
    (("rush", "--slo", "p99<1ms", "--probe=500ms"), "--probe: want a duration from 1s to 10min"),
    (("rush", "--slo", "p99<1ms", "--fail-if", "p99>1ms"), "are of a single run"),
    (("rush", "--slo", "p99<1ms", "--hdr", "x.hlog"), "are of a single run"),
    (("nowhere", "--slo", "p99<1ms"), "no such scenario"),
    (("rush", *["--slo=p99<1ms"] * 17), "--slo: more than 16"),
])
def test_wrong_usage(args, why):
    code, out, err = capacity(*args, *["--no-proof"][:len(args)])
    assert (code, out) == (2, "")
    assert why in err


def test_help():
    code, out, err = capacity("--help")
    assert (code, err) == (0, "") and out.startswith("Usage: snapup-bench capacity")


def test_what_can_never_be_met(shop, settings, tmp_path):
    report = tmp_path / "capacity.json"
    # Sanitizers make the tool late; that is another test's business.
    code, out, err = capacity("rush", *place(shop, settings), "--slo", "p99<10s", "--slo", "orders/s<1",
                              "--probe", "1s", "--json", report, "--late-max", "10s", "--connections", "4")
    assert (code, err) == (5, ""), out
    found = json.loads(report.read_text())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(found, SCHEMA)
    assert found["slo"] == ["p99<10s", "orders/s<1"]
    assert (found["met_per_s"], found["missed_per_s"], found["confirmed"]) == (0, 200, False)
    closed = [probe for probe in found["probes"] if probe["phase"] == "closed"]
    probes = [probe for probe in found["probes"] if probe["phase"] == "open"]
    # Nothing is missed at the first try, unless the service falls behind.
    tries = [(rate, len(list(same))) for rate, same in itertools.groupby(probe["rate"] for probe in probes)]
    rates = [rate for rate, _ in tries]
    assert max(n for _, n in tries) == 3
    assert rates[0] == pytest.approx(closed[-1]["completed_per_s"], rel=1e-6)
    assert all(later == pytest.approx(max(rate / 2, 200)) for rate, later in itertools.pairwise(rates))
    assert {probe["met"] for probe in probes} == {False} and probes[-1]["missed"] == "orders/s<1"
    # Chance brings 200 a second give or take 14.
    assert probes[-1]["latency"]["n"] == pytest.approx(200, abs=90)
    assert "missed even at 200.0 shoppers/s\nbottleneck: " in out


@pytest.mark.parametrize("break_it", [
    lambda found: found.pop("probes"),
    lambda found: found.update(version=2),
    lambda found: found.update(confirmed=True),
    lambda found: found["probes"][-1].pop("missed"),
    lambda found: found["probes"][0].update(missed="p99<10s"),
    lambda found: found["probes"][0].update(phase="seed"),
    lambda found: found["probes"][0]["latency"].pop("p99.9"),
])
def test_the_schema_refuses_what_is_no_search(break_it):
    times = dict.fromkeys(["n", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"], 7)
    probe = {"rate": 400.0, "completed_per_s": 399.5, "latency": times}
    found = {"object": "capacity", "version": 1, "tool": "0.1.0", "scenario": "rush", "slo": ["p99<10s"],
             "met_per_s": 0.0, "missed_per_s": 200.0, "confirmed": False, "bottleneck": "none", "exit": 5,
             "probes": [{"phase": "closed", "met": True, **probe},
                        {"phase": "open", "met": False, "missed": "p99<10s", **probe, "cpu_us": {"generator": 9}}]}
    jsonschema.validate(found, SCHEMA)
    break_it(found)
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(found)


def test_a_limit_that_is_not_measured(shop, settings):
    code, _, err = capacity("rush", *place(shop, settings), "--slo", "refusals.p99<1s", "--probe", "1s")
    assert code == 2
    assert "--slo refusals.p99<1s: this is not measured here" in err
    code, _, err = capacity("rush", "--url", "http://127.0.0.1:1", "--no-proof", "--slo", "p99<1s")
    assert code == 3 and "could not open a sale" in err
