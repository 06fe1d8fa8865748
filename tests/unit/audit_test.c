#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/audit.h"

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

static struct audit audit_now(uint32_t no)
{
    struct audit a;
    const struct sale *sale = flow_look(&flow, no);
    assert_int_equal(audit_sale(flow.s, sale, 0, &a), ST_OK);
    return a;
}

static const struct audit_check *check_of(const struct audit *a, const char *name)
{
    for (unsigned i = 0; i < a->checks; i++)
        if (strcmp(a->check[i].name, name) == 0)
            return &a->check[i];
    fail_msg("there is no check %s", name);
    return NULL;
}

/* A sale with an unpaid order (ann, 2), a paid one (bob, 1) and a cancelled one (cid, 3). */
struct history {
    uint32_t no, item; /* numbers of sale and item */
    struct uid unpaid, paid, cancelled;
    struct shard_keys keys;
};

static struct uid pay(const struct uid *order, int64_t amount, int payment_state)
{
    struct uid id = uid_make(flow.s->ids, clock_wall_ms());
    flow_tell(&flow,
              "INSERT INTO payments (id, order_id, channel, phase, state, amount, currency, "
              "created_ms) VALUES (%s, %s, 'sandbox', 'full', %d, %lld, 'CNY', 1)",
              hex_id(&id), hex_id(order), payment_state, (long long)amount);
    return id;
}

static struct history a_history(void)
{
    struct history h = {.no = flow_sell(&flow, &(struct flow_sale){.stock = 10, .limit = 3})};
    static const struct order_scope cids = {1, {"cid", 3}};
    struct order o;
    h.unpaid = flow_buy(&flow, h.no, &(struct flow_wish){.qty = 2});
    h.paid = flow_buy(&flow, h.no, &(struct flow_wish){.shopper = "bob"});
    h.cancelled = flow_buy(&flow, h.no, &(struct flow_wish){.shopper = "cid", .qty = 3});
    flow_tell(&flow, "UPDATE orders SET state = 2 WHERE id = %s", hex_id(&h.paid));
    pay(&h.paid, PRICE, PAYMENT_SUCCEEDED);
    assert_int_equal(order_cancel(flow.s, &h.cancelled, &cids, &o), ST_OK);
    const struct sale *sale = flow_look(&flow, h.no);
    h.item = sale->item[0].no;
    h.keys = sale->shard[0].keys;
    return h;
}

static void test_all_promises_kept(void **state)
{
    struct history h = a_history();
    struct audit a = audit_now(h.no);
    for (unsigned i = 0; i < a.checks; i++)
        if (!a.check[i].ok)
            fail_msg("%s: %lld, not %lld", a.check[i].name, (long long)a.check[i].found,
                     (long long)a.check[i].expected);
    assert_true(a.ok);
    assert_int_equal(a.items, 1);
    assert_true(str_equal(a.item[0].sku, STR("sku0")));
    assert_int_equal(a.item[0].allocated, 10);
    assert_int_equal(a.item[0].live, 3);
    assert_int_equal(a.item[0].paid, 1);
    assert_int_equal(a.item[0].released, 3);
    assert_int_equal(a.item[0].ledger_left, 7);
    assert_int_equal(a.item[0].gate_left, 7);
    assert_int_equal(a.item[0].gate_held, 3);
    assert_int_equal(a.pending_log + a.pending_committing + a.pending_releases, 0);
    assert_int_equal(a.unapplied + a.odd_notices, 0);
    audit_free(&a);
}

static void test_items_are_told_apart(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 3, .items = 3, .stock = 30});
    char shopper[16];
    for (unsigned i = 0; i < 12; i++) {
        snprintf(shopper, sizeof(shopper), "i%u", i);
        flow_buy(&flow, no, &(struct flow_wish){.shopper = shopper, .item = i % 2});
    }
    struct audit a = audit_now(no);
    static const int64_t live[] = {6, 6, 0};
    assert_true(a.ok);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(a.item[i].live, live[i]);
        assert_int_equal(a.item[i].gate_held, live[i]);
        assert_int_equal(a.item[i].gate_left, 30 - live[i]);
    }
    audit_free(&a);
}

static void test_a_draft(void **state)
{
    struct audit a = audit_now(flow_sell(&flow, &(struct flow_sale){.stock = 3, .draft = true}));
    assert_true(a.ok);
    assert_int_equal(a.item[0].allocated, 0);
    audit_free(&a);
}

/* --- each promise, broken by hand
 * ----------------------------------------------------------------- */

