"""The process itself: health, metrics, its own description, and what every answer has in common."""

import re
import shutil
import subprocess

import pytest

from snapup import PATIENCE_S, ROOT, STOREFRONT_KEY, unique, wait_until

EVERYWHERE = ["/livez", "/readyz", "/metrics", "/openapi.yaml", "/v1/sales", "/v1/sales/none", "/nowhere"]


def test_livez(shop):
    shop.client.get("/livez").expect(200)


def test_readyz_names_its_parts(shop):
    answer = shop.client.get("/readyz").expect(200)
    assert {"redis", "sql"} <= set(answer.json["checks"])


def test_livez_asks_no_credential_and_ignores_a_bad_one(shop):
    shop.client.get("/livez", token="nonsense").expect(200)


def test_openapi_is_the_document_in_the_tree(shop):
    answer = shop.client.get("/openapi.yaml").expect(200)
    assert answer.body == (ROOT / "service/api/openapi.yaml").read_bytes()
    assert "yaml" in answer.headers["Content-Type"]


# --- Metrics -----------------------------------------------------------------------------------------

STAGES = [
    "snapup_reserve_batch_size",
    "snapup_reserve_seconds",
    "snapup_commit_group_size",
    "snapup_commit_seconds",
    "snapup_query_seconds",
]


def metrics_text(shop):
    answer = shop.client.get("/metrics").expect(200)
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.body.decode()


def test_metrics_are_prometheus_text(shop):
    sample = re.compile(r'snapup_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? (-?[0-9.]+(e[+-]?\d+)?|[+-]Inf|NaN)')
    typed = set()
    for line in metrics_text(shop).splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert kind in ("counter", "gauge", "histogram")
            assert name not in typed, f"{name} is declared twice"
            typed.add(name)
        elif line and not line.startswith("# HELP "):
            assert sample.fullmatch(line), line
            name = re.match(r"\w+", line)[0]
            assert name in typed or re.sub(r"_(bucket|sum|count)$", "", name) in typed, line
    assert typed


def test_metrics_cover_the_stages_of_a_purchase(shop):
    shop.buy(shop.make_sale()).expect(201)
    text = metrics_text(shop)
    for stage in STAGES:
        assert f"# TYPE {stage} histogram" in text
        assert shop.instance.metric(f"{stage}_count") > 0, stage
    for gauge in ("snapup_commit_depth", "snapup_query_depth", "snapup_outbox_depth", "snapup_ready"):
        assert f"# TYPE {gauge} gauge" in text


def test_metrics_count_what_happens(shop):
    sale = shop.make_sale()
    rows, won = (shop.instance.metric(f"snapup_{name}_total") for name in ("commit_rows", "reserve_won"))
    order = shop.buy(sale).expect(201)
    shop.buy(sale, order.json["shopper"]).expect(409, "limit_reached")
    assert shop.instance.metric("snapup_commit_rows_total") >= rows + 1
    assert shop.instance.metric("snapup_reserve_won_total") >= won + 1


def test_metrics_count_requests_and_errors_by_route(shop):
    shop.buy(shop.make_sale()).expect(201)
    shop.client.get("/v1/sales/none").expect(404)
    text = metrics_text(shop)
    assert re.search(r'snapup_\w+\{.*"POST /v1/orders".*\}', text)
    assert re.search(r'snapup_\w+\{.*"sale_not_found".*\} [1-9]', text)


def test_metrics_name_nobody(shop):
    """Ids in labels would grow without bound and tell who bought."""
    sale = shop.make_sale()
    shopper = unique("shopper-")
    shop.buy(sale, shopper).expect(201)
    text = metrics_text(shop)
    assert sale.id not in text
    assert sale.sku not in text
    assert shopper not in text


# --- What every answer has in common -----------------------------------------------------------------


@pytest.mark.parametrize("path", EVERYWHERE)
def test_common_headers(shop, path):
    headers = shop.client.get(path).headers
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", headers["X-Request-Id"])
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["Date"])
    assert "Server" not in headers, "who asks need not know what runs here"
    names = [name.lower() for name in headers.keys()]
    assert len(names) == len(set(names)), names


@pytest.mark.parametrize("given", ["a", "A.b_c:d-9", "x" * 64])
def test_request_id_of_the_caller_is_kept(shop, given):
    assert shop.client.get("/livez", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    problem = shop.client.get("/nowhere", headers={"X-Request-Id": given}).json
    assert problem["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a/b", 'a"b', "a,b", "a\xe9"])
def test_request_id_that_is_not_sane_is_replaced(shop, given):
    ours = shop.client.get("/livez", headers={"X-Request-Id": given}).expect(200).headers["X-Request-Id"]
    assert ours and ours != given
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", ours)


def test_request_ids_of_ours_differ(shop):
    ids = [shop.client.get("/livez").headers["X-Request-Id"] for _ in range(50)]
    assert len(set(ids)) == 50


def test_problem_shape(shop):
    answer = shop.client.get("/v1/sales/none").expect(404, "sale_not_found")
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.json["title"] and answer.json["detail"]
    assert "param" not in answer.json


# --- Routing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/v1", "/v1/", "/v1/orders/", "//livez", "/livez/", "/LIVEZ", "/v1/../livez",
     "/v1/./sales", "/v2/orders", "/v1/sales/a/b/c/d/e/f"],
)
def test_unknown_routes(shop, path):
    shop.client.get(path).expect(404, "not_found")


