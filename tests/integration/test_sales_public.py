"""Sales as the public reads them: fresh, cacheable, page by page."""

import time

import pytest

from snapup import STOREFRONT_KEY, parse_time, wait_until

# Bound that the service promises, in seconds, and what a busy machine and the polling add.
FRESH_S = 1.0
GRACE_S = 0.5


# --- Reading -----------------------------------------------------------------------------------------


def test_what_the_public_sees(shop):
    sale = shop.make_sale(stock=3, price=500)
    seen = shop.get_sale(sale).expect(200).json
    assert seen["object"] == "sale"
    assert seen["items"] == [{"sku": sale.sku, "name": "Phone", "price": 500, "list_price": None,
                              "limit": 1, "left": 3, "sold_out": False}]
    assert parse_time(seen["server_time"]) == pytest.approx(time.time(), abs=60)
    assert "stock" not in seen["items"][0]


def test_left_is_fresh(shop):
    sale = shop.make_sale(stock=2)

    def seen(left, sold_out):
        first = shop.get_sale(sale).json["items"][0]
        return (first["left"], first["sold_out"]) == (left, sold_out)

    order = shop.buy(sale).expect(201).json
    wait_until(lambda: seen(1, False), timeout=FRESH_S + GRACE_S)
    shop.buy(sale).expect(201)
    wait_until(lambda: seen(0, True), timeout=FRESH_S + GRACE_S)
    shop.cancel(order).expect(200)
    wait_until(lambda: seen(1, False), timeout=FRESH_S + GRACE_S)


def test_a_sale_that_is_not_there(shop):
    shop.client.get("/v1/sales/none").expect(404, "sale_not_found")


@pytest.mark.parametrize("path", ["/v1/sales", "/v1/sales/{id}"])
def test_caching(shop, path):
    sale = shop.make_sale()
    path = path.format(id=sale.id)
    first = shop.client.get(path).expect(200)
    assert first.headers["Cache-Control"] == "public, max-age=1"
    tag = first.headers["ETag"]
    assert tag.strip("W/").startswith('"') and tag.endswith('"')

    # server_time alone must not make a new tag every millisecond, or no cache would ever profit.
    def unchanged():
        given = shop.client.get(path).headers["ETag"]
        answer = shop.client.get(path, headers={"If-None-Match": given})
        return answer.status == 304 and answer.headers["ETag"] == given and answer.body == b""

    wait_until(unchanged)
    shop.client.get(path, headers={"If-None-Match": '"other"'}).expect(200)


def test_if_none_match_in_its_other_forms(shop):
    path = f"/v1/sales/{shop.make_sale().id}"

    def unchanged(form):
        given = form.format(shop.client.get(path).headers["ETag"])
        return shop.client.get(path, headers={"If-None-Match": given}).status == 304

    for form in ('"a", {}', '{} , "b"', "*"):
        wait_until(lambda form=form: unchanged(form), message=form)


def test_the_tag_changes_with_the_stock(shop):
    sale = shop.make_sale()
    path = f"/v1/sales/{sale.id}"
    before = shop.client.get(path).headers["ETag"]
    shop.buy(sale).expect(201)
    wait_until(lambda: shop.client.get(path, headers={"If-None-Match": before}).status == 200,
               timeout=FRESH_S + GRACE_S)


def test_drafts_are_not_for_shared_caches(shop):
    sale = shop.make_sale(publish=False)
    answer = shop.client.get(f"/v1/sales/{sale.id}", token=STOREFRONT_KEY).expect(200)
    assert "public" not in answer.headers.get("Cache-Control", "")


# --- Lists -------------------------------------------------------------------------------------------


def pages(shop, limit, token=None):
    """All sales, page by page."""
    found, after = [], ""
    while True:
        answer = shop.client.get(f"/v1/sales?limit={limit}{after}", token=token).expect(200).json
        assert answer["object"] == "list"
        assert len(answer["data"]) <= limit
        found += answer["data"]
        if not answer["has_more"]:
            return found
        assert len(answer["data"]) == limit
        after = f"&starting_after={answer['data'][-1]['id']}"


def test_list_shows_what_is_published(shop):
    shown, draft = shop.make_sale(), shop.make_sale(publish=False)

    def ids(token=None):
        return {sale["id"] for sale in pages(shop, 100, token)}

    wait_until(lambda: shown.id in ids())
    assert draft.id not in ids()
    assert {shown.id, draft.id} <= ids(STOREFRONT_KEY)


def test_list_goes_page_by_page_newest_first(shop):
    made = [shop.make_sale().id for _ in range(3)]
    wait_until(lambda: set(made) <= {sale["id"] for sale in pages(shop, 100)})
    found = [sale["id"] for sale in pages(shop, 7)]
    assert len(found) == len(set(found))
    assert [one for one in found if one in made] == made[::-1]


def test_list_of_one_page_by_default(shop):
    for _ in range(21 - min(21, len(pages(shop, 100)))):
        shop.make_sale()
    wait_until(lambda: len(pages(shop, 100)) >= 21)
    answer = shop.client.get("/v1/sales").expect(200).json
    assert len(answer["data"]) == 20
    assert answer["has_more"] is True


@pytest.mark.parametrize("query,param", [
    ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"),
    ("limit=1&limit=2", "limit"), ("limit=", "limit"), ("limit=1.0", "limit"),
    ("starting_after=no%0asuch", "starting_after"), ("starting_after=none", "starting_after"),
    ("page=2", "page"),
])
def test_list_parameters_are_checked(shop, query, param):
    answer = shop.client.get(f"/v1/sales?{query}").expect(400, "invalid_request")
    assert answer.json["param"] == param

