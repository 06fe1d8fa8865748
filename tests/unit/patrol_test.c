/* patrol_test.c - broken shards are healed by a rebuild; what is under way is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "patrol_fixture.h"

#include "flow/outbox.h"
#include "flow/refresh.h"
#include "flow/sweep.h"

/* --- the look ------------------------------------------------------------------------------------ */

static const struct {
    const char *name, *command; /* %s: the shard's `left` */
} faults[] = {
    {"one too many", "HINCRBY %s sku1 1"},
    {"one too few", "HINCRBY %s sku1 -1"},
    {"plenty", "HSET %s sku1 1000000"},
    {"none", "HSET %s sku1 0"},
    {"no field", "HDEL %s sku1"},
    {"no total", "HDEL %s +sku1"},
    {"a higher total", "HINCRBY %s +sku1 3"},
};

static void test_a_wrong_gate_is_rebuilt(void **state)
{
    for (unsigned i = 0; i < COUNT(faults); i++) {
        uint32_t no = the_sale(2, 2);
        struct patrol *p = patrol(&at_once);
        const int64_t heals = metric("heals_total"), first = epoch_of(no, 0);
        const int64_t epoch = epoch_of(no, 1);
        look(p, 1);
        assert_int_equal(metric("heals_total"), heals);
        assert_int_equal(metric("audit_ok"), 1);
        flow_redis(&flow, faults[i].command, key_of(no, 1, 0));
        look(p, 1);
        if (metric("heals_total") != heals + 1 || metric("audit_ok") != 0)
            fail_msg("%s: not noticed", faults[i].name);
        assert_int_equal(epoch_of(no, 1), epoch + 1);
        assert_int_equal(epoch_of(no, 0), first); /* the other shard sold on */
        flow_expect(&flow, no, 0, 20, 1);
        flow_expect(&flow, no, 1, 20, 0);
        look(p, 2);
        assert_int_equal(metric("heals_total"), heals + 1);
        assert_int_equal(metric("audit_ok"), 1);
        patrol_destroy(&p);
    }
}

/* Until the deadline it is told, once, and nothing is done. */
static void test_not_before_its_deadline(void **state)
{
    uint32_t no = the_sale(1, 1);
    struct patrol *p = patrol(&never);
    const int64_t heals = metric("heals_total"), broken = metric("audit_broken_total");
    const int64_t epoch = epoch_of(no, 0);
    flow_redis(&flow, "HINCRBY %s sku0 1", key_of(no, 0, 0));
    look(p, LOOKS);
    assert_int_equal(metric("heals_total"), heals);
    assert_int_equal(metric("audit_broken_total"), broken + 1);
    assert_int_equal(metric("audit_ok"), 0);
    assert_int_equal(epoch_of(no, 0), epoch);
    patrol_destroy(&p);
}

/* Whoever asks second finds the epoch that it doubts gone. */
static void test_two_that_see_it_rebuild_once(void **state)
{
    uint32_t no = the_sale(1, 1);
    struct patrol *p = patrol(&at_once), *q = patrol(&at_once);
    const int64_t heals = metric("heals_total"), epoch = epoch_of(no, 0);
    const struct sale *sale = flow_look(&flow, no);
    struct live_shard *live = sale->shard[0].live;
    flow_redis(&flow, "HINCRBY %s sku0 1", key_of(no, 0, 0));
    flow_hold(&flow, flow.engine.rebuilds);
    assert_int_equal(patrol_look(p, s), ST_OK);
    assert_int_equal(patrol_look(q, s), ST_OK);
    flow_let_go(&flow, flow.engine.rebuilds);
    assert_int_equal(metric("heals_total"), heals + 2);
    assert_int_equal(epoch_of(no, 0), epoch + 1);
    recover_request(&flow.engine, live, epoch); /* another instance's request comes late */
    let_rebuild();
    assert_int_equal(epoch_of(no, 0), epoch + 1);
    patrol_destroy(&p);
    patrol_destroy(&q);
}

/* --- what is under way --------------------------------------------------------------------------- */

static void commit_without_ack(uint32_t no)
{
    char log_id[40];
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "bob", .qty = 3});
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W');
    flow_commit(&flow, sale, &row);
}

static void take_from_the_gate(uint32_t no)
{
    char code, log_id[40];
    int64_t left;
    const struct sale *sale = flow_look(&flow, no);
    struct row row = {.kind = ROW_TAKE,
                      .id = uid_make(flow.s->ids, clock_wall_ms()),
                      .qty = 4,
                      .storefront = 1,
                      .item = sale->item[0].no,
                      .sku = sale->item[0].sku};
    assert_int_equal(gate_reserve(flow.s, sale, 0, &row, &code, log_id, &left), ST_OK);
    assert_int_equal(code, 'W');
}

static void write_outbox(uint32_t no, int kind, const char *shopper, int64_t n)
{
    const struct sale *sale = flow_look(&flow, no);
    struct uid id = uid_make(flow.s->ids, clock_wall_ms());
    flow_tell(&flow, "INSERT INTO outbox VALUES (%s, %d, %u, 0, %u, %lld, %s, 0, '%s', %lld)",
              hex_id(&id), kind, no, sale->item[0].no, (long long)sale->shard[0].epoch, hex_id(&id),
              shopper, (long long)n);
}

static void cancel_in_the_ledger(uint32_t no)
{
    const uint32_t item = flow_look(&flow, no)->item[0].no;
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE item = %u", item);
    flow_tell(&flow, "UPDATE shard_stock SET held = 0 WHERE item = %u", item);
    write_outbox(no, OUTBOX_RELEASE, "ann", 1);
}

