"""What the HTTP front refuses to guess, how it frames, and what it makes of slow or greedy peers.

An ambiguity is a request that two parsers could read in two ways; behind a proxy it smuggles. Each is
answered once, with an error, and the connection is closed, so nothing that follows is ever read as a
request.
"""

import contextlib
import json
import socket
import time

import pytest

from helpers_crowd import order_request
from snapup import PATIENCE_S, mint, unique, wait_until

HOST = b"Host: snapup\r\n"
# What an attacker would like to be read as a second request.
SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: snapup\r\nX-Request-Id: smuggled\r\n\r\n"


def get(extra=b"", target=b"/livez", version=b"HTTP/1.1", host=HOST):
    return b"GET " + target + b" " + version + b"\r\n" + host + extra + b"\r\n"


def post(extra, body=b"", host=HOST):
    return b"POST /v1/orders HTTP/1.1\r\n" + host + extra + b"\r\n" + body


def chunked(body, extra=b""):
    return post(b"Transfer-Encoding: chunked\r\n" + extra, body)


def purchase(sale):
    """Header lines and body of a purchase that is fine."""
    bearer = f"Authorization: Bearer {mint(unique('shopper-'))}\r\n"
    return bearer.encode(), json.dumps({"sale": sale.id, "sku": sale.sku, "qty": 1}).encode()


