#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/accounts.h"

#include <pthread.h>

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static const struct snapshot *read_now(void)
{
    const struct snapshot *snap;
    assert_int_equal(catalog_reload(flow.engine.catalog, flow.s->sql), ST_OK);
    assert_int_equal(session_catalog(flow.s, &snap), ST_OK);
    return snap;
}

static void test_nothing_before_the_first_load(void **state)
{
    struct catalog *c = NULL;
    struct catalog_reader r;
    assert_int_equal(catalog_create(flow_master_key, false, NULL, &c), ST_OK);
    catalog_reader_init(&r, c);
    assert_null(catalog_read(&r));
    assert_int_equal(catalog_reload(c, flow.sql), ST_OK);
    assert_non_null(catalog_read(&r));
    catalog_reader_fini(&r);
    catalog_destroy(&c);
}

static void test_a_sale_as_it_was_made(void **state)
{
    uint32_t no = flow_sell(
        &flow,
        &(struct flow_sale){.shards = 2, .items = 2, .stock = 7, .limit = 3, .pay_within_s = 60});
    const struct snapshot *snap = read_now();
    const struct sale *sale = snapshot_sale_by_no(snap, no);
    assert_ptr_equal(snapshot_sale(snap, sale->id), sale);
    assert_int_equal(sale->storefront, 1);
    assert_int_equal(sale->pay_within_s, 60);
    assert_int_equal(sale->state, SALE_PUBLISHED);
    assert_string_equal(sale->currency, "CNY");
    assert_true(sale->allocated);
    assert_int_equal(sale->ends_ms - sale->starts_ms, 2 * HOUR_MS);
    assert_int_equal(sale->shards, 2);
    assert_int_equal(sale->items, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct sale_item *item = &sale->item[i], *found;
        assert_ptr_equal(sale_item(sale, item->sku), item);
        assert_int_equal(item->sku.p[3], '0' + (int)i); /* in order of creation */
        assert_int_equal(item->price, PRICE);
        assert_int_equal(item->list_price, -1);
        assert_int_equal(item->limit, 3);
        assert_int_equal(item->stock, 7);
        assert_ptr_equal(snapshot_item(snap, item->no, &found), sale);
        assert_ptr_equal(found, item);
        assert_true(sale->shard[i].ready && sale->shard[i].epoch > 0);
        assert_int_equal(sale->shard[i].live->shard, i);
        assert_int_equal(atomic_load(&item->live[i].left), i == 0 ? 4 : 3);
    }
    assert_int_not_equal(sale->shard[0].live->index, sale->shard[1].live->index);
}

static void test_what_is_not_there(void **state)
{
    const struct snapshot *snap = read_now();
    const struct sale_item *item;
    uint8_t hash[SHA256_LEN] = {0};
    assert_null(snapshot_sale(snap, STR("no-such-sale")));
    assert_null(snapshot_sale(snap, STR("")));
    assert_null(snapshot_sale_by_no(snap, 0));
    assert_null(snapshot_sale_by_no(snap, 1000000));
    assert_null(snapshot_item(snap, 1000000, &item));
    assert_null(snapshot_api_key(snap, hash));
    assert_null(snapshot_signing_key((void *)snap, STR("nobody")));
    assert_int_equal(snapshot_storefront(snap, 1000000).n, 0);
}

static void test_a_draft_has_no_shards(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 1, .draft = true});
    const struct sale *sale = flow_look(&flow, no);
    assert_int_equal(sale->state, SALE_DRAFT);
    assert_false(sale->allocated);
    assert_false(sale->shard[0].ready);
}

/* Tables grow past their first size, and everything is found where it belongs. */
static void test_many_sales(void **state)
{
    enum { MANY = 80 };
    unsigned before = snapshot_sales(read_now());
    uint32_t no[MANY];
    for (unsigned i = 0; i < MANY; i++)
        no[i] =
            flow_sell(&flow, &(struct flow_sale){.items = 1 + i % 3, .stock = i, .draft = true});
    const struct snapshot *snap = read_now();
    assert_int_equal(snapshot_sales(snap), before + MANY);
    for (unsigned i = 0; i < MANY; i++) {
        const struct sale *sale = snapshot_sale_by_no(snap, no[i]);
        assert_ptr_equal(snapshot_sale(snap, sale->id), sale);
        assert_int_equal(sale->items, 1 + i % 3);
        for (unsigned k = 0; k < sale->items; k++) {
            const struct sale_item *item;
            assert_int_equal(sale->item[k].stock, i);
            assert_ptr_equal(snapshot_item(snap, sale->item[k].no, &item), sale);
            assert_ptr_equal(item, &sale->item[k]);
        }
    }
    for (unsigned i = 1; i < snapshot_sales(snap); i++)
        assert_true(snapshot_sale_at(snap, i - 1)->no < snapshot_sale_at(snap, i)->no);
}

static void test_same_version_is_not_read_again(void **state)
{
    const struct snapshot *snap = read_now();
    struct catalog_reader r;
    assert_ptr_equal(read_now(), snap);
    catalog_reader_init(&r, flow.engine.catalog);
    assert_ptr_equal(catalog_read(&r), snap); /* no copy beside it either */
    catalog_reader_fini(&r);
    uint64_t version = snapshot_version(snap);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    snap = read_now();
    assert_int_equal(snapshot_version(snap), version + 1);
}

/* One reader's snapshot is another's past: what a reader holds stays as it was until it reads
 * again. */
