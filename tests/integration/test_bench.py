"""The load tool against a real shop: every scenario proves itself, and its report adds up. How fast
anything is does not matter here."""

import contextlib
import http.server
import json
import signal
import subprocess
import threading

import jsonschema
import pytest

from snapup import BUILD, ROOT, clean_env, unique, wait_until

SCHEMA = json.loads((ROOT / "bench/report.schema.json").read_text())
SCENARIOS = sorted(path.stem for path in (ROOT / "bench/scenarios").glob("*.ini"))

# Little load, for a build with sanitizers on a busy machine. In those with `constant`, who comes is known.
SMALL = {
    "rush": ["--shoppers", "400", "--units", "100", "--connections", "20", "--threads", "2"],
    "steady": ["--arrivals", "constant 100/s for 2s", "--connections", "20"],
    "checkout": ["--arrivals", "constant 20/s for 1s", "--connections", "10", "--timeout", "10s"],
    "browse": ["--arrivals", "constant 100/s for 1s", "--connections", "30", "--units", "20", "--threads", "2"],
    "retry-storm": ["--arrivals", "spike 200", "--connections", "50", "--units", "100"],
    "hot-and-cold": ["--shoppers", "400", "--items", "50", "--units", "3", "--connections", "20"],
    "soak": ["--arrivals", "constant 5/s for 2s", "--connections", "20", "--persist", "0"],
}


class Bench:
    def __init__(self, shop, folder):
        self.shop, self.folder = shop, folder

    def command(self, *argv):
        settings = self.shop.stack.settings
        env = clean_env(**{key: value for key, value in settings.items() if key.startswith("sql")})
        return [str(a) for a in (BUILD / "snapup-bench", *argv)], env

    def run(self, *argv, code=0):
        """Runs it to its end; standard output."""
        command, env = self.command(*argv)
        done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout if code != 2 else done.stderr

    def play(self, scenario, *argv, code=0):
        """The report of a run. How late the tool is on a machine full of tests is no matter."""
        text = self.run("run", scenario, "--url", f"http://{self.shop.instance.address}", "--json", "-",
                        "--quiet", "--late-max", "1h", *argv, code=code)
        return json.loads(text)


@pytest.fixture
def bench(shop, folder):
    return Bench(shop, folder)


def step(report, name):
    return next(s for s in report["steps"] if s["name"] == name)


