"""What bench-compare and limits share: servers of their own, and rushes whose processor time is known."""

import contextlib
import json
import os
import pathlib
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build/release"
SCENARIO = ROOT / "bench/scenarios/rush.ini"
# Servers, stores and load tool share the cores, and a service that has half of them serves more
# (bench/COST.md).
WORKERS = (os.cpu_count() + 1) // 2
START_S = 60
END_S = 30
SETTLE_S = 20
REST_S = 0.5
REST_SHARE = 0.05  # of a core, of all processes together
INVALID = 4  # snapup-bench's exit code of a run that is not valid, and what its report calls one of the reasons
LATE = "the load tool itself was late"
TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def family(pid):
    """The process and all that it started."""
    pids = [pid]
    for one in pids:
        with contextlib.suppress(OSError):
            children = pathlib.Path(f"/proc/{one}/task/{one}/children").read_text()
            pids += [int(child) for child in children.split()]
    return pids


def cpu_us(pid):
    """Processor time of the process and its children so far."""
    ticks = 0
    for one in family(pid):
        fields = pathlib.Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])  # its own, and that of children that ended
    return ticks * TICK_US


def settle(pids):
    """Until the processes rest: what one run left to do (pages to write, sales to audit) is not to be the next one's
    burden."""
    deadline = time.monotonic() + SETTLE_S
    before = [cpu_us(pid) for pid in pids]
    while time.monotonic() < deadline:
        time.sleep(REST_S)
        now = [cpu_us(pid) for pid in pids]
        if sum(now) - sum(before) <= REST_S * REST_SHARE * 1_000_000:
            return
        before = now


def wait_for(url, process, log):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer; see {log}")


@contextlib.contextmanager
def stack(state):
    """Redis and MariaDB with new data in the folder; yields their sockets and pids."""
    if state.exists():
        subprocess.run([ROOT / "ops/stack", "stop", state], check=True)
        shutil.rmtree(state)
    subprocess.run([ROOT / "ops/stack", "start", state], check=True)
    try:
        yield read_stack(state)
    finally:
        subprocess.run([ROOT / "ops/stack", "stop", state], check=True)


def read_stack(state):
    lines = subprocess.run([ROOT / "ops/stack", "env", state], check=True, capture_output=True, text=True).stdout
    env = dict(shlex.split(line)[0].split("=", 1) for line in lines.splitlines())
    pids = {name: int((state / name / "pid").read_text()) for name in ("redis", "mariadb")}
    return {"env": env, "pids": pids, "redis": env["SNAPUP_REDIS"].removeprefix("unix:"),
            "sql": env["SNAPUP_SQL"].removeprefix("unix:")}


@contextlib.contextmanager
def server(command, env, port, log):
    """A service on the port, ended afterwards; yields its pid."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait_for(f"http://127.0.0.1:{port}/livez", process, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rush(port, args, pids, env=None, may_be_late=False):
    """One run of the load tool: its figures, and the processor time per answer of each process. None, and only
    for a caller who says that it may be: the tool itself was late, so that the run says nothing."""
    before = {name: cpu_us(pid) for name, pid in pids.items()}
    command = [RELEASE / "snapup-bench", "run", SCENARIO, "--url", f"http://127.0.0.1:{port}", "--quiet",
               "--json", "-", *args]
    done = subprocess.run(command, env=os.environ | (env or {}), capture_output=True, text=True)
    if done.returncode == INVALID:
        reason = json.loads(done.stdout)["invalid"]
        if may_be_late and reason == LATE:
            return None
        raise SystemExit(f"{shlex.join(map(str, command))} is not valid: {reason}\n{done.stderr}")
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    used = {name: cpu_us(pid) - before[name] for name, pid in pids.items()}
    return figures(json.loads(done.stdout), used)


def figures(found, used):
    used["generator"] = found["generator"]["cpu_user_us"] + found["generator"]["cpu_system_us"]
    answers = found["totals"]["answers"]
    kind = "orders" if found["totals"]["orders"] > found["totals"]["refusals"] else "refusals"
    latency = found["latency"][kind]
    return {"per_s": found["rates"][f"{kind}_per_s"], "p50_ms": latency["p50"] / 1000, "p99_ms": latency["p99"] / 1000,
            "p999_ms": latency["p99.9"] / 1000, "n": answers, "cpu_us": {name: us / answers for name, us in used.items()}}


def solo(measure, args, pids):
    """One run of snapup-limits on a store alone, in the same form."""
    before = {name: cpu_us(pid) for name, pid in pids.items()}
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([RELEASE / "snapup-limits", measure, *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"snapup-limits {measure}: {done.stderr}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout)
    cpu = {name: (cpu_us(pid) - before[name]) / found["orders"] for name, pid in pids.items()}
    spent_s = used.ru_utime + used.ru_stime - own.ru_utime - own.ru_stime
    return {"per_s": found["orders"] / found["seconds"], "n": found["orders"],
            "cpu_us": cpu | {"generator": spent_s * 1e6 / found["orders"]}}


PROCESSES = ("service", "redis", "mariadb", "generator")


def print_head(title):
    print(f"\n{title:<28} {'per second':>10} {'p50 ms':>7} {'p99 ms':>7} {'p99.9':>7}   µs per answer:"
          + "".join(f" {name:>9}" for name in PROCESSES) + "  all but generator")


def print_row(name, f):
    times = "".join(f" {f[key]:>7.1f}" if key in f else f" {'':>7}" for key in ("p50_ms", "p99_ms", "p999_ms"))
    cpu = "".join(f" {f['cpu_us'][process]:>9.1f}" if process in f["cpu_us"] else f" {'':>9}" for process in PROCESSES)
    served = sum(us for process, us in f["cpu_us"].items() if process != "generator")
    print(f"  {name:<26} {f['per_s']:>10,.0f}{times}   {'':>14}{cpu} {served:>18.1f}", flush=True)
