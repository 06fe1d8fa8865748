"""A running Snapup and the means to talk to it, for the integration tests.

Nothing but the standard library. The pieces:

    Stack       private Redis and MariaDB (ops/stack), with sql() and redis()
    Sandbox     the payment channel's player, snapup-sandbox
    Instance    one daemon: its client, its log, start/stop/kill/upgrade
    Client      HTTP with keep-alive; request() never raises on a status
    RawConn     bytes on a socket, for requests that no client would send
    Shop        what tests ask for: make_sale, buy, pay, audit, webhook, ...

Waits are never a guess: wait_until() polls a condition and gives up with a message.
"""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
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


# --- HTTP --------------------------------------------------------------------------------------------


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


# --- Processes ---------------------------------------------------------------------------------------


class Stranger:
    """A process that is not our child, with what a Popen has. How it ended cannot be known."""

    def __init__(self, pid):
        self.pid = pid

    def poll(self):
        try:
            stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return 0 if stat.rsplit(")", 1)[1].split()[0] == "Z" else None

    def wait(self, timeout=None):
        try:
            wait_until(lambda: self.poll() is not None, timeout or 4 * PATIENCE_S)
        except AssertionError:
            raise subprocess.TimeoutExpired(str(self.pid), timeout) from None
        return 0

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Process:
    """A child with its output in a file; ended at the latest by stop()."""

    name = "process"
    expected_codes = (0, -signal.SIGKILL)

    def __init__(self, folder):
        self.log_path = pathlib.Path(folder) / f"{self.name}.log"
        self.child = None

    def spawn(self, argv, env, pass_fds=()):
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                [str(a) for a in argv], env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=pass_fds)

    @property
    def alive(self):
        return self.child is not None and self.child.poll() is None

    @property
    def pid(self):
        return self.child.pid

    def log(self, offset=0):
        """What it printed so far, from a byte offset (see log_size)."""
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            return log.read().decode("utf-8", "replace")

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def stop(self, timeout=PATIENCE_S):
        """SIGTERM and wait; its exit code. SIGKILL and AssertionError when it does not end."""
        if self.child is None:
            return 0
        if self.alive:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout} s of SIGTERM:\n"
                                 f"{self.log()[-4000:]}") from None

    def kill(self):
        """SIGKILL, as a crash would."""
        if self.alive:
            self.child.kill()
        self.child.wait()

    def complaint(self):
        """What is wrong with it, or None: a sanitizer's report or an unexpected end."""
        text = self.log()
        found = SANITIZER.search(text)
        if found:
            return f"{self.name}: report in {self.log_path}:\n{text[max(0, found.start() - 200):][:8000]}"
        if self.child is not None and self.child.poll() not in (None, *self.expected_codes):
            return f"{self.name}: exit code {self.child.poll()}:\n{text[-4000:]}"
        return None


def clean_env(**settings):
    """The environment without SNAPUP_ variables of whoever started the tests, and settings on top."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SNAPUP_")}
    env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_stack_use_after_return=1:detect_leaks=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.update({f"SNAPUP_{k.upper()}": str(v) for k, v in settings.items()})
    return env


class Stack:
    """Private Redis and MariaDB in one folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.settings = {}

    def start(self, *servers):
        self._run("start", *servers)
        lines = self._run("env").splitlines()
        pairs = (shlex.split(line)[0].split("=", 1) for line in lines)
        self.settings = {key.removeprefix("SNAPUP_").lower(): value for key, value in pairs}

    def stop(self, *servers):
        self._run("stop", *servers)

    def _run(self, verb, *servers):
        done = subprocess.run([ROOT / "ops/stack", verb, self.folder, *servers], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              env={**os.environ, "STACK_SMALL": "1"}, timeout=300)
        assert done.returncode == 0, f"ops/stack {verb}: {done.stderr}"
        return done.stdout

    def sql(self, query, database=None):
        """Rows as dicts of str (NULL is None); binary columns need HEX()."""
        argv = ["mariadb", "--no-defaults", "--batch", "--user=root", "--default-character-set=utf8mb4",
                f"--socket={self.settings['sql'].removeprefix('unix:')}",
                database or self.settings["sql_database"], "--execute", query]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{query}: {done.stderr}"
        lines = done.stdout.splitlines()
        if not lines:
            return []
        names = lines[0].split("\t")
        return [{n: None if v == "NULL" else v for n, v in zip(names, line.split("\t"))}
                for line in lines[1:]]

    def redis(self, *args):
        """One Redis command; its reply as JSON would have it (hashes are dicts)."""
        argv = ["redis-cli", "--json", "-s", self.settings["redis"].removeprefix("unix:"), *map(str, args)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)


