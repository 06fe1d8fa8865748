"""HTTP as the tests speak it: a client, and bytes on a socket."""

import contextlib
import http.client
import json
import socket
import threading
import time

from .basics import CONN_IDLE_MAX_S, PATIENCE_S


class Answer:
    """status, headers (names in any case), body (bytes); json, code and problem read the body."""

    def __init__(self, status, headers, body, took_s=0.0):
        self.status, self.headers, self.body, self.took_s = status, headers, body, took_s

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The `code` of a problem; asserts that it is a whole one (RFC 9457)."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self
        problem = self.json
        for member in ("type", "title", "status", "code", "request_id"):
            assert member in problem, (member, problem)
        assert problem["status"] == self.status, self
        return problem["code"]

    def expect(self, status, code=None):
        """Asserts the status (and the problem's code) and returns self, with the answer in the message."""
        assert self.status == status, f"expected {status}, got {self}"
        if code is not None:
            assert self.code == code, f"expected {code}, got {self}"
        return self

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Client:
    """HTTP/1.1 to one address; one kept connection per thread."""

    def __init__(self, host, port, timeout=PATIENCE_S):
        self.host, self.port, self.timeout = host, port, timeout
        self.mine = threading.local()

    def request(self, method, path, body=None, headers=None, token=None):
        """body: bytes or str as they are, anything else as JSON. token: the bearer credential.
        Raises only when the connection breaks (OSError, http.client.HTTPException)."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        conn = self._connection()
        started = time.monotonic()
        try:
            conn.request(method, path, body=body, headers=headers)
            answer = conn.getresponse()
            data = answer.read()
        except BaseException:
            self.close()
            raise
        self.mine.used = time.monotonic()
        if answer.will_close:
            self.close()
        return Answer(answer.status, answer.headers, data, self.mine.used - started)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body=body, **more)

    def close(self):
        """Drops the calling thread's connection."""
        conn, self.mine.conn = getattr(self.mine, "conn", None), None
        if conn is not None:
            conn.close()

    def _connection(self):
        conn = getattr(self.mine, "conn", None)
        if conn is not None and time.monotonic() - self.mine.used > CONN_IDLE_MAX_S:
            self.close()
            conn = None
        if conn is None:
            conn = self.mine.conn = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        return conn


class RawConn:
    """A socket to the service: bytes out, answers in."""

    def __init__(self, host, port, timeout=PATIENCE_S):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def read_answer(self, head=False):
        """The next answer, framed by Content-Length (head: it has no body). EOFError when the peer closes
        instead. 1xx answers are returned like others."""
        while b"\r\n\r\n" not in self.seen:
            self._more()
        top, self.seen = self.seen.split(b"\r\n\r\n", 1)
        line, *fields = top.decode("latin-1").split("\r\n")
        status = int(line.split(" ", 2)[1])
        headers = http.client.HTTPMessage()
        for field in fields:
            name, value = field.split(":", 1)
            headers[name] = value.strip()
        length = 0 if head or status < 200 else int(headers.get("Content-Length", 0))
        while len(self.seen) < length:
            self._more()
        body, self.seen = self.seen[:length], self.seen[length:]
        return Answer(status, headers, body)

    def read_until_close(self):
        """All bytes up to the peer's close; a reset counts as one. socket.timeout if it stays open."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self._more()
        data, self.seen = self.seen, b""
        return data

    def is_closed(self, timeout=PATIENCE_S):
        """True once the peer closed, False if it did not within timeout. Unread bytes are dropped."""
        self.sock.settimeout(timeout)
        try:
            self.read_until_close()
            return True
        except socket.timeout:
            return False

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the peer closed the connection")
        self.seen += data
