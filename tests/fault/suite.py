#!/usr/bin/env python3
"""The fault suite: real processes under rush load, hurt at random moments.

    suite.py [--seed N] [--faults NAME,NAME] [--times N] [--short] [--list]

`make fault SEED=… FAULTS=… TIMES=…` is the same. SNAPUP_BUILD (release; --short: asan) chooses what is
tested. The log of a run, with its seed, is build/fault/<time>-<seed>.log; the same seed makes the same
choices at the same points.

For each fault: a crowd buys at a pace, the fault is injected at a random moment and healed, and the time
until a purchase that began after the healing is acknowledged is the time to ready. In the end all who are
left come at once, and the load tool compares what every shopper was told with MariaDB, row by row, and
asks for the audit. The exit code is 1 if anything was lost, oversold or doubled, if an audit found
something, or if the service did not sell again within STUCK_S. Times are reported, never judged.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import random
import signal
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS_PER_RUSH = 10
STUCK_S = 30

sys.dont_write_bytecode = True


class Log:
    """Lines with the time since the start, into a file and, the important ones, to the terminal."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.file, self.start = path, open(path, "w", buffering=1), time.monotonic()

    def __call__(self, text, loud=False):
        line = f"{time.monotonic() - self.start:9.3f} {text}"
        self.file.write(line + "\n")
        if loud:
            print(line, flush=True)


class Row:
    """One line of the table: what came of a fault, over all its rounds."""

    def __init__(self, fault):
        self.fault = fault
        self.times = self.before = self.after = self.refused = 0
        self.lost = self.oversold = self.doubles = self.vanished = self.audits = 0
        self.ready, self.stuck, self.trouble = [], 0, ""

    @property
    def broken(self):
        return bool(self.lost or self.oversold or self.doubles or self.audits or self.stuck or self.trouble)

    def judge(self, report, log):
        """Takes in what the load tool found after a rush."""
        ledger, totals = report["ledger"], report["totals"]
        units = report["settings"]["units"]
        lost = ledger["missing"] + (0 if self.fault.forgets else ledger["queued_lost"])
        oversold = max(0, ledger["live_units"] - units, totals["orders"] - units)
        doubles = sum(ledger[name] for name in ("doubles", "changed", "denied", "refused", "unsent",
                                                "strangers", "wrong_qty"))
        audit_ok = report["audit"]["ok"] and all(p["ok"] for p in report["promises"])
        self.vanished += ledger["queued_lost"]
        self.lost += lost
        self.oversold += oversold
        self.doubles += doubles
        self.audits += not audit_ok
        log(f"{self.fault.name}: sale {report['sale']} orders {totals['orders']} "
            f"refusals {totals['refusals']} errors {report['steps'][0]['answers']} "
            f"connections lost {totals['lost']} timeouts {totals['timeouts']} {ledger}")
        if lost or oversold or doubles or not audit_ok:
            failed = [c for c in report["audit"]["checks"] + report["promises"] if not c["ok"]]
            log(f"{self.fault.name}: BROKEN {failed} pending {report['audit'].get('pending')}", loud=True)
        if report.get("invalid"):
            self.trouble = report["invalid"]

    def cells(self):
        fault, ready = self.fault, sorted(self.ready)
        middle = f"{ready[len(ready) // 2]:.2f}" if ready else "-"
        worst = f"{ready[-1]:.2f}" if ready else "-"
        reach = f"{fault.reach_s:g}" if fault.reach_s else ""
        notes = []
        if fault.reach_s and ready and ready[-1] > fault.reach_s:
            notes.append(f"{sum(r > fault.reach_s for r in ready)} slower than {reach} s")
        if self.vanished:
            notes.append(f"{self.vanished} queued vanished")
        if self.audits:
            notes.append(f"{self.audits} audits not ok")
        if self.stuck:
            notes.append(f"{self.stuck} stuck")
        if self.trouble:
            notes.append(self.trouble.splitlines()[0][:60])
        return (fault.name, fault.row, self.times, self.before, self.after, self.refused, self.lost,
                self.oversold, self.doubles, middle, worst, reach, "; ".join(notes))


HEAD = ("fault", "row", "times", "acked before", "acked after", "errors", "lost", "oversold", "double",
        "ready s", "worst s", "reach s", "notes")


