#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/outbox.h"

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static int setup(void **state)
{
    flow_tell(&flow, "DELETE FROM outbox");
    flow_hold(&flow, flow.engine.rebuilds); /* recovery would deliver the rest by itself */
    return 0;
}

static int teardown(void **state)
{
    flow_let_go(&flow, flow.engine.rebuilds);
    return 0;
}

static int64_t waiting_rows(void)
{
    return flow_ask(&flow, "SELECT COUNT(*) FROM outbox");
}

static unsigned sweep(void)
{
    unsigned waiting = 12345;
    assert_int_equal(outbox_sweep(flow.s, &waiting), ST_OK);
    return waiting;
}

/* An order that ends in MariaDB, and the row that Redis must be told; not delivered. */
static struct outbox_row end_order(uint32_t no, const struct uid *id, const char *shopper,
                                   unsigned qty)
{
    const struct sale *sale = flow_look(&flow, no);
    struct outbox_row row = {.kind = OUTBOX_RELEASE,
                             .sale = no,
                             .item = sale->item[0].no,
                             .shard = uid_shard(id),
                             .order = *id,
                             .shopper = str_from(shopper)};
    assert_int_equal(sql_begin(flow.s->sql), ST_OK);
    assert_int_equal(ledger_release(flow.s, row.item, row.shard, qty, &row.epoch), ST_OK);
    assert_int_equal(outbox_write(flow.s, &row, 1), ST_OK);
    assert_int_equal(sql_commit(flow.s->sql), ST_OK);
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE id = %s", hex_id(id));
    assert_int_equal(row.epoch, sale->shard[row.shard].epoch);
    return row;
}

static void test_delivered_and_deleted(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    struct outbox_row row = end_order(no, &id, "ann", 2);
    assert_int_equal(waiting_rows(), 1);
    assert_int_equal(flow_units(&flow, no, 0).left, 8); /* Redis does not know yet */
    outbox_deliver(flow.s, &row, 1);
    assert_true(row.told);
    assert_int_equal(waiting_rows(), 0);
    flow_expect(&flow, no, 0, 10, 0);
    assert_int_equal(sweep(), 0);
}

static void test_swept_when_nobody_delivered(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.shopper = "Bob", .qty = 2});
    end_order(no, &id, "Bob", 2);
    assert_int_equal(sweep(), 1);
    assert_int_equal(waiting_rows(), 0);
    flow_expect(&flow, no, 0, 10, 0);
}

static void test_redelivered_is_harmless(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 1}); /* another of the same shopper */
    struct outbox_row row = end_order(no, &id, "ann", 2);
    for (int i = 0; i < 3; i++) {
        row.told = false;
        outbox_deliver(flow.s, &row, 1);
        assert_true(row.told);
        flow_expect(&flow, no, 0, 10, 1);
    }
}

/* R19: a hold's name is order and generation. */
static void test_r19_release_of_an_older_generation(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    struct outbox_row row = end_order(no, &id, "ann", 2);
    row.gen = 1;
    outbox_deliver(flow.s, &row, 1);
    assert_true(row.told); /* Redis has nothing of that name */
    assert_int_equal(flow_units(&flow, no, 0).held, 2);
}

/* R4: what happened under a newer epoch is no business of an older shard. */
static void test_r4_older_shard_keeps_the_row(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    const struct sale *sale = flow_look(&flow, no);
    flow_tell(&flow, "UPDATE shard_stock SET epoch = epoch + 1 WHERE item = %u", sale->item[0].no);
    struct outbox_row row = {.kind = OUTBOX_RELEASE,
                             .sale = no,
                             .item = sale->item[0].no,
                             .order = id,
                             .shopper = STR("ann")};
    assert_int_equal(sql_begin(flow.s->sql), ST_OK);
    assert_int_equal(ledger_release(flow.s, row.item, 0, 2, &row.epoch), ST_OK);
    assert_int_equal(row.epoch, sale->shard[0].epoch + 1);
    assert_int_equal(outbox_write(flow.s, &row, 1), ST_OK);
    assert_int_equal(sql_commit(flow.s->sql), ST_OK);
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE id = %s", hex_id(&id));
    outbox_deliver(flow.s, &row, 1);
    assert_false(row.told);
    assert_int_equal(sweep(), 1);
    assert_int_equal(waiting_rows(), 1);
    assert_int_equal(flow_units(&flow, no, 0).held, 2);
    /* The rebuild has the release in its snapshot; delivered after it, the row does nothing more.
     */
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    assert_int_equal(sweep(), 1);
    assert_int_equal(waiting_rows(), 0);
    flow_expect(&flow, no, 0, 10, 0);
}

/* R4 the other way: an old release reaches a shard that was loaded since. */
static void test_r4_newer_shard_has_it_already(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    end_order(no, &id, "ann", 2);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    flow_expect(&flow, no, 0, 10, 0);
    assert_int_equal(sweep(), 1);
    assert_int_equal(waiting_rows(), 0);
    flow_expect(&flow, no, 0, 10, 0);
}

