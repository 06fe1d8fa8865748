#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static const struct new_item one_item = {STR("sku"), STR("a thing"), PRICE, 12000, 10, 2};

static struct new_sale a_sale(const char *id)
{
    return (struct new_sale){.id = str_from(id),
                             .uid = uid_make(flow.s->ids, clock_wall_ms()),
                             .storefront = 1,
                             .name = STR("a sale"),
                             .currency = STR("CNY"),
                             .starts_ms = clock_wall_ms() - HOUR_MS,
                             .ends_ms = clock_wall_ms() + HOUR_MS,
                             .pay_within_s = 900,
                             .shards = 1,
                             .items = 1,
                             .item = &one_item};
}

/* A copy of a sale's id: the sale itself goes with the next snapshot. */
static struct str id_of(uint32_t no, char id[ID_MAX + 1])
{
    const struct sale *sale = flow_look(&flow, no);
    snprintf(id, ID_MAX + 1, "%.*s", (int)sale->id.n, sale->id.p);
    return str_from(id);
}

static void test_made_as_a_draft(void **state)
{
    char id[65];
    const struct snapshot *snap;
    struct new_sale wish = a_sale("sales-1");
    assert_int_equal(sale_create(flow.s, &wish, id), ST_OK);
    assert_string_equal(id, "sales-1");
    assert_int_equal(session_catalog(flow.s, &snap), ST_OK); /* shown on return */
    const struct sale *sale = snapshot_sale(snap, STR("sales-1"));
    assert_int_equal(sale->state, SALE_DRAFT);
    assert_int_equal(sale->item[0].list_price, 12000);
    assert_int_equal(sale->starts_ms, wish.starts_ms);
}

static void test_id_made_from_the_uid(void **state)
{
    char id[65], want[65];
    struct new_sale wish = a_sale("");
    uid_format("sale_", &wish.uid, want);
    assert_int_equal(sale_create(flow.s, &wish, id), ST_OK);
    assert_string_equal(id, want);
    /* A try that died is taken up again: the same sale, made once. */
    int64_t sales = flow_ask(&flow, "SELECT COUNT(*) FROM sales");
    wish.resumed = true;
    assert_int_equal(sale_create(flow.s, &wish, id), ST_OK);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM sales"), sales);
}

static void test_id_that_exists(void **state)
{
    char id[65];
    struct new_sale wish = a_sale("sales-2");
    assert_int_equal(sale_create(flow.s, &wish, id), ST_OK);
    int64_t items = flow_ask(&flow, "SELECT COUNT(*) FROM items");
    assert_int_equal(sale_create(flow.s, &wish, id), ST_SALE_EXISTS);
    wish.storefront = 2;
    assert_int_equal(sale_create(flow.s, &wish, id), ST_SALE_EXISTS);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM items"), items);
}

/* Numbers of what was rolled back are free again, and nothing of it stays. */
static void test_refused_sale_leaves_nothing(void **state)
{
    char id[65];
    struct new_sale wish = a_sale("sales-3");
    wish.ends_ms = wish.starts_ms; /* the schema's CHECK */
    int64_t number = flow_ask(&flow, "SELECT n FROM counters WHERE name = 'sale'");
    assert_int_equal(sale_create(flow.s, &wish, id), ST_INTERNAL);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM sales WHERE id = 'sales-3'"), 0);
    assert_int_equal(flow_ask(&flow, "SELECT n FROM counters WHERE name = 'sale'"), number);
}

static void test_publishing_splits_the_stock_and_opens_the_gates(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 4, .items = 2, .stock = 10});
    const struct sale *sale = flow_look(&flow, no);
    static const int64_t want[] = {3, 3, 2, 2};
    for (unsigned i = 0; i < 4; i++) {
        struct gate_units units[2];
        struct gate_view view = {.units = units};
        assert_int_equal(gate_peek(flow.s, sale, i, &view), ST_OK);
        assert_int_equal(view.epoch, sale->shard[i].epoch);
        assert_true(sale->shard[i].ready);
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(units[k].left, want[i]);
            assert_int_equal(units[k].added, want[i]);
        }
    }
    assert_int_equal(flow_ask(&flow,
                              "SELECT COUNT(*) FROM shard_stock s JOIN items i ON i.no = s.item "
                              "WHERE i.sale = %u AND added = allocated AND held = 0",
                              no),
                     8);
    flow_expect(&flow, no, 1, 10, 0);
}

static void test_publishing_again_allocates_nothing(void **state)
{
    char id[ID_MAX + 1];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    int64_t epoch = flow_look(&flow, no)->shard[0].epoch;
    assert_int_equal(sale_move(flow.s, 1, id_of(no, id), SALE_PUBLISH), ST_OK);
    assert_int_equal(flow_look(&flow, no)->shard[0].epoch, epoch);
    flow_expect(&flow, no, 0, 10, 2);
}

