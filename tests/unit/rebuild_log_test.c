#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What the intent log of a lost Redis still tells (rules R2, R3, R5, R7). */
#include "rebuild_fixture.h"

#include "flow/stock.h"

/* An order that Redis reserved and nobody wrote. */
static struct uid left_in_log(uint32_t no, const struct flow_wish *wish)
{
    char log_id[40];
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, wish);
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W');
    return row.id;
}

static int64_t written(const struct uid *id)
{
    return flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE id = %s AND state = 1", hex_id(id));
}

static void test_r7_log_of_the_opened_epoch_is_written(void **state)
{
    uint32_t no = busy_sale();
    struct uid a = left_in_log(no, &(struct flow_wish){.shopper = "dan"});
    struct uid b = left_in_log(no, &(struct flow_wish){.shopper = "eve", .item = 1, .qty = 2});
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    assert_int_equal(written(&a), 1);
    assert_int_equal(written(&b), 1);
    flow_expect(&flow, no, 0, 10, 6); /* and the log is empty */
    flow_expect(&flow, no, 1, 10, 2);
}

/* Its owner wrote it, or wrote it and it was cancelled: the log knows nothing new. */
static void test_r3_log_of_what_was_written_before(void **state)
{
    static const struct order_scope eves = {1, {"eve", 3}};
    struct order o;
    uint32_t no = busy_sale();
    const struct sale *sale = flow_look(&flow, no);
    struct row live = flow_row(&flow, sale, &(struct flow_wish){.shopper = "dan"});
    struct row ended = flow_row(&flow, sale, &(struct flow_wish){.shopper = "eve"});
    char log_id[40];
    assert_int_equal(flow_reserve(&flow, sale, &live, log_id), 'W');
    assert_int_equal(flow_reserve(&flow, sale, &ended, log_id), 'W');
    flow_commit(&flow, sale, &live);
    flow_commit(&flow, sale, &ended);
    assert_int_equal(order_cancel(flow.s, &ended.id, &eves, &o), ST_OK);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    assert_int_equal(written(&live.id), 1);
    assert_int_equal(flow_state(&flow, &ended.id), ORDER_CANCELLED);
    flow_expect(&flow, no, 0, 10, 6);
}

/* An old file was restored: its log belongs to an epoch that is long over. */
static void test_r7_log_of_an_older_epoch_is_dropped(void **state)
{
    uint32_t no = busy_sale();
    struct uid id = left_in_log(no, &(struct flow_wish){.shopper = "dan"});
    flow_tell(&flow, "UPDATE shards SET epoch = epoch + 1, opened = opened + 1 WHERE sale = %u",
              no);
    flow_tell(&flow,
              "UPDATE shard_stock SET epoch = epoch + 1 WHERE item IN "
              "(SELECT no FROM items WHERE sale = %u)",
              no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    assert_int_equal(recover_shard(flow.s, no, 0, false), ST_OK);
    assert_int_equal(written(&id), 0);
    flow_expect(&flow, no, 0, 10, 5);
}

/* A rebuild that died before its load began opened nothing: the log of before still counts. */
static void test_r7_opened_is_not_the_epoch(void **state)
{
    uint32_t no = busy_sale();
    struct uid id = left_in_log(no, &(struct flow_wish){.shopper = "dan"});
    flow_tell(&flow, "UPDATE shards SET epoch = epoch + 1, ready = 0 WHERE sale = %u", no);
    flow_tell(&flow,
              "UPDATE shard_stock SET epoch = epoch + 1 WHERE item IN "
              "(SELECT no FROM items WHERE sale = %u)",
              no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    int64_t epoch = epoch_of(no);
    assert_int_equal(recover_shard(flow.s, no, 0, false), ST_OK);
    expect_open(no, epoch + 1);
    assert_int_equal(written(&id), 1);
    flow_expect(&flow, no, 0, 10, 6);
}

/* R22: the gate gave away more than there was. What fits is written; who was told 202 and has no place
 * keeps a cancelled order; who was told nothing has none. */
static void test_r22_log_exceeds_ledger(void **state)
{
    uint32_t no = busy_sale();
    flow_redis(&flow, "HSET %s sku0 50", flow_look(&flow, no)->shard[0].keys.text[0]);
    struct uid fits = left_in_log(no, &(struct flow_wish){.shopper = "dan", .qty = 4});
    struct uid told =
        left_in_log(no, &(struct flow_wish){.shopper = "eve", .qty = 4, .async = true});
    struct uid untold = left_in_log(no, &(struct flow_wish){.shopper = "fay", .qty = 2});
    struct uid last = left_in_log(no, &(struct flow_wish){.shopper = "gus", .qty = 1});
    struct uid other = left_in_log(no, &(struct flow_wish){.shopper = "gus", .item = 1});
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    assert_int_equal(written(&fits), 1);
    assert_int_equal(written(&last), 1);
    assert_int_equal(written(&other), 1);
    assert_int_equal(flow_state(&flow, &told), ORDER_CANCELLED);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE id = %s", hex_id(&untold)),
                     0);
    flow_expect(&flow, no, 0, 10, 10);
    flow_expect(&flow, no, 1, 10, 1);
}

/* R2: once the shard was rebuilt, what was reserved before is committed by nobody. */
static void test_r2_commit_of_an_older_epoch(void **state)
{
    uint32_t no = busy_sale();
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "dan"});
    struct commit_row c = flow_commit_row(sale, &row), flat, *one = &c;
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    assert_int_equal(commit_rows(flow.s->sql, &one, 1, false, &flat), ST_FENCED);
    assert_int_equal(c.outcome, ST_FENCED);
    assert_int_equal(written(&row.id), 0);
    flow_expect(&flow, no, 0, 10, 5);
}