def send_all(conn, data):
    """Sends data; a peer that has hung up meanwhile is found out by the next read."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        conn.send(data)


def assert_refused(conn, statuses, code="invalid_request"):
    """One problem, and then the end: nothing that follows was read as a request."""
    answer = conn.read_answer()
    assert answer.status in statuses, answer
    assert answer.code == code
    assert answer.headers["Connection"].lower() == "close"
    assert conn.read_until_close() == b"", "a second request was answered"


BAD = {400}
BAD_CODING = {400, 501}
BAD_VERSION = {400, 505}

AMBIGUITIES = [
    # Two answers to the question of where the body ends.
    ("te_and_cl", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), BAD),
    ("cl_and_te", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), BAD),
    ("cl_twice_same", post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"), BAD),
    ("cl_twice_differing", post(b"Content-Length: 2\r\nContent-Length: 0\r\n", b"{}"), BAD),
    ("cl_list", post(b"Content-Length: 2, 2\r\n", b"{}"), BAD),
    ("cl_plus", post(b"Content-Length: +2\r\n", b"{}"), BAD),
    ("cl_minus", post(b"Content-Length: -2\r\n", b"{}"), BAD),
    ("cl_hex", post(b"Content-Length: 0x2\r\n", b"{}"), BAD),
    ("cl_fraction", post(b"Content-Length: 2.0\r\n", b"{}"), BAD),
    ("cl_blank_inside", post(b"Content-Length: 2 2\r\n", b"{}"), BAD),
    ("cl_empty", post(b"Content-Length: \r\n", b"{}"), BAD),
    ("cl_over_64_bits", post(b"Content-Length: 18446744073709551618\r\n", b"{}"), {400, 413}),
    ("te_unknown_coding", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), BAD_CODING),
    ("te_identity", post(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"), BAD_CODING),
    ("te_lookalike", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), BAD_CODING),
    ("te_chunked_twice", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), BAD_CODING),
    (
        "te_two_lines",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        BAD_CODING,
    ),
    ("te_vertical_tab", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), BAD_CODING),
    ("te_empty", post(b"Transfer-Encoding: \r\n", b"0\r\n\r\n"), BAD_CODING),
    (
        "te_in_1_0",
        b"POST /v1/orders HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD_CODING,
    ),
    # Chunks.
    ("chunk_size_plus", chunked(b"+2\r\n{}\r\n0\r\n\r\n"), BAD),
    ("chunk_size_0x", chunked(b"0x2\r\n{}\r\n0\r\n\r\n"), BAD),
    ("chunk_size_empty", chunked(b"\r\n{}\r\n0\r\n\r\n"), BAD),
    ("chunk_size_blank_before", chunked(b" 2\r\n{}\r\n0\r\n\r\n"), BAD),
    ("chunk_size_overflow", chunked(b"10000000000000002\r\n{}\r\n0\r\n\r\n"), {400, 413}),
    ("chunk_size_bare_lf", chunked(b"2\n{}\r\n0\r\n\r\n"), BAD),
    ("chunk_data_bare_lf", chunked(b"2\r\n{}\n0\r\n\r\n"), BAD),
    ("chunk_longer_than_said", chunked(b"2\r\n{}xx\r\n0\r\n\r\n"), BAD),
    ("chunk_extension_bare_lf", chunked(b"2;a\nb\r\n{}\r\n0\r\n\r\n"), BAD),
    ("trailer_content_length", chunked(b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n"), BAD),
    ("trailer_authorization", chunked(b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"), BAD),
    ("trailer_bare_lf", chunked(b"2\r\n{}\r\n0\r\nA: b\n\r\n"), BAD),
    # Header lines.
    ("space_before_colon", post(b"Content-Length : 2\r\n", b"{}"), BAD),
    ("tab_before_colon", post(b"Content-Length\t: 2\r\n", b"{}"), BAD),
    ("obs_fold", get(b"X-A: one\r\n two\r\n"), BAD),
    ("obs_fold_tab", get(b"X-A: one\r\n\ttwo\r\n"), BAD),
    ("first_line_folded", b"GET /livez HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n", BAD),
    ("no_colon", get(b"X-A\r\n"), BAD),
    ("empty_name", get(b": value\r\n"), BAD),
    ("name_with_space", get(b"X A: b\r\n"), BAD),
    ("name_with_nul", get(b"X\x00A: b\r\n"), BAD),
    ("name_not_ascii", get("X-Ä: b\r\n".encode()), BAD),
    ("bare_lf_line", get(b"X-A: b\n"), BAD),
    ("bare_lf_end", b"GET /livez HTTP/1.1\r\n" + HOST + b"\n", BAD),
    ("bare_lf_throughout", b"GET /livez HTTP/1.1\nHost: snapup\n\n", BAD),
    ("bare_cr_in_value", get(b"X-A: b\rContent-Length: 5\r\n"), BAD),
    ("nul_in_value", get(b"X-A: b\x00c\r\n"), BAD),
    ("control_in_value", get(b"X-A: b\x01c\r\n"), BAD),
    ("delete_in_value", get(b"X-A: b\x7fc\r\n"), BAD),
    ("authorization_twice", get(b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), BAD),
    ("idempotency_key_twice", post(b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), BAD),
    ("shopper_twice", get(b"Snapup-Shopper: a\r\nSnapup-Shopper: b\r\n"), BAD),
    # Whose request it is.
    ("no_host", get(host=b""), BAD),
    ("host_twice", get(host=HOST + HOST), BAD),
    ("host_twice_differing", get(host=HOST + b"Host: other\r\n"), BAD),
    ("host_with_path", get(host=b"Host: snapup/x\r\n"), BAD),
    ("host_with_space", get(host=b"Host: snap up\r\n"), BAD),
    ("host_with_user", get(host=b"Host: me@snapup\r\n"), BAD),
    ("absolute_form_other_host", get(target=b"http://other/livez"), BAD),
    # The request line.
    ("two_spaces", b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    ("tab_for_space", b"GET\t/livez HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    ("leading_space", b" GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    ("trailing_space", b"GET /livez HTTP/1.1 \r\n" + HOST + b"\r\n", BAD),
    ("space_in_target", b"GET /live z HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    ("no_version", b"GET /livez\r\n" + HOST + b"\r\n", BAD_VERSION),
    ("lower_case_version", get(version=b"http/1.1"), BAD_VERSION),
    ("version_1_01", get(version=b"HTTP/1.01"), BAD_VERSION),
    ("version_2_0", get(version=b"HTTP/2.0"), BAD_VERSION),
    ("http2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_VERSION),
    ("nul_in_target", get(target=b"/live\x00z"), BAD),
    ("control_in_target", get(target=b"/live\x08z"), BAD),
    ("not_ascii_in_target", get(target="/livé".encode()), BAD),
    ("fragment_in_target", get(target=b"/livez#top"), BAD),
    ("no_leading_slash", get(target=b"livez"), BAD),
    ("control_in_method", b"GE\x01T /livez HTTP/1.1\r\n" + HOST + b"\r\n", BAD),
    ("tls_hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 64 + b"\r\n\r\n", BAD),
]


@pytest.mark.parametrize("data,statuses", [row[1:] for row in AMBIGUITIES], ids=[row[0] for row in AMBIGUITIES])
def test_ambiguity_is_refused_and_the_connection_closed(shop, data, statuses):
    with shop.raw() as conn:
        send_all(conn, data + SMUGGLED)
        assert_refused(conn, statuses)


def test_head_with_a_body_smuggles_nothing(shop):
    head = b"HEAD /livez HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    with shop.raw() as conn:
        send_all(conn, head + SMUGGLED)
        first = conn.read_answer(head=True)
        assert first.headers["X-Request-Id"] != "smuggled"
        if first.headers.get("Connection", "").lower() == "close":
            assert conn.read_until_close() == b""
        else:
            conn.send(get(b"X-Request-Id: after\r\n"))
            assert conn.read_answer().headers["X-Request-Id"] == "after"


PLAIN = [
    ("empty_value", get(b"X-Blank:\r\n")),
    ("padded_value", get(b"X-Padded: \t value \t\r\n")),
    ("case_of_a_name", get(host=b"hOsT: snapup\r\n")),
    ("host_with_port", get(host=b"Host: snapup:8080\r\n")),
    ("host_v6", get(host=b"Host: [::1]:8080\r\n")),
    ("absolute_form", get(target=b"http://snapup/livez")),
    ("latin_1_in_a_value", get(b"X-Latin: caf\xe9\r\n")),
    ("leading_crlf", b"\r\n" + get()),
    ("http_1_0_without_host", get(version=b"HTTP/1.0", host=b"")),
]


@pytest.mark.parametrize("data", [row[1] for row in PLAIN], ids=[row[0] for row in PLAIN])
def test_what_is_unusual_but_plain_is_served(shop, data):
    with shop.raw() as conn:
        conn.send(data)
        conn.read_answer().expect(200)


def test_byte_by_byte(shop):
    with shop.raw() as conn:
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in get(b"X-Request-Id: slowly\r\n"):
            conn.send(bytes([byte]))
        assert conn.read_answer().expect(200).headers["X-Request-Id"] == "slowly"


# --- Several requests on a connection ----------------------------------------------------------------


def test_pipelining_is_answered_in_order(shop):
    targets = [b"/livez", b"/nowhere", b"/v1/sales/none", b"/readyz", b"/v1/sales?limit=1"]
    requests = [get(b"X-Request-Id: n%d\r\n" % n, targets[n % len(targets)]) for n in range(100)]
    with shop.raw() as conn:
        conn.send(b"".join(requests))
        assert [conn.read_answer().headers["X-Request-Id"] for _ in requests] == [f"n{n}" for n in range(100)]


def test_slow_and_quick_answers_keep_their_order(shop):
    sale = shop.make_sale(stock=20, limit=20)
    token = mint(unique("shopper-"))
    burst = b""
    for n in range(20):
        burst += order_request(sale, token, headers=f"X-Request-Id: buy{n}\r\n")
        burst += get(b"X-Request-Id: live%d\r\n" % n)
    with shop.raw() as conn:
        conn.send(burst)
        for n in range(20):
            assert conn.read_answer().expect(201).headers["X-Request-Id"] == f"buy{n}"
            assert conn.read_answer().expect(200).headers["X-Request-Id"] == f"live{n}"


def test_requests_before_a_broken_one_are_answered(shop):
    with shop.raw() as conn:
        send_all(conn, get() + get() + b"nonsense\r\n\r\n" + SMUGGLED)
        conn.read_answer().expect(200)
        conn.read_answer().expect(200)
        assert_refused(conn, BAD_VERSION)


def test_connection_close_is_honoured(shop):
    with shop.raw() as conn:
        send_all(conn, get(b"Connection: close\r\n") + SMUGGLED)
        assert conn.read_answer().expect(200).headers["Connection"].lower() == "close"
        assert conn.read_until_close() == b""


def test_http_1_0_closes_unless_asked_to_stay(shop):
    with shop.raw() as conn:
        conn.send(get(version=b"HTTP/1.0"))
        conn.read_answer().expect(200)
        assert conn.read_until_close() == b""
    with shop.raw() as conn:
        conn.send(get(b"Connection: keep-alive\r\n", version=b"HTTP/1.0"))
        assert conn.read_answer().expect(200).headers["Connection"].lower() == "keep-alive"
        conn.send(get(version=b"HTTP/1.0"))
        conn.read_answer().expect(200)


def test_half_closed_peer_still_gets_its_answer(shop):
    with shop.raw() as conn:
        conn.send(get())
        conn.half_close()
        conn.read_answer().expect(200)
        assert conn.read_until_close() == b""


# --- Bodies ------------------------------------------------------------------------------------------


def test_expect_100_continue(shop):
    bearer, body = purchase(shop.make_sale())
    with shop.raw() as conn:
        conn.send(post(bearer + b"Content-Length: %d\r\nExpect: 100-continue\r\n" % len(body)))
        conn.read_answer().expect(100)
        conn.send(body)
        conn.read_answer().expect(201)


def test_a_body_over_the_cap_is_not_asked_for(shop):
    with shop.raw() as conn:
        conn.send(post(b"Content-Length: 10000000\r\nExpect: 100-continue\r\n"))
        assert_refused(conn, {413})


def test_an_expectation_we_do_not_know(shop):
    with shop.raw() as conn:
        send_all(conn, post(b"Content-Length: 2\r\nExpect: a-miracle\r\n", b"{}"))
        conn.read_answer().expect(417, "invalid_request")


@pytest.mark.parametrize("size", [1, 7, 1000], ids=["single_bytes", "sevens", "whole"])
def test_chunked_body(shop, size):
    bearer, body = purchase(shop.make_sale())
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%X%s\r\n%s\r\n" % (len(piece), b"" if at else b';note="x"', piece)
                      for at, piece in enumerate(pieces))
    with shop.raw() as conn:
        conn.send(chunked(framed + b"0\r\nX-Checked: yes\r\n\r\n", bearer) + get())
        conn.read_answer().expect(201)
        conn.read_answer().expect(200)  # the end of the body was found


# --- Caps and deadlines ------------------------------------------------------------------------------

OVERSIZED = [
    ("request_line", get(target=b"/" + b"a" * 9000), 414),
    ("request_line_without_end", b"GET /" + b"a" * 20000, 414),
    ("header_section", get(b"X-Long: " + b"a" * 20000 + b"\r\n"), 431),
    ("header_without_end", b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Long: " + b"a" * 20000, 431),
    ("count_of_headers", get(b"".join(b"X-%d: b\r\n" % n for n in range(1500))), 431),
    ("body", post(b"Content-Length: %d\r\n" % (1 << 20), b"a" * (1 << 20)), 413),
    ("chunked_body", chunked((b"1000\r\n" + b"a" * 4096 + b"\r\n") * 256 + b"0\r\n\r\n"), 413),
    ("body_where_none_is_read", get(b"Content-Length: %d\r\n" % (1 << 20)) + b"a" * (1 << 20), 413),
]


@pytest.mark.parametrize("data,status", [row[1:] for row in OVERSIZED], ids=[row[0] for row in OVERSIZED])
def test_oversized_requests_are_refused(shop, data, status):
    with shop.raw() as conn:
        send_all(conn, data)
        assert_refused(conn, {status})


def dribble(conn, drop):
    """Sends drop again and again until an answer comes: lively, but never done."""
    conn.sock.settimeout(0.05)
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        send_all(conn, drop)
        with contextlib.suppress(socket.timeout):
            return conn.read_answer()
    raise AssertionError("no answer to a request that never ends")


def test_slow_peers_are_let_go(instance):
    """The deadlines are absolute: one per byte would never strike here."""
    with instance(header_timeout_ms=300, body_timeout_ms=300, idle_timeout_ms=300) as other:
        with other.raw() as head:
            head.send(b"GET /livez HTTP/1.1\r\n")
            dribble(head, b"X-A: b\r\n").expect(408, "request_timeout")
        with other.raw() as body:
            body.send(post(b"Content-Length: 4000\r\n"))
            dribble(body, b"{").expect(408, "request_timeout")
        with other.raw() as idle:
            assert idle.read_until_close() == b"", "silence gets no answer"
        with other.raw() as used:
            used.send(get())
            used.read_answer().expect(200)
            assert used.read_until_close() == b""


def test_connections_of_one_address_are_capped(instance):
    with instance(conns_per_address_max=20) as other:
        other.client.close()
        with contextlib.ExitStack() as stack:
            conns = [stack.enter_context(other.raw()) for _ in range(40)]
            assert 1 <= sum(is_served(conn) for conn in conns) <= 20

        def room_again():
            with other.raw() as conn:
                return is_served(conn)

        wait_until(room_again)


def is_served(conn):
    """Whether a request gets 200; a connection over the cap is closed at once."""
    send_all(conn, get())
    with contextlib.suppress(EOFError, ConnectionResetError):
        return conn.read_answer().status == 200
    return False


def test_a_peer_that_does_not_read_is_not_read_either(instance):
    """Back-pressure: unread answers stay bounded, and others are served meanwhile."""
    with instance(output_max=4096, write_timeout_ms=1000) as other:
        with other.raw() as deaf:
            deaf.sock.settimeout(2)
            before_kb = other.rss_kb()
            burst = get(target=b"/openapi.yaml") * 200
            with contextlib.suppress(socket.timeout, BrokenPipeError, ConnectionResetError):
                for _ in range(100):
                    deaf.send(burst)
            other.client.get("/livez").expect(200)
            assert other.rss_kb() - before_kb < 64 * 1024