static void add_in_the_ledger(uint32_t no)
{
    const uint32_t item = flow_look(&flow, no)->item[0].no;
    flow_tell(&flow,
              "UPDATE shard_stock SET allocated = allocated + 5, added = added + 5 WHERE item = %u",
              item);
    write_outbox(no, OUTBOX_ADD, "", 15);
}

/* forget: what then takes the explanation away, so that the same difference is a fault. */
static void forget_log(uint32_t no)
{
    flow_redis(&flow, "XTRIM %s MAXLEN 0", key_of(no, 0, 2));
}

static void forget_outbox(uint32_t no)
{
    flow_tell(&flow, "DELETE FROM outbox");
}

static void forget_total(uint32_t no)
{
    forget_outbox(no);
    flow_redis(&flow, "HSET %s +sku0 15", key_of(no, 0, 0));
}

static const struct {
    const char *name;
    void (*begin)(uint32_t no), (*forget)(uint32_t no);
} under_way[] = {
    {"reserved, not committed", reserve_only, forget_log},
    {"taken from the gate, not from the ledger", take_from_the_gate, forget_log},
    {"cancelled, gate not told", cancel_in_the_ledger, forget_outbox},
    {"added, gate not told", add_in_the_ledger, forget_total},
    {"committed, log entry still there", commit_without_ack, NULL},
};

static void test_work_under_way_is_no_fault_R9(void **state)
{
    for (unsigned i = 0; i < COUNT(under_way); i++) {
        uint32_t no = the_sale(1, 1);
        struct patrol *p = patrol(&at_once);
        const int64_t heals = metric("heals_total"), epoch = epoch_of(no, 0);
        const int64_t broken = metric("audit_broken_total");
        under_way[i].begin(no);
        look(p, LOOKS);
        audit(p, LOOKS);
        if (metric("heals_total") != heals || metric("audit_broken_total") != broken ||
            metric("audit_ok") != 1)
            fail_msg("%s: taken for a fault", under_way[i].name);
        assert_int_equal(epoch_of(no, 0), epoch);
        if (under_way[i].forget) {
            under_way[i].forget(no);
            look(p, 1);
            if (metric("heals_total") != heals + 1)
                fail_msg("%s: not noticed without its explanation", under_way[i].name);
            assert_int_equal(epoch_of(no, 0), epoch + 1);
        }
        forget_outbox(no);
        patrol_destroy(&p);
    }
}

/* The log need not be empty at any look: that its entries are others than before is enough. */
static void test_too_few_is_seen_while_it_sells(void **state)
{
    uint32_t no = the_sale(1, 1);
    const struct sale *sale = flow_look(&flow, no);
    struct patrol *p = patrol(&at_once);
    const int64_t heals = metric("heals_total");
    char log_id[2][40];
    struct row row[2];
    for (unsigned i = 0; i < 3; i++) {
        row[i % 2] = flow_row(&flow, sale, &(struct flow_wish){.shopper = "bob"});
        assert_int_equal(flow_reserve(&flow, sale, &row[i % 2], log_id[i % 2]), 'W');
        if (i == 1)
            flow_redis(&flow, "HINCRBY %s sku0 -2", key_of(no, 0, 0));
        if (i > 0) {
            unsigned before = (i - 1) % 2;
            flow_commit(&flow, sale, &row[before]);
            assert_int_equal(gate_ack(flow.s, sale, 0, log_id[before]), ST_OK);
        }
        assert_int_equal(patrol_look(p, s), ST_OK);
        assert_int_equal(metric("heals_total"), heals + (i == 2));
    }
    let_rebuild();
    assert_int_equal(flow_units(&flow, no, 0).left, 10 - 1 - 3);
    patrol_destroy(&p);
}

static void sweep_twice(void)
{
    struct gate_count count;
    assert_int_equal(refresh_gates(s, &count), ST_OK); /* which notes that there are entries */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sweep_logs(s), ST_OK);
}

/* An entry that nobody takes out of the log would hide units that are missing for ever. */
static void test_stuck_entry_hides_nothing(void **state)
{
    static const struct patrol_pace hour = {.stuck_after_ms = HOUR_MS};
    uint32_t no = the_sale(1, 1);
    struct patrol *patient = patrol(&hour), *p = patrol(&at_once);
    const int64_t heals = metric("heals_total");
    reserve_only(no); /* our own, of a batch that forgot it */
    flow_redis(&flow, "HINCRBY %s sku0 -2", key_of(no, 0, 0));
    look(patient, LOOKS);
    sweep_twice();
    assert_int_equal(flow_units(&flow, no, 0).log, 1); /* it may be under way */
    look(p, 2);
    sweep_twice();
    assert_int_equal(flow_units(&flow, no, 0).log, 0);
    assert_int_equal(flow_units(&flow, no, 0).ledger_held, 1 + 3);
    assert_int_equal(metric("heals_total"), heals);
    look(p, 1);
    assert_int_equal(metric("heals_total"), heals + 1);
    flow_expect(&flow, no, 0, 10, 1 + 3);
    patrol_destroy(&patient);
    patrol_destroy(&p);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_wrong_gate_is_rebuilt),        T(test_not_before_its_deadline),
        T(test_two_that_see_it_rebuild_once),   T(test_work_under_way_is_no_fault_R9),
        T(test_too_few_is_seen_while_it_sells), T(test_stuck_entry_hides_nothing),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
