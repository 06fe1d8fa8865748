"""The processes of a fault run, and how each is hurt and healed.

    World     a private Redis and MariaDB, the daemons and the proxies before the stores
    Engine    Redis or MariaDB: kill, start, whether it answers
    Load      snapup-bench as a crowd that keeps trying, with what it tells about itself

Times are those of time.monotonic(), which are the load tool's, too.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import snapup  # noqa: E402
from proxy import Proxy  # noqa: E402
from snapup import ROOT, wait_until  # noqa: E402

ENGINE_S = 60        # until an engine answers after its start
PATIENCE_S = 60      # how long a shopper keeps trying
FINISH_S = 240       # until the crowd is done and everything is compared
SQL_USER, SQL_PASSWORD = "snapup", "fault"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


class NotHere(Exception):
    """This machine cannot do that."""


def run(*argv, check=True):
    done = subprocess.run([str(a) for a in argv], check=False, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stdout}{done.stderr}")
    return done


def process_state(pid):
    """The letter of /proc/PID/stat; empty when there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return ""


def ask_redis(path, command):
    """The bytes of Redis' answer to one inline command, over its socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(str(path))
        s.sendall(command.encode() + b"\r\n")
        return s.recv(65536).decode()


class Engine:
    """One of the stack's two servers. `name` is redis or mariadb."""

    def __init__(self, stack, name):
        self.stack, self.name = stack, name
        self.folder = stack.folder / name
        self.data = self.folder / "data"

    @property
    def socket(self):
        key = "redis" if self.name == "redis" else "sql"
        return self.stack.settings[key].removeprefix("unix:")

    @property
    def pid(self):
        return int((self.folder / "pid").read_text())

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """SIGKILL to it and to the children that it has (Redis forks to rewrite its log)."""
        pids = self.family()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.family(), ENGINE_S, f"{self.name} is still there")

    def family(self):
        """Processes that work in its data folder."""
        pids = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.data):
                    pids.append(int(entry.name))
        return pids

    def start(self):
        """Starts it; when it answered for the first time."""
        starter = subprocess.Popen([ROOT / "ops/stack", "start", self.stack.folder, self.name],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env={**os.environ, "STACK_SMALL": "1"})
        try:
            at = self.wait_answers(lambda: starter.poll() in (None, 0))
        finally:
            said = starter.communicate(timeout=2 * ENGINE_S)[1]
        if starter.returncode != 0:
            raise RuntimeError(f"ops/stack start {self.name}: {said.decode()}")
        return at

    def revive(self, pid):
        """Starts it if the process that was there ended itself; when it answered."""
        return self.start() if process_state(pid) in ("", "Z", "X") else self.wait_answers()

    def wait_answers(self, alive=lambda: True):
        wait_until(lambda: not alive() or self.answers(), ENGINE_S, f"{self.name} does not answer", 0.005)
        return time.monotonic()

    def answers(self):
        try:
            if self.name == "redis":
                return ask_redis(self.socket, "PING").startswith("+PONG")
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(1)
                s.connect(self.socket)
                greeting = s.recv(256)
                return len(greeting) > 5 and greeting[4] == 10
        except OSError:
            return False


