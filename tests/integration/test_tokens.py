"""Credentials that are not good: each is 401 with a reason, and the sale is as before."""

import base64
import json
import time

import pytest

from helpers_world import is_live, other_storefront, revoke
from snapup import KID, SECRET, b64url, mint, sign_bytes, unique, wait_until

LEEWAY_S = 60


@pytest.fixture(scope="module")
def sale(shop):
    sale = shop.make_sale(stock=10)
    yield sale
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == 0


def parts(header=None, claims=None, secret=SECRET):
    """A token from raw JSON texts, for what mint() would not write."""
    now = int(time.time())
    header = header or '{"alg":"HS256","typ":"JWT","kid":"%s"}' % KID
    claims = claims or '{"sub":"shopper","exp":%d}' % (now + 600)
    text = f"{b64url(header.encode())}.{b64url(claims.encode())}"
    return f"{text}.{sign_bytes(text.encode(), secret)}"


def unsigned(token):
    return token.rsplit(".", 1)[0] + "."


def with_changed_claims(token, **claims):
    """The claims of somebody else under the signature of this one."""
    header, old, signature = token.split(".")
    body = json.loads(base64.urlsafe_b64decode(old + "=="))
    return f"{header}.{b64url(json.dumps({**body, **claims}).encode())}.{signature}"


