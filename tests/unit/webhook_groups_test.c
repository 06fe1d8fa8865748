#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql_relay.h"
#include "webhook_fixture.h"

enum { GROUP_MAX = 40 };

struct group {
    struct webhook hook[GROUP_MAX];
    struct job *all[GROUP_MAX];
    unsigned n;
};

static void group_add(struct group *g, const struct channel_event *e)
{
    g->all[g->n] = &g->hook[g->n].job;
    g->hook[g->n++] = (struct webhook){.channel = &channel_sandbox, .event = *e};
}

/* Orders with a payment each, and the capture of each. */
static void group_fill(struct group *g, struct uid *order, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        order[i] = an_order();
        struct uid payment = a_payment(&order[i]);
        if (i % 2) /* the event's own reference is known already, as it mostly is */
            flow_tell(&flow, "UPDATE payments SET channel_ref = 'ch_1' WHERE id = %s",
                      hex_id(&payment));
        struct channel_event e = event_of(&order[i], &payment, CHANNEL_CAPTURED);
        group_add(g, &e);
    }
}

static void expect(const struct group *g, unsigned at, enum webhook_outcome outcome)
{
    assert_int_equal(g->hook[at].st, ST_OK);
    assert_string_equal(webhook_outcome_text(g->hook[at].outcome), webhook_outcome_text(outcome));
}

/* Each is judged after those before it, as if it had come alone. */
static void test_group_of_all_kinds(void **state)
{
    struct uid order[5], payment[5], nothing = uid_make(flow.s->ids, clock_wall_ms());
    struct group g = {0};
    for (unsigned i = 0; i < COUNT(order); i++) {
        order[i] = an_order();
        payment[i] = a_payment(&order[i]);
    }
    struct uid second = a_payment(&order[0]);
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE id = %s", hex_id(&order[1]));
    const struct {
        struct uid order, payment;
        enum channel_event_kind kind;
        int64_t amount;
        enum webhook_outcome outcome;
    } rows[] = {
        {order[0], payment[0], CHANNEL_CAPTURED, PRICE, WEBHOOK_APPLIED},
        {order[1], payment[1], CHANNEL_CAPTURED, PRICE, WEBHOOK_UNAPPLIED},
        {order[2], payment[2], CHANNEL_DECLINED, PRICE, WEBHOOK_APPLIED},
        {order[3], nothing, CHANNEL_CAPTURED, PRICE, WEBHOOK_UNMATCHED},
        {order[3], payment[3], CHANNEL_CAPTURED, PRICE - 1, WEBHOOK_MISMATCH},
        {order[0], second, CHANNEL_CAPTURED, PRICE, WEBHOOK_UNAPPLIED},
        {order[2], payment[2], CHANNEL_CAPTURED, PRICE, WEBHOOK_APPLIED},
        {order[2], payment[2], CHANNEL_DECLINED, PRICE, WEBHOOK_REPEATED},
        {order[0], payment[0], CHANNEL_CAPTURED, PRICE, WEBHOOK_REPEATED},
        {order[4], payment[4], CHANNEL_OTHER, PRICE, WEBHOOK_IGNORED},
    };
    for (unsigned i = 0; i < COUNT(rows); i++) {
        struct channel_event e = event_of(&rows[i].order, &rows[i].payment, rows[i].kind);
        e.amount = rows[i].amount;
        group_add(&g, &e);
    }
    webhooks_apply(flow.s, g.all, g.n);
    for (unsigned i = 0; i < COUNT(rows); i++) {
        expect(&g, i, rows[i].outcome);
        assert_int_equal(recorded(&g.hook[i].event, webhook_outcome_text(rows[i].outcome)), 1);
        assert_int_equal(g.hook[i].paid, i == 0 || i == 6);
    }
    const enum order_state after[] = {ORDER_PAID, ORDER_CANCELLED, ORDER_PAID, ORDER_PENDING,
                                      ORDER_PENDING};
    for (unsigned i = 0; i < COUNT(order); i++)
        assert_int_equal(flow_state(&flow, &order[i]), after[i]);
    assert_int_equal(payment_state(&second), PAYMENT_UNAPPLIED);
    assert_int_equal(payment_state(&payment[2]), PAYMENT_SUCCEEDED);
    assert_int_equal(payment_state(&payment[3]), PAYMENT_PENDING);
}

