"""SIGTERM: what was asked is answered, nothing is left behind, and the end comes in time."""

import signal

import pytest

from helpers_crowd import order_request
from helpers_process import log_entries
from helpers_world import commits_held_up
from snapup import PATIENCE_S, mint, unique, wait_until

BUYERS = 40
GET_LIVEZ = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


class Purchases:
    """Purchases on connections of their own, sent and not answered yet."""

    def __init__(self, daemon, sale):
        self.conns = [daemon.raw() for _ in range(BUYERS)]
        for conn in self.conns:
            shopper = unique("shopper-")
            conn.send(order_request(sale, mint(shopper), key=shopper))

    def answers(self):
        return [conn.read_answer() for conn in self.conns]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for conn in self.conns:
            conn.close()


def test_what_was_asked_is_answered(shop, instance):
    """Purchases that cannot be committed yet, and one whose body is on its way."""
    sale = shop.make_sale(stock=1000)
    with instance() as daemon, commits_held_up(shop), Purchases(daemon, sale) as purchases, \
            daemon.raw() as half:
        wait_until(lambda: daemon.metric("snapup_commit_depth") == BUYERS)
        request = order_request(sale, mint("half"))
        half.send(request[:-5])
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("stopping")
        wait_until(lambda: refuses(daemon), message="it still listens")
        half.send(request[-5:])
        for answer in purchases.answers() + [half.read_answer()]:
            assert answer.expect(201).headers["Connection"] == "close"
        assert daemon.child.wait(PATIENCE_S) == 0
        assert log_entries(shop, sale) == 0
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == BUYERS + 1


def refuses(daemon):
    try:
        daemon.raw().close()
        return False
    except ConnectionRefusedError:
        return True


def test_what_was_sent_is_answered(shop, instance):
    """Requests that the daemon has not even read when it is told to end."""
    sale = shop.make_sale(stock=1000)
    with instance() as daemon:
        with daemon.raw() as kept:
            kept.send(GET_LIVEZ)
            assert kept.read_answer().status == 200
            daemon.signal(signal.SIGSTOP)
            kept.send(order_request(sale, mint(unique("shopper-"))))
            with Purchases(daemon, sale) as purchases:
                daemon.signal(signal.SIGTERM)
                daemon.signal(signal.SIGCONT)
                for answer in purchases.answers() + [kept.read_answer()]:
                    answer.expect(201)
        assert daemon.child.wait(PATIENCE_S) == 0
        assert log_entries(shop, sale) == 0
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == BUYERS + 1


def test_nothing_is_left_in_the_log_under_load(shop, instance):
    """Queued purchases (202) are written before the end, and their log entries deleted, while another
    instance sells on."""
    sale = shop.make_sale(stock=5000, shards=3)
    requests = [order_request(sale, mint(unique("shopper-")), headers="Prefer: respond-async\r\n")
                for _ in range(1500)]
    with instance() as daemon:
        conns = [daemon.raw() for _ in range(30)]
        for n, conn in enumerate(conns):
            conn.send(b"".join(requests[n::30]))
        answers = [conn.read_answer() for conn in conns]  # the first of each; more are under way
        daemon.signal(signal.SIGTERM)
        for conn in conns:
            answers += rest_of(conn)
        assert daemon.child.wait(PATIENCE_S) == 0
        assert log_entries(shop, sale, shards=3) == 0
        queued = [answer for answer in answers if answer.status == 202]
        assert queued and {answer.status for answer in answers} == {202}
        for order in (answer.json for answer in queued[:: len(queued) // 20 + 1]):
            shop.get_order(order).expect(200)
        shop.buy(sale).expect(201)
    assert shop.assert_audit_ok(sale)["items"][0]["live"] >= len(queued) + 1


def rest_of(conn):
    answers = []
    try:
        while True:
            answers.append(conn.read_answer())
    except EOFError:
        conn.close()
        return answers


def test_unready_before_it_stops_listening(shop, instance):
    """drain_delay_ms: a balancer has the time to notice."""
    sale = shop.make_sale()
    with instance(drain_delay_ms=60000, stop_grace_ms=60000) as daemon:
        with daemon.raw() as kept:
            kept.send(GET_LIVEZ)
            assert "Connection" not in kept.read_answer().headers
            daemon.signal(signal.SIGTERM)
            daemon.wait_event("stopping")
            daemon.client.close()
            wait_until(lambda: closing(daemon))
            readyz = daemon.client.get("/readyz").expect(503)
            assert readyz.json["checks"]["draining"] is True
            kept.send(GET_LIVEZ)
            assert kept.read_answer().headers["Connection"] == "close"
        shop.at(daemon).buy(sale).expect(201)
        daemon.expected_codes = (1,)
        daemon.signal(signal.SIGTERM)
        assert daemon.child.wait(PATIENCE_S) == 1


def closing(daemon):
    """Every loop closes what it answers a moment later, and a connection belongs to one."""
    return all(daemon.client.get("/livez").headers["Connection"] == "close" for _ in range(10))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(shop, instance, number):
    sale = shop.make_sale(stock=1000)
    with instance(stop_grace_ms=60000) as daemon, daemon.raw() as half:
        daemon.expected_codes = (1,)
        half.send("POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        assert daemon.client.get("/livez").status == 200
        half.send("1")
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("stopping")
        wait_until(lambda: refuses(daemon))
        assert daemon.alive
        daemon.signal(number)
        assert daemon.child.wait(PATIENCE_S) == 1
        daemon.wait_event("stop_forced")
    shop.assert_audit_ok(sale)


def test_the_end_comes_in_time(shop, instance):
    """Whatever is held up; what was acknowledged as queued is then completed by others."""
    sale = shop.make_sale(stock=1000)
    with instance(stop_grace_ms=400) as daemon:
        daemon.expected_codes = (0, 1)
        with commits_held_up(shop), Purchases(daemon, sale):
            wait_until(lambda: daemon.metric("snapup_commit_depth") == BUYERS)
            daemon.signal(signal.SIGTERM)
            # Less than the 2.5 s for which commits are held up.
            assert daemon.child.wait(2) == 1
            daemon.wait_event("stop_timed_out")
    assert shop.assert_audit_ok(sale)["items"][0]["live"] in (0, BUYERS)


def test_told_to_end_while_it_waits_for_mariadb(shop, instance, folder):
    with instance(start_it=False) as daemon:
        daemon.expected_codes = (1,)
        daemon.settings["sql"] = f"unix:{folder}/nobody.sock"
        daemon.start(wait=False)
        daemon.wait_event("sql_connect_failed")
        daemon.signal(signal.SIGTERM)
        assert daemon.child.wait(PATIENCE_S) == 1
