#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Batches in the intent log whose owner will not finish them (rules R3, R10, R20). */
#include "rebuild_fixture.h"

#include "flow/lease.h"
#include "flow/stock.h"
#include "flow/sweep.h"

/* Reserves as an instance of which only its entry is left; writes nothing. */
static struct row reserved_by(const struct uid *owner, uint32_t no, const struct flow_wish *wish)
{
    char log_id[40];
    const struct uid me = flow.engine.instance;
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, wish);
    flow.engine.instance = *owner;
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id) | 0x20, 'w');
    flow.engine.instance = me;
    return row;
}

static struct uid stranger(void)
{
    return uid_make(flow.s->ids, clock_wall_ms());
}

/* As the keeper's look does: how many entries each log has. */
static void look_at_logs(uint32_t no)
{
    struct gate_units units[4];
    struct gate_view view = {.units = units};
    const struct sale *sale = flow_look(&flow, no);
    for (unsigned i = 0; i < sale->shards; i++) {
        assert_int_equal(gate_peek(flow.s, sale, i, &view), ST_OK);
        atomic_store(&sale->shard[i].live->log, view.log);
    }
}

static void sweep(uint32_t no)
{
    assert_int_equal(lease_renew(flow.s), ST_OK);
    look_at_logs(no);
    assert_int_equal(sweep_logs(flow.s), ST_OK);
}

static int64_t written(const struct row *row)
{
    return flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE id = %s AND state = 1",
                    hex_id(&row->id));
}

static void lease(const struct uid *owner, int64_t ms)
{
    flow_tell(&flow,
              "REPLACE INTO leases VALUES (%s, %s, "
              "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS INTEGER) + %lld)",
              hex_id(owner), hex_id(owner), (long long)ms);
}

static void test_dead_owner_is_completed_under_its_epoch(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    const struct uid dead = stranger();
    struct row a = reserved_by(&dead, no, &(struct flow_wish){.shopper = "dan"});
    struct row b = reserved_by(&dead, no, &(struct flow_wish){.shopper = "eve", .item = 1});
    lease(&dead, -1);
    sweep(no);
    assert_int_equal(written(&a), 1);
    assert_int_equal(written(&b), 1);
    expect_open(no, epoch); /* it sold on meanwhile */
    flow_expect(&flow, no, 0, 10, 6);
    flow_expect(&flow, no, 1, 10, 1);
}

static void test_more_than_a_page(void **state)
{
    enum { ORDERS = 150 };
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 200, .limit = 200});
    const struct uid dead = stranger();
    for (int i = 0; i < ORDERS; i++)
        reserved_by(&dead, no, &(struct flow_wish){0});
    sweep(no);
    flow_expect(&flow, no, 0, 200, ORDERS);
}

/* A slow owner is not a dead one, however old its entries are; and ours are our batches'. */
static void test_living_owners_are_left_alone(void **state)
{
    uint32_t no = busy_sale();
    const struct uid slow = stranger();
    lease(&slow, 60000);
    struct row a = reserved_by(&slow, no, &(struct flow_wish){.shopper = "dan"});
    struct row b = reserved_by(&flow.engine.instance, no, &(struct flow_wish){.shopper = "eve"});
    for (int i = 0; i < 3; i++)
        sweep(no);
    assert_int_equal(written(&a) + written(&b), 0);
    assert_int_equal(flow_units(&flow, no, 0).log, 2);
    lease(&slow, -1);
    sweep(no);
    assert_int_equal(written(&a), 1);
    assert_int_equal(flow_units(&flow, no, 0).log, 1);
}

/* R20: an answer was lost, so ours may be known to no batch. Given a look's time to be finished by the
 * batch that does know it, it is settled from the log. */
static void test_r20_own_entries_in_doubt(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    struct live_shard *live = flow_look(&flow, no)->shard[0].live;
    struct row a = reserved_by(&flow.engine.instance, no, &(struct flow_wish){.shopper = "dan"});
    sweep_doubt(live);
    sweep(no);
    assert_int_equal(written(&a), 0);
    struct row b = reserved_by(&flow.engine.instance, no, &(struct flow_wish){.shopper = "eve"});
    sweep(no);
    assert_int_equal(written(&a), 1);
    assert_int_equal(written(&b), 0);
    sweep(no);
    assert_int_equal(written(&b), 1);
    expect_open(no, epoch);
    flow_expect(&flow, no, 0, 10, 7);
    atomic_store(&live->doubt_until_us, 0);
}

/* R3: the owner wrote it, or wrote it and it was cancelled, before it died. */
static void test_r3_written_before(void **state)
{
    static const struct order_scope eves = {1, {"eve", 3}};
    struct order o;
    uint32_t no = busy_sale();
    const struct uid dead = stranger();
    struct row live = reserved_by(&dead, no, &(struct flow_wish){.shopper = "dan"});
    struct row ended = reserved_by(&dead, no, &(struct flow_wish){.shopper = "eve"});
    flow_commit(&flow, flow_look(&flow, no), &live);
    flow_commit(&flow, flow_look(&flow, no), &ended);
    assert_int_equal(order_cancel(flow.s, &ended.id, &eves, &o), ST_OK);
    sweep(no);
    assert_int_equal(written(&live), 1);
    assert_int_equal(flow_state(&flow, &ended.id), ORDER_CANCELLED);
    flow_expect(&flow, no, 0, 10, 6);
}

/* R3, R22: the key belongs to another order. Its units go back by name; who was told 202 finds a
 * cancelled order under the id that he was told. */