/* A take-back in the log is completed, once (R5). */
static void test_r5_take_back_in_the_log(void **state)
{
    uint32_t no = busy_sale();
    char code, log_id[40];
    int64_t left;
    for (int known = 0; known < 2; known++) {
        const struct sale *sale = flow_look(&flow, no);
        struct row row = {.kind = ROW_TAKE,
                          .id = uid_make(flow.s->ids, clock_wall_ms()),
                          .qty = 2,
                          .storefront = 1,
                          .item = sale->item[0].no,
                          .sku = sale->item[0].sku};
        assert_int_equal(gate_reserve(flow.s, sale, 0, &row, &code, log_id, &left), ST_OK);
        assert_int_equal(code, 'W');
        if (known)
            assert_int_equal(
                stock_take_commit(flow.s, sale, 0, sale->shard[0].epoch, &row, STR("by its owner")),
                ST_OK);
        assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
        flow_expect(&flow, no, 0, known ? 6 : 8, 5);
    }
}

/* Units that the ledger does not have are not sold by the log: the row is left out, the rest stays.
 */
static void test_p1_log_of_more_than_there_is(void **state)
{
    uint32_t no = busy_sale();
    struct uid id = left_in_log(no, &(struct flow_wish){.shopper = "dan", .item = 1});
    struct uid many = left_in_log(no, &(struct flow_wish){.shopper = "eve", .qty = 5});
    flow_tell(&flow, "UPDATE shard_stock SET allocated = 7, added = 7 WHERE item = %u",
              flow_look(&flow, no)->item[0].no);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    assert_int_equal(written(&id), 1);
    assert_int_equal(written(&many), 0);
    flow_expect(&flow, no, 0, 7, 5);
    flow_expect(&flow, no, 1, 10, 1);
}

/* More entries than are read at a time. */
static void test_long_log(void **state)
{
    enum { ORDERS = 200 };
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 300});
    char shopper[16];
    for (int i = 0; i < ORDERS; i++) {
        snprintf(shopper, sizeof(shopper), "l%d", i);
        left_in_log(no, &(struct flow_wish){.shopper = shopper});
    }
    assert_int_equal(flow_units(&flow, no, 0).log, ORDERS);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    flow_expect(&flow, no, 0, 300, ORDERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r7_log_of_the_opened_epoch_is_written),
        cmocka_unit_test(test_r3_log_of_what_was_written_before),
        cmocka_unit_test(test_r7_log_of_an_older_epoch_is_dropped),
        cmocka_unit_test(test_r7_opened_is_not_the_epoch),
        cmocka_unit_test(test_r22_log_exceeds_ledger),
        cmocka_unit_test(test_r2_commit_of_an_older_epoch),
        cmocka_unit_test(test_r5_take_back_in_the_log),
        cmocka_unit_test(test_p1_log_of_more_than_there_is),
        cmocka_unit_test(test_long_log),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
