"""Everything that is not a request: each is told clearly what is wrong, and nothing comes of it."""

import json

import pytest

from helpers_crowd import post_large
from snapup import OPERATOR_KEY, STOREFRONT_KEY, Sale, mint, sign_webhook, unique


@pytest.fixture(scope="module")
def sale(shop):
    """One sale for all of this; at the end it is as it was."""
    sale = shop.make_sale(stock=10, limit=5)
    before = shop.audit(sale)["items"]
    yield sale
    assert shop.assert_audit_ok(sale)["items"] == before


def body(sale, changes=None):
    """A purchase with members replaced, added, or removed by None."""
    document = {"sale": sale.id, "sku": sale.sku, "qty": 1, **(changes or {})}
    return json.dumps({name: value for name, value in document.items() if value is not None})


def filled(sale, text):
    """Text with the sale's names put in."""
    return text.replace("SALE", sale.id).replace("SKU", sale.sku)


# (what, template of the body, the field to blame or None where there is none for sure)
TEXTS = [
    ("nothing", b"", None),
    ("blank", b"   ", None),
    ("not_json", b"sale=a&sku=b&qty=1", None),
    ("cut_off", b'{"sale":"SALE","sku":"SKU","qty":', None),
    ("trailing_text", b'{"sale":"SALE","sku":"SKU","qty":1} x', None),
    ("two_documents", b'{"sale":"SALE","sku":"SKU","qty":1}{}', None),
    ("trailing_comma", b'{"sale":"SALE","sku":"SKU","qty":1,}', None),
    ("comment", b'{"sale":"SALE","sku":"SKU",/* one */"qty":1}', None),
    ("single_quotes", b"{'sale':'SALE','sku':'SKU','qty':1}", None),
    ("array", b'["SALE","SKU",1]', None),
    ("string", b'"SALE"', None),
    ("number", b"1", None),
    ("null", b"null", None),
    ("byte_order_mark", b'\xef\xbb\xbf{"sale":"SALE","sku":"SKU","qty":1}', None),
    ("utf_16", '{"sale":"SALE","sku":"SKU","qty":1}'.encode("utf-16"), None),
    ("deep_arrays", b"[" * 900, None),
    ("deep_inside", b'{"sale":' + b"[" * 300 + b"]" * 300 + b"}", "sale"),
    ("deep_unknown", b'{"x":' * 100 + b"1" + b"}" * 100, None),
    ("duplicate_key", b'{"sale":"SALE","sku":"SKU","qty":1,"qty":1}', "qty"),
    ("duplicate_key_escaped", b'{"sale":"SALE","sku":"SKU","qty":1,"q\\u0074y":2}', "qty"),
    ("raw_nul_in_string", b'{"sale":"SALE\x00","sku":"SKU","qty":1}', None),
    ("raw_nul_outside", b'{"sale":"SALE","sku":"SKU","qty":1}\x00', None),
    ("escaped_nul", b'{"sale":"SALE\\u0000","sku":"SKU","qty":1}', "sale"),
    ("raw_newline_in_string", b'{"sale":"SA\nLE","sku":"SKU","qty":1}', None),
    ("escaped_newline", b'{"sale":"SALE\\n","sku":"SKU","qty":1}', "sale"),
    ("escaped_delete", b'{"sale":"SALE","sku":"SKU\\u007f","qty":1}', "sku"),
    ("invalid_utf8", b'{"sale":"\xff\xfe","sku":"SKU","qty":1}', None),
    ("overlong_utf8", b'{"sale":"SALE","sku":"\xc0\xaf","qty":1}', None),
    ("surrogate_utf8", b'{"sale":"SALE","sku":"\xed\xa0\x80","qty":1}', None),
    ("lone_surrogate", b'{"sale":"SALE","sku":"\\ud800","qty":1}', None),
    ("cut_utf8", b'{"sale":"SALE","sku":"\xe2\x82","qty":1}', None),
    ("bad_escape", b'{"sale":"SALE","sku":"\\x41","qty":1}', None),
    ("qty_leading_zero", b'{"sale":"SALE","sku":"SKU","qty":01}', None),
    ("qty_plus", b'{"sale":"SALE","sku":"SKU","qty":+1}', None),
    ("qty_hex", b'{"sale":"SALE","sku":"SKU","qty":0x1}', None),
    ("qty_nan", b'{"sale":"SALE","sku":"SKU","qty":NaN}', None),
    ("qty_exponent", b'{"sale":"SALE","sku":"SKU","qty":1e0}', "qty"),
    ("qty_one_point_zero", b'{"sale":"SALE","sku":"SKU","qty":1.0}', "qty"),
    ("qty_minus_zero", b'{"sale":"SALE","sku":"SKU","qty":-0}', "qty"),
    ("qty_past_64_bits", b'{"sale":"SALE","sku":"SKU","qty":18446744073709551617}', "qty"),
    ("qty_endless", b'{"sale":"SALE","sku":"SKU","qty":' + b"9" * 500 + b"}", "qty"),
]

