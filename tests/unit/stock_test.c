#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/outbox.h"
#include "flow/stock.h"

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static enum status change(uint32_t no, int64_t delta, bool resumed, struct stock_movement *m)
{
    const struct sale *sale = flow_look(&flow, no);
    if (!resumed)
        m->id = uid_make(flow.s->ids, clock_wall_ms());
    return stock_change(flow.s, sale, &sale->item[0], delta, STR("a reason"), resumed, m);
}

static int64_t movements(uint32_t no)
{
    return flow_ask(&flow,
                    "SELECT COALESCE(CAST(SUM(delta) AS INTEGER), 0) FROM stock_movements m "
                    "JOIN items i ON i.no = m.item WHERE i.sale = %u",
                    no);
}

static void test_add(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 3});
    assert_int_equal(change(no, 5, false, &m), ST_OK);
    assert_int_equal(m.delta, 5);
    assert_int_equal(m.allocated, 15);
    assert_int_equal(m.left, 12);
    assert_int_equal(m.created_ms, uid_ms(&m.id));
    flow_expect(&flow, no, 0, 15, 3);
    assert_int_equal(movements(no), 5);
    assert_int_equal(flow_ask(&flow,
                              "SELECT COUNT(*) FROM stock_movements WHERE id = %s AND "
                              "delta = 5 AND reason = 'a reason'",
                              hex_id(&m.id)),
                     1);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM outbox"), 0);
}

static void test_add_over_shards(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 3, .stock = 3});
    assert_int_equal(change(no, 5, false, &m), ST_OK);
    assert_int_equal(m.allocated, 8);
    flow_expect(&flow, no, 0, 8, 0);
    assert_int_equal(change(no, 1, false, &m), ST_OK); /* not every shard gets one */
    flow_expect(&flow, no, 0, 9, 0);
    assert_int_equal(movements(no), 6);
}

/* What was sold out is not refused from memory any more. */
static void test_add_ends_refusals_from_memory(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 1});
    flow_buy(&flow, no, &(struct flow_wish){0});
    struct live_item *live = flow_look(&flow, no)->item[0].live;
    atomic_store(&live->refuse, true);
    assert_int_equal(change(no, 1, false, &m), ST_OK);
    assert_false(atomic_load(&live->refuse));
    flow_buy(&flow, no, &(struct flow_wish){.shopper = "bob"});
    flow_expect(&flow, no, 0, 2, 2);
}

static void test_take(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 3});
    assert_int_equal(change(no, -7, false, &m), ST_OK);
    assert_int_equal(m.delta, -7);
    assert_int_equal(m.allocated, 3);
    assert_int_equal(m.left, 0);
    flow_expect(&flow, no, 0, 3, 3);
    assert_int_equal(movements(no), -7);
}

static void test_take_more_than_is_left(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 3});
    assert_int_equal(change(no, -8, false, &m), ST_NOT_ENOUGH_LEFT);
    assert_int_equal(m.left, 7);
    flow_expect(&flow, no, 0, 10, 3);
    assert_int_equal(movements(no), 0);
}

static void test_take_from_shard_after_shard(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 3, .stock = 9});
    assert_int_equal(change(no, -7, false, &m), ST_OK);
    assert_int_equal(m.allocated, 2);
    flow_expect(&flow, no, 0, 2, 0);
    assert_int_equal(movements(no), -7);
    assert_int_equal(change(no, -3, false, &m), ST_NOT_ENOUGH_LEFT);
    assert_int_equal(m.left, 2);
    flow_expect(&flow, no, 0, 2, 0); /* the two that were taken came back */
    assert_int_equal(movements(no), -7);
}

/* What each shard has is known at once, not at the next look at the gates. */
static void test_take_right_after_add(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 2, .stock = 0});
    assert_int_equal(change(no, 10, false, &m), ST_OK);
    assert_int_equal(change(no, -10, false, &m), ST_OK);
    flow_expect(&flow, no, 0, 0, 0);
}

/* A shopper and a take-back meet at the gate: whoever comes first has the unit. */
static void test_r5_taken_units_are_not_sold(void **state)
{
    struct stock_movement m;
    char log_id[40];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 2});
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){0});
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W'); /* on its way */
    assert_int_equal(change(no, -2, false, &m), ST_NOT_ENOUGH_LEFT);
    assert_int_equal(change(no, -1, false, &m), ST_OK);
    sale = flow_look(&flow, no);
    flow_commit(&flow, sale, &row); /* still fits */
    assert_int_equal(gate_ack(flow.s, sale, 0, log_id), ST_OK);
    flow_expect(&flow, no, 0, 1, 1);
}

static void test_taken_up_again(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    static const int64_t delta[] = {4, -3};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(change(no, delta[i], false, &m), ST_OK);
        struct stock_movement again = {.id = m.id};
        assert_int_equal(change(no, delta[i], true, &again), ST_OK); /* was written: the answer */
        assert_int_equal(again.allocated, m.allocated);
        assert_int_equal(again.left, m.left);
    }
    flow_expect(&flow, no, 0, 11, 0);
    m.id = uid_make(flow.s->ids, clock_wall_ms());
    assert_int_equal(change(no, 4, true, &m), ST_OK); /* was not: done now */
    flow_expect(&flow, no, 0, 15, 0);
}

