"""The process itself: health, metrics, its own description, and what every answer has in common."""

import re

import pytest

from snapup import ROOT, STOREFRONT_KEY, unique

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