static struct outbox_row added(uint32_t no, unsigned shard, int64_t total, int64_t epoch)
{
    const struct sale *sale = flow_look(&flow, no);
    return (struct outbox_row){.kind = OUTBOX_ADD,
                               .sale = no,
                               .item = sale->item[0].no,
                               .shard = shard,
                               .epoch = sale->shard[shard].epoch + epoch,
                               .n = total};
}

/* R5: the running total; twice, or late and out of order, adds nothing. */
static void test_r5_added_units_travel_as_a_total(void **state)
{
    static const int64_t totals[] = {13, 13, 18, 13, 10, 18};
    static const int64_t left[] = {13, 13, 18, 18, 18, 18};
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    for (int i = 0; i < 6; i++) {
        struct outbox_row row = added(no, 0, totals[i], 0);
        outbox_deliver(flow.s, &row, 1);
        assert_true(row.told);
        assert_int_equal(flow_units(&flow, no, 0).left, left[i]);
    }
    struct outbox_row row = added(no, 0, 30, 1); /* of a newer epoch (R4) */
    outbox_deliver(flow.s, &row, 1);
    assert_false(row.told);
    assert_int_equal(flow_units(&flow, no, 0).left, 18);
}

/* Rows of several sales, shards and kinds in one sweep; one shard is closed, its rows stay. */
static void test_closed_shard_holds_nobody_else_up(void **state)
{
    enum { SALES = 3, ORDERS = 12 };
    uint32_t no[SALES];
    char shopper[ORDERS][16];
    struct uid id[SALES][ORDERS];
    for (int i = 0; i < SALES; i++) {
        no[i] = flow_sell(&flow, &(struct flow_sale){.shards = 2, .stock = 40});
        for (int k = 0; k < ORDERS; k++) {
            snprintf(shopper[k], sizeof(shopper[k]), "s%d", k);
            id[i][k] = flow_buy(&flow, no[i], &(struct flow_wish){.shopper = shopper[k]});
        }
    }
    for (int k = 0; k < ORDERS; k++)
        for (int i = 0; i < SALES; i++)
            end_order(no[i], &id[i][k], shopper[k], 1);
    flow_redis(&flow, "DEL %s", flow_look(&flow, no[1])->shard[1].keys.text[2]); /* closed (R17) */
    assert_int_equal(sweep(), SALES * ORDERS);
    int64_t stuck = flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE shard = 1 AND item = %u",
                             flow_look(&flow, no[1])->item[0].no);
    assert_true(stuck > 0 && stuck < ORDERS);
    assert_int_equal(waiting_rows(), stuck);
    flow_expect(&flow, no[0], 0, 40, 0);
    flow_expect(&flow, no[2], 0, 40, 0);
    assert_int_equal(recover_shard(flow.s, no[1], 1, false), ST_OK);
    assert_int_equal(sweep(), stuck);
    assert_int_equal(waiting_rows(), 0);
    flow_expect(&flow, no[1], 0, 40, 0);
}

/* A gate that refuses asks for its recovery, which mends it. */
static void test_refusal_asks_for_recovery(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){0});
    end_order(no, &id, "ann", 1);
    flow_redis(&flow, "DEL %s", flow_look(&flow, no)->shard[0].keys.text[0]);
    sweep();
    assert_int_equal(waiting_rows(), 1);
    flow_let_go(&flow, flow.engine.rebuilds);
    flow_hold(&flow, flow.engine.rebuilds);
    flow_expect(&flow, no, 0, 10, 0);
}

/* More than a batch: the sweep pages on. */
static void test_sweep_pages(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_tell(&flow,
              "INSERT INTO outbox SELECT UNHEX(LPAD(HEX(seq), 32, '0')), 1, %u, 0, %u, 0, "
              "UNHEX(LPAD(HEX(seq), 32, '0')), 0, 'ann', 0 FROM seq_1_to_1500",
              no, flow_look(&flow, no)->item[0].no);
    assert_int_equal(sweep(), 1500);
    assert_int_equal(waiting_rows(), 0);
    assert_int_equal(sweep(), 0);
    flow_expect(&flow, no, 0, 10, 0);
}

/* More units than are held cannot be given back: that would be a mistake of ours. */
static void test_ledger_refuses_what_is_not_held(void **state)
{
    int64_t epoch = -5;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    uint32_t item = flow_look(&flow, no)->item[0].no;
    assert_int_equal(sql_begin(flow.s->sql), ST_OK);
    assert_int_equal(ledger_release(flow.s, item, 0, 3, &epoch), ST_INTERNAL);
    assert_int_equal(ledger_release(flow.s, item, 1, 1, &epoch), ST_INTERNAL);
    sql_rollback(flow.s->sql);
    flow_expect(&flow, no, 0, 10, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_delivered_and_deleted),
        TEST(test_swept_when_nobody_delivered),
        TEST(test_redelivered_is_harmless),
        TEST(test_r19_release_of_an_older_generation),
        TEST(test_r4_older_shard_keeps_the_row),
        TEST(test_r4_newer_shard_has_it_already),
        TEST(test_r5_added_units_travel_as_a_total),
        TEST(test_closed_shard_holds_nobody_else_up),
        TEST(test_refusal_asks_for_recovery),
        TEST(test_sweep_pages),
        TEST(test_ledger_refuses_what_is_not_held),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
