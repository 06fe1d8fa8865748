"""`snapup-bench report`: the page of a run, whatever the run looks like."""

import copy
import html
import html.parser
import json
import re
import subprocess
import xml.etree.ElementTree

import jsonschema
import pytest

from helpers_run import sample_run
from snapup import BUILD, ROOT

VOID = {"meta", "br", "hr", "input", "link", "img"}
CHARTS = ["rate", "latency", "spectrum", "stock", "cpu", "groups", "flight", "commits"]
HOSTILE = "</td></table></svg><script>alert(1)</script><img src=x onerror=\"alert(1)\">&'\u0001"


class Page(html.parser.HTMLParser):
    """Tags must nest; what a page must not have is gathered."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.outside, self.handlers, self.heads = [], [], [], []
        self.count, self.text = {}, []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                self.outside.append((tag, name, value))
            if name.startswith("on"):
                self.handlers.append((tag, name))
        if tag == "th":
            self.heads.append(dict(attrs).get("scope"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def report(folder, run, other=None, expect=0):
    (folder / "run.json").write_text(run if isinstance(run, str) else json.dumps(run))
    argv = [BUILD / "snapup-bench", "report", folder / "run.json", "-o", folder / "run.html"]
    if other is not None:
        (folder / "other.json").write_text(json.dumps(other))
        argv += ["--compare", folder / "other.json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expect, done.stderr
    return (folder / "run.html").read_text() if expect == 0 else done.stderr


def table(text, caption):
    """The rows of a table as texts, without its head."""
    head = re.escape(caption.replace("'", "&#39;"))
    found = re.search(f"<caption>{head}</caption>.*?<tbody>(.*?)</tbody>", text, re.DOTALL)[1]
    cells = (re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", found))
    return [[html.unescape(re.sub("<.*?>", "", cell)) for cell in row] for row in cells]


def check_page(text):
    """What every page has to be: whole, closed to the outside, with charts that are XML."""
    page = Page(text)
    assert page.outside == [] and page.handlers == []
    assert not re.search(r"https?://|url\(|@import", re.sub(r">[^<]*<", "><", text))
    assert page.count["script"] == 1 and "img" not in page.count
    assert set(page.heads) <= {"row", "col"}
    charts = {}
    for svg in re.findall(r'<svg class="chart".*?</svg></div>', text, re.DOTALL):
        root = xml.etree.ElementTree.fromstring(svg.removesuffix("</div>"))
        assert root.get("role") == "img"
        title, desc = (root.find(name) for name in ("title", "desc"))
        assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
        assert title.text
        charts[title.get("id").removesuffix("-title")] = root
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    return page, charts


@pytest.fixture(scope="module")
def schema():
    schema = json.loads((ROOT / "bench/report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_a_run_is_what_the_schema_says(schema):
    schema.validate(sample_run())
    for break_it in (lambda run: run.pop("latency"), lambda run: run.update(version=2),
                     lambda run: run.update(valid=False), lambda run: run.update(sale=None),
                     lambda run: run["totals"].update(sent=-1), lambda run: run.update(more=1),
                     lambda run: run["spectrum"].append([1, 1.5])):
        run = sample_run()
        break_it(run)
        assert not schema.is_valid(run)


def test_a_page_shows_all_of_a_run(tmp_path):
    page, charts = check_page(report(tmp_path, sample_run()))
    assert sorted(charts) == sorted(CHARTS)
    for found in ("Every promise was kept", "Valid", "all but the generator 25.3 s 31.9 µs", "Generator on time, p99 310 µs",
                  "Within its limits", "40,400/s", "20.8 ms", "A crowd at T0 for scarce stock",
                  "POST /v1/orders", "sold_out", "held_is_live", "constant 40000/s for 30s"):
        assert found in page.words, found
    assert "no figures" not in page.words
    assert len(charts["rate"].findall("svg/path")) == 4
    assert len(charts["cpu"].findall("svg/path")) == 4
    assert len(charts["latency"].findall("svg/path")) == 5
    assert "M" in charts["groups"].find("svg/path").get("d")
    assert "orders per transaction from 0" not in charts["groups"].find("desc").text
    assert "orders from 0/s to" in charts["rate"].find("desc").text


def test_two_runs_lie_over_each_other(tmp_path):
    slower = sample_run(intervals=70, orders_per_s=20_000, median_us=10_400, seed=2)
    page, charts = check_page(report(tmp_path, sample_run(), slower))
    paths = charts["rate"].findall("svg/path")
    assert [("other" in path.get("class")) for path in paths] == [False] * 4 + [True] * 4
    assert "durable orders 40,400/s 20,200/s 2 × better" in page.words
    assert "orders, p99 20.8 ms 41.6 ms 0.5 × better" in page.words
    assert len(charts["commits"].findall("rect")) == 18  # without the empty ones at the end
    page, _ = check_page(report(tmp_path, slower, sample_run()))
    assert "durable orders 20,200/s 40,400/s 0.5 × worse" in page.words


def with_more(run):
    """A run with a step, an answer, a process, a limit and a check that sample_run() does not have."""
    step = run["steps"][0]
    step["answers"] = [{"status": 0, "code": "", "n": 20, "expected": False}, step["answers"][0]]
    look = {"name": "look", "request": "GET /v1/orders/${order}", "sent": 40, "latency": step["latency"],
            "service_time": step["latency"], "answers": [{"status": 200, "code": "", "n": 40, "expected": True}]}
    run["steps"] = [look, step]
    run["cpu_us"] = {"node": 30_000_000, "generator": 1_000_000}
    run["thresholds"].append({"text": "errors>1%", "unit": "share", "value": 0.02, "ok": False})
    run["audit"]["ok"] = False
    run["audit"]["checks"].append({"name": "left", "promise": "P4", "ok": False, "expected": 2, "found": 1})
    run["promises"][1] = {"promise": "P2", "ok": False, "found": "3 missing"}
    run["totals"]["late_joiners"] = 12
    return run


def test_what_both_runs_have_stands_side_by_side(tmp_path):
    run, other = sample_run(intervals=8), with_more(sample_run(intervals=8, orders_per_s=20_000, seed=2))
    for first, second, names in ((run, other, ("this", "other")), (other, run, ("other", "this"))):
        text = report(tmp_path, first, second)
        check_page(text)
        answers = [row[:4] for row in table(text, "Answers by status and code, as shares of the step's requests")]
        sold = [f"{r['steps'][-1]['answers'][k]['n']:,}" for r, k in ((run, 0), (other, 1))]
        assert sorted(answers) == sorted([
            ["order", names[0], "201", ""], ["order", names[1], "201", ""], ["order", names[0], "409", "sold_out"],
            ["order", names[0], "503", "overloaded"], ["order", names[1], "none", ""], ["look", names[1], "200", ""]])
        at = answers.index(["order", "this", "201", ""])
        assert answers[at + 1][1] == "other"
        shown = table(text, "Answers by status and code, as shares of the step's requests")
        assert sorted([shown[at][4], shown[at + 1][4]]) == sorted(sold)
        steps = [row[:4] for row in table(text, "Latency of each step")]
        sent = [f"{r['steps'][-1]['sent']:,}" for r in (run, other)]
        order = [["order", name, "POST /v1/orders", n] for name, n in zip(names, sent)]
        look = ["look", names[1], "GET /v1/orders/${order}", "40"]
        assert steps == ([*order, look] if first is run else [look, *reversed(order)])


def test_two_runs_show_both_verdicts(tmp_path):
    other = with_more(sample_run(intervals=8)) | {"valid": False, "invalid": "nothing was sold", "exit": 4}
    text = report(tmp_path, sample_run(intervals=8), other)
    page, _ = check_page(text)
    head = page.words[:page.words.index("durable orders")]
    assert head.index("Every promise was kept") < head.index("Other run (dashed)") < head.index("A promise was broken")
    assert "Why: nothing was sold" in head
    assert table(text, "What shoppers were told, against MariaDB")[2:4] == [
        ["P2", "this", "kept", table(text, "What shoppers were told, against MariaDB")[0][3]],
        ["P2", "other", "BROKEN", "3 missing"]]
    assert ["errors>1%", "other", "HOLDS", "2 %"] in table(
        text, "A limit that holds fails the run, and so does one that nothing was held against")
    assert ["left", "other", "P4", "BROKEN", "2", "1"] in table(text, "Not in order")
    processors = [row[:3] for row in table(text, "Of the whole run")]
    assert ["node", "other", "30 s"] in processors and ["service", "this", "12.4 s"] in processors
    assert processors[-2:] == [["all but the generator", "this", "25.3 s"], ["all but the generator", "other", "30 s"]]
    assert ["late joiners", "", "12"] in table(text, "All answers and failures")


def test_what_only_the_other_run_has_is_shown(tmp_path):
    run = sample_run(intervals=8)
    for name in ("steps", "commit_groups", "cpu_us", "audit", "promises", "ledger", "spectrum"):
        del run[name]
    for name in ("stock", "cpu", "commit_group"):
        del run["series"][name]
    page, charts = check_page(report(tmp_path, run, sample_run(intervals=8)))
    assert sorted(charts) == sorted(CHARTS) and "no figures" not in page.words
    assert "sold_out" in page.words and "held_is_live" in page.words
    assert {path.get("class") for path in charts["stock"].findall("svg/path")} == {"c0 other"}


def test_one_run_has_no_column_of_runs(tmp_path):
    text = report(tmp_path, sample_run(intervals=8))
    assert ">Run<" not in text and ">this<" not in text
    assert table(text, "Latency of each step")[0][:2] == ["order", "POST /v1/orders"]


def test_a_process_has_one_colour_in_both_runs(tmp_path):
    run, other = sample_run(intervals=8), sample_run(intervals=8)
    run["series"]["cpu"] = {"service": [0.5] * 8, "redis": [0.2] * 8}
    other["series"]["cpu"] = {"node": [0.9] * 8, "redis": [0.3] * 8}
    _, charts = check_page(report(tmp_path, run, other))
    found = [(path.get("data-name"), path.get("class")) for path in charts["cpu"].findall("svg/path")]
    assert found == [("service", "c0"), ("redis", "c1"), ("node", "c2 other"), ("redis", "c1 other")]
    run["series"]["cpu"] = {f"process {k}": [0.1] * 8 for k in range(100)}
    check_page(report(tmp_path, run, run))


@pytest.mark.parametrize("change, found", [
    ({"exit": 1}, "A promise was broken"),
    ({"exit": 4, "valid": False, "invalid": "nothing was sold"}, "Not valid Why: nothing was sold"),
    ({"exit": 5, "thresholds": [{"text": "p99>9ms", "unit": "us", "value": 10_400, "ok": False}]},
     "p99>9ms HOLDS 10.4 ms"),
    ({"exit": 4, "thresholds": [{"text": "p99>9ms", "unit": "us", "ok": False}]}, "p99>9ms not measured –"),
    ({"thresholds": [{"text": "errors>1%", "unit": "share", "value": 0.004, "ok": True}]},
     "errors>1% does not hold 0.4 %"),
    ({"generator": {"late_p99_us": 4100, "late_share": 0.002}}, "Generator late, p99 4.1 ms"),
    ({"exit": 4, "promises": [{"promise": "P2", "ok": False, "found": "1 missing"}]},
     "A promise was broken"),
    ({"exit": 99}, "Nothing says how it ended"),
])
def test_the_headline_says_what_is_wrong(tmp_path, change, found):
    page, _ = check_page(report(tmp_path, sample_run() | change))
    assert found in page.words


def test_closed_load_has_no_late_generator(tmp_path):
    page, _ = check_page(report(tmp_path, sample_run() | {"load": "closed"}))
    assert "Generator on time" not in page.words and "Closed load" in page.words


@pytest.mark.parametrize("path, left_out", [
    (["series"], ["rate", "latency", "stock", "cpu", "groups", "flight"]),
    (["series", "t"], ["rate", "latency", "stock", "cpu", "groups", "flight"]),
    (["series", "stock"], ["stock"]), (["series", "cpu"], ["cpu"]),
    (["series", "commit_group"], ["groups"]), (["spectrum"], ["spectrum"]),
    (["commit_groups"], ["commits"]), (["steps"], []), (["totals"], []), (["audit"], []),
    (["promises"], []), (["settings"], []), (["latency"], []), (["cpu_us"], []), (["ledger"], []),
])
@pytest.mark.parametrize("wrong", [None, 7, "text", [], {}, [[]], [{}], [None, "x", True]])
def test_what_is_missing_or_wrong_is_left_out(tmp_path, path, left_out, wrong):
    run = sample_run(intervals=8)
    *above, last = path
    inside = run
    for name in above:
        inside = inside[name]
    if wrong is None:
        del inside[last]
    else:
        inside[last] = wrong
    page, charts = check_page(report(tmp_path, run))
    if wrong in (None, 7, "text", [], {}):
        assert sorted(charts) == sorted(set(CHARTS) - set(left_out))
        assert ": the run has no figures for it" in page.words
    check_page(report(tmp_path, sample_run(intervals=8), run))


def made_hostile(value):
    """The same shape with every text, and many a name, replaced."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, list):
        return [made_hostile(item) for item in value]
    if isinstance(value, dict):
        return {name: made_hostile(item) for name, item in value.items()} | {HOSTILE: HOSTILE}
    return value


