"""What tests do with a shop."""

import json
import re
import time

from .basics import PATIENCE_S, STOREFRONT_KEY, mint, parse_time, rfc3339, sign_webhook, unique, wait_until
from .http import Answer, Client


class Sale(dict):
    """A sale: the document it was made from; id, sku of its first item and skus at hand."""

    @property
    def id(self):
        return self["id"]

    @property
    def sku(self):
        return self["items"][0]["sku"]

    @property
    def skus(self):
        return [item["sku"] for item in self["items"]]


class Shop:
    """The calls of a test, against one instance. Every helper that can be refused returns an Answer."""

    def __init__(self, instance, stack, sandbox):
        self.instance, self.stack, self.sandbox = instance, stack, sandbox
        self.client, self.raw, self.address = instance.client, instance.raw, instance.address
        self.sql, self.redis = stack.sql, stack.redis
        self.token, self.wait_until = mint, wait_until

    def at(self, instance):
        """The same shop through another instance."""
        return Shop(instance, self.stack, self.sandbox)

    # Sales

    def sale_document(self, stock=10, limit=1, price=9900, starts_in_s=-1, ends_in_s=3600,
                      pay_within_s=900, items=None, **more):
        """The body of POST /v1/sales with an id of its own; `more` replaces or adds members."""
        now = time.time()
        if items is None:
            items = [{"sku": "phone", "name": "Phone", "price": price, "stock": stock, "limit": limit}]
        return {"id": unique("sale_"), "name": "Test sale", "kind": "flash", "currency": "CNY",
                "starts_at": rfc3339(now + starts_in_s), "ends_at": rfc3339(now + ends_in_s),
                "pay_within_s": pay_within_s, "items": items, **more}

    def create_sale(self, document, token=STOREFRONT_KEY, **more):
        return self.client.post("/v1/sales", document, token=token, **more)

    def sale_action(self, sale, verb, token=STOREFRONT_KEY, **more):
        """verb: publish, pause, resume or end."""
        return self.client.post(f"/v1/sales/{_id(sale)}/{verb}", token=token, **more)

    def make_sale(self, publish=True, token=STOREFRONT_KEY, **document):
        """A sale, published and (unless it starts later) seen open. See sale_document for the rest."""
        document = self.sale_document(**document)
        self.create_sale(document, token).expect(201)
        sale = Sale(document)
        if publish:
            self.sale_action(sale, "publish", token).expect(200)
            later = parse_time(document["starts_at"]) > time.time()
            self.wait_state(sale, "scheduled" if later else "open")
        return sale

    def get_sale(self, sale):
        return self.client.get(f"/v1/sales/{_id(sale)}")

    def wait_state(self, sale, state, timeout=PATIENCE_S):
        """Until GET shows the sale in that state; several workers may see it a moment apart."""
        def seen():
            answer = self.get_sale(sale)
            return answer.status == 200 and answer.json["state"] == state

        wait_until(seen, timeout, lambda: f"{_id(sale)} is not {state}: {self.get_sale(sale)}")

    def add_stock(self, sale, delta, reason="test", sku=None, token=STOREFRONT_KEY, **more):
        return self.client.post(f"/v1/sales/{_id(sale)}/items/{sku or sale.sku}/stock",
                                {"delta": delta, "reason": reason}, token=token, **more)

    def audit(self, sale, wait=5, token=STOREFRONT_KEY):
        """The audit document."""
        return self.client.get(f"/v1/sales/{_id(sale)}/audit?wait={wait}", token=token).expect(200).json

    def assert_audit_ok(self, sale):
        """Every promise kept; returns the document."""
        document = self.audit(sale)
        broken = [check for check in document["checks"] if not check["ok"]]
        assert document["ok"] and not broken, json.dumps(document, indent=1)
        return document

    # Orders

    def buy(self, sale, shopper=None, qty=1, sku=None, key=None, asynchronous=False, token=None,
            headers=None, client=None):
        """POST /v1/orders as a shopper (one of its own by default)."""
        headers = dict(headers or {})
        if key is not None:
            headers["Idempotency-Key"] = key
        if asynchronous:
            headers["Prefer"] = "respond-async"
        body = {"sale": _id(sale), "sku": sku or sale.sku, "qty": qty}
        return (client or self.client).post("/v1/orders", body, headers=headers,
                                            token=token or mint(shopper or unique("shopper-")))

    def get_order(self, order, shopper=None, token=None):
        return self.client.get(f"/v1/orders/{_id(order)}", token=token or _token_for(order, shopper))

    def wait_order(self, order, state, shopper=None, timeout=PATIENCE_S):
        """Until the order is in that state; the order."""
        def seen():
            answer = self.get_order(order, shopper)
            return answer.status == 200 and answer.json["state"] == state and answer.json

        return wait_until(seen, timeout, lambda: f"{_id(order)} is not {state}: "
                                                 f"{self.get_order(order, shopper)}")

    def cancel(self, order, shopper=None, token=None):
        return self.client.post(f"/v1/orders/{_id(order)}/cancel",
                                token=token or _token_for(order, shopper))

    # Payments

    def pay(self, order, shopper=None, token=None, body=None, **more):
        """POST …/payments on channel sandbox."""
        return self.client.post(f"/v1/orders/{_id(order)}/payments",
                                {"channel": "sandbox"} if body is None else body,
                                token=token or _token_for(order, shopper), **more)

    def play(self, payment, result="pay"):
        """Presses the channel's button for a payment (as returned by the API)."""
        action = payment["action"]
        url = action.get("sandbox_url") or action["url"]
        host, port, path = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", url).groups()
        return Client(host, int(port)).post(path, f"result={result}", headers={
            "Content-Type": "application/x-www-form-urlencoded"})

    def webhook(self, event, secret=None, t=None, signature=None, channel="sandbox"):
        """Delivers a notification (dict, or bytes as they are), signed unless signature is given."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if signature is None:
            signature = sign_webhook(body, secret or self.sandbox.secret, t)
        headers = {"Content-Type": "application/json"}
        if signature:
            headers["Stripe-Signature"] = signature
        return self.client.post(f"/v1/webhooks/{channel}", body, headers=headers)


def _id(thing):
    """The id of a sale, an order's document, an answer, or the id itself."""
    if isinstance(thing, Answer):
        thing = thing.json
    if isinstance(thing, dict):
        return thing["id"]
    return getattr(thing, "id", thing)


def _token_for(order, shopper):
    """The token of the order's own shopper unless another one is named."""
    if shopper is None:
        document = order.json if isinstance(order, Answer) else order
        assert isinstance(document, dict), "name the shopper, or pass the order's document"
        shopper = document["shopper"]
    return mint(shopper)
