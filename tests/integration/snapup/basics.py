"""Where things are, waiting, times, tokens and signatures."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import re
import socket
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / os.environ.get("SNAPUP_BUILD", "asan")

STOREFRONT_KEY = "sk_demo"
OPERATOR_KEY = "op_demo"
KID = "demo"
SECRET = "demo-signing-secret"

# Under ASan and on a busy machine everything is slower; bounds are for failures, not for measuring.
PATIENCE_S = 15
# A kept connection older than this is replaced before use, so that the server's idle time-out never
# races with a request.
CONN_IDLE_MAX_S = 5

SANITIZER = re.compile(
    r"ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|runtime error:|SUMMARY: \w*Sanitizer|Assertion .* failed"
)


def wait_until(condition, timeout=PATIENCE_S, message=None, interval=0.01):
    """The first truthy value of condition(), asked every interval seconds; AssertionError after timeout."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            what = message() if callable(message) else message
            raise AssertionError(f"not within {timeout} s: {what or condition}; last seen: {value!r}")
        time.sleep(interval)


def unique(prefix):
    """An id that no other test uses."""
    return f"{prefix}{uuid.uuid4().hex[:16]}"


def rfc3339(unix_s):
    at = datetime.datetime.fromtimestamp(unix_s, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def parse_time(text):
    """Seconds since 1970 of an RFC 3339 time as the API writes it; asserts that shape."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- Tokens and signatures ---------------------------------------------------------------------------


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def mint(sub, kid=KID, secret=SECRET, exp_in_s=3600, header=None, claims=None):
    """A shopper's token. Members of header and claims replace or add; None removes one."""
    now = int(time.time())
    head = {"alg": "HS256", "typ": "JWT", "kid": kid, **(header or {})}
    body = {"sub": sub, "iat": now, "exp": now + exp_in_s, **(claims or {})}
    parts = [{k: v for k, v in part.items() if v is not None} for part in (head, body)]
    text = ".".join(b64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{text}.{sign_bytes(text.encode(), secret)}"


def sign_bytes(data, secret):
    """HS256 of data, base64url: the last part of a token."""
    return b64url(hmac.new(secret.encode(), data, hashlib.sha256).digest())


def sign_webhook(body, secret, t=None):
    """The value of Stripe-Signature for body (bytes)."""
    t = int(time.time()) if t is None else t
    digest = hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={t},v1={digest}"


def in_parallel(calls, threads=32):
    """Runs the callables on that many threads, let go together; their results in order."""
    results = [None] * len(calls)
    errors = []
    gate = threading.Barrier(min(threads, len(calls)))
    turn = iter(range(len(calls)))
    lock = threading.Lock()

    def work():
        try:
            gate.wait(PATIENCE_S)
            while True:
                with lock:
                    i = next(turn, None)
                if i is None:
                    return
                results[i] = calls[i]()
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(gate.parties)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(4 * PATIENCE_S)
        assert not worker.is_alive(), "a parallel call hangs"
    if errors:
        raise errors[0]
    return results