class Sandbox(Process):
    """snapup-sandbox, pointed at a daemon's address."""

    name = "sandbox"

    def __init__(self, folder, secret, webhook, auto_ms=None):
        super().__init__(folder)
        self.folder, self.secret, self.webhook, self.auto_ms = folder, secret, webhook, auto_ms
        self.port = 0

    def start(self):
        port_file, secret_file = self.folder / "sandbox.port", self.folder / "sandbox.secret"
        secret_file.write_text(self.secret)
        port_file.unlink(missing_ok=True)
        argv = [BUILD / "snapup-sandbox", "--listen", f"127.0.0.1:{self.port}", "--port-file", port_file,
                "--secret-file", secret_file, "--webhook", self.webhook]
        if self.auto_ms is not None:
            argv += ["--auto-ms", self.auto_ms]
        self.spawn(argv, clean_env())
        wait_until(lambda: not self.alive or (port_file.exists() and port_file.read_text().strip()),
                   message=lambda: self.log())
        assert self.alive, f"snapup-sandbox ended: {self.log()}"
        self.port = int(port_file.read_text())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class Instance(Process):
    """One daemon on a port of its own. Settings are configuration keys (see the README's table)."""

    name = "snapup"

    def __init__(self, folder, settings, name="snapup", port=None):
        self.name = name
        super().__init__(folder)
        self.host, self.port = "127.0.0.1", port or free_port()
        self.address = f"{self.host}:{self.port}"
        self.settings = {**settings, "listen": self.address}
        self.client = Client(self.host, self.port)
        self.program = BUILD / "snapup"

    def command(self, verb):
        """Runs `snapup VERB` to its end and returns what it printed."""
        done = subprocess.run([BUILD / "snapup", verb], check=False, text=True, cwd=ROOT, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              env=clean_env(**self.settings))
        assert done.returncode == 0, f"snapup {verb}: exit code {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, wait=True):
        self.spawn([self.program, "serve"], clean_env(**self.settings))
        if wait:
            self.wait_ready()

    def start_given(self, sockets):
        """Starts it as systemd would, with listening sockets of ours in place of its own."""
        fds = [s.fileno() for s in sockets]
        # Out of the way first: a number may be wanted by another one.
        aside = " ".join(f"{50 + i}<&{fd}" for i, fd in enumerate(fds))
        down = " ".join(f"{3 + i}<&{50 + i} {50 + i}<&-" for i in range(len(fds)))
        script = f'LISTEN_PID=$$ LISTEN_FDS={len(fds)} exec "$0" serve'
        self.spawn(["bash", "-c", f"exec {aside}; exec {down}; {script}", self.program],
                   clean_env(**self.settings), pass_fds=fds)

    def signal(self, number):
        self.child.send_signal(number)

    def events(self, name, offset=0):
        """The lines of its log with that event, as dicts, from a byte offset (see log_size)."""
        lines = (line for line in self.log(offset).splitlines() if f'"event":"{name}"' in line)
        return [json.loads(line) for line in lines]

    def wait_event(self, name, offset=0, timeout=PATIENCE_S):
        return wait_until(lambda: self.events(name, offset), timeout,
                          lambda: f"no {name} in the log:\n{self.log(offset)[-4000:]}")[-1]

    def upgrade(self):
        """SIGUSR2; returns when the next program serves and the old one has ended in order. From then on
        this is the new one."""
        offset, old = self.log_size(), self.child
        self.signal(signal.SIGUSR2)
        pid = self.wait_event("upgraded", offset, 4 * PATIENCE_S)["pid"]
        self.child = Stranger(pid)
        self.client.close()  # it was the old one's
        assert old.wait(2 * PATIENCE_S) == 0, self.log(offset)[-4000:]

    def wait_ready(self, timeout=2 * PATIENCE_S):
        wait_until(lambda: not self.alive or self.is_ready(), timeout,
                   message=lambda: f"/readyz is not 200:\n{self.log()[-4000:]}")
        assert self.alive, f"{self.name} ended while it started:\n{self.log()[-4000:]}"

    def is_ready(self):
        try:
            return self.client.get("/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def restart(self):
        """A clean end and a new start on the same port."""
        code = self.stop()
        assert code == 0, f"{self.name}: exit code {code}:\n{self.log()[-4000:]}"
        self.start()

    def raw(self, timeout=PATIENCE_S):
        return RawConn(self.host, self.port, timeout)

    def metric(self, name, **labels):
        """The sum of a metric's samples that have these labels; 0 when there is none."""
        total = 0.0
        for line in self.client.get("/metrics").body.decode().splitlines():
            found = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                has = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
                if all(has.get(k) == str(v) for k, v in labels.items()):
                    total += float(found[3])
        return total

    def rss_kb(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


# --- What tests do with a shop -----------------------------------------------------------------------


class Sale(dict):
    """A sale: the document it was made from; id, sku of its first item and skus at hand."""

    @property
    def id(self):
        return self["id"]

    @property
    def sku(self):
        return self["items"][0]["sku"]

    @property
    def skus(self):
        return [item["sku"] for item in self["items"]]


class Shop:
    """The calls of a test, against one instance. Every helper that can be refused returns an Answer."""

    def __init__(self, instance, stack, sandbox):
        self.instance, self.stack, self.sandbox = instance, stack, sandbox
        self.client, self.raw, self.address = instance.client, instance.raw, instance.address
        self.sql, self.redis = stack.sql, stack.redis
        self.token, self.wait_until = mint, wait_until

    def at(self, instance):
        """The same shop through another instance."""
        return Shop(instance, self.stack, self.sandbox)

    # Sales

    def sale_document(self, stock=10, limit=1, price=9900, starts_in_s=-1, ends_in_s=3600,
                      pay_within_s=900, items=None, **more):
        """The body of POST /v1/sales with an id of its own; `more` replaces or adds members."""
        now = time.time()
        if items is None:
            items = [{"sku": "phone", "name": "Phone", "price": price, "stock": stock, "limit": limit}]
        return {"id": unique("sale_"), "name": "Test sale", "kind": "flash", "currency": "CNY",
                "starts_at": rfc3339(now + starts_in_s), "ends_at": rfc3339(now + ends_in_s),
                "pay_within_s": pay_within_s, "items": items, **more}

    def create_sale(self, document, token=STOREFRONT_KEY, **more):
        return self.client.post("/v1/sales", document, token=token, **more)

    def sale_action(self, sale, verb, token=STOREFRONT_KEY, **more):
        """verb: publish, pause, resume or end."""
        return self.client.post(f"/v1/sales/{_id(sale)}/{verb}", token=token, **more)

    def make_sale(self, publish=True, token=STOREFRONT_KEY, **document):
        """A sale, published and (unless it starts later) seen open. See sale_document for the rest."""
        document = self.sale_document(**document)
        self.create_sale(document, token).expect(201)
        sale = Sale(document)
        if publish:
            self.sale_action(sale, "publish", token).expect(200)
            later = parse_time(document["starts_at"]) > time.time()
            self.wait_state(sale, "scheduled" if later else "open")
        return sale

    def get_sale(self, sale):
        return self.client.get(f"/v1/sales/{_id(sale)}")

    def wait_state(self, sale, state, timeout=PATIENCE_S):
        """Until GET shows the sale in that state; several workers may see it a moment apart."""
        def seen():
            answer = self.get_sale(sale)
            return answer.status == 200 and answer.json["state"] == state

        wait_until(seen, timeout, lambda: f"{_id(sale)} is not {state}: {self.get_sale(sale)}")

    def add_stock(self, sale, delta, reason="test", sku=None, token=STOREFRONT_KEY, **more):
        return self.client.post(f"/v1/sales/{_id(sale)}/items/{sku or sale.sku}/stock",
                                {"delta": delta, "reason": reason}, token=token, **more)

    def audit(self, sale, wait=5, token=STOREFRONT_KEY):
        """The audit document."""
        return self.client.get(f"/v1/sales/{_id(sale)}/audit?wait={wait}", token=token).expect(200).json

    def assert_audit_ok(self, sale):
        """Every promise kept; returns the document."""
        document = self.audit(sale)
        broken = [check for check in document["checks"] if not check["ok"]]
        assert document["ok"] and not broken, json.dumps(document, indent=1)
        return document

    # Orders

    def buy(self, sale, shopper=None, qty=1, sku=None, key=None, asynchronous=False, token=None,
            headers=None, client=None):
        """POST /v1/orders as a shopper (one of its own by default)."""
        headers = dict(headers or {})
        if key is not None:
            headers["Idempotency-Key"] = key
        if asynchronous:
            headers["Prefer"] = "respond-async"
        body = {"sale": _id(sale), "sku": sku or sale.sku, "qty": qty}
        return (client or self.client).post("/v1/orders", body, headers=headers,
                                            token=token or mint(shopper or unique("shopper-")))

    def get_order(self, order, shopper=None, token=None):
        return self.client.get(f"/v1/orders/{_id(order)}", token=token or _token_for(order, shopper))

    def wait_order(self, order, state, shopper=None, timeout=PATIENCE_S):
        """Until the order is in that state; the order."""
        def seen():
            answer = self.get_order(order, shopper)
            return answer.status == 200 and answer.json["state"] == state and answer.json

        return wait_until(seen, timeout, lambda: f"{_id(order)} is not {state}: "
                                                 f"{self.get_order(order, shopper)}")

    def cancel(self, order, shopper=None, token=None):
        return self.client.post(f"/v1/orders/{_id(order)}/cancel",
                                token=token or _token_for(order, shopper))

    # Payments

    def pay(self, order, shopper=None, token=None, body=None, **more):
        """POST …/payments on channel sandbox."""
        return self.client.post(f"/v1/orders/{_id(order)}/payments",
                                {"channel": "sandbox"} if body is None else body,
                                token=token or _token_for(order, shopper), **more)

    def play(self, payment, result="pay"):
        """Presses the channel's button for a payment (as returned by the API)."""
        action = payment["action"]
        url = action.get("sandbox_url") or action["url"]
        host, port, path = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", url).groups()
        return Client(host, int(port)).post(path, f"result={result}", headers={
            "Content-Type": "application/x-www-form-urlencoded"})

    def webhook(self, event, secret=None, t=None, signature=None, channel="sandbox"):
        """Delivers a notification (dict, or bytes as they are), signed unless signature is given."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if signature is None:
            signature = sign_webhook(body, secret or self.sandbox.secret, t)
        headers = {"Content-Type": "application/json"}
        if signature:
            headers["Stripe-Signature"] = signature
        return self.client.post(f"/v1/webhooks/{channel}", body, headers=headers)


def _id(thing):
    """The id of a sale, an order's document, an answer, or the id itself."""
    if isinstance(thing, Answer):
        thing = thing.json
    if isinstance(thing, dict):
        return thing["id"]
    return getattr(thing, "id", thing)


def _token_for(order, shopper):
    """The token of the order's own shopper unless another one is named."""
    if shopper is None:
        document = order.json if isinstance(order, Answer) else order
        assert isinstance(document, dict), "name the shopper, or pass the order's document"
        shopper = document["shopper"]
    return mint(shopper)
