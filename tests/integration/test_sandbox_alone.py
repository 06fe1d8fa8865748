"""snapup-sandbox by itself: a receiver of ours stands in for the service."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import threading
import time
import urllib.parse

import pytest

from snapup import Client, Sandbox, in_parallel, sign_webhook, unique, wait_until

SECRET = "a secret shared with the service"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BROWSER = {**FORM, "Accept": "text/html,application/xhtml+xml"}


class Receiver(http.server.ThreadingHTTPServer):
    """Takes notifications; answers with the statuses in `script` first, then 200."""

    request_queue_size = 64

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Notified)
        self.heard, self.script = [], []
        self.url = f"http://127.0.0.1:{self.server_port}/hook?of=sandbox"

    def events(self, payment):
        """The bodies that were heard of a payment."""
        bodies = [body for _, _, body in list(self.heard)]
        return [body for body in bodies if json.loads(body)["data"]["object"]["payment"] == payment]


class Notified(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, self.headers, body))
        self.send_response(self.server.script.pop(0) if self.server.script else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def listening(server):
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver():
    with listening(Receiver()) as server:
        yield server


@pytest.fixture
def start(tmp_path, receiver):
    started = []

    def begin(**options):
        sandbox = Sandbox(tmp_path, SECRET + "\n", options.pop("webhook", receiver.url), **options)
        started.append(sandbox)
        sandbox.start()
        sandbox.client = Client("127.0.0.1", sandbox.port)
        return sandbox

    yield begin
    for sandbox in started:
        assert sandbox.stop() == 0
        assert sandbox.complaint() is None


@pytest.fixture
def sandbox(start):
    return start()


def request_of(**change):
    """What the service would send; a change to None leaves the field out."""
    rq = {"payment": unique("pay_"), "order": "ord_1", "amount": 9900, "currency": "CNY", **change}
    return {key: value for key, value in rq.items() if value is not None}


def post_trade(sandbox, rq, signature=None):
    body = rq if isinstance(rq, bytes) else json.dumps(rq).encode()
    headers = {"Stripe-Signature": signature or sign_webhook(body, SECRET)}
    return sandbox.client.post("/v1/trades", body, headers=headers)


def open_trade(sandbox, **change):
    rq = request_of(**change)
    assert post_trade(sandbox, rq).status == 200
    return rq["payment"]


def page_of(rq, secret=SECRET):
    """The page that the service signs instead of asking for a trade."""
    query = urllib.parse.urlencode({key: value for key, value in rq.items() if key != "payment"},
                                   quote_via=urllib.parse.quote, safe="")
    digest = hmac.new(secret.encode(), f"{rq['payment']}?{query}".encode(), hashlib.sha256).digest()
    return f"{rq['payment']}?{query}&sign={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def press(sandbox, payment, result, headers=None):
    return sandbox.client.post(f"/pay/{payment}", f"result={result}", headers=headers or FORM)


def test_a_payment_has_one_trade(sandbox):
    rq = request_of()
    first = post_trade(sandbox, rq)
    assert first.status == 200
    assert first.json["url"] == f"{sandbox.url}/pay/{rq['payment']}"
    assert first.json["reference"].startswith("sbx_")
    assert post_trade(sandbox, rq).json == first.json
    for change in {"amount": 9901}, {"currency": "EUR"}, {"order": "ord_2"}:
        assert post_trade(sandbox, {**rq, **change}).status == 409


@pytest.mark.parametrize("change", [
    {"payment": "ord_1"}, {"payment": 'pay_"><script>'}, {"payment": "pay_" + "x" * 61}, {"payment": 1},
    {"payment": None}, {"order": "pay_1"}, {"order": None}, {"amount": 0}, {"amount": -1},
    {"amount": "9900"}, {"amount": 1.5}, {"amount": None}, {"currency": "cny"}, {"currency": "CNYX"},
    {"return_url": "javascript:alert(1)"}, {"return_url": "https://a b/"}, {"return_url": 1},
    {"return_url": "https://shop.example/\r\nX-Y: z"}, {"return_url": "https://shop.example/" + "x" * 1024},
], ids=str)
def test_trades_that_are_refused(sandbox, change):
    assert post_trade(sandbox, request_of(**change)).status == 400


def test_a_signed_page_opens_its_trade(sandbox, receiver):
    rq = request_of(return_url="https://shop.example/?a=1&b=2")
    text = sandbox.client.get(f"/pay/{page_of(rq)}", headers={"Accept": "text/html"}).body.decode()
    assert "99.00 CNY" in text and rq["order"] in text
    answer = press(sandbox, page_of(rq), "pay", BROWSER)
    assert answer.headers["Location"] == f"{rq['return_url']}&payment={rq['payment']}&result=paid"
    wait_until(lambda: receiver.events(rq["payment"]))
    said = json.loads(receiver.events(rq["payment"])[0])["data"]["object"]
    assert said == {"id": rq["payment"].replace("pay_", "sbx_"), **{key: rq[key] for key in (
        "payment", "order", "amount", "currency")}}
    assert post_trade(sandbox, rq).json["reference"] == said["id"], "the same trade, however it is told"
    assert "Paid" in sandbox.client.get(f"/pay/{page_of(rq)}").body.decode()


def test_a_page_pressed_at_once(sandbox, receiver):
    """A program does not look at the page first."""
    rq = request_of()
    assert press(sandbox, page_of(rq), "decline").json["state"] == "declined"
    wait_until(lambda: receiver.events(rq["payment"]))


def test_pages_that_nobody_signed(sandbox):
    page, other = page_of(request_of()), page_of(request_of())
    for forged in (page.replace("amount=9900", "amount=1"), page.replace("&sign=", "&sign=x"), page + "x",
                   page[:-1], page.split("&sign=")[0], page.split("?")[0] + "?" + other.split("?")[1],
                   page_of(request_of(), "another secret")):
        for answer in (sandbox.client.get(f"/pay/{forged}"), press(sandbox, forged, "pay")):
            assert (answer.status, answer.json["code"]) == (400, "bad_signature"), forged
    assert "0 in all" in sandbox.client.get("/").body.decode()


@pytest.mark.parametrize("change", [
    {"order": "pay_1"}, {"order": None}, {"amount": 0}, {"amount": "1.5"}, {"amount": ""}, {"amount": None},
    {"currency": "cny"}, {"currency": None}, {"return_url": "javascript:alert(1)"},
    {"return_url": "https://shop.example/" + "x" * 1024}, {"amount": "9" * 40},
], ids=str)
def test_signed_pages_that_make_no_sense(sandbox, change):
    assert sandbox.client.get(f"/pay/{page_of(request_of(**change))}").status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"payment":"pay_1","payment":"pay_2"}'], ids=str)
def test_bodies_that_are_refused(sandbox, body):
    assert post_trade(sandbox, body).status == 400


def test_a_body_too_large_is_refused(sandbox):
    answer = sandbox.client.post("/v1/trades", b" " * (16 * 1024 + 1))
    assert answer.status == 413


def test_only_the_holder_of_the_secret_opens_trades(sandbox):
    payment = unique("pay_")
    body = json.dumps(request_of(payment=payment)).encode()
    for signature in (sign_webhook(body, "another"), sign_webhook(body + b" ", SECRET), "t=1,v1=00",
                      sign_webhook(body, SECRET, int(time.time()) - 3600)):
        assert post_trade(sandbox, body, signature).status == 400
    assert sandbox.client.get(f"/pay/{payment}").status == 404


@pytest.mark.parametrize("result,state,kind", [("pay", "paid", "payment.succeeded"),
                                              ("decline", "declined", "payment.failed")])
def test_a_pressed_button_is_told_once(sandbox, receiver, result, state, kind):
    payment = open_trade(sandbox)
    before = int(time.time())
    assert press(sandbox, payment, result).json == {"payment": payment, "state": state}
    wait_until(lambda: receiver.heard)
    path, headers, body = receiver.heard[0]
    assert path == "/hook?of=sandbox"
    assert headers["Content-Type"] == "application/json"
    stamp = int(re.match(r"t=(\d+),v1=", headers["Stripe-Signature"])[1])
    assert abs(stamp - before) < 60
    assert headers["Stripe-Signature"] == sign_webhook(body, SECRET, stamp)
    event = json.loads(body)
    assert re.fullmatch(r"evt_\w{26}", event["id"])
    assert (event["object"], event["type"]) == ("event", kind)
    assert before <= event["created"] <= time.time()
    reference = post_trade(sandbox, request_of(payment=payment)).json["reference"]
    assert event["data"]["object"] == {"id": reference, "payment": payment, "order": "ord_1",
                                       "amount": 9900, "currency": "CNY"}
    # Whatever is pressed afterwards changes nothing. A later trade's notification shows that none is
    # still on its way.
    for again in "pay", "decline":
        assert press(sandbox, payment, again).json["state"] == state
    other = open_trade(sandbox)
    press(sandbox, other, "pay")
    wait_until(lambda: receiver.events(other))
    assert len(receiver.events(payment)) == 1


def test_pressing_many_times_at_once_is_told_once(sandbox, receiver):
    payment = open_trade(sandbox)
    answers = in_parallel([lambda: press(sandbox, payment, "pay"),
                           lambda: press(sandbox, payment, "decline")] * 10, threads=10)
    assert len({answer.json["state"] for answer in answers}) == 1
    wait_until(lambda: "trying" not in sandbox.client.get("/").body.decode())
    assert len(receiver.events(payment)) == 1


def test_a_deaf_receiver_is_told_again(sandbox, receiver):
    receiver.script[:] = [500, 404, 302]
    payment = open_trade(sandbox)
    press(sandbox, payment, "pay")
    heard = wait_until(lambda: len(receiver.events(payment)) == 4 and receiver.events(payment))
    assert len(set(heard)) == 1, "every try has the same event"


def test_a_receiver_that_is_not_there_yet(start):
    absent = Receiver()
    absent.server_close()
    sandbox = start(webhook=absent.url)
    payment = open_trade(sandbox)
    press(sandbox, payment, "pay")
    failed_twice = re.compile(r'trying</td><td class="n">[2-9]')
    wait_until(lambda: failed_twice.search(sandbox.client.get("/").body.decode()))
    with listening(Receiver(absent.server_port)) as present:
        wait_until(lambda: present.events(payment))


@pytest.mark.parametrize("target,expected", [
    ("https://shop.example/thanks", "https://shop.example/thanks?payment={}&result=paid"),
    ("https://shop.example/?a=1#top", "https://shop.example/?a=1&payment={}&result=paid#top"),
    ("http://shop.example#?x", "http://shop.example?payment={}&result=paid#?x"),
])
def test_browsers_return_to_the_shop(sandbox, target, expected):
    payment = open_trade(sandbox, return_url=target)
    answer = press(sandbox, payment, "pay", BROWSER)
    assert (answer.status, answer.headers["Location"]) == (303, expected.format(payment))
    assert press(sandbox, payment, "pay").status == 200, "programs are told in JSON"


def test_pages(sandbox):
    payment = open_trade(sandbox, amount=123405, return_url='https://shop.example/?a=1&b="<i>')
    page = sandbox.client.get(f"/pay/{payment}", headers={"Accept": "text/html"})
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    text = page.body.decode()
    assert "1234.05 CNY" in text and "ord_1" in text and payment in text
    assert re.findall(r'name="result" value="(\w+)"', text) == ["pay", "decline"]
    press(sandbox, payment, "pay")
    settled = sandbox.client.get(f"/pay/{payment}").body.decode()
    assert "Paid" in settled and "<form" not in settled
    assert "https://shop.example/?a=1&amp;b=&quot;&lt;i&gt;" in settled and "<i>" not in settled
    assert payment in sandbox.client.get("/").body.decode()
    for text in text, settled:
        assert not re.search(r"<script|<link|<img|@import|url\(", text), "nothing from elsewhere"


def test_without_a_way_back_browsers_see_the_outcome(sandbox):
    payment = open_trade(sandbox)
    answer = press(sandbox, payment, "decline", BROWSER)
    assert answer.status == 200 and "Declined" in answer.body.decode()


def test_what_is_not_there(sandbox):
    get, post = sandbox.client.get, sandbox.client.post
    assert get("/healthz").status == 200
    assert get("/pay/pay_unknown").status == 404
    assert get("/pay/..%2f").status == 404
    assert get("/elsewhere").status == 404
    assert get("/v1/trades").status == 405
    assert post("/healthz", "").status == 405
    assert press(sandbox, "pay_unknown", "pay").status == 404
    payment = open_trade(sandbox)
    assert press(sandbox, payment, "maybe").status == 400
    assert press(sandbox, payment, "pay", {"Content-Type": "text/plain"}).status == 415
    assert "open" in get("/").body.decode()


def test_paying_by_itself(start, receiver):
    sandbox = start(auto_ms=20)
    payments = [open_trade(sandbox) for _ in range(50)]
    wait_until(lambda: all(receiver.events(payment) for payment in payments))
    assert {json.loads(receiver.events(payment)[0])["type"] for payment in payments} == {"payment.succeeded"}