static void test_a_reader_keeps_its_snapshot(void **state)
{
    struct catalog_reader r;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 1, .draft = true});
    catalog_reader_init(&r, flow.engine.catalog);
    const struct sale *old = snapshot_sale_by_no(catalog_read(&r), no);
    char id[ID_MAX + 1];
    snprintf(id, sizeof(id), "%.*s", (int)old->id.n, old->id.p);
    assert_int_equal(sale_move(flow.s, 1, str_from(id), SALE_PUBLISH), ST_OK);
    assert_int_equal(flow_look(&flow, no)->state, SALE_PUBLISHED);
    assert_int_equal(old->state, SALE_DRAFT);
    const struct sale *fresh = snapshot_sale_by_no(catalog_read(&r), no);
    assert_int_equal(fresh->state, SALE_PUBLISHED);
    /* Hints are the process', not the snapshot's. */
    assert_ptr_equal(fresh->item[0].live, flow_look(&flow, no)->item[0].live);
    catalog_reader_fini(&r);
}

static void *read_on(void *arg)
{
    struct catalog_reader r;
    _Atomic bool *stop = arg;
    uint64_t last = 0;
    catalog_reader_init(&r, flow.engine.catalog);
    while (!atomic_load(stop)) {
        const struct snapshot *snap = catalog_read(&r);
        uint64_t version = snapshot_version(snap);
        if (version < last)
            abort(); /* never backwards */
        last = version;
        for (unsigned i = 0; i < snapshot_sales(snap); i++) {
            const struct sale *sale = snapshot_sale_at(snap, i);
            if (snapshot_sale(snap, sale->id) != sale)
                abort();
        }
    }
    catalog_reader_fini(&r);
    return NULL;
}

static void test_readers_beside_reloads(void **state)
{
    pthread_t thread[3];
    _Atomic bool stop = false;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_on, (void *)&stop), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(catalog_touch(flow.sql), ST_OK);
        read_now();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
}

/* --- who may ask
 * ---------------------------------------------------------------------------------- */

static void test_keys(void **state)
{
    uint8_t hash[SHA256_LEN];
    const struct new_storefront shop = {STR("shop"), STR("sk_shop"), STR("shop-1"),
                                        STR("a signing secret"), false};
    assert_int_equal(accounts_add_storefront(flow.s, flow_master_key, &shop), ST_OK);
    assert_int_equal(accounts_add_storefront(flow.s, flow_master_key, &shop), ST_OK); /* again */
    assert_int_equal(accounts_add_operator(flow.s, STR("op_one"), false), ST_OK);
    const struct snapshot *snap = read_now();
    sha256(STR("sk_shop"), hash);
    const struct api_key *key = snapshot_api_key(snap, hash);
    assert_int_equal(key->role, ROLE_STOREFRONT);
    assert_true(str_equal(snapshot_storefront(snap, key->storefront), STR("shop")));
    const struct token_key *signer = snapshot_signing_key((void *)snap, STR("shop-1"));
    assert_int_equal(signer->storefront_no, key->storefront);
    sha256(STR("op_one"), hash);
    key = snapshot_api_key(snap, hash);
    assert_int_equal(key->role, ROLE_OPERATOR);
    assert_int_equal(key->storefront, 0);
}

static void test_production_refuses_demo_keys(void **state)
{
    uint8_t hash[SHA256_LEN];
    struct catalog *c = NULL;
    struct catalog_reader r;
    const struct new_storefront toy = {STR("toy"), STR("sk_toy"), STR("toy-1"), STR("secret"),
                                       true};
    assert_int_equal(accounts_add_storefront(flow.s, flow_master_key, &toy), ST_OK);
    sha256(STR("sk_toy"), hash);
    assert_non_null(snapshot_api_key(read_now(), hash));
    assert_int_equal(catalog_create(flow_master_key, true, NULL, &c), ST_OK);
    catalog_reader_init(&r, c);
    assert_int_equal(catalog_reload(c, flow.sql), ST_OK);
    const struct snapshot *snap = catalog_read(&r);
    assert_null(snapshot_api_key(snap, hash));
    assert_null(snapshot_signing_key((void *)snap, STR("toy-1")));
    sha256(STR("sk_shop"), hash); /* of test_keys: no demo */
    assert_non_null(snapshot_api_key(snap, hash));
    catalog_reader_fini(&r);
    catalog_destroy(&c);
}

/* A secret sealed by another master key is left out; the rest still loads. */
static void test_secret_under_another_master_key(void **state)
{
    static const uint8_t other[SEAL_KEY_LEN] = {9};
    struct catalog *c = NULL;
    struct catalog_reader r;
    uint8_t hash[SHA256_LEN];
    assert_int_equal(catalog_create(other, false, NULL, &c), ST_OK);
    catalog_reader_init(&r, c);
    assert_int_equal(catalog_reload(c, flow.sql), ST_OK);
    const struct snapshot *snap = catalog_read(&r);
    assert_null(snapshot_signing_key((void *)snap, STR("shop-1")));
    sha256(STR("sk_shop"), hash);
    assert_non_null(snapshot_api_key(snap, hash));
    catalog_reader_fini(&r);
    catalog_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_before_the_first_load),
        cmocka_unit_test(test_a_sale_as_it_was_made),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_a_draft_has_no_shards),
        cmocka_unit_test(test_many_sales),
        cmocka_unit_test(test_same_version_is_not_read_again),
        cmocka_unit_test(test_a_reader_keeps_its_snapshot),
        cmocka_unit_test(test_readers_beside_reloads),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_production_refuses_demo_keys),
        cmocka_unit_test(test_secret_under_another_master_key),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
