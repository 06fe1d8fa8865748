"""How each fault is injected: a function that hurts, heals and returns when it had healed.

It gets the world, the load and a random source of its own; every choice comes from that source, so the
same seed makes the same choices.
"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time

from proxy import DOWN, UP
from processes import SQL_PASSWORD, SQL_USER, NotHere, ask_redis, wait_until


def now():
    return time.monotonic()


# --- The daemon --------------------------------------------------------------------------------------


def daemon_kill(w, load, rng):
    """The one that has the crowd; with two the other one then gets it."""
    daemon = w.daemons[0]
    daemon.kill()
    if len(w.daemons) > 1:
        load.pass_time(rng.uniform(0.1, 1))
        w.daemons.reverse()
    return w.start_daemon(daemon)


def stopped(w, load, rng, seconds):
    daemon = w.daemons[0]
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        load.pass_time(seconds)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    w.daemons.reverse()
    return now()


def daemon_stop(w, load, rng):
    return stopped(w, load, rng, rng.uniform(1, 8))


def daemon_stop_rebuild(w, load, rng):
    """One instance sleeps through the loss of Redis; the other one rebuilds and sells meanwhile."""
    daemon = w.daemons[0]
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        w.redis.kill()
        at = w.redis.start()
        if load.wait_fresh(at) is None:
            w.log("the instance that was awake does not sell")
        load.pass_time(rng.uniform(0, 2))
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    w.daemons.reverse()
    return now()


def daemon_no_descriptors(w, load, rng):
    pid = w.daemons[0].pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    in_use = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use // 2, hard))
    try:
        w.stack.redis("CLIENT", "KILL", "TYPE", "normal")
        load.pass_time(rng.uniform(0.5, 2))
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    return now()


def clock(w, load, rng, offset):
    w.clock_path.write_text(offset)
    try:
        load.pass_time(rng.uniform(1, 3))
    finally:
        w.clock_path.write_text("+0")
    return now()


def clock_ahead(w, load, rng):
    return clock(w, load, rng, "+1h")


def clock_back(w, load, rng):
    return clock(w, load, rng, "-1h")


# --- Redis -------------------------------------------------------------------------------------------


def redis_kill(w, load, rng):
    w.redis.kill()
    return w.redis.start()


def redis_empty(w, load, rng):
    w.redis.kill()
    shutil.rmtree(w.redis.data)
    w.redis.data.mkdir()
    return w.redis.start()


def redis_old(w, load, rng):
    """Its files are those of a moment ago, as after a restored backup."""
    old = w.folder / "old"
    w.stack.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")  # or files vanish meanwhile
    wait_until(lambda: "aof_rewrite_in_progress:0" in ask_redis(w.redis.socket, "INFO persistence"), 60)
    shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(w.redis.data, old, ignore=shutil.ignore_patterns("temp-*"))
    w.stack.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "100")
    load.pass_time(rng.uniform(0.3, 2))
    w.redis.kill()
    shutil.rmtree(w.redis.data)
    shutil.move(old, w.redis.data)
    return w.redis.start()


def redis_flush(w, load, rng):
    w.stack.redis("FLUSHALL")
    return now()


def redis_key(w, load, rng):
    """One of a shard's keys goes alone."""
    keys = sorted(key for key in w.stack.redis("KEYS", "su:*") if key.endswith((":left", ":held", ":log")))
    if keys:
        w.stack.redis("DEL", rng.choice(keys))
    return now()


def function_flush(w, load, rng):
    w.stack.redis("FUNCTION", "FLUSH")
    return now()


def script_flush(w, load, rng):
    w.stack.redis("SCRIPT", "FLUSH")
    return now()


def configured(w, load, rng, name, value, back):
    w.stack.redis("CONFIG", "SET", name, value)
    try:
        load.pass_time(rng.uniform(0.3, 2))
    finally:
        w.stack.redis("CONFIG", "SET", name, back)
    return now()


