/* patrol_audit_test.c - full audits in turn: what they heal, what they tell, and when they rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "patrol_fixture.h"

static void add_hold(uint32_t no)
{
    uint8_t record[RECORD_BYTES] = {1, [RECORD_BYTES - 1] = 1};
    flow_redis(&flow, "HSET %s sku0|ghost %b", key_of(no, 1, 1), record, sizeof(record));
}

static void lose_hold(uint32_t no)
{
    flow_redis(&flow, "HDEL %s sku0|ann", key_of(no, shopper_hash(STR("ann")) % 2, 1));
}

static void test_wrong_holds_are_rebuilt(void **state)
{
    const struct {
        void (*spoil)(uint32_t no);
        unsigned shard;
    } holes[] = {{add_hold, 1}, {lose_hold, shopper_hash(STR("ann")) % 2}};
    for (unsigned i = 0; i < COUNT(holes); i++) {
        uint32_t no = the_sale(2, 1);
        struct patrol *p = patrol(&at_once);
        const int64_t heals = metric("heals_total"), broken = metric("audit_broken_total");
        const int64_t epoch = epoch_of(no, holes[i].shard);
        const int64_t other = epoch_of(no, 1 - holes[i].shard);
        holes[i].spoil(no);
        audit(p, 1);
        assert_int_equal(metric("heals_total"), heals); /* one audit is no proof */
        assert_int_equal(metric("audit_ok"), 1);
        audit(p, 1);
        assert_int_equal(metric("heals_total"), heals + 1);
        assert_true(metric("audit_broken_total") > broken);
        assert_int_equal(metric("audit_ok"), 0);
        assert_int_equal(epoch_of(no, holes[i].shard), epoch + 1);
        assert_int_equal(epoch_of(no, 1 - holes[i].shard), other);
        flow_expect(&flow, no, 0, 20, 1);
        audit(p, LOOKS);
        assert_int_equal(metric("heals_total"), heals + 1);
        assert_int_equal(metric("audit_ok"), 1);
        patrol_destroy(&p);
    }
}

/* Holds can be counted only while nothing moves. */
static void test_holds_are_not_judged_while_something_is_under_way(void **state)
{
    uint32_t no = the_sale(2, 1);
    struct patrol *p = patrol(&at_once);
    const int64_t heals = metric("heals_total");
    add_hold(no);
    reserve_only(no);
    audit(p, LOOKS);
    assert_int_equal(metric("heals_total"), heals);
    patrol_destroy(&p);
}

/* A rebuild would load the same wrong figure again. */
static void test_a_miscounted_ledger_is_told_and_not_rebuilt(void **state)
{
    uint32_t no = the_sale(1, 1);
    struct patrol *p = patrol(&at_once);
    const int64_t heals = metric("heals_total"), broken = metric("audit_broken_total");
    flow_tell(&flow, "UPDATE shard_stock SET held = 0 WHERE item = %u",
              flow_look(&flow, no)->item[0].no);
    audit(p, 1);
    assert_int_equal(metric("audit_broken_total"), broken + 1); /* P1, at once */
    assert_int_equal(metric("audit_ok"), 0);
    audit(p, LOOKS);
    assert_int_equal(metric("heals_total"), heals);
    patrol_destroy(&p);
}

static void test_audits_rest(void **state)
{
    const struct patrol_pace slow = {.rest_ms = HOUR_MS}, duty = {.rest_times = 1000000};
    the_sale(1, 1);
    const struct patrol_pace *const paces[] = {&slow, &duty};
    for (unsigned i = 0; i < COUNT(paces); i++) {
        struct patrol *p = patrol(paces[i]);
        const int64_t audits = metric("audits_total");
        audit(p, LOOKS);
        assert_int_equal(metric("audits_total"), audits + 1);
        patrol_destroy(&p);
    }
}

/* Not for ever, and not what is in doubt: an audit waits while units go fast. */
static void test_audits_wait_for_a_rush(void **state)
{
    const struct patrol_pace waits = {.rush_per_s = 10, .rush_ms = HOUR_MS};
    const struct patrol_pace soon = {.rush_per_s = 10}; /* its time is up at once */
    const struct patrol_pace *const paces[] = {&waits, &soon};
    uint32_t no = the_sale(1, 1);
    for (unsigned i = 0; i < COUNT(paces); i++) {
        struct patrol *p = patrol(paces[i]);
        const int64_t audits = metric("audits_total");
        struct live_item *live = flow_look(&flow, no)->item[0].live;
        atomic_store(&live->left, 1000000);
        audit(p, 1);
        assert_int_equal(metric("audits_total"), audits + 1);
        atomic_store(&live->left, 0);
        audit(p, 1);
        assert_int_equal(metric("audits_total"), audits + 1 + i);
        audit(p, 1); /* no more have gone */
        assert_int_equal(metric("audits_total"), audits + 2 + i);
        patrol_destroy(&p);
    }
}

static void test_open_sales_take_turns(void **state)
{
    struct patrol *p = patrol(&at_once);
    uint32_t no = the_sale(1, 1), other = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    const int64_t broken = metric("audit_broken_total");
    flow_tell(&flow,
              "UPDATE shard_stock SET held = 2 WHERE item IN "
              "(SELECT i.no FROM items i WHERE i.sale IN (%u, %u))",
              no, other);
    audit(p, 2);
    assert_int_equal(metric("audit_broken_total"), broken + 2);
    patrol_destroy(&p);
}

/* Of several instances one audits; another goes on when its lease lapsed. */
static void test_one_instance_audits(void **state)
{
    struct engine second = flow.engine;
    struct session *theirs;
    struct patrol *p = patrol(&at_once), *q;
    the_sale(1, 1);
    second.instance = uid_make(flow.s->ids, clock_wall_ms());
    assert_int_equal(session_create(&second, &theirs), ST_OK);
    assert_int_equal(patrol_create(&second, &at_once, &q), ST_OK);
    const int64_t audits = metric("audits_total");
    assert_int_equal(patrol_audit(p, s), ST_OK);
    assert_int_equal(patrol_audit(q, theirs), ST_OK);
    assert_int_equal(metric("audits_total"), audits + 1);
    flow_tell(&flow, "UPDATE leases SET until_ms = 0 WHERE name = 'audit'");
    assert_int_equal(patrol_audit(q, theirs), ST_OK);
    assert_int_equal(patrol_audit(p, s), ST_OK);
    assert_int_equal(metric("audits_total"), audits + 2);
    flow_tell(&flow, "DELETE FROM leases");
    patrol_destroy(&p);
    patrol_destroy(&q);
    session_destroy(&theirs);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_wrong_holds_are_rebuilt),
        T(test_holds_are_not_judged_while_something_is_under_way),
        T(test_a_miscounted_ledger_is_told_and_not_rebuilt),
        T(test_audits_rest),
        T(test_audits_wait_for_a_rush),
        T(test_open_sales_take_turns),
        T(test_one_instance_audits),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