static void test_closed_gate(void **state)
{
    struct stock_movement m;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    const struct sale *sale = flow_look(&flow, no);
    flow_hold(&flow, flow.engine.rebuilds);
    flow_redis(&flow, "DEL %s", sale->shard[0].keys.text[1]);
    assert_int_equal(change(no, -1, false, &m), ST_RECOVERING);
    assert_int_equal(movements(no), 0);
    /* Added all the same: Redis learns it from the outbox, or by its rebuild. */
    assert_int_equal(change(no, 2, false, &m), ST_OK);
    assert_int_equal(m.allocated, 12);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM outbox WHERE sale = %u", no), 1);
    assert_int_equal(recover_shard(flow.s, no, 0, false), ST_OK);
    unsigned waiting;
    assert_int_equal(outbox_sweep(flow.s, &waiting), ST_OK);
    assert_int_equal(waiting, 1);
    flow_expect(&flow, no, 0, 12, 0); /* once, not twice */
    flow_let_go(&flow, flow.engine.rebuilds);
}

/* --- the commit of a take-back
 * -------------------------------------------------------------------- */

static struct row take_row(const struct sale *sale, unsigned qty)
{
    return (struct row){.kind = ROW_TAKE,
                        .id = uid_make(flow.s->ids, clock_wall_ms()),
                        .qty = qty,
                        .storefront = sale->storefront,
                        .item = sale->item[0].no,
                        .sku = sale->item[0].sku};
}

static void test_take_commit(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 4});
    const struct sale *sale = flow_look(&flow, no);
    int64_t epoch = sale->shard[0].epoch;
    struct row row = take_row(sale, 6);
    assert_int_equal(stock_take_commit(flow.s, sale, 0, epoch - 1, &row, STR("old")), ST_FENCED);
    assert_int_equal(movements(no), 0);
    assert_int_equal(stock_take_commit(flow.s, sale, 0, epoch, &row, STR("now")), ST_OK);
    assert_int_equal(stock_take_commit(flow.s, sale, 0, epoch, &row, STR("now")), ST_DUPLICATE);
    assert_int_equal(movements(no), -6);
    row = take_row(sale, 1); /* never below what is held */
    assert_int_equal(stock_take_commit(flow.s, sale, 0, epoch, &row, STR("now")), ST_FENCED);
    assert_int_equal(
        flow_ask(&flow, "SELECT allocated FROM shard_stock WHERE item = %u", sale->item[0].no), 4);
}

/* An addition over several shards is one transaction, so a try that is taken up again finds all or
 * nothing. */
/* An earlier try reserved n units of a shard under the movement's id, and got no further. */
static void reserved_before(uint32_t no, unsigned shard, unsigned n, const struct uid *movement)
{
    const struct sale *sale = flow_look(&flow, no);
    struct row row = {.kind = ROW_TAKE,
                      .id = *movement,
                      .qty = n,
                      .storefront = sale->storefront,
                      .item = sale->item[0].no,
                      .sku = sale->item[0].sku};
    char code, log_id[40];
    int64_t left;
    row.id.b[UID_LEN - 1] ^= (uint8_t)shard; /* as movements over several shards are named */
    assert_int_equal(gate_reserve(flow.s, sale, shard, &row, &code, log_id, &left), ST_OK);
    assert_int_equal(code, 'W');
}

/* R5: what the earlier try has in the log is settled first, and counts. */
static void test_r5_take_back_resumed(void **state)
{
    struct stock_movement m = {.id = uid_make(flow.s->ids, clock_wall_ms())};
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    reserved_before(no, 0, 4, &m.id);
    assert_int_equal(change(no, -4, true, &m), ST_OK);
    assert_int_equal(movements(no), -4);
    flow_expect(&flow, no, 0, 6, 0);
    assert_int_equal(change(no, -4, true, &m), ST_OK); /* and again */
    flow_expect(&flow, no, 0, 6, 0);
}

static void test_r5_take_back_resumed_over_shards(void **state)
{
    struct stock_movement m = {.id = uid_make(flow.s->ids, clock_wall_ms())};
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 3, .stock = 9});
    reserved_before(no, 2, 2, &m.id);
    assert_int_equal(change(no, -2, true, &m), ST_OK);
    assert_int_equal(movements(no), -2);
    flow_expect(&flow, no, 0, 7, 0);
}

static void test_add_over_shards_resumed(void **state)
{
    struct stock_movement m = {.id = uid_make(flow.s->ids, clock_wall_ms())};
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 2, .stock = 0});
    const struct sale *sale = flow_look(&flow, no);
    assert_int_equal(stock_change(flow.s, sale, sale->item, 10, STR("r"), false, &m), ST_OK);
    sale = flow_look(&flow, no);
    assert_int_equal(stock_change(flow.s, sale, sale->item, 10, STR("r"), true, &m), ST_OK);
    assert_int_equal(m.allocated, 10);
    assert_int_equal(stock_change(flow.s, sale, sale->item, 10, STR("r"), false, &m), ST_DUPLICATE);
    assert_int_equal(
        flow_ask(&flow, "SELECT CAST(SUM(allocated) AS INTEGER) FROM shard_stock WHERE item = %u",
                 sale->item[0].no),
        10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_add_over_shards),
        cmocka_unit_test(test_add_ends_refusals_from_memory),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_take_more_than_is_left),
        cmocka_unit_test(test_take_from_shard_after_shard),
        cmocka_unit_test(test_take_right_after_add),
        cmocka_unit_test(test_r5_taken_units_are_not_sold),
        cmocka_unit_test(test_taken_up_again),
        cmocka_unit_test(test_closed_gate),
        cmocka_unit_test(test_take_commit),
        cmocka_unit_test(test_add_over_shards_resumed),
        cmocka_unit_test(test_r5_take_back_resumed),
        cmocka_unit_test(test_r5_take_back_resumed_over_shards),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
