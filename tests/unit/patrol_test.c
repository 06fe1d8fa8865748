/* patrol_test.c - broken shards are healed by a rebuild; what is under way is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/outbox.h"
#include "flow/patrol.h"
#include "flow/refresh.h"
#include "flow/sweep.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { RECORD_BYTES = 37, LOOKS = 5 };

static struct flow flow;
static struct session *s; /* one that counts */

static const struct patrol_pace at_once = {0}, never = {.heal_after_ms = HOUR_MS};

static int setup_group(void **state)
{
    if (flow_setup(&flow, "") != 0)
        return -1;
    if (metrics_create(NULL, 0, &flow.engine.metrics) != ST_OK)
        return -1;
    return session_create(&flow.engine, &s) == ST_OK ? 0 : -1;
}

static int teardown_group(void **state)
{
    session_destroy(&s);
    int result = flow_teardown(&flow);
    metrics_destroy(&flow.engine.metrics);
    return result;
}

static struct patrol *patrol(const struct patrol_pace *pace)
{
    struct patrol *p;
    assert_int_equal(patrol_create(&flow.engine, pace, &p), ST_OK);
    return p;
}

/* Value of a metric without labels. */
static int64_t metric(const char *name)
{
    struct buf text;
    char line[64];
    buf_init(&text, 1024 * 1024);
    metrics_render(flow.engine.metrics, &text);
    buf_char(&text, '\0');
    assert_false(text.overflow);
    snprintf(line, sizeof(line), "\nsnapup_%s ", name);
    const char *at = strstr(text.data, line);
    if (!at)
        fail_msg("there is no metric %s", name);
    int64_t v = strtoll(at + strlen(line), NULL, 10);
    buf_fini(&text);
    return v;
}

/* A sale of 10 units each in which ann holds one of sku0; every other sale is over. */
static uint32_t the_sale(unsigned shards, unsigned items)
{
    uint32_t no = flow_sell(
        &flow, &(struct flow_sale){.shards = shards, .items = items, .stock = 10 * shards});
    flow_buy(&flow, no, &(struct flow_wish){0});
    flow_tell(&flow, "UPDATE sales SET starts_ms = 1, ends_ms = 2 WHERE no <> %u", no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    return no;
}

static int64_t epoch_of(uint32_t no, unsigned shard)
{
    return flow_look(&flow, no)->shard[shard].epoch;
}

static const char *key_of(uint32_t no, unsigned shard, unsigned key)
{
    return flow_look(&flow, no)->shard[shard].keys.text[key];
}

/* Returns when every rebuild that was asked for is done. */
static void let_rebuild(void)
{
    flow_hold(&flow, flow.engine.rebuilds);
    sem_post(&flow.go_on);
}

static void look(struct patrol *p, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(patrol_look(p, s), ST_OK);
    let_rebuild();
}

static void audit(struct patrol *p, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(patrol_audit(p, s), ST_OK);
    let_rebuild();
}

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

static void reserve_only(uint32_t no)
{
    char log_id[40];
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "bob", .qty = 3});
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W');
}

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

/* --- the audit ----------------------------------------------------------------------------------- */

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
        T(test_a_wrong_gate_is_rebuilt),
        T(test_not_before_its_deadline),
        T(test_two_that_see_it_rebuild_once),
        T(test_work_under_way_is_no_fault_R9),
        T(test_too_few_is_seen_while_it_sells),
        T(test_stuck_entry_hides_nothing),
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