def answers(report, name):
    return {(a["status"], a["code"]): a["n"] for a in step(report, name)["answers"]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_proves_itself(bench, scenario):
    # Those of the soak think for hours; here they hurry.
    text = (ROOT / f"bench/scenarios/{scenario}.ini").read_text()
    path = bench.folder / f"{scenario}.ini"
    path.write_text(text.replace("500ms to 5s", "1ms to 5ms").replace("stream = 1min", "stream = 1s"))
    report = bench.play(path, *SMALL[scenario])
    totals = report["totals"]
    jsonschema.validate(report, SCHEMA)
    assert report["scenario"] == scenario and report["exit"] == 0 and report["valid"]
    assert report["audit"]["ok"] and all(p["ok"] for p in report["promises"])
    assert totals["shoppers"] == report["settings"]["shoppers"]
    assert report["ledger"]["matched"] == totals["orders"] > 0
    assert sum(a["n"] for s in report["steps"] for a in s["answers"]) == totals["answers"]
    assert report["latency"]["all"]["n"] == totals["answers"]
    assert sum(report["series"]["sent"]) == totals["sent"]
    assert sum(report["series"]["orders"]) == totals["orders"]
    assert len({len(v) for v in report["series"].values() if isinstance(v, list)}) == 1


def test_a_rush_sells_what_there_is_and_refuses_the_rest(bench):
    report = bench.play("rush", *SMALL["rush"])
    assert answers(report, "order") == {(201, ""): 100, (409, "sold_out"): 300}
    assert report["load"] == "closed" and "late_p99_us" not in report["generator"]
    assert report["latency"]["orders"]["n"] == 100 and report["latency"]["refusals"]["n"] == 300


def test_an_open_load_keeps_its_plan(bench):
    report = bench.play("steady", "--arrivals", "constant 100/s for 1s then pause 500ms then spike 20",
                        "--connections", "30")
    assert report["load"] == "open" and report["totals"]["orders"] == 120
    assert report["duration_s"] >= 1.5
    latency, service = report["latency"]["all"], report["service_time"]["all"]
    assert latency["mean"] >= service["mean"]


def test_without_a_free_connection_the_wait_counts(bench):
    """Sixty come at once over one connection: the last waited for all others."""
    report = bench.play("steady", "--arrivals", "spike 60", "--connections", "1")
    assert report["latency"]["all"]["max"] > 10 * report["service_time"]["all"]["p50"]


def test_a_checkout_is_paid(bench):
    report = bench.play("checkout", *SMALL["checkout"])
    assert report["totals"]["paid"] == 20 and report["rates"]["checkouts_per_s"] > 0
    assert [s["name"] for s in report["steps"]] == ["order", "begin", "pay", "paid"]
    sold = bench.shop.sql(f"SELECT o.state, COUNT(*) AS n FROM orders o JOIN items i ON i.no = o.item JOIN sales s "
                          f"ON s.no = i.sale WHERE s.id = '{report['sale']}' GROUP BY o.state")
    assert [row["n"] for row in sold] == ["20"]
    assert step(report, "paid")["latency"]["n"] == 20


def test_who_was_told_nothing_asks_again_with_the_same_key(bench):
    """1 ms is too short for an order: nobody is answered at first, yet nobody gets two orders."""
    report = bench.play("retry-storm", "--arrivals", "spike 60", "--connections", "30", "--units", "40",
                        "--timeout", "6ms", "--persist", "20s")
    assert report["ledger"]["doubles"] == 0 and report["ledger"]["live_units"] <= 40
    assert report["totals"]["sent"] >= 60


class Deaf(http.server.BaseHTTPRequestHandler):
    """A service that opens sales and never answers an order: the client has to go."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/v1/orders":
            self.rfile.read(1)
            self.close_connection = True
        else:
            self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "16")
        self.end_headers()
        self.wfile.write(b'{"state":"open"}')

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def deaf_service():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Deaf, bind_and_activate=False)
    server.request_queue_size = 128  # all connections at once
    server.server_bind()
    server.server_activate()
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.parametrize("plan", [["--arrivals", "spike 120"], ["--arrivals", "closed", "--shoppers", "120"]])
def test_connections_that_time_out_are_opened_again(bench, plan):
    """More than are looked after at a time; each serves four shoppers, one after the other."""
    with deaf_service() as url:
        text = bench.run("run", "rush", "--url", url, "--no-proof", "--quiet", "--json", "-", "--connections", "30",
                         "--timeout", "200ms", "--late-max", "1h", *plan, code=4)
    report = json.loads(text)
    assert report["invalid"] == "nothing was answered"
    assert report["totals"]["shoppers"] == report["totals"]["timeouts"] == 120


def test_a_few_items_are_hot(bench):
    report = bench.play("hot-and-cold", "--shoppers", "300", "--items", "40", "--units", "enough",
                        "--connections", "10", "--zipf", "1.2")
    rows = bench.shop.sql(f"SELECT i.sku, COUNT(*) AS n FROM orders o JOIN items i ON i.no = o.item JOIN sales s "
                          f"ON s.no = i.sale WHERE s.id = '{report['sale']}' GROUP BY i.sku ORDER BY n DESC")
    assert rows[0]["sku"] == "unit-0001" and int(rows[0]["n"]) > 60
    assert len(rows) > 10


def test_limits_decide_the_exit_code(bench, folder):
    small = ("--shoppers", "40", "--units", "enough", "--connections", "4")
    report = bench.play("rush", *small, "--fail-if", "p99>600s", "--fail-if", "errors>0")
    assert [t["ok"] for t in report["thresholds"]] == [True, True]
    report = bench.play("rush", *small, "--fail-if", "p50>1us", code=5)
    assert report["exit"] == 5 and not report["thresholds"][0]["ok"]
    report = bench.play("rush", *small, "--fail-if", "refusals.p50>1us", code=4)  # nobody was refused
    assert "not measured" in report["invalid"]
    jsonschema.validate(report, SCHEMA)


def test_a_run_that_is_interrupted_reports_what_there_is(bench):
    progress = bench.folder / unique("progress-")
    command, env = bench.command("run", "steady", "--url", f"http://{bench.shop.instance.address}", "--json", "-",
                                 "--quiet", "--progress", progress, "--arrivals", "constant 50/s for 1h",
                                 "--shoppers", "5000", "--connections", "5")
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: progress.exists() and '"acked":5' in progress.read_text())
    child.send_signal(signal.SIGINT)
    report = json.loads(child.communicate(timeout=60)[0])
    assert child.returncode == 4 and report["invalid"] == "interrupted"
    assert report["totals"]["orders"] == report["ledger"]["matched"] >= 5


def test_usage_is_checked_before_anything_happens(bench, folder):
    assert "no such scenario" in bench.run("no-such", code=2)
    assert "--shoppers: want a whole number" in bench.run("rush", "--shoppers", "many", code=2)
    bad = folder / "bad.ini"
    bad.write_text("[step a]\nsend = GET /\ncolour = red\n")
    assert f"{bad}:3: colour: no key of a step" in bench.run("run", bad, code=2)
    assert "only one of them" in bench.run("rush", "--json", "-", "--html", "-", code=2)
    assert "arrivals: want a rate such as 2000/s" in bench.run(
        "steady", "--arrivals", "constant fast", "--no-proof", code=2)


def test_the_log_holds_what_the_report_says(bench, folder):
    log = folder / "run.hlog"
    report = bench.play("rush", *SMALL["rush"], "--hdr", log)
    lines = bench.run("merge", log).splitlines()
    row = next(line.split() for line in lines if line.startswith("refusals"))
    assert int(row[1]) == report["latency"]["refusals"]["n"]


def test_the_page_shows_the_run(bench, folder):
    page = folder / "run.html"
    report = bench.play("rush", *SMALL["rush"], "--html", page)
    text = page.read_text()
    assert report["sale"] in text and "<svg" in text


def test_the_readme_has_a_scenario_that_can_be_played(bench, folder):
    example = folder / "example.ini"
    example.write_text((ROOT / "bench/README.md").read_text().split("```ini\n")[1].split("```")[0])
    report = bench.play(example, "--arrivals", "constant 20/s for 1s", "--connections", "10")
    assert report["totals"]["orders"] > 0 and report["totals"]["bad_answers"] == 0


def test_what_nobody_answers_proves_nothing(bench, folder):
    only = folder / "nowhere.ini"
    only.write_text("[load]\nshoppers = 5\nconnections = 2\n[step page]\nsend = GET http://host:99999/\nas = nobody\n")
    report = bench.play(only, code=4)
    assert report["invalid"] == "nothing was answered" and report["totals"]["bad_answers"] == 5


def test_another_service_needs_no_proof(bench, folder):
    only = folder / "pages.ini"
    only.write_text("[load]\nshoppers = 50\nconnections = 5\n"
                    "[step page]\nsend = GET /v1/sales/${sale}\nas = nobody\nrepeat = 3\n")
    report = bench.play(only, "--no-proof")
    assert answers(report, "page") == {(200, ""): 150}
    assert "ledger" not in report and "audit" not in report
