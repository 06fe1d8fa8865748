#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/order_reads.h"

enum { READS_MAX = 16, WAIT_MS = 20000 };

static struct flow flow;
static struct queue *replies;

static const struct order_scope anns = {1, {"ann", 3}}, bobs = {1, {"bob", 3}}, anybodys = {0};

static int setup_group(void **state)
{
    assert_int_equal(queue_create(1000, &replies), ST_OK);
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    queue_destroy(&replies);
    return flow_teardown(&flow);
}

/* Reads that are one group. */
struct group {
    struct order_read read[READS_MAX];
    unsigned n;
};

static void on_back(struct task *task)
{
}

static struct order_read *group_add(struct group *g, const struct uid *id,
                                    const struct order_scope *scope)
{
    struct order_read *read = &g->read[g->n++];
    *read = (struct order_read){
        .job = {.done = on_back, .reply_to = replies, .queued_us = clock_mono_us()},
        .id = *id,
        .scope = *scope};
    return read;
}

static void group_read(struct group *g)
{
    struct job *jobs[READS_MAX];
    for (unsigned i = 0; i < g->n; i++)
        jobs[i] = &g->read[i].job;
    order_reads_group.work(flow.s, jobs, g->n);
    for (unsigned i = 0; i < g->n; i++)
        assert_non_null(queue_wait(replies, WAIT_MS));
}

static void group_free(struct group *g)
{
    for (unsigned i = 0; i < g->n; i++)
        order_free(&g->read[i].out);
}

static uint32_t a_sale(void)
{
    return flow_sell(&flow, &(struct flow_sale){.items = 2, .stock = 100});
}

/* Attempts to pay the order: n of them, with amounts 1 to n from the oldest to the newest. */
static void try_to_pay(const struct uid *order, unsigned n)
{
    static unsigned made;
    flow_tell(&flow,
              "INSERT INTO payments (id, order_id, state, amount, created_ms, channel, phase, "
              "currency, channel_ref, action_url, return_url) "
              "SELECT UNHEX(LPAD(HEX(%u + seq), 32, '0')), %s, 4, seq, 1000 + seq, 'sandbox', "
              "'full', 'CNY', '', '', '' FROM seq_1_to_%u",
              made, hex_id(order), n);
    made += n;
}

static void test_each_gets_his_own(void **state)
{
    struct group g = {0};
    uint32_t no = a_sale();
    struct uid first = flow_buy(&flow, no, &(struct flow_wish){.qty = 1});
    struct uid second = flow_buy(&flow, no, &(struct flow_wish){.item = 1, .qty = 2});
    struct uid bobs_own = flow_buy(&flow, no, &(struct flow_wish){.shopper = "bob", .qty = 3});
    const struct {
        const struct uid *id;
        const struct order_scope *scope;
        enum status st;
        unsigned qty;
    } cases[] = {
        {&second, &anns, ST_OK, 2},
        {&first, &anns, ST_OK, 1},
        {&bobs_own, &anns, ST_ORDER_NOT_FOUND, 0},
        {&bobs_own, &bobs, ST_OK, 3},
        {&first, &anybodys, ST_OK, 1},
        {&first, &bobs, ST_ORDER_NOT_FOUND, 0},
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    try_to_pay(&first, 2);
    for (unsigned i = 0; i < CASES; i++)
        group_add(&g, cases[i].id, cases[i].scope);
    group_read(&g);
    for (unsigned i = 0; i < CASES; i++) {
        const struct order_read *r = &g.read[i];
        if (r->st != cases[i].st)
            fail_msg("case %u: %s", i, status_info(r->st)->name);
        if (r->st != ST_OK)
            continue;
        assert_true(uid_equal(&r->out.id, cases[i].id));
        assert_int_equal(r->out.qty, cases[i].qty);
        assert_int_equal(r->out.state, ORDER_PENDING);
        assert_int_equal(r->out.payments, cases[i].id == &first ? 2 : 0);
    }
    assert_int_equal(g.read[1].out.payment[0].amount, 2); /* the newest first */
    assert_int_equal(g.read[1].out.payment[1].amount, 1);
    assert_ptr_not_equal(g.read[1].out.payment, g.read[4].out.payment);
    group_free(&g);
}

static void test_alone(void **state)
{
    struct group g = {0};
    struct uid id = flow_buy(&flow, a_sale(), &(struct flow_wish){.qty = 2});
    group_add(&g, &id, &anns);
    group_read(&g);
    assert_int_equal(g.read[0].st, ST_OK);
    assert_int_equal(g.read[0].out.qty, 2);
    group_free(&g);
}

/* More than an order shows, and more than one statement reads: nobody else's are left out. */
static void test_many_attempts(void **state)
{
    static const unsigned many[] = {ORDER_PAYMENTS_MAX + 5, 6000};
    uint32_t no = a_sale();
    for (unsigned i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        struct group g = {0};
        struct uid tried = flow_buy(&flow, no, &(struct flow_wish){0});
        struct uid later = flow_buy(&flow, no, &(struct flow_wish){.shopper = "bob"});
        try_to_pay(&tried, many[i]);
        try_to_pay(&later, 1);
        group_add(&g, &later, &bobs);
        group_add(&g, &tried, &anns);
        group_read(&g);
        assert_int_equal(g.read[0].st, ST_OK);
        assert_int_equal(g.read[0].out.payments, 1);
        assert_int_equal(g.read[1].st, ST_OK);
        assert_int_equal(g.read[1].out.payments, ORDER_PAYMENTS_MAX);
        assert_int_equal(g.read[1].out.payment[0].amount, many[i]);
        group_free(&g);
    }
}

/* Those go to the pool of queries, which asks Redis. */
static void test_what_mariadb_does_not_know(void **state)
{
    struct group g = {0};
    char log_id[40];
    uint32_t no = a_sale();
    struct uid durable = flow_buy(&flow, no, &(struct flow_wish){0});
    const struct sale *sale = flow_look(&flow, no);
    struct row queued = flow_row(&flow, sale, &(struct flow_wish){.qty = 3});
    struct uid nobodys = uid_make_routed(flow.s->ids, clock_wall_ms(), no, 0);
    assert_int_equal(flow_reserve(&flow, sale, &queued, log_id), 'W');
    group_add(&g, &queued.id, &anns);
    group_add(&g, &nobodys, &anns);
    group_add(&g, &durable, &anns);
    group_read(&g);
    assert_int_equal(g.read[0].st, ST_OK);
    assert_int_equal(g.read[0].out.state, ORDER_QUEUED);
    assert_int_equal(g.read[0].out.qty, 3);
    assert_int_equal(g.read[1].st, ST_ORDER_NOT_FOUND);
    assert_int_equal(g.read[2].st, ST_OK);
    assert_int_equal(g.read[2].out.state, ORDER_PENDING);
    group_free(&g);
}

static void test_late(void **state)
{
    struct group g = {0};
    struct uid id = flow_buy(&flow, a_sale(), &(struct flow_wish){0});
    group_add(&g, &id, &anns)->job.queued_us -= JOB_PATIENCE_MS * 1000 + 1;
    group_add(&g, &id, &anns);
    group_read(&g);
    assert_int_equal(g.read[0].st, ST_OVERLOADED);
    assert_int_equal(g.read[1].st, ST_OK);
    group_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_gets_his_own),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_many_attempts),
        cmocka_unit_test(test_what_mariadb_does_not_know),
        cmocka_unit_test(test_late),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