def print_table(rows, log):
    lines = [HEAD] + [tuple(str(c) for c in row.cells()) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    for line in lines:
        cells = [cell.ljust(w) if i in (0, len(HEAD) - 1) else cell.rjust(w)
                 for i, (cell, w) in enumerate(zip(line, widths))]
        text = "  ".join(cells).rstrip()
        log.file.write(text + "\n")
        print(text, flush=True)


class Suite:
    def __init__(self, args, log):
        import faults  # after SNAPUP_BUILD is set
        import processes
        self.faults, self.world_of = faults, processes
        self.args, self.log, self.world = args, log, None
        self.rate, self.units = (400, 6000) if args.short else (1500, 60000)

    def chosen(self):
        names = [name for name in (self.args.faults or "").split(",") if name]
        unknown = set(names) - {fault.name for fault in self.faults.FAULTS}
        if unknown:
            sys.exit(f"suite.py: no such fault: {', '.join(sorted(unknown))}; --list shows them")
        return [fault for fault in self.faults.FAULTS
                if (fault.name in names if names else not self.args.short or fault.short)]

    def rounds(self, fault):
        return self.args.times or (fault.short if self.args.short and fault.short else fault.times)

    def world_for(self, fault):
        if self.world and self.world.variant != fault.variant:
            self.world.stop()
            self.world = None
        if not self.world:
            self.world = self.world_of.World(self.log, fault.variant)
        self.world.use(fault.daemons, fault.via, fault.faketime)
        return self.world

    def run(self):
        rows = []
        try:
            for fault in self.chosen():
                row = Row(fault)
                try:
                    self.run_fault(row)
                except self.world_of.NotHere as why:
                    self.log(f"{fault.name}: not here: {why}", loud=True)
                    self.drop_world()
                    continue
                except Exception as error:
                    self.log(f"{fault.name}: {traceback.format_exc()}")
                    row.trouble = str(error) or repr(error)
                    self.keep_logs(fault)
                    self.drop_world()
                except KeyboardInterrupt:
                    row.trouble = "interrupted"
                    rows.append(row)
                    break
                rows.append(row)
                self.log("  ".join(f"{h} {c}" for h, c in zip(HEAD, row.cells()) if c != ""), loud=True)
        finally:
            self.drop_world()
        print_table(rows, self.log)
        return rows

    def drop_world(self):
        if self.world:
            with contextlib.suppress(Exception):
                self.world.stop()
            self.world = None

    def run_fault(self, row):
        rng = random.Random(f"{self.args.seed} {row.fault.name}")
        left = self.rounds(row.fault)
        while left > 0:
            world = self.world_for(row.fault)
            left -= self.one_rush(row, world, rng, min(left, ROUNDS_PER_RUSH))
            complaints = [c for c in (d.complaint() for d in world.daemons) if c]
            if complaints:
                row.trouble = complaints[0]
                self.log(complaints[0], loud=True)
                self.world.shape = None

    def one_rush(self, row, world, rng, most):
        """Up to `most` rounds within one sale; how many."""
        fault = row.fault
        extra = ("--shards", rng.choice((1, 2)), *fault.load,
                 *(("--queue-may-vanish",) if fault.forgets else ()))
        load = self.world_of.Load(world, self.units, self.rate, extra)
        done = 0
        try:
            while done < most and not (done and load.used_up):
                stuck = self.one_round(row, world, load, rng)
                done += 1
                if stuck:
                    break
            report = load.finish(hurry=not row.stuck)
            row.after += report["totals"]["orders"] - load.counted
            row.judge(report, self.log)
        finally:
            load.kill()
        if row.lost or row.oversold or row.doubles or row.audits or row.stuck:
            self.keep_logs(fault)
        return done

    def one_round(self, row, world, load, rng):
        """One injection; whether the service was still not selling STUCK_S after it had healed."""
        load.pass_time(rng.uniform(0.1, 0.6))
        before = load.now()
        at = time.monotonic()
        healed = row.fault.inject(world, load, rng)
        meanwhile = load.now()["acked"] - before["acked"]
        seen = load.wait_fresh(healed, STUCK_S)
        after = load.now()
        row.times += 1
        row.before += before["acked"] - load.counted
        load.counted = after["acked"]
        row.after += after["acked"] - before["acked"]
        row.refused += after["errors"] - before["errors"]
        took = max(0.0, seen - healed) if seen else None
        self.log(f"{row.fault.name} #{row.times}: acked {before['acked']}, hurt for {healed - at:.3f} s, "
                 f"meanwhile +{meanwhile}, errors +{after['errors'] - before['errors']}, ready after {took}")
        if took is None:
            row.stuck += 1
            self.log(f"{row.fault.name} #{row.times}: STUCK", loud=True)
            self.keep_logs(row.fault)
            for daemon in world.daemons:  # so that the rush can be compared
                daemon.kill()
                world.start_daemon(daemon)
            return True
        row.ready.append(took)
        return False

    def keep_logs(self, fault):
        """The ends of all logs go beside the suite's own."""
        if not self.world:
            return
        stores = [engine.folder / "log" for engine in (self.world.redis, self.world.sql)]
        for path in [*self.world.folder.glob("*.log"), *filter(pathlib.Path.exists, stores)]:
            name = path.name if path.suffix else f"{path.parent.name}.log"
            text = path.read_text(errors="replace")[-200000:]
            self.log.path.with_suffix(f".{fault.name}.{name}").write_text(text)


def list_faults():
    import faults
    for fault in faults.FAULTS:
        print(f"{fault.name:24} row {fault.row:2}  {fault.times:3} times, short {fault.short}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--faults", help="names, with commas between")
    parser.add_argument("--times", type=int, help="rounds of each fault")
    parser.add_argument("--short", action="store_true", help="a few faults, a few times")
    parser.add_argument("--list", action="store_true", help="the names of all faults")
    args = parser.parse_args()
    os.environ.setdefault("SNAPUP_BUILD", "asan" if args.short else "release")
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1_000_000)
    if args.list:
        list_faults()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    log = Log(ROOT / "build/fault" / f"{stamp}-{args.seed}.log")
    suite = Suite(args, log)
    print(f"fault: seed {args.seed}, log {log.path.relative_to(ROOT)}", flush=True)
    rows = suite.run()
    return 1 if any(row.broken for row in rows) or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