class Load:
    """A crowd that buys until told to come all at once."""

    def __init__(self, world, units, rate, extra=()):
        self.progress_path = world.folder / "progress"
        self.progress_path.unlink(missing_ok=True)
        self.units, self.last, self.partial = units, {"acked": 0, "errors": 0, "fresh": 0.0}, b""
        self.lines = None
        self.counted = 0  # acknowledged orders that a table has taken in already
        shoppers = units + units // 8
        # They come at the pace until they are told to hurry; how late the tool itself is says nothing here.
        argv = [snapup.BUILD / "snapup-bench", "run", "rush", "--json", "-", "--quiet",
                "--progress", self.progress_path, "--late-max", "1h",
                "--url", ",".join(f"http://{d.address}" for d in world.daemons),
                "--arrivals", f"constant {rate}/s for {shoppers // rate + 1}s", "--units", units,
                "--shoppers", shoppers, "--persist", f"{PATIENCE_S}s", "--timeout", "8s", "--connections", 400,
                "--again", 10, "--async", 10, *extra]
        env = snapup.clean_env(sql=world.stack.settings["sql"], sql_user=SQL_USER, sql_password=SQL_PASSWORD)
        self.child = subprocess.Popen([str(a) for a in argv], env=env, cwd=ROOT, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      start_new_session=True)
        self.wait_fresh(0.0)

    def read(self):
        """Takes in new lines of progress; each is yielded."""
        if self.lines is None:
            if not self.progress_path.exists():
                return
            self.lines = open(self.progress_path, "rb")
        self.partial += self.lines.read()
        *whole, self.partial = self.partial.split(b"\n")
        for line in whole:
            self.last = json.loads(line)
            yield self.last

    def now(self):
        for _ in self.read():
            pass
        return self.last

    def wait_fresh(self, since, timeout=30):
        """When a purchase that began after `since` was first seen acknowledged; None after timeout."""
        def seen():
            for line in self.read():
                if line["fresh"] > since:
                    return line["t"]
            return None if self.child.poll() is None else -1

        try:
            at = wait_until(seen, timeout)
        except AssertionError:
            return None
        if at < 0:
            raise RuntimeError(f"the load tool ended: {self.child.communicate()[0][-2000:]}")
        return at

    def pass_time(self, seconds):
        """Lets the crowd buy for a while."""
        until = time.monotonic() + seconds
        wait_until(lambda: self.now() and (time.monotonic() >= until or self.child.poll() is not None),
                   seconds + 30)

    @property
    def used_up(self):
        return self.now().get("shoppers", 0) > self.units * 0.8

    def finish(self, hurry=True):
        """All who are left come at once (or nobody does), then everything is compared; the report."""
        self.child.send_signal(signal.SIGUSR1 if hurry else signal.SIGINT)
        try:
            text = self.child.communicate(timeout=FINISH_S)[0]
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the crowd was not done within {FINISH_S} s") from None
        try:
            return json.loads(text[text.index("{\n"):])
        except ValueError:
            raise RuntimeError(f"the load tool, exit code {self.child.returncode}: {text[-2000:]}") from None

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate()
        if self.lines:
            self.lines.close()