static void test_r3_r22_key_of_another(void **state)
{
    uint32_t no = busy_sale();
    const struct uid dead = stranger();
    /* ann's first order has ended, so Redis has forgotten its key and MariaDB has not. */
    static const struct order_scope anns = {1, {"ann", 3}};
    struct order o;
    const char *key = "used before";
    struct uid first = flow_buy(&flow, no, &(struct flow_wish){.key = key});
    assert_int_equal(order_cancel(flow.s, &first, &anns, &o), ST_OK);
    struct row plain = reserved_by(&dead, no, &(struct flow_wish){.key = key});
    sweep(no);
    assert_int_equal(
        flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE id = %s", hex_id(&plain.id)), 0);
    flow_expect(&flow, no, 0, 10, 5);
    struct row told = reserved_by(&dead, no, &(struct flow_wish){.key = key, .async = true});
    sweep(no);
    assert_int_equal(flow_state(&flow, &told.id), ORDER_CANCELLED);
    flow_expect(&flow, no, 0, 10, 5);
}

static void test_r5_stock_taken_back(void **state)
{
    uint32_t no = busy_sale();
    const struct uid me = flow.engine.instance, dead = stranger();
    const struct sale *sale = flow_look(&flow, no);
    const struct row row = {.kind = ROW_TAKE,
                            .id = uid_make(flow.s->ids, clock_wall_ms()),
                            .qty = 3,
                            .storefront = sale->storefront,
                            .item = sale->item[0].no,
                            .sku = sale->item[0].sku};
    char code, log_id[40];
    int64_t left;
    flow.engine.instance = dead;
    assert_int_equal(gate_reserve(flow.s, sale, 0, &row, &code, log_id, &left), ST_OK);
    flow.engine.instance = me;
    assert_int_equal(code, 'W');
    sweep(no);
    flow_expect(&flow, no, 0, 7, 5);
}

/* The owner was only paused: what it does when it goes on changes nothing. */
static void test_owner_goes_on_afterwards(void **state)
{
    uint32_t no = busy_sale();
    const struct uid paused = stranger();
    struct row a = reserved_by(&paused, no, &(struct flow_wish){.shopper = "dan"});
    sweep(no);
    const struct sale *sale = flow_look(&flow, no);
    struct commit_row c = flow_commit_row(sale, &a), flat, *one = &c;
    assert_int_equal(commit_rows(flow.s->sql, &one, 1, false, &flat), ST_DUPLICATE);
    assert_int_equal(commit_rows(flow.s->sql, &one, 1, true, &flat), ST_OK);
    assert_int_equal(c.outcome, ST_OK);
    flow_expect(&flow, no, 0, 10, 6);
}

/* The ledger has no room for what the gate gave away: that is a rebuild's business. */
static void test_r9_ledger_without_room(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    const struct uid dead = stranger();
    struct row a = reserved_by(&dead, no, &(struct flow_wish){.shopper = "dan", .qty = 2});
    flow_tell(&flow, "UPDATE shard_stock SET allocated = held + 1 WHERE item = %u",
              flow_look(&flow, no)->item[0].no);
    flow_hold(&flow, flow.engine.rebuilds);
    sweep(no);
    flow_let_go(&flow, flow.engine.rebuilds);
    assert_int_equal(written(&a), 0);
    expect_open(no, epoch + 1);
    flow_expect(&flow, no, 0, 6, 5);
}

/* R18: order ids and deadlines are MariaDB's time, whatever this machine's clock says. */
static void test_r18_the_clock_is_mariadbs(void **state)
{
    static const int64_t offs[] = {3600000, -3600000, 86400000, 2000, -2000};
    for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
        char text[80];
        int64_t from_us = clock_mono_us(), before = clock_wall_ms(), shared = before + offs[i];
        /* As if MariaDB's clock, or ours, had been set. */
        snprintf(text, sizeof(text), "SET SESSION timestamp = %lld.%03lld",
                 (long long)shared / 1000, (long long)shared % 1000);
        fixture_exec(flow.s->sql, text);
        assert_int_equal(lease_follow_clock(flow.s), ST_OK);
        int64_t off = clock_wall_ms() - shared, elapsed = (clock_mono_us() - from_us) / 1000 + 2;
        assert_true(llabs(off) <= elapsed);
        fixture_exec(flow.s->sql, "SET SESSION timestamp = DEFAULT");
        assert_int_equal(lease_follow_clock(flow.s), ST_OK);
        off = clock_wall_ms() - before;
        elapsed = (clock_mono_us() - from_us) / 1000 + 2;
        assert_true(llabs(off) <= elapsed + CLOCK_SLACK_MS);
    }
}

static void test_lease(void **state)
{
    const char *me = hex_id(&flow.engine.instance);
    assert_int_equal(lease_renew(flow.s), ST_OK);
    assert_in_range(flow_ask(&flow,
                             "SELECT until_ms - CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS INTEGER) "
                             "FROM leases WHERE name = %s",
                             me),
                    1, INSTANCE_LEASE_MS);
    lease_leave(flow.s);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM leases WHERE name = %s", me), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_owner_is_completed_under_its_epoch),
        cmocka_unit_test(test_more_than_a_page),
        cmocka_unit_test(test_living_owners_are_left_alone),
        cmocka_unit_test(test_r20_own_entries_in_doubt),
        cmocka_unit_test(test_r3_written_before),
        cmocka_unit_test(test_r3_r22_key_of_another),
        cmocka_unit_test(test_r5_stock_taken_back),
        cmocka_unit_test(test_owner_goes_on_afterwards),
        cmocka_unit_test(test_r9_ledger_without_room),
        cmocka_unit_test(test_r18_the_clock_is_mariadbs),
        cmocka_unit_test(test_lease),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