def redis_oom(w, load, rng):
    return configured(w, load, rng, "maxmemory", "1mb", "0")


def redis_no_replicas(w, load, rng):
    return configured(w, load, rng, "min-replicas-to-write", "1", "0")


def redis_misconf(w, load, rng):
    """A snapshot that cannot be written makes Redis refuse writes."""
    in_the_way = w.redis.data / "dump.rdb"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    w.stack.redis("CONFIG", "SET", "save", "3600 1")
    try:
        ask_redis(w.redis.socket, "BGSAVE SCHEDULE")
        wait_until(lambda: "bgsave_status:err" in ask_redis(w.redis.socket, "INFO persistence"))
        load.pass_time(rng.uniform(0.3, 2))
    finally:
        in_the_way.rmdir()
        w.stack.redis("CONFIG", "SET", "save", "")
    return now()


def redis_readonly(w, load, rng):
    """As a demoted primary: a replica of an address where nobody is."""
    w.stack.redis("REPLICAOF", "127.0.0.1", "1")
    try:
        load.pass_time(rng.uniform(0.3, 2))
    finally:
        w.stack.redis("REPLICAOF", "NO", "ONE")
    return now()


def engine_stop(load, engine, seconds):
    engine.signal(signal.SIGSTOP)
    try:
        load.pass_time(seconds)
    finally:
        engine.signal(signal.SIGCONT)
    return now()


def redis_stop(w, load, rng):
    return engine_stop(load, w.redis, rng.uniform(1, 4))


def redis_stop_long(w, load, rng):
    """Longer than links wait, so that it executes calls whose callers gave up long ago."""
    return engine_stop(load, w.redis, rng.uniform(16, 20))