/* Known from before, and twice in the group itself: the others are applied all the same. */
static void test_group_with_repetitions(void **state)
{
    enum { MANY = 12 };
    struct uid order[MANY], payment[MANY];
    struct group g = {0};
    for (unsigned i = 0; i < MANY; i++) {
        order[i] = an_order();
        payment[i] = a_payment(&order[i]);
        struct channel_event e = event_of(&order[i], &payment[i], CHANNEL_CAPTURED);
        group_add(&g, &e);
        if (i == 0)
            assert_int_equal(apply(&e), WEBHOOK_APPLIED);
        if (i == 5)
            group_add(&g, &e);
    }
    webhooks_apply(flow.s, g.all, g.n);
    for (unsigned i = 0; i < g.n; i++)
        expect(&g, i, i == 0 || i == 6 ? WEBHOOK_REPEATED : WEBHOOK_APPLIED);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(flow_state(&flow, &order[i]), ORDER_PAID);
    assert_int_equal(recorded(&g.hook[5].event, "applied"), 1);
}

/* A row that MariaDB cannot take fails alone. */
static void test_group_with_a_row_that_fails(void **state)
{
    enum { MANY = 9 };
    struct uid order[MANY];
    struct group g = {0};
    group_fill(&g, order, MANY);
    const char *payment = hex_id(&g.hook[4].event.payment);
    flow_tell(&flow, "UPDATE payments SET order_id = %s WHERE id = %s", payment,
              payment); /* its order is nowhere */
    g.hook[4].event.order = (struct uid){{0}};
    webhooks_apply(flow.s, g.all, g.n);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(g.hook[i].st, i == 4 ? ST_INTERNAL : ST_OK);
        assert_int_equal(payment_state(&g.hook[i].event.payment),
                         i == 4 ? PAYMENT_PENDING : PAYMENT_SUCCEEDED);
        assert_int_equal(flow_state(&flow, &order[i]), i == 4 ? ORDER_PENDING : ORDER_PAID);
    }
}

static void *apply_group_beside(void *arg)
{
    struct group *g = arg;
    struct session *s = NULL;
    if (session_create(&flow.engine, &s) != ST_OK)
        abort();
    webhooks_apply(s, g->all, g->n);
    session_destroy(&s);
    return NULL;
}

static void wait_until_one_waits(void)
{
    for (int i = 0; i < 40 && flow_ask(&flow, "SELECT COUNT(*) FROM information_schema.innodb_trx "
                                              "WHERE trx_state = 'LOCK WAIT'") == 0;
         i++)
        usleep(150000); /* asked more often than every 100 ms, InnoDB repeats what it said */
}

/* The other transaction is the heavier one, so the group is the victim and is run again. */
static void test_group_that_deadlocks(void **state)
{
    struct uid order[] = {an_order(), an_order()}, payment[2];
    struct group g = {0};
    pthread_t thread;
    if (memcmp(&order[0], &order[1], sizeof(order[0])) > 0) {
        struct uid first = order[1];
        order[1] = order[0];
        order[0] = first;
    }
    for (unsigned i = 0; i < 2; i++) {
        payment[i] = a_payment(&order[i]);
        struct channel_event e = event_of(&order[i], &payment[i], CHANNEL_CAPTURED);
        group_add(&g, &e);
    }
    struct sql *beside = fixture_connect(&flow.db.conf);
    char text[200];
    assert_int_equal(sql_begin(beside), ST_OK);
    fixture_exec(beside, "UPDATE counters SET n = n + 1");
    snprintf(text, sizeof(text), "UPDATE orders SET gen = gen + 1 WHERE id = %s",
             hex_id(&order[1]));
    fixture_exec(beside, text);
    assert_int_equal(pthread_create(&thread, NULL, apply_group_beside, &g), 0);
    wait_until_one_waits();
    snprintf(text, sizeof(text), "UPDATE orders SET state = 4 WHERE id = %s", hex_id(&order[0]));
    fixture_exec(beside, text);
    assert_int_equal(sql_commit(beside), ST_OK);
    pthread_join(thread, NULL);
    expect(&g, 0, WEBHOOK_UNAPPLIED);
    expect(&g, 1, WEBHOOK_APPLIED);
    assert_int_equal(flow_state(&flow, &order[1]), ORDER_PAID);
    sql_destroy(&beside);
}