@pytest.mark.parametrize(
    "method,path,allowed",
    [
        ("DELETE", "/v1/orders", {"GET", "HEAD", "POST"}),
        ("PUT", "/v1/sales/x", {"GET", "HEAD"}),
        ("GET", "/v1/sales/x/publish", {"POST"}),
        ("GET", "/v1/webhooks/sandbox", {"POST"}),
        ("POST", "/livez", {"GET", "HEAD"}),
        ("BREW", "/livez", {"GET", "HEAD"}),
        ("OPTIONS", "/livez", {"GET", "HEAD"}),
    ],
)
def test_method_not_allowed(shop, method, path, allowed):
    answer = shop.client.request(method, path).expect(405, "method_not_allowed")
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed


@pytest.mark.parametrize("path", ["/v1/sales/%", "/v1/sales/%0", "/v1/sales/%zz", "/v1/sales/%00",
                                  "/v1/sales/a%2Fb", "/v1/sales/a%0a"])
def test_bad_percent_encoding(shop, path):
    shop.client.get(path).expect(400, "invalid_request")


def test_percent_encoding_is_read(shop):
    sale = shop.make_sale()
    encoded = "".join(f"%{ord(c):02X}" for c in sale.id)
    assert shop.client.get(f"/v1/sales/{encoded}").expect(200).json["id"] == sale.id


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/openapi.yaml", "/v1/sales", "/nowhere"])
def test_head_is_get_without_the_body(shop, path):
    get = shop.client.get(path)
    with shop.raw() as conn:
        for _ in range(2):  # the second shows that no body came with the first
            conn.send(f"HEAD {path} HTTP/1.1\r\nHost: snapup\r\n\r\n")
            head = conn.read_answer(head=True)
            assert head.status == get.status
            assert head.headers["Content-Type"] == get.headers["Content-Type"]
            assert int(head.headers["Content-Length"]) > 0


def test_query_parameters_we_do_not_know(shop):
    answer = shop.client.get("/v1/orders?limt=3", token=STOREFRONT_KEY, headers={"Snapup-Shopper": "s"})
    answer.expect(400, "invalid_request")
    assert answer.json["param"] == "limt"


# --- Debugging ---------------------------------------------------------------------------------------


def test_answers_say_how_long_they_took_in_debug_mode(shop, instance):
    assert "Server-Timing" not in shop.client.get("/livez").headers
    with instance(log_level="debug") as other:
        timing = other.client.get("/v1/sales").expect(200).headers["Server-Timing"]
        assert re.fullmatch(r"total;dur=\d+\.\d", timing)


# --- Settings of the stores --------------------------------------------------------------------------


def warnings(shop):
    answer = shop.client.get("/readyz").expect(200)
    assert all(warning["detail"] for warning in answer.json["warnings"])
    return {warning["code"] for warning in answer.json["warnings"]}


@pytest.mark.parametrize("code,weaken,mend", [
    ("innodb_flush_log_at_trx_commit", "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
     "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
    ("redis_appendonly", "CONFIG SET appendonly no", "CONFIG SET appendonly yes"),
    ("redis_appendfsync", "CONFIG SET appendfsync no", "CONFIG SET appendfsync everysec"),
    ("redis_maxmemory_policy", "CONFIG SET maxmemory-policy allkeys-lru",
     "CONFIG SET maxmemory-policy noeviction"),
])
def test_weak_settings_are_warned_of(shop, code, weaken, mend):
    """It goes on selling: /readyz stays 200."""
    def tell(command):
        return shop.redis(*command.split()) if command.startswith("CONFIG") else shop.sql(command)

    offset = shop.instance.log_size()
    assert warnings(shop) == set()
    tell(weaken)
    try:
        wait_until(lambda: warnings(shop) == {code})
        assert shop.instance.metric("snapup_warnings") == 1
        assert shop.instance.wait_event("warning", offset)["code"] == code
    finally:
        tell(mend)
    wait_until(lambda: warnings(shop) == set())
    assert shop.instance.metric("snapup_warnings") == 0


@pytest.fixture
def evicting_redis(folder):
    """A Redis of the test's own that may evict; its settings' address, and functions to start and end it."""
    path = folder / f"{unique('evict-')}.sock"
    # Debian's redis-tools has the server under the second name; it goes by what it is called.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    servers = []

    def start():
        servers.append(subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--maxmemory", "64mb",
             "--maxmemory-policy", "allkeys-lru", "--dir", folder],
            executable=program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        wait_until(path.exists)

    yield f"unix:{path}", start
    for server in servers:
        server.terminate()
        server.wait(PATIENCE_S)


def test_a_redis_that_may_evict_is_refused_at_start(instance, evicting_redis):
    address, start = evicting_redis
    start()
    with instance(start_it=False, redis=address) as daemon:
        daemon.expected_codes = (1,)
        daemon.start(wait=False)
        assert daemon.child.wait(PATIENCE_S) == 1
        assert f"Redis at {address} may evict" in daemon.log()
        assert "CONFIG SET maxmemory-policy noeviction" in daemon.log()


def test_a_redis_that_comes_later_and_may_evict_gets_no_sale(shop, instance, evicting_redis):
    """Without Redis it starts, unready; the look at first contact is as strict as the one at start."""
    address, start = evicting_redis
    sale = shop.make_sale(stock=5)
    with instance(start_it=False, redis=address) as daemon:
        there = shop.at(daemon)
        daemon.start(wait=False)
        daemon.wait_event("listening")
        wait_until(lambda: there.get_sale(sale).status == 200)
        there.buy(sale).expect(503)
        start()
        daemon.wait_event("redis_may_evict")
        there.buy(sale).expect(503, "recovering")
        assert daemon.client.get("/readyz").expect(503).json["checks"]["gates"] == "recovering"
    shop.buy(sale).expect(201)
    shop.assert_audit_ok(sale)