@contextlib.contextmanager
def strace(pid, inject):
    """System calls of a process fail or wait within this block."""
    if shutil.which("strace") is None:
        raise NotHere("strace is not installed")
    tracer = subprocess.Popen(["strace", "-f", "-p", str(pid), "-e", "trace=fsync,fdatasync", "-e",
                               f"inject=fsync,fdatasync:{inject}", "-o", "/dev/null"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if b"attached" not in tracer.stderr.readline():
            raise NotHere("strace may not attach")
        yield
    finally:
        tracer.terminate()
        try:
            tracer.communicate(timeout=3)
        except subprocess.TimeoutExpired:  # it waits for a thread that it delayed; its end frees that one
            tracer.kill()
            tracer.communicate()


def redis_slow_fsync_kill(w, load, rng):
    """Each fsync takes 1.8 s; then Redis dies, and with it what it had not written."""
    with strace(w.redis.pid, "delay_enter=1800000"):
        load.pass_time(rng.uniform(2, 4))
        w.redis.kill()
    return w.redis.start()


def redis_fsync_error(w, load, rng):
    """Redis 7.0 refuses writes from then on, also when its disk is well again, so it is restarted."""
    with strace(w.redis.pid, "error=EIO"):
        load.pass_time(rng.uniform(1.5, 3))
    return redis_kill(w, load, rng)


@contextlib.contextmanager
def disk_full(folder):
    """Not a byte is left in the folder's file system within this block."""
    hog = folder / "hog"
    try:
        with contextlib.suppress(OSError), open(hog, "wb", buffering=0) as f:
            while f.write(b"\0" * 65536):
                pass
        with contextlib.suppress(OSError), open(hog, "ab", buffering=0) as f:
            while f.write(b"\0" * 64):
                pass
        yield
    finally:
        hog.unlink(missing_ok=True)


def redis_disk_full(w, load, rng):
    pid = w.redis.pid
    with disk_full(w.redis.folder):
        load.pass_time(rng.uniform(2, 5))
    return w.redis.revive(pid)


def redis_failover(w, load, rng):
    """The standby is promoted without the last writes of the primary, and everybody is sent to it."""
    (primary, port), (standby, _) = w.pair
    ask_redis(standby, f"REPLICAOF 127.0.0.1 {port}")
    wait_until(lambda: "master_link_status:up" in ask_redis(standby, "INFO replication"), 60)
    load.pass_time(rng.uniform(0, 1))
    ask_redis(standby, "REPLICAOF NO ONE")
    load.pass_time(rng.uniform(0.05, 1))  # what the primary takes now is lost
    w.proxies["redis"].upstream = str(standby)
    w.proxies["redis"].cut()
    w.pair.reverse()
    return now()


# --- MariaDB -----------------------------------------------------------------------------------------


def sql_kill(w, load, rng):
    w.sql.kill()
    return w.sql.start()


def sql_stop(w, load, rng):
    return engine_stop(load, w.sql, rng.uniform(5, 20))


def sql_readonly(w, load, rng):
    w.stack.sql("SET GLOBAL read_only = 1")
    try:
        load.pass_time(rng.uniform(0.5, 3))
    finally:
        w.stack.sql("SET GLOBAL read_only = 0")
    return now()


def sql_fsync_error(w, load, rng):
    """InnoDB ends itself rather than guess what is on the disk."""
    pid = w.sql.pid
    with strace(pid, "error=EIO"):
        load.pass_time(rng.uniform(1, 2))
    return w.sql.revive(pid)


def sql_slow_fsync(w, load, rng):
    with strace(w.sql.pid, "delay_enter=300000"):
        load.pass_time(rng.uniform(2, 4))
    return now()


def sql_disk_full(w, load, rng):
    """MariaDB waits for room, or refuses, or ends itself."""
    pid = w.sql.pid
    with disk_full(w.sql.folder):
        load.pass_time(rng.uniform(6, 10))
    return w.sql.revive(pid)


def sql_session(w, statements, user="root", password=""):
    """A second session beside the service's."""
    return subprocess.Popen(
        ["mariadb", "--no-defaults", f"--user={user}", f"--password={password}",
         f"--socket={w.sql.socket}", "snapup", "--execute", statements],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


HOT_ROW = ("SELECT s.held FROM shard_stock s JOIN items i ON i.no = s.item "
           "ORDER BY i.no DESC, s.shard LIMIT 1 FOR UPDATE;")


def sql_lock(w, load, rng):
    """Somebody locks the hot row for longer than anybody waits for a lock (1205)."""
    other = sql_session(w, f"BEGIN; {HOT_ROW} SELECT SLEEP({rng.uniform(4, 7):.2f}); ROLLBACK")
    wait_until(lambda: load.now() and other.poll() is not None, 60)
    return now()


def sql_deadlock(w, load, rng):
    """A heavy transaction takes the hot row, then the rows of the commit that waits for it: the commit is
    the lighter one and dies (1213)."""
    other = sql_session(
        w, "CREATE TABLE IF NOT EXISTS heavy (n INT PRIMARY KEY) ENGINE = InnoDB; BEGIN;"
           "INSERT INTO heavy WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 900) "
           f"SELECT a.n * 1000 + b.n FROM s a, s b WHERE a.n <= 20; {HOT_ROW}"
           f"SELECT SLEEP({rng.uniform(0.1, 0.5):.2f});"
           "SELECT COUNT(*) FROM (SELECT id FROM orders ORDER BY id DESC LIMIT 2000 FOR UPDATE) o; ROLLBACK")
    wait_until(lambda: load.now() and other.poll() is not None, 60)
    return now()


def sql_no_connections(w, load, rng):
    """The service's sessions are killed, and others have taken all there are. One session of root does
    it from end to end, since nobody could come in to undo it."""
    most = int(w.stack.sql("SELECT @@max_connections n")[0]["n"])
    rows = w.stack.sql(f"SELECT id FROM information_schema.processlist WHERE user = '{SQL_USER}'")
    kills = "".join(f"KILL {row['id']};" for row in rows)
    seconds = rng.uniform(1, 3)
    others = [sql_session(w, "SELECT SLEEP(30)", SQL_USER, SQL_PASSWORD) for _ in range(12)]
    try:
        wait_until(lambda: len(w.stack.sql(
            "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'")) >= 12)
        root = sql_session(w, f"SET GLOBAL max_connections = 10; {kills} SELECT SLEEP({seconds:.2f});"
                              f"SET GLOBAL max_connections = {most}")
        wait_until(lambda: load.now() and root.poll() is not None, 60)
        return now()
    finally:
        for other in others:
            other.terminate()
            other.wait()


# --- The way to the stores ---------------------------------------------------------------------------


def troubled(w, load, seconds, store, **trouble):
    proxy = w.proxies[store]
    for name, value in trouble.items():
        setattr(proxy.trouble, name, value)
    try:
        load.pass_time(seconds)
    finally:
        proxy.heal()
    return now()


def latency(store):
    return lambda w, load, rng: troubled(w, load, rng.uniform(1, 3), store, latency_s=rng.uniform(0.02, 0.3))


def slices(store):
    return lambda w, load, rng: troubled(w, load, rng.uniform(1, 2), store, slice_bytes=rng.randint(1, 40))


def half_answer(store):
    return lambda w, load, rng: troubled(w, load, rng.uniform(0.2, 0.5), store, half=True)


def silence(store, *ways):
    def inject(w, load, rng):
        return troubled(w, load, rng.uniform(0.5, 7), store, silent="".join(ways))
    return inject


def cut(store):
    def inject(w, load, rng):
        w.proxies[store].trouble.refuse = True
        w.proxies[store].cut()
        return troubled(w, load, rng.uniform(0, 1.5), store)
    return inject


def commit_lost(w, load, rng):
    """COMMIT arrives, its answer does not; a few in a row."""
    proxy, want = w.proxies["sql"], w.proxies["sql"].swallowed + rng.randint(1, 3)
    proxy.trouble.swallow_after = b"COMMIT"
    try:
        wait_until(lambda: load.now() and proxy.swallowed >= want, 20, "no COMMIT was seen")
    finally:
        proxy.heal()
    return now()


def partition(w, load, rng):
    """The cable is out; packets vanish."""
    w.in_space("ip", "link", "set", w.far_device, "down")
    try:
        load.pass_time(rng.uniform(1, 6))
    finally:
        w.in_space("ip", "link", "set", w.far_device, "up")
    wait_until(w.far_answers, 60)
    return now()


def partition_one_way(w, load, rng):
    """Requests arrive, answers do not."""
    w.in_space("ip", "route", "add", "blackhole", f"{w.near}/32")
    try:
        load.pass_time(rng.uniform(1, 6))
    finally:
        w.in_space("ip", "route", "del", "blackhole", f"{w.near}/32")
    wait_until(w.far_answers, 60)
    return now()


# --- Two at once -------------------------------------------------------------------------------------


def all_three(w, load, rng):
    """Daemon and both stores, in any order, at nearly the same moment."""
    hurt = [w.redis.kill, w.sql.kill, w.daemons[0].kill]
    rng.shuffle(hurt)
    for kill in hurt:
        kill()
        load.pass_time(rng.uniform(0, 0.1))
    return max(w.sql.start(), w.redis.start(), w.start_daemon(w.daemons[0]))


def kill_in_rebuild(w, load, rng):
    """Redis comes back empty, and the daemon dies while it fills it."""
    redis_empty(w, load, rng)
    load.pass_time(rng.uniform(0, 0.3))
    w.daemons[0].kill()
    return w.start_daemon(w.daemons[0])


def sql_and_redis(w, load, rng):
    w.sql.kill()
    load.pass_time(rng.uniform(0, 0.5))
    w.redis.kill()
    return max(w.redis.start(), w.sql.start())