def malleable(token):
    """Another text of the same signature: the last digit has bits that no byte needs."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


# What, and how to make it when the test runs (tokens know the time).
BAD = [
    ("expired", lambda: mint("shopper", exp_in_s=-1)),
    ("expired_now", lambda: mint("shopper", exp_in_s=0)),
    ("expired_long_ago", lambda: mint("shopper", claims={"exp": 1})),
    ("no_exp", lambda: mint("shopper", claims={"exp": None})),
    ("exp_as_text", lambda: mint("shopper", claims={"exp": "9999999999"})),
    ("exp_as_fraction", lambda: mint("shopper", claims={"exp": 9999999999.5})),
    ("exp_past_64_bits", lambda: mint("shopper", claims={"exp": 2**64})),
    ("exp_negative", lambda: mint("shopper", claims={"exp": -1})),
    ("alg_none_unsigned", lambda: unsigned(mint("shopper", header={"alg": "none"}))),
    ("alg_none_signed", lambda: mint("shopper", header={"alg": "none"})),
    ("alg_none_in_capitals", lambda: unsigned(mint("shopper", header={"alg": "None"}))),
    ("alg_hs512", lambda: mint("shopper", header={"alg": "HS512"})),
    ("alg_rs256", lambda: mint("shopper", header={"alg": "RS256"})),
    ("alg_lower_case", lambda: mint("shopper", header={"alg": "hs256"})),
    ("no_alg", lambda: mint("shopper", header={"alg": None})),
    ("alg_twice", lambda: parts(header='{"alg":"HS256","alg":"HS256","kid":"demo"}')),
    ("unsigned", lambda: unsigned(mint("shopper"))),
    ("no_signature_part", lambda: unsigned(mint("shopper"))[:-1]),
    ("wrong_key", lambda: mint("shopper", secret="not-the-secret")),
    ("empty_key", lambda: mint("shopper", secret="")),
    ("wrong_kid", lambda: mint("shopper", kid="other")),
    ("kid_in_capitals", lambda: mint("shopper", kid="DEMO")),
    ("kid_injected", lambda: mint("shopper", kid="demo' OR '1'='1")),
    ("kid_with_path", lambda: mint("shopper", kid="../demo")),
    ("kid_a_number", lambda: mint("shopper", kid=1)),
    ("no_kid", lambda: mint("shopper", kid=None)),
    ("critical_header", lambda: mint("shopper", header={"crit": ["exp"]})),
    ("key_in_header", lambda: mint("shopper", header={"jwk": {"kty": "oct", "k": "YQ"}})),
    ("other_typ", lambda: mint("shopper", header={"typ": "JWE"})),
    ("not_yet", lambda: mint("shopper", claims={"nbf": int(time.time()) + LEEWAY_S + 60})),
    ("from_the_future", lambda: mint("shopper", claims={"iat": int(time.time()) + LEEWAY_S + 60})),
    ("nbf_as_text", lambda: mint("shopper", claims={"nbf": "0"})),
    ("no_sub", lambda: mint("shopper", claims={"sub": None})),
    ("sub_empty", lambda: mint("")),
    ("sub_a_number", lambda: mint(7)),
    ("sub_too_long", lambda: mint("x" * 65)),
    ("sub_with_blank", lambda: mint("a b")),
    ("sub_with_control", lambda: mint("a\x01")),
    ("sub_with_nul", lambda: mint("a\x00b")),
    ("sub_not_ascii", lambda: mint("ä")),
    ("sub_twice", lambda: parts(claims='{"sub":"a","sub":"b","exp":9999999999}')),
    ("claims_are_no_object", lambda: parts(claims="[]")),
    ("claims_are_not_json", lambda: parts(claims="{")),
    ("claims_trailing", lambda: parts(claims='{"sub":"a","exp":9999999999}x')),
    ("claims_not_utf8", lambda: sign_raw(b'{"sub":"a","exp":9999999999,"x":"\xff"}')),
    ("header_is_no_object", lambda: parts(header='"HS256"')),
    ("deep_claim", lambda: parts(claims='{"sub":"a","exp":9999999999,"x":' + "[" * 90 + "]" * 90 + "}")),
    ("claims_of_another", lambda: with_changed_claims(mint("shopper"), sub="somebody")),
    ("longer_life", lambda: with_changed_claims(mint("shopper", exp_in_s=-10), exp=9999999999)),
    ("last_digit", lambda: malleable(mint("shopper"))),
    ("padding", lambda: mint("shopper") + "="),
    ("four_parts", lambda: mint("shopper") + ".x"),
    ("two_parts", lambda: "a.b"),
    ("empty_parts", lambda: ".."),
    ("garbage", lambda: "garbage"),
    ("standard_base64", lambda: mint("shopper").replace("-", "+").replace("_", "/") + "+"),
    ("too_long", lambda: mint("shopper", claims={"x": "y" * 3000})),
    ("unknown_sk", lambda: "sk_unknown"),
    ("unknown_op", lambda: "op_unknown"),
    ("sk_alone", lambda: "sk_"),
    ("sk_in_capitals", lambda: "SK_DEMO"),
    ("sk_with_a_tail", lambda: "sk_demo2"),
    ("sk_cut_short", lambda: "sk_dem"),
    ("sk_injected", lambda: "sk_demo'--"),
]


def sign_raw(claims):
    text = b64url(b'{"alg":"HS256","kid":"demo"}') + "." + b64url(claims)
    return f"{text}.{sign_bytes(text.encode(), SECRET)}"


@pytest.mark.parametrize("make", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_credentials(shop, sale, make):
    token = make()
    answer = shop.buy(sale, token=token).expect(401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["detail"]
    if len(token) > 20:
        assert token not in answer.body.decode(), "an answer may be logged somewhere"
    shop.client.get("/v1/orders", token=token).expect(401, "unauthenticated")


HEADERS = ["", "Bearer", "Bearer ", "Basic ZGVtbzpkZW1v", "bearer-token sk_demo", "sk_demo", "Bearer sk_demo x",
           "Bearer\tsk_demo", "Bearer sk_demo, Bearer sk_demo"]


@pytest.mark.parametrize("header", HEADERS, ids=[str(n) for n in range(len(HEADERS))])
def test_headers_that_are_no_bearer(shop, sale, header):
    body = {"sale": sale.id, "sku": sale.sku, "qty": 1}
    answer = shop.client.post("/v1/orders", body, headers={"Authorization": header, "Snapup-Shopper": "a"})
    answer.expect(401, "unauthenticated")


def test_the_scheme_is_read_in_any_case(shop):
    token = mint(unique("shopper-"))
    for scheme in ("bearer", "BEARER"):
        shop.client.get("/v1/orders", headers={"Authorization": f"{scheme} {token}"}).expect(200)


GOOD = [
    ("plain", lambda: mint("shopper")),
    ("without_typ_and_iat", lambda: mint("shopper", header={"typ": None}, claims={"iat": None})),
    ("with_the_claims_we_know", lambda: mint("shopper", claims={"region": "cn-east", "level": "gold", "channel": "app"})),
    ("with_other_claims", lambda: mint("shopper", claims={"aud": ["a", {"b": None}], "admin": True, "x": 1.5})),
    ("within_the_leeway", lambda: mint("shopper", claims={"nbf": int(time.time()) + 20, "iat": int(time.time()) + 20})),
    ("spaced_json", lambda: parts(claims='{ "sub" : "shopper" ,\n"exp":9999999999 }')),
    ("all_of_the_alphabet", lambda: mint("Az09._:-")),
    ("longest_sub", lambda: mint("x" * 64)),
]


@pytest.mark.parametrize("make", [row[1] for row in GOOD], ids=[row[0] for row in GOOD])
def test_good_ones(shop, make):
    shop.client.get("/v1/orders", token=make()).expect(200)


def test_a_token_ends_on_the_second(shop):
    token = mint("shopper", exp_in_s=2)
    shop.client.get("/v1/orders", token=token).expect(200)
    wait_until(lambda: shop.client.get("/v1/orders", token=token).status == 401, timeout=4)


def test_a_shopper_belongs_to_the_storefront_that_signed(shop, sale):
    """The same name elsewhere is somebody else."""
    sale, shopper = shop.make_sale(), unique("shopper-")
    shop.buy(sale, shopper).expect(201)
    with other_storefront(shop) as key:
        seen = shop.client.get("/v1/orders", token=key, headers={"Snapup-Shopper": shopper}).expect(200)
        assert seen.json["data"] == []
        shop.buy(sale, token=key, headers={"Snapup-Shopper": shopper}).expect(404, "sale_not_found")


def test_a_revoked_key_ends(shop):
    with other_storefront(shop) as key:
        assert is_live(shop, key)
        revoke(shop, key)
        wait_until(lambda: not is_live(shop, key))


def test_an_error_tells_no_secret(shop, sale):
    text = shop.buy(sale, token=mint("shopper", secret="x")).body.decode()
    assert SECRET not in text


def test_the_log_holds_no_credential(shop, sale):
    """Neither what was good nor what was not."""
    good, bad = mint(unique("shopper-")), mint(unique("shopper-"), secret="wrong")
    shop.client.get("/v1/orders", token=good).expect(200)
    shop.buy(sale, token=bad).expect(401)
    shop.buy(sale, token="sk_unknown-secret").expect(401)
    log = shop.instance.log()
    for secret in (good, good.rsplit(".", 1)[1], bad, "sk_unknown-secret", SECRET, shop.sandbox.secret):
        assert secret not in log
