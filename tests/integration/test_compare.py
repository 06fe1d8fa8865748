"""What bench-compare and limits (ops/dev/measure.py) make of a run that is not valid."""

import json
import shlex
import sys

import pytest

from snapup import BUILD, ROOT

sys.path.insert(0, str(ROOT / "ops/dev"))
import measure  # noqa: E402


@pytest.fixture
def load_tool(tmp_path, monkeypatch):
    """Sets what stands in for the load tool: its report, its exit code."""
    monkeypatch.setattr(measure, "RELEASE", tmp_path)

    def ends_with(report, code):
        script = tmp_path / "snapup-bench"
        script.write_text(f"#!/bin/sh\necho {shlex.quote(json.dumps(report))}\nexit {code}\n")
        script.chmod(0o755)

    return ends_with


def test_a_late_run_is_left_out_where_it_may_be(load_tool):
    load_tool({"invalid": measure.LATE}, measure.INVALID)
    assert measure.rush(1, [], {}, may_be_late=True) is None


def test_a_late_run_fails_elsewhere(load_tool):
    load_tool({"invalid": measure.LATE}, measure.INVALID)
    with pytest.raises(SystemExit, match=measure.LATE):
        measure.rush(1, [], {})


@pytest.mark.parametrize("reason", ["not every connection could be opened", "nothing was sold", "interrupted"])
def test_any_other_reason_fails(load_tool, reason):
    load_tool({"invalid": reason}, measure.INVALID)
    with pytest.raises(SystemExit, match=reason):
        measure.rush(1, [], {}, may_be_late=True)


def test_the_load_tool_says_so_when_it_is_late(shop, monkeypatch):
    monkeypatch.setattr(measure, "RELEASE", BUILD)
    load = ["--units", "enough", "--arrivals", "constant 100/s for 1s", "--shoppers", "100", "--connections", "5",
            "--no-proof", "--late-max", "1us"]
    port = shop.instance.address.rpartition(":")[2]
    assert measure.rush(port, load, {}, may_be_late=True) is None