/* Whichever answer is lost: applied once and said so, or nothing was done and it is said. */
static void test_group_whose_answer_is_lost(void **state)
{
    enum { REQUESTS = 10, MANY = 3 };
    struct relay relay;
    char address[128];
    struct session *s = NULL;
    struct sql_conf conf = flow.db.conf;
    unsigned repeated = 0, refused = 0;
    relay_start(&relay, conf.address);
    snprintf(address, sizeof(address), "unix:%s", relay.here.sun_path);
    conf.address = address;
    assert_int_equal(session_create(&flow.engine, &s), ST_OK);
    sql_destroy(&s->sql);
    s->sql = fixture_connect(&conf);
    for (int lost = -1; lost < REQUESTS; lost++) {
        struct group g = {0}, next = {0};
        struct uid order[MANY], more[MANY];
        group_fill(&g, order, MANY);
        atomic_store(&relay.pass_on, lost);
        webhooks_apply(s, g.all, g.n);
        atomic_store(&relay.pass_on, -1);
        for (unsigned i = 0; i < MANY; i++) {
            bool done = g.hook[i].st == ST_OK;
            refused += !done;
            repeated += done && g.hook[i].outcome == WEBHOOK_REPEATED;
            assert_true(done || g.hook[i].st == ST_UNAVAILABLE);
            assert_int_equal(recorded(&g.hook[i].event, "applied"), done);
            assert_int_equal(flow_state(&flow, &order[i]), done ? ORDER_PAID : ORDER_PENDING);
        }
        /* The new connection's statements are prepared before the next loss. */
        group_fill(&next, more, MANY);
        webhooks_apply(s, next.all, next.n);
        expect(&next, 0, WEBHOOK_APPLIED);
    }
    assert_int_equal(repeated, MANY); /* the COMMIT's */
    assert_int_equal(refused, MANY);  /* the one of START TRANSACTION */
    session_destroy(&s);
    relay_stop(&relay);
}

static void on_back(struct task *task)
{
}

/* A pool: what waits while a group is held up comes back once, together. */
static void test_pool(void **state)
{
    struct group g = {0};
    struct uid order[GROUP_MAX];
    struct queue *replies = NULL;
    struct jobs *pool = NULL;
    char text[200];
    assert_int_equal(queue_create(GROUP_MAX, &replies), ST_OK);
    assert_int_equal(jobs_create_grouped(&flow.engine, &webhooks_group, GROUP_MAX, &pool), ST_OK);
    group_fill(&g, order, GROUP_MAX);
    assert_int_equal(sql_begin(flow.sql), ST_OK);
    snprintf(text, sizeof(text), "UPDATE orders SET gen = gen + 1 WHERE id = %s", hex_id(order));
    fixture_exec(flow.sql, text);
    for (unsigned i = 0; i < GROUP_MAX; i++) {
        g.hook[i].job.done = on_back;
        g.hook[i].job.reply_to = replies;
        assert_int_equal(jobs_submit(pool, &g.hook[i].job), ST_OK);
    }
    assert_int_equal(sql_commit(flow.sql), ST_OK);
    for (unsigned i = 0; i < GROUP_MAX; i++)
        assert_non_null(queue_wait(replies, 20000));
    assert_null(queue_take(replies, 1));
    for (unsigned i = 0; i < GROUP_MAX; i++) {
        expect(&g, i, WEBHOOK_APPLIED);
        assert_int_equal(flow_state(&flow, &order[i]), ORDER_PAID);
    }
    jobs_stop(pool);
    jobs_destroy(&pool);
    queue_destroy(&replies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_of_all_kinds),
        cmocka_unit_test(test_group_with_repetitions),
        cmocka_unit_test(test_group_with_a_row_that_fails),
        cmocka_unit_test(test_group_that_deadlocks),
        cmocka_unit_test(test_group_whose_answer_is_lost),
        cmocka_unit_test(test_pool),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
