"""The processes of a shop: stack, sandbox and daemon."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess

from .basics import BUILD, PATIENCE_S, ROOT, SANITIZER, free_port, wait_until
from .http import Client, RawConn


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