static void oversell(const struct history *h)
{
    /* The schema's CHECK stands in the way; what counts is the orders themselves. */
    flow_tell(&flow, "UPDATE shard_stock SET allocated = 3, added = 3 WHERE item = %u", h->item);
    flow_tell(&flow, "UPDATE orders SET qty = 4 WHERE id = %s", hex_id(&h->unpaid));
}

static void miscount(const struct history *h)
{
    flow_tell(&flow, "UPDATE shard_stock SET held = held - 1 WHERE item = %u", h->item);
}

static void sync_seldom(const struct history *h)
{
    flow_tell(&flow, "SET GLOBAL innodb_flush_log_at_trx_commit = 2");
}

static void pass_limit(const struct history *h)
{
    flow_tell(&flow, "UPDATE items SET per_shopper = 1 WHERE no = %u", h->item);
}

static void lose_units(const struct history *h)
{
    flow_redis(&flow, "HINCRBY %s sku0 -1", h->keys.text[0]);
}

static void lose_holds(const struct history *h)
{
    flow_redis(&flow, "HDEL %s sku0|ann", h->keys.text[1]);
}

static void forget_deadline(const struct history *h)
{
    flow_tell(&flow, "UPDATE sales SET pay_within_s = 1 WHERE no = %u", h->no);
    struct uid old = uid_make_routed(flow.s->ids, clock_wall_ms() - 60000, h->no, 0);
    flow_tell(&flow, "UPDATE orders SET id = %s WHERE id = %s", hex_id(&old), hex_id(&h->unpaid));
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
}

static void lose_capture(const struct history *h)
{
    flow_tell(&flow, "DELETE FROM payments WHERE order_id = %s", hex_id(&h->paid));
}

static void capture_another_amount(const struct history *h)
{
    flow_tell(&flow, "UPDATE payments SET amount = 1 WHERE order_id = %s", hex_id(&h->paid));
}

static void capture_twice(const struct history *h)
{
    pay(&h->paid, PRICE, PAYMENT_SUCCEEDED);
}

static void capture_unpaid(const struct history *h)
{
    pay(&h->unpaid, 2 * PRICE, PAYMENT_SUCCEEDED);
}

static void move_epoch(const struct history *h)
{
    flow_tell(&flow, "UPDATE shard_stock SET epoch = epoch + 1 WHERE item = %u", h->item);
}

static void close_shard(const struct history *h)
{
    flow_tell(&flow, "UPDATE shards SET ready = 0 WHERE sale = %u", h->no);
}

static void swap_units(const struct history *h)
{
    flow_redis(&flow, "HINCRBY %s sku0 1", h->keys.text[0]);
    flow_redis(&flow, "HDEL %s sku0|bob", h->keys.text[1]);
}

static const struct {
    void (*breakage)(const struct history *h);
    const char *check, *promise;
    int64_t expected, found;
} breakages[] = {
    {oversell, "live_within_allocated", "P1", 0, 2},
    {miscount, "ledger_counts_live_orders", "P1", 0, 1},
    {sync_seldom, "commits_are_fsynced", "P2", 1, 0},
    {pass_limit, "shoppers_over_limit", "P3", 0, 1},
    {lose_units, "gate_left_is_ledger_left", "P4", 7, 6},
    {lose_holds, "gate_held_is_live", "P4", 3, 1},
    {swap_units, "items_whose_units_differ", "P4", 0, 2},
    {forget_deadline, "unpaid_orders_past_deadline", "P4", 0, 1},
    {lose_capture, "paid_orders_without_capture", "P5", 0, 1},
    {capture_another_amount, "paid_orders_without_capture", "P5", 0, 1},
    {capture_twice, "orders_captured_twice", "P5", 0, 1},
    {capture_unpaid, "captured_orders_unpaid", "P5", 0, 1},
    {move_epoch, "shards_out_of_epoch", "P6", 0, 1},
    {close_shard, "shards_out_of_epoch", "P6", 0, 1},
};

static void test_each_broken_promise_is_red(void **state)
{
    for (unsigned i = 0; i < COUNT(breakages); i++) {
        struct history h = a_history();
        breakages[i].breakage(&h);
        struct audit a = audit_now(h.no);
        flow_tell(&flow, "SET GLOBAL innodb_flush_log_at_trx_commit = 1");
        const struct audit_check *c = check_of(&a, breakages[i].check);
        if (c->ok || a.ok || c->expected != breakages[i].expected || c->found != breakages[i].found)
            fail_msg("breakage %u: %s is %lld of %lld", i, c->name, (long long)c->found,
                     (long long)c->expected);
        assert_string_equal(c->promise, breakages[i].promise);
        audit_free(&a);
    }
}

