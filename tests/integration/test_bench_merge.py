"""snapup-bench merge, held against HdrHistogram's own JavaScript library (npm: hdr-histogram-js)."""

import json
import shutil
import subprocess

import pytest

from snapup import BUILD, clean_env

LIBRARY = BUILD.parent / "npm"
QUANTILES = [50, 90, 99, 99.9, 99.99, 100]

# Values in microseconds, of two generators that each had two intervals.
WRITE = """
const hdr = require('hdr-histogram-js');
const { writeFileSync } = require('fs');
for (const generator of [1, 2]) {
    let text = '';
    const writer = new hdr.HistogramLogWriter((part) => { text += part; });
    writer.outputLogFormatVersion();
    writer.outputStartTime(1700000000000);
    writer.outputLegend();
    for (const interval of [0, 1]) {
        for (const tag of ['orders', 'refusals']) {
            const h = hdr.build({ lowestDiscernibleValue: 1, highestTrackableValue: 1e9,
                                  numberOfSignificantValueDigits: 3 });
            for (let i = 1; i <= 20000; i++) {
                h.recordValue(Math.floor(i * i / (tag === 'orders' ? 50 : 7)) + generator * 1000 + interval);
            }
            h.tag = tag;
            h.startTimeStampMsec = 1700000000000 + interval * 1000;
            h.endTimeStampMsec = h.startTimeStampMsec + 1000;
            writer.outputIntervalHistogram(h, undefined, undefined, 1);
        }
    }
    writeFileSync(`${process.argv[1]}/g${generator}.hlog`, text);
}
"""

READ = """
const hdr = require('hdr-histogram-js');
const { readFileSync } = require('fs');
const sums = {};
for (const path of process.argv.slice(1)) {
    const reader = new hdr.HistogramLogReader(readFileSync(path, 'utf8'));
    for (let h; (h = reader.nextIntervalHistogram()) !== null;) {
        const sum = sums[h.tag] ??= hdr.build({ highestTrackableValue: 4e9, numberOfSignificantValueDigits: 3 });
        sum.add(h);
    }
}
const quantiles = JSON.parse(process.env.QUANTILES);
console.log(JSON.stringify(Object.fromEntries(Object.entries(sums).map(([tag, h]) =>
    [tag, [h.totalCount, ...quantiles.map((q) => h.getValueAtPercentile(q))]]))));
"""


def merge(*args):
    done = subprocess.run([BUILD / "snapup-bench", "merge", *args], env=clean_env(), capture_output=True,
                          text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def node():
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("there is no Node.js here")
    if not (LIBRARY / "node_modules/hdr-histogram-js").exists():
        subprocess.run(["npm", "install", "--prefix", LIBRARY, "--no-package-lock", "--no-audit", "--no-fund",
                        "--loglevel=error", "hdr-histogram-js@3"], check=True, timeout=300)

    def run(script, *args):
        env = {**clean_env(), "NODE_PATH": str(LIBRARY / "node_modules"), "QUANTILES": json.dumps(QUANTILES)}
        return subprocess.run(["node", "-e", script, *args], env=env, capture_output=True, text=True,
                              check=True, timeout=60, stdin=subprocess.DEVNULL).stdout
    return run


def test_logs_are_those_of_hdrhistogram(node, tmp_path):
    node(WRITE, tmp_path)
    parts = [tmp_path / "g1.hlog", tmp_path / "g2.hlog"]
    code, out, err = merge(*parts, "-o", tmp_path / "all.hlog")
    assert (code, err) == (0, "")
    theirs = json.loads(node(READ, *parts))
    ours = json.loads(node(READ, tmp_path / "all.hlog"))
    assert ours == theirs
    for tag, (n, *values) in theirs.items():
        row = next(line for line in out.splitlines() if line.startswith(tag)).split()
        assert int(row[1]) == n == 80000
        assert [float(ms) for ms in row[3:]] == [round(us / 1000, 3) for us in values]


@pytest.mark.parametrize("text, why", [
    (None, "No such file"),
    ("", "holds no histogram"),
    ("#[Histogram log format version 1.3]\n", "holds no histogram"),
    ("1,2,3,AAAA\n", "line 1: the histogram is of another version"),
    ("\x00\xff\n", "line 1: is too long, or no text"),
    ("\xff\x00\n", "line 1: is too long, or no text"),
    ("\xff\n", "line 1: want start"),
])
def test_bad_logs(tmp_path, text, why):
    path = tmp_path / "bad.hlog"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    code, out, err = merge(path)
    assert (code, out) == (3, "")
    assert why in err and str(path) in err


def test_usage():
    assert merge()[0] == 2
    assert merge("--nonsense")[0] == 2
    code, out, _ = merge("--help")
    assert code == 0 and "Usage" in out