FIELDS = [
    ("qty", {"qty": 0}),
    ("qty", {"qty": -1}),
    ("qty", {"qty": 2**63}),
    ("qty", {"qty": 2**63 - 1}),
    ("qty", {"qty": -(2**63)}),
    ("qty", {"qty": 2**32 + 1}),
    ("qty", {"qty": 1_000_001}),
    ("qty", {"qty": 2**31}),
    ("qty", {"qty": 1.5}),
    ("qty", {"qty": "1"}),
    ("qty", {"qty": True}),
    ("qty", {"qty": [1]}),
    ("qty", {"qty": {}}),
    ("qty", {"qty": None}),
    ("sale", {"sale": None}),
    ("sale", {"sale": ""}),
    ("sale", {"sale": 1}),
    ("sale", {"sale": "a b"}),
    ("sale", {"sale": "a/b"}),
    ("sale", {"sale": "x" * 65}),
    ("sale", {"sale": "\x01"}),
    ("sale", {"sale": "sälé"}),
    ("sku", {"sku": None}),
    ("sku", {"sku": ""}),
    ("sku", {"sku": False}),
    ("sku", {"sku": "a\tb"}),
    ("sku", {"sku": "x" * 65}),
    ("sku", {"sku": "{}"}),
]

UNKNOWN = [{"price": 1}, {"state": "paid"}, {"shopper": "me"}, {"Qty": 1}, {"": 1}, {"qty\u0000": 1},
           {"x" * 300: 1}, {"nested": {"a": [1, {"b": None}]}}]


def test_a_good_one_is_taken(shop):
    """Without it the refusals below could have any reason."""
    sale = shop.make_sale()
    text = filled(sale, '{"sale":"SALE","sku":"SKU","qty":1}')
    shop.client.post("/v1/orders", text, token=mint(unique("shopper-"))).expect(201)


@pytest.mark.parametrize("what,text,param", TEXTS, ids=[row[0] for row in TEXTS])
def test_bodies_that_are_not_a_purchase(shop, sale, what, text, param):
    text = text.replace(b"SALE", sale.id.encode()).replace(b"SKU", sale.sku.encode())
    answer = shop.client.post("/v1/orders", text, token=mint("shopper"),
                              headers={"Content-Type": "application/json"})
    answer.expect(400, "invalid_request")
    assert answer.json["detail"]
    if param is not None:
        assert answer.json["param"] == param


@pytest.mark.parametrize("param,changes", FIELDS, ids=[f"{row[0]}-{n}" for n, row in enumerate(FIELDS)])
def test_fields_that_are_wrong_are_named(shop, sale, param, changes):
    answer = shop.client.post("/v1/orders", body(sale, changes), token=mint("shopper"))
    assert answer.expect(400, "invalid_request").json["param"] == param


@pytest.mark.parametrize("change", UNKNOWN, ids=[str(n) for n in range(len(UNKNOWN))])
def test_unknown_fields(shop, sale, change):
    answer = shop.client.post("/v1/orders", body(sale, change), token=mint("shopper"))
    answer.expect(400, "invalid_request")