class World:
    """variant: "" or one of disk_redis, disk_sql (that store's data on a small tmpfs), netns (Redis on
    TCP in a network of its own) and pair (two Redis, one of them behind the proxy)."""

    def __init__(self, log, variant=""):
        self.log, self.variant = log, variant
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="snapup-ft."))
        self.stack = snapup.Stack(self.folder / "s")
        self.redis, self.sql = Engine(self.stack, "redis"), Engine(self.stack, "mariadb")
        self.daemons, self.shape, self.proxies = [], None, {}
        self.undo = contextlib.ExitStack()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        if self.variant == "disk_redis":
            self._mount(self.redis.folder, "24m")
        if self.variant == "disk_sql":
            self._mount(self.sql.folder, "300m")
        self.stack.start()
        self.stack.sql(f"CREATE USER '{SQL_USER}'@'localhost' IDENTIFIED BY '{SQL_PASSWORD}';"
                       f"GRANT ALL ON snapup.* TO '{SQL_USER}'@'localhost'")
        self.settings = {
            **self.stack.settings, "sql_user": SQL_USER, "sql_password": SQL_PASSWORD, "production": 0,
            "workers": 2, "access_log": "off", "master_key": os.urandom(32).hex(),
            "schema_dir": ROOT / "schema",
            "functions_file": ROOT / "service/redis/functions.lua",
            "openapi_file": ROOT / "service/api/openapi.yaml"}
        if self.variant == "netns":
            self.settings["redis"] = self._start_far_redis()
        if self.variant == "pair":
            self._start_second_redis()
        for name, engine in (("redis", self.redis), ("sql", self.sql)):
            path = self.folder / f"{name}.proxy"
            self.proxies[name] = Proxy(path, engine.socket)
        first = snapup.Instance(self.folder, self.settings, "setup")
        first.command("migrate")
        first.command("demo")

    def _mount(self, folder, size):
        if os.geteuid() != 0:
            raise NotHere("mounting a tmpfs needs root")
        folder.mkdir(parents=True)
        done = run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder, check=False)
        if done.returncode != 0:
            raise NotHere(f"no tmpfs: {done.stderr.strip()}")
        self.undo.callback(run, "umount", folder, check=False)

    def _start_far_redis(self):
        """Redis at the other end of a cable; self.space is its network namespace."""
        self.space = f"snapup-{os.getpid()}"
        here, there = f"sf{os.getpid()}a"[:15], f"sf{os.getpid()}b"[:15]
        self.near, self.far = "10.213.77.1", "10.213.77.2"
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise NotHere("network namespaces need root and iproute2")
        if run("ip", "netns", "add", self.space, check=False).returncode != 0:
            raise NotHere("no network namespaces")
        self.undo.callback(run, "ip", "netns", "del", self.space, check=False)
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        self.undo.callback(run, "ip", "link", "del", here, check=False)
        run("ip", "link", "set", there, "netns", self.space)
        run("ip", "addr", "add", f"{self.near}/30", "dev", here)
        run("ip", "link", "set", here, "up")
        self.in_space("ip", "addr", "add", f"{self.far}/30", "dev", there)
        self.in_space("ip", "link", "set", there, "up")
        self.far_device = there
        data = self.folder / "far"
        data.mkdir()
        server = subprocess.Popen(
            ["ip", "netns", "exec", self.space, self.redis_program(), "--bind", self.far, "--port", "6379",
             "--protected-mode", "no", "--appendonly", "yes", "--save", "", "--dir", str(data),
             "--maxmemory-policy", "noeviction"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.undo.callback(server.wait)
        self.undo.callback(server.kill)
        wait_until(self.far_answers, ENGINE_S, "the far Redis does not answer")
        return f"{self.far}:6379"

    def _start_second_redis(self):
        """self.pair: socket and port of the primary, then of the standby. Replication needs TCP."""
        first = (self.redis.socket, snapup.free_port())
        second = (self.folder / "second.sock", snapup.free_port())
        ask_redis(first[0], f"CONFIG SET port {first[1]}")
        ask_redis(first[0], "CONFIG SET repl-diskless-sync-delay 0")
        data = self.folder / "second"
        data.mkdir()
        server = subprocess.Popen(
            [self.redis_program(), "--unixsocket", str(second[0]), "--port", str(second[1]),
             "--bind", "127.0.0.1", "--appendonly", "yes", "--save", "", "--dir", str(data),
             "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.undo.callback(server.wait)
        self.undo.callback(server.kill)
        self.pair = [first, second]
        wait_until(second[0].exists, ENGINE_S, "the second Redis does not start")

    def redis_program(self):
        """Redis' server; ops/stack leaves a link to it where Debian names it differently."""
        return shutil.which("redis-server") or str(self.redis.folder / "redis-server")

    def in_space(self, *argv):
        return run("ip", "netns", "exec", self.space, *argv)

    def far_answers(self):
        with contextlib.suppress(OSError), socket.create_connection((self.far, 6379), 1) as s:
            s.sendall(b"PING\r\n")
            return s.recv(64).startswith(b"+PONG")
        return False

    # --- Daemons --------------------------------------------------------------------------------------

    def use(self, daemons=1, via=(), faketime=False):
        """So many daemons, with proxies before the stores named in via."""
        shape = (daemons, tuple(via), faketime)
        if shape == self.shape and all(d.alive for d in self.daemons):
            return
        self.end_daemons()
        settings = dict(self.settings)
        for store in via:
            settings[store] = f"unix:{self.proxies[store].path}"
        self.clock_path = self.folder / "clock"
        self.clock_path.write_text("+0")
        for n in range(daemons):
            daemon = snapup.Instance(self.folder, settings, f"snapup-{n}")
            daemon.more_env = {}
            if faketime:
                if not os.path.exists(FAKETIME):
                    raise NotHere("libfaketime is not installed")
                daemon.more_env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.clock_path),
                                   "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                                   "FAKETIME_XRESET": "1"}
            self.daemons.append(daemon)
            self.start_daemon(daemon)
            daemon.wait_ready()
        self.shape = shape

    def start_daemon(self, daemon):
        """Starts it without waiting; the moment."""
        at = time.monotonic()
        daemon.spawn([snapup.BUILD / "snapup", "serve"],
                     {**snapup.clean_env(**daemon.settings), **daemon.more_env})
        return at

    def end_daemons(self):
        complaints = []
        for daemon in self.daemons:
            with contextlib.suppress(OSError):
                if daemon.alive:
                    os.kill(daemon.pid, signal.SIGCONT)
            try:
                daemon.stop()
            except AssertionError as hang:
                complaints.append(str(hang)[:2000])
            complaint = daemon.complaint()
            if complaint:
                complaints.append(complaint)
        self.daemons, self.shape = [], None
        for complaint in complaints:
            self.log(f"COMPLAINT {complaint}")
        return complaints

    def stop(self):
        try:
            return self.end_daemons()
        finally:
            for proxy in self.proxies.values():
                proxy.stop()
            self.proxies = {}
            for engine in (self.redis, self.sql):
                with contextlib.suppress(OSError, ValueError):
                    engine.signal(signal.SIGCONT)
            if (self.folder / "s").exists():
                self.stack.stop()
            self.undo.close()
            if os.environ.get("SNAPUP_KEEP"):
                self.log(f"kept: {self.folder}")
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
