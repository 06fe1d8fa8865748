"""SIGHUP: the configuration is read again, and what may change does."""

import signal

import pytest

from snapup import unique, wait_until

SECRET = "hunter2-hunter2"


@pytest.fixture
def reloadable(instance, folder):
    """A daemon with a file of its own, and a function that writes it and sends SIGHUP."""
    path = folder / f"{unique('conf-')}.conf"
    path.write_text("log_level = info\n")
    with instance(config=path) as daemon:
        def reload(text, event="config_reloaded"):
            offset = daemon.log_size()
            path.write_text(text)
            daemon.signal(signal.SIGHUP)
            return daemon.wait_event(event, offset)

        yield daemon, reload


def test_changed_keys_are_named_without_values(reloadable):
    daemon, reload = reloadable
    assert reload(f"log_level = warn\nheader_timeout_ms = 700\nredis_password = {SECRET}\n"
                  "query_threads = 7\n")["changed"] == "header_timeout_ms log_level"
    assert daemon.wait_event("config_needs_restart")["keys"] == "query_threads redis_password"
    assert SECRET not in daemon.log()
    assert reload("log_level = warn\nheader_timeout_ms = 700\n")["changed"] == ""


def test_log_level_and_access_log(reloadable):
    daemon, reload = reloadable
    offset = daemon.log_size()
    daemon.client.get("/v1/sales")
    assert "Server-Timing" not in daemon.client.get("/livez").headers
    reload("access_log = all\n")
    assert daemon.events("request", offset) == []
    # Each loop is told by a message of its own, and may answer before it has read it.

    def logged():
        daemon.client.get("/v1/sales")
        return daemon.events("request", offset)
    assert wait_until(logged)[0]["route"] == "GET /v1/sales"
    reload("log_level = debug\n")
    wait_until(lambda: "Server-Timing" in daemon.client.get("/livez").headers)


def test_time_outs_hold_for_open_connections_too(reloadable):
    daemon, reload = reloadable
    with daemon.raw() as before, daemon.raw() as other:
        for conn in (before, other):
            conn.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert conn.read_answer().status == 200
        reload("idle_timeout_ms = 200\n")
        assert before.is_closed() and other.is_closed()
        with daemon.raw() as after:
            assert after.is_closed()


def test_limits(reloadable):
    daemon, reload = reloadable
    long = "/v1/sales?" + "x" * 400
    daemon.client.get(long).expect(400)
    reload("request_line_max = 256\n")
    wait_until(lambda: daemon.client.get(long).status == 414)
    reload("")
    wait_until(lambda: daemon.client.get(long).status == 400)


@pytest.mark.parametrize("text,blamed", [
    ("log_level = debug\nidle_timeout_ms = soon\n", "idle_timeout_ms must be a whole number"),
    ("log_level = debug\nno_such_key = 1\n", "no_such_key is no key of ours"),
    ("log_level = debug\nconns_max = 1\n", "conns_max must be"),
    (f"log_level = debug\nmaster_key = {SECRET}\n", "master_key must be"),
])
def test_a_bad_file_changes_nothing(reloadable, text, blamed):
    daemon, reload = reloadable
    assert blamed in reload(text, "config_rejected")["error"]
    assert "Server-Timing" not in daemon.client.get("/livez").headers
    assert daemon.events("config_reloaded") == []
    assert SECRET not in daemon.log()
    daemon.client.get("/readyz").expect(200)
    assert reload("log_level = warn\n")["changed"] == "log_level"


def test_purchases_go_on(shop, reloadable):
    daemon, reload = reloadable
    there = shop.at(daemon)
    sale = shop.make_sale(stock=100)
    wait_until(lambda: there.buy(sale).status == 201)  # it hears of an open gate a moment later
    for n in range(20):
        reload(f"idle_timeout_ms = {60000 + n}\naccess_log = {'all' if n % 2 else 'off'}\n")
        there.buy(sale).expect(201)
    shop.assert_audit_ok(sale)