static void test_fewer_units_than_shards(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 3, .stock = 1});
    flow_expect(&flow, no, 0, 1, 0);
}

static void test_nothing_to_sell(void **state)
{
    char log_id[40];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 0});
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){0});
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'S');
}

/* Each step from the state that the one before it left. */
static void test_moves(void **state)
{
    static const struct {
        enum sale_event event;
        enum status st;
        enum sale_state to;
    } steps[] = {
        {SALE_PAUSE, ST_INVALID_STATE, SALE_DRAFT},
        {SALE_PUBLISH, ST_OK, SALE_PUBLISHED},
        {SALE_PAUSE, ST_OK, SALE_PAUSED},
        {SALE_PAUSE, ST_OK, SALE_PAUSED},
        {SALE_PUBLISH, ST_INVALID_STATE, SALE_PAUSED},
        {SALE_RESUME, ST_OK, SALE_PUBLISHED},
        {SALE_END, ST_OK, SALE_OVER},
        {SALE_END, ST_OK, SALE_OVER},
        {SALE_RESUME, ST_SALE_ENDED, SALE_OVER},
        {SALE_PUBLISH, ST_SALE_ENDED, SALE_OVER},
    };
    char id[ID_MAX + 1];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .draft = true});
    id_of(no, id);
    for (unsigned i = 0; i < COUNT(steps); i++) {
        enum status st = sale_move(flow.s, 1, str_from(id), steps[i].event);
        enum sale_state at = flow_look(&flow, no)->state;
        if (st != steps[i].st || at != steps[i].to)
            fail_msg("step %u: %s, sale %s", i, status_info(st)->name, sale_state_text(at));
    }
}

static void test_draft_can_be_ended(void **state)
{
    char id[ID_MAX + 1];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .draft = true});
    assert_int_equal(sale_move(flow.s, 1, id_of(no, id), SALE_END), ST_OK);
    assert_false(flow_look(&flow, no)->allocated);
}

static void test_sale_of_others_is_not_found(void **state)
{
    char id[ID_MAX + 1];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5});
    id_of(no, id);
    assert_int_equal(sale_move(flow.s, 2, str_from(id), SALE_PAUSE), ST_SALE_NOT_FOUND);
    assert_int_equal(flow_look(&flow, no)->state, SALE_PUBLISHED);
    assert_int_equal(sale_move(flow.s, 0, str_from(id), SALE_PAUSE), ST_OK); /* an operator */
    assert_int_equal(sale_move(flow.s, 1, STR("no-such"), SALE_PAUSE), ST_SALE_NOT_FOUND);
}

/* Redis is away: the sale is published all the same, and its gate opens when it is back. */
static void test_published_while_redis_is_away(void **state)
{
    char id[ID_MAX + 1];
    struct engine away = flow.engine;
    struct session *s = NULL;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .draft = true});
    id_of(no, id);
    away.redis.address = "unix:/nowhere/redis.sock";
    assert_int_equal(session_create(&away, &s), ST_OK);
    assert_int_equal(sale_move(s, 1, str_from(id), SALE_PUBLISH), ST_OK);
    session_destroy(&s);
    const struct sale *sale = flow_look(&flow, no);
    assert_true(sale->allocated);
    assert_false(sale->shard[0].ready);
    assert_int_equal(recover_sale(flow.s, no), ST_OK);
    assert_true(flow_look(&flow, no)->shard[0].ready);
    flow_expect(&flow, no, 0, 5, 0);
}

static void test_resumed_sale_of_others(void **state)
{
    char id[65];
    struct new_item item = {STR("sku"), STR("x"), PRICE, -1, 1, 1};
    struct new_sale s = {.id = STR("theirs"),
                         .uid = uid_make(flow.s->ids, clock_wall_ms()),
                         .storefront = 2,
                         .name = STR("n"),
                         .currency = STR("CNY"),
                         .starts_ms = 1,
                         .ends_ms = 2,
                         .pay_within_s = 900,
                         .shards = 1,
                         .items = 1,
                         .item = &item};
    assert_int_equal(sale_create(flow.s, &s, id), ST_OK);
    s.storefront = 1;
    s.resumed = true;
    assert_int_equal(sale_create(flow.s, &s, id), ST_SALE_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_as_a_draft),
        cmocka_unit_test(test_id_made_from_the_uid),
        cmocka_unit_test(test_id_that_exists),
        cmocka_unit_test(test_refused_sale_leaves_nothing),
        cmocka_unit_test(test_publishing_splits_the_stock_and_opens_the_gates),
        cmocka_unit_test(test_publishing_again_allocates_nothing),
        cmocka_unit_test(test_fewer_units_than_shards),
        cmocka_unit_test(test_nothing_to_sell),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_draft_can_be_ended),
        cmocka_unit_test(test_sale_of_others_is_not_found),
        cmocka_unit_test(test_published_while_redis_is_away),
        cmocka_unit_test(test_resumed_sale_of_others),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