/* One sale's trouble is no other's. */
static void test_other_sales_stay_green(void **state)
{
    struct history h = a_history(), other = a_history();
    capture_twice(&other);
    lose_units(&other);
    miscount(&other);
    struct audit a = audit_now(h.no);
    assert_true(a.ok);
    audit_free(&a);
    a = audit_now(other.no);
    assert_false(a.ok);
    audit_free(&a);
}

/* A missing key in Redis is no reason to fall silent. */
static void test_gate_gone(void **state)
{
    struct history h = a_history();
    flow_redis(&flow, "DEL %s %s %s", h.keys.text[0], h.keys.text[1], h.keys.text[2]);
    struct audit a = audit_now(h.no);
    assert_false(a.ok);
    assert_false(check_of(&a, "items_whose_units_differ")->ok);
    audit_free(&a);
}

/* --- shown, and no broken promise
 * ----------------------------------------------------------------- */

static void test_money_to_look_at(void **state)
{
    static const char *const outcomes[] = {"unmatched", "mismatch", "applied", "unapplied"};
    struct history h = a_history();
    pay(&h.cancelled, 3 * PRICE, PAYMENT_UNAPPLIED);
    for (unsigned i = 0; i < COUNT(outcomes); i++)
        flow_tell(&flow,
                  "INSERT INTO webhook_events VALUES ('sandbox', '%u-%u', %s, %s, 't', 1, 'CNY', "
                  "'', '%s', 1)",
                  h.no, i, hex_id(&h.paid), hex_id(&h.paid), outcomes[i]);
    struct audit a = audit_now(h.no);
    assert_true(a.ok);
    assert_int_equal(a.unapplied, 1);
    assert_int_equal(a.odd_notices, 2);
    audit_free(&a);
}

static void test_what_is_under_way(void **state)
{
    char log_id[40];
    struct history h = a_history();
    const struct sale *sale = flow_look(&flow, h.no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "dan"});
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W');
    assert_true(committers_take_room(flow.engine.committers, 5));
    flow_tell(&flow, "INSERT INTO outbox VALUES (%s, 1, %u, 0, %u, 0, %s, 0, 'x', 0)",
              hex_id(&row.id), h.no, h.item, hex_id(&row.id));
    struct audit a = audit_now(h.no);
    committers_give_room(flow.engine.committers, 5);
    flow_tell(&flow, "DELETE FROM outbox");
    assert_int_equal(a.pending_log, 1);
    assert_int_equal(a.pending_committing, 5);
    assert_int_equal(a.pending_releases, 1);
    assert_false(a.ok); /* the gate is one ahead */
    audit_free(&a);
}

struct later {
    struct job job;
    uint32_t no;
    struct row row;
    char log_id[40];
};

static void commit_soon(struct job *job, struct session *s)
{
    struct later *l = CONTAINER_OF(job, struct later, job);
    const struct snapshot *snap;
    struct commit_row c, flat, *one = &c;
    if (session_catalog(s, &snap) != ST_OK)
        abort();
    const struct sale *sale = snapshot_sale_by_no(snap, l->no);
    c = flow_commit_row(sale, &l->row);
    if (commit_rows(s->sql, &one, 1, false, &flat) != ST_OK ||
        gate_ack(s, sale, 0, l->log_id) != ST_OK)
        abort();
}

/* Given time, it waits for what is under way; without, it says what it saw. */
static void test_waits_for_quiet(void **state)
{
    struct history h = a_history();
    struct later later = {.job = {.work = commit_soon}, .no = h.no};
    const struct sale *sale = flow_look(&flow, h.no);
    struct audit a;
    later.row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "dan"});
    assert_int_equal(flow_reserve(&flow, sale, &later.row, later.log_id), 'W');
    assert_int_equal(audit_sale(flow.s, sale, 0, &a), ST_OK);
    assert_false(a.ok);
    audit_free(&a);
    assert_int_equal(jobs_submit(flow.engine.queries, &later.job), ST_OK);
    int64_t started_us = clock_mono_us();
    assert_int_equal(audit_sale(flow.s, sale, 20000, &a), ST_OK);
    assert_true(clock_mono_us() - started_us < 10000000); /* no longer than need be */
    assert_true(a.ok);
    assert_int_equal(a.pending_log, 0);
    audit_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_promises_kept),
        cmocka_unit_test(test_items_are_told_apart),
        cmocka_unit_test(test_a_draft),
        cmocka_unit_test(test_each_broken_promise_is_red),
        cmocka_unit_test(test_other_sales_stay_green),
        cmocka_unit_test(test_gate_gone),
        cmocka_unit_test(test_money_to_look_at),
        cmocka_unit_test(test_what_is_under_way),
        cmocka_unit_test(test_waits_for_quiet),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