def test_a_megabyte(shop, sale):
    text = body(sale, {"note": "x" * (1 << 20)}).encode()
    bearer = {"Authorization": f"Bearer {mint('shopper')}"}
    post_large(shop, "/v1/orders", text, bearer).expect(413, "invalid_request")


def test_a_form_is_not_json(shop, sale):
    answer = shop.client.post("/v1/orders", f"sale={sale.id}&sku={sale.sku}&qty=1", token=mint("shopper"),
                              headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status in (400, 415), answer
    assert answer.code == "invalid_request"


@pytest.mark.parametrize("given", ["application/json; charset=utf-8", "Application/JSON"])
def test_content_types_that_mean_json(shop, given):
    sale = shop.make_sale()
    shop.client.post("/v1/orders", body(sale), token=mint(unique("shopper-")),
                     headers={"Content-Type": given}).expect(201)


def test_no_content_type(shop):
    """Not everybody sets one; there is only one thing it could be."""
    sale = shop.make_sale()
    text = body(sale)
    with shop.raw() as conn:
        conn.send(f"POST /v1/orders HTTP/1.1\r\nHost: snapup\r\nAuthorization: Bearer {mint(unique('s'))}\r\n"
                  f"Content-Length: {len(text)}\r\n\r\n{text}")
        conn.read_answer().expect(201)


def test_a_compressed_body_is_not_json(shop, sale):
    answer = shop.client.post("/v1/orders", b"\x1f\x8b\x08\x00" + b"\x00" * 32, token=mint("shopper"))
    answer.expect(400, "invalid_request")


# --- Ids in paths ------------------------------------------------------------------------------------

BAD_IDS = ["%01", "a%0Ab", "a%7Fb", "%00", "a%2Fb", "%C3%A4", "%FF", "a%20b", "x" * 65, "x" * 300, "%"]

# Method, path with {}, statuses a bad id may get: 400, or 404 where it is well-formed but names nothing.
PATHS = [
    ("GET", "/v1/sales/{}"),
    ("POST", "/v1/sales/{}/publish"),
    ("POST", "/v1/sales/{}/items/a/stock"),
    ("GET", "/v1/sales/{}/audit"),
    ("GET", "/v1/orders/{}"),
    ("POST", "/v1/orders/{}/cancel"),
    ("POST", "/v1/orders/{}/payments"),
    ("GET", "/v1/payments/{}"),
]


@pytest.mark.parametrize("method,path", PATHS)
@pytest.mark.parametrize("bad", BAD_IDS, ids=[bad[:12] for bad in BAD_IDS])
def test_ids_in_paths(shop, method, path, bad):
    text = {"delta": 1, "reason": "x"} if path.endswith("stock") else {} if "payments" in path else None
    token = STOREFRONT_KEY if "sales" in path else mint("shopper")
    answer = shop.client.request(method, path.format(bad), body=text if method == "POST" else None, token=token)
    assert answer.status in (400, 404), answer
    assert answer.code in ("invalid_request", "not_found", "sale_not_found", "order_not_found",
                           "payment_not_found")


@pytest.mark.parametrize("bad", BAD_IDS, ids=[bad[:12] for bad in BAD_IDS])
def test_skus_in_paths(shop, sale, bad):
    answer = shop.client.post(f"/v1/sales/{sale.id}/items/{bad}/stock", {"delta": 1, "reason": "x"},
                              token=STOREFRONT_KEY)
    assert answer.status in (400, 404), answer
    assert answer.code in ("invalid_request", "not_found", "item_not_found")


# --- Other bodies ------------------------------------------------------------------------------------

# Bodies that no route takes, whatever it reads.
NO_DOCUMENTS = [b"", b"null", b"[]", b"1", b'"x"', b"{", b'{"a":1,"a":2}', b"\xff", b'{"a":"\x00"}',
                b'{"a":"\xed\xa0\x80"}', b"{}{}", b"[" * 900, b'{"a":' * 180]


@pytest.mark.parametrize("text", NO_DOCUMENTS, ids=[str(n) for n in range(len(NO_DOCUMENTS))])
@pytest.mark.parametrize("route", ["sales", "stock", "payments", "webhook"])
def test_other_routes_take_none_of_these(shop, sale, order, route, text):
    headers = {"Content-Type": "application/json"}
    if route == "sales":
        answer = shop.client.post("/v1/sales", text, token=STOREFRONT_KEY, headers=headers)
    elif route == "stock":
        answer = shop.client.post(f"/v1/sales/{sale.id}/items/{sale.sku}/stock", text, token=STOREFRONT_KEY,
                                  headers=headers)
    elif route == "payments":
        if text == b"":
            pytest.skip("all members of this body have defaults")
        answer = shop.pay(order, body=text, headers=headers)
    else:
        answer = shop.webhook(text)
    answer.expect(400, "invalid_request")


@pytest.fixture(scope="module")
def order(shop):
    return shop.buy(shop.make_sale()).expect(201).json


@pytest.mark.parametrize("param,change", [
    ("channel", {"channel": 1}),
    ("return_url", {"return_url": "x" * 1025}),
    ("return_url", {"return_url": "javascript:alert(1)"}),
    ("return_url", {"return_url": "http://a\r\nb"}),
    ("return_url", {"return_url": 7}),
    ("amount", {"amount": 1}),
])
def test_payment_fields(shop, order, param, change):
    answer = shop.pay(order, body={"channel": "sandbox", **change})
    assert answer.expect(400, "invalid_request").json["param"] == param


def test_a_webhook_of_a_megabyte(shop):
    text = b'{"id":"' + b"x" * (1 << 20) + b'"}'
    signature = {"Stripe-Signature": sign_webhook(text, shop.sandbox.secret)}
    post_large(shop, "/v1/webhooks/sandbox", text, signature).expect(413, "invalid_request")


# --- Strange, and yet nothing happens ----------------------------------------------------------------

HOSTILE = ["'; DROP TABLE orders; --", "${jndi:ldap://x}", "../../etc/passwd", "<script>", "%s%n", "a\r\nb",
           "\u202e", "💸" * 16, "__proto__"]


@pytest.mark.parametrize("text", HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
def test_hostile_texts(shop, sale, text):
    """As an id they are refused or unknown, as a name they come back as they were."""
    answer = shop.client.post("/v1/orders", json.dumps({"sale": text, "sku": text, "qty": 1}),
                              token=mint("shopper"))
    assert answer.status in (400, 404), answer
    document = shop.sale_document(name=text)
    made = shop.create_sale(document)
    if made.status == 201:
        assert made.json["name"] == text
        seen = shop.client.get(f"/v1/sales/{document['id']}", token=OPERATOR_KEY).expect(200)
        assert seen.json["name"] == text
    else:
        assert made.expect(400, "invalid_request").json["param"] == "name"


def test_names_that_a_sku_may_have(shop):
    """The alphabet of ids holds the words that Redis and JSON use, too."""
    skus = ["epoch", "left", "held", "0", "-1", "..", ":", "a:b", "__proto__", "null", "x" * 64]
    items = [{"sku": sku, "name": sku, "price": 1, "stock": 2, "limit": 1} for sku in skus]
    sale = shop.make_sale(items=items)
    for sku in skus:
        shop.buy(sale, "b:c", sku=sku).expect(201)
        shop.buy(sale, "b:c", sku=sku).expect(409, "limit_reached")
    assert all(item["live"] == 1 for item in shop.assert_audit_ok(sale)["items"])


def test_names_do_not_run_into_each_other(shop):
    """`a:b` of `c` is not `a` of `b:c`."""
    items = [{"sku": sku, "name": sku, "price": 1, "stock": 5, "limit": 1} for sku in ("a", "a:b")]
    sale = shop.make_sale(items=items)
    shop.buy(sale, "b:c", sku="a").expect(201)
    shop.buy(sale, "c", sku="a:b").expect(201)
    shop.assert_audit_ok(sale)


def test_a_sale_named_like_a_route(shop):
    sale = Sale(shop.sale_document(id=f"publish-{unique('')}"))
    shop.create_sale(sale).expect(201)
    shop.sale_action(sale, "publish").expect(200)
