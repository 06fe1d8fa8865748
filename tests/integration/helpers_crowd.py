"""Crowds: many requests in flight at once from one thread, by pipelining over a few connections."""

import contextlib
import json


def order_request(sale, token, qty=1, sku=None, key=None, headers=""):
    """The bytes of a POST /v1/orders. headers: further complete lines."""
    body = json.dumps({"sale": sale.id, "sku": sku or sale.sku, "qty": qty})
    if key is not None:
        headers += f"Idempotency-Key: {key}\r\n"
    return (
        f"POST /v1/orders HTTP/1.1\r\nHost: snapup\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}"
    ).encode()


def cancel_request(order, token):
    return (
        f"POST /v1/orders/{order}/cancel HTTP/1.1\r\nHost: snapup\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def in_flight(shop, requests, conns=50, timeout=60):
    """Sends all requests before it reads any answer; the answers in order. Every request is answered
    or this fails. Requests are dealt out in turn, so neighbours travel on different connections."""
    with contextlib.ExitStack() as stack:
        open_now = [stack.enter_context(shop.raw(timeout)) for _ in range(min(conns, len(requests)))]
        for n, conn in enumerate(open_now):
            conn.send(b"".join(requests[n :: len(open_now)]))
        return [open_now[n % len(open_now)].read_answer() for n in range(len(requests))]


def tally(answers):
    """How often each (status, code) came; the code of a success is its object."""
    counts = {}
    for answer in answers:
        key = (answer.status, answer.code if answer.status >= 400 else answer.json["object"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def post_large(shop, path, body, headers):
    """The answer to a body that may be refused before all of it was sent, which a client library would
    take for a broken connection. headers: a dict."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with shop.raw() as conn:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            conn.send(f"POST {path} HTTP/1.1\r\nHost: snapup\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
                      .encode() + body)
        return conn.read_answer()
