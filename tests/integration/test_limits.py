"""snapup-limits: what it measures is done, or its figures would be of something else."""

import contextlib
import json
import subprocess

import pytest

from snapup import BUILD, ROOT, free_port, wait_until

LIMITS = BUILD / "snapup-limits"
SHOPPERS = 2000


@pytest.fixture
def sockets(stack):
    """What the stores are, as options."""
    where = {name: stack.settings[name].removeprefix("unix:") for name in ("redis", "sql")}
    return {name: [f"--{name}", socket] for name, socket in where.items()}


@contextlib.contextmanager
def serving(*args):
    port = free_port()
    process = subprocess.Popen([LIMITS, *args, "--port", str(port)], stderr=subprocess.PIPE, text=True)

    def answers():
        assert process.poll() is None, process.stderr.read()
        return subprocess.run(["curl", "--silent", f"http://127.0.0.1:{port}/"], capture_output=True).returncode == 0

    try:
        wait_until(answers)
        yield port
        assert process.poll() is None, process.stderr.read()
    finally:
        process.kill()
        process.wait()


def rush(port, *args):
    done = subprocess.run([BUILD / "snapup-bench", "run", ROOT / "bench/scenarios/rush.ini", "--no-proof", "--quiet", "--json", "-",
                           "--url", f"http://127.0.0.1:{port}", "--shoppers", str(SHOPPERS), "--timeout", "5s", *args], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["totals"]


def rows_of(stack):
    found = stack.sql("SELECT COUNT(*) AS n, COUNT(DISTINCT shopper) AS shoppers FROM bare.orders")
    return int(found[0]["n"]), int(found[0]["shoppers"])


def test_the_echo_grants_one_order_and_refuses_the_rest(stack):
    with serving("echo") as port:
        for _ in range(2):  # of each sale
            found = rush(port, "--units", "1")
            assert (found["orders"], found["refusals"], found["errors"]) == (1, SHOPPERS - 1, 0)


def test_the_pipeline_answers_for_orders_that_are_written(stack, sockets):
    with serving("pipeline", *sockets["redis"], *sockets["sql"]) as port:
        found = rush(port, "--units", "enough")
        assert (found["orders"], found["errors"]) == (SHOPPERS, 0)
        assert rows_of(stack) == (SHOPPERS, SHOPPERS)


def test_batches_that_wait_in_line_are_all_served(stack, sockets):
    with serving("pipeline", "--batch", "1", *sockets["redis"], *sockets["sql"]) as port:
        assert rush(port, "--units", "enough")["orders"] == SHOPPERS
        assert rows_of(stack) == (SHOPPERS, SHOPPERS)


def test_inserts_alone_are_those_that_are_counted(stack, sockets):
    done = subprocess.run([LIMITS, "insert", *sockets["sql"], "--batch", "100", "--seconds", "1"],
                          capture_output=True, text=True, check=True)
    orders = json.loads(done.stdout)["orders"]
    assert orders > 0
    assert rows_of(stack) == (orders, orders)


def test_redis_alone_holds_what_was_counted(stack, sockets):
    done = subprocess.run([LIMITS, "redis", *sockets["redis"], "--batch", "100", "--seconds", "1"],
                          capture_output=True, text=True, check=True)
    orders = json.loads(done.stdout)["orders"]
    cli = ["redis-cli", "-s", sockets["redis"][1]]
    left, held, log = (int(subprocess.run([*cli, *command], capture_output=True, text=True, check=True).stdout)
                       for command in (["HGET", "bare:{0}:left", "unit"], ["HLEN", "bare:{0}:held"],
                                       ["XLEN", "bare:{0}:log"]))
    # One call more was sent than was counted; the log keeps what no later call has settled.
    assert -left == held == orders + 100
    assert log <= 3