def test_hostile_text_stays_text(tmp_path):
    run = made_hostile(sample_run(intervals=8))
    run["object"] = "run"
    page, charts = check_page(report(tmp_path, run, copy.deepcopy(run)))
    assert sorted(charts) == sorted(CHARTS)
    assert "<script>alert(1)</script>" in page.words


@pytest.mark.parametrize("number", [1e308, -1e308, 5e-324, 0, -1, 10**18])
def test_hostile_numbers_stay_on_the_page(tmp_path, number):
    def replace(value):
        if isinstance(value, list):
            return [replace(item) for item in value]
        if isinstance(value, dict):
            return {name: replace(item) for name, item in value.items()}
        return number if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    run = replace(sample_run(intervals=8)) | {"version": 1}
    text = report(tmp_path, run, sample_run())
    check_page(text)
    check_page(report(tmp_path, sample_run(), run))
    points = re.findall(r'<path[^>]* d="([^"]*)"', text)
    assert not re.search("nan|inf", " ".join(points))


def test_a_long_run_is_thinned(tmp_path):
    run = sample_run(intervals=40_000)
    text = report(tmp_path, run)
    _, charts = check_page(text)
    for path in charts["latency"].findall("svg/path"):
        assert 400 <= len(re.findall("[ML]", path.get("d"))) <= 1000
    assert len(text) < 1_000_000


@pytest.mark.parametrize("content, why", [
    ("", "line 1"), ("{", "line 1"), ("[]", "not a run"), ("{}", "not a run"),
    ('{"object":"run","version":2}', "not a run"), ('{"object":"rush","version":1}', "not a run"),
    ('{"object":"run","version":1,"version":1}', "duplicate"), ("[" * 100_000, "line 1"),
])
def test_a_bad_file_is_refused(tmp_path, content, why):
    assert why in report(tmp_path, content, expect=3)
    assert not (tmp_path / "run.html").exists()


@pytest.mark.parametrize("argv, result", [
    ([], 2), (["a", "b"], 2), (["--what"], 2), (["a", "--compare"], 2), (["/none.json"], 3),
    (["/"], 3), (["--help"], 0),
])
def test_the_command_line(argv, result):
    done = subprocess.run([BUILD / "snapup-bench", "report", *argv], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == result
    assert done.stdout if result == 0 else done.stderr.startswith("snapup-bench report: ")


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(sample_run()))
    for output in ("/dev/full", tmp_path / "none/run.html"):
        done = subprocess.run([BUILD / "snapup-bench", "report", tmp_path / "run.json", "-o", output],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3 and str(output) in done.stderr
