#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "payments_fixture.h"
#include "sql_relay.h"

enum { GROUP_MAX = 40 };

struct group {
    struct payment_try t[GROUP_MAX];
    struct idem_key key[GROUP_MAX];
    struct buf body[GROUP_MAX];
    unsigned n;
};

/* key may be NULL; `request` is what the fingerprint is of. */
static struct payment_try *group_add(struct group *g, const struct uid *order, const char *key,
                                     const char *request)
{
    unsigned at = g->n++;
    struct payment_try *t = &g->t[at];
    struct idem_key *k = &g->key[at];
    *k = (struct idem_key){
        .storefront = 1, .caller = STR("ann"), .route = "payments", .given = key != NULL};
    if (key) {
        idem_hash(str_from(key), STR(""), k->idem);
        idem_hash(str_from(request), STR(""), k->fingerprint);
    }
    *t = (struct payment_try){.wish = wish_for(order), .key = k, .body = &g->body[at]};
    return t;
}

static void group_submit(struct group *g)
{
    for (unsigned i = 0; i < g->n; i++)
        submit(&g->t[i]);
}

static void group_wait(struct group *g)
{
    for (unsigned i = 0; i < g->n; i++)
        assert_non_null(queue_wait(replies, 20000));
}

static void group_free(struct group *g)
{
    for (unsigned i = 0; i < g->n; i++)
        buf_fini(&g->body[i]);
}

/* The pool is at work on `first`, whose order is locked; what is submitted meanwhile is one group. */
static void group_begin_together(struct group *first, struct group *g)
{
    char text[200];
    struct uid order = an_order();
    group_add(first, &order, NULL, NULL);
    assert_int_equal(sql_begin(flow.sql), ST_OK);
    snprintf(text, sizeof(text), "UPDATE orders SET gen = gen + 1 WHERE id = %s", hex_id(&order));
    fixture_exec(flow.sql, text);
    group_submit(first);
    usleep(50000);
    group_submit(g);
    assert_int_equal(sql_commit(flow.sql), ST_OK);
}

static void group_run_together(struct group *g)
{
    struct group first = {0};
    group_begin_together(&first, g);
    group_wait(&first);
    group_wait(g);
    group_free(&first);
}

static int64_t kept(const char *key)
{
    uint8_t idem[KEY_LEN];
    struct uid id;
    idem_hash(str_from(key), STR(""), idem);
    memcpy(id.b, idem, UID_LEN);
    return flow_ask(
        &flow, "SELECT CAST(COALESCE(MAX(status), -1) AS INTEGER) FROM idempotency WHERE idem = %s",
        hex_id(&id));
}

/* Each has its own outcome, and one order one attempt. */
static void test_group_of_all_kinds(void **state)
{
    struct uid order[4], bobs = an_order(), nothing = uid_make(flow.s->ids, clock_wall_ms());
    struct payment open;
    struct group g = {0};
    for (unsigned i = 0; i < COUNT(order); i++)
        order[i] = an_order();
    struct payment_wish wish = wish_for(&order[3]);
    assert_int_equal(payment_create(flow.s, &wish, &open), ST_OK);
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE id = %s", hex_id(&order[1]));
    group_add(&g, &order[0], NULL, NULL);
    group_add(&g, &order[1], NULL, NULL);
    group_add(&g, &nothing, NULL, NULL);
    group_add(&g, &order[2], NULL, NULL);
    group_add(&g, &order[0], NULL, NULL);
    group_add(&g, &order[3], NULL, NULL);
    group_add(&g, &bobs, NULL, NULL)->wish.scope.shopper = STR("bob");
    group_run_together(&g);
    const enum status st[] = {ST_OK, ST_INVALID_STATE,  ST_ORDER_NOT_FOUND, ST_OK, ST_OK,
                              ST_OK, ST_ORDER_NOT_FOUND};
    for (unsigned i = 0; i < g.n; i++) {
        assert_int_equal(g.t[i].st, st[i]);
        if (st[i] == ST_OK) {
            assert_int_equal(g.t[i].out.state, PAYMENT_PENDING);
            assert_string_equal(g.t[i].out.action_url, "http://till/pay/1");
            assert_non_null(memmem(g.body[i].data, g.body[i].len, "http://till/pay/1", 17));
        }
    }
    assert_true(uid_equal(&g.t[0].out.id, &g.t[4].out.id));
    assert_true(uid_equal(&g.t[5].out.id, &open.id));
    for (unsigned i = 0; i < COUNT(order); i++)
        assert_int_equal(payments(&order[i]), i != 1);
    group_free(&g);
}

static void test_group_with_keys(void **state)
{
    struct uid order[5];
    struct group before = {0}, g = {0};
    for (unsigned i = 0; i < COUNT(order); i++)
        order[i] = an_order();
    group_add(&before, &order[0], "was", "a");
    group_submit(&before);
    group_wait(&before);
    assert_int_equal(before.t[0].st, ST_OK);
    assert_int_equal(kept("was"), 201);
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE id = %s", hex_id(&order[4]));
    group_add(&g, &order[1], "one", "a");
    group_add(&g, &order[0], "was", "a"); /* asked again */
    group_add(&g, &order[1], "one", "a"); /* twice at once */
    group_add(&g, &order[2], "one", "b"); /* for something else */
    group_add(&g, &order[3], "two", "a");
    group_add(&g, &order[4], "no", "a"); /* refused: its key is free again */
    group_run_together(&g);
    const enum status st[] = {
        ST_OK, ST_OK, ST_IDEMPOTENCY_IN_PROGRESS, ST_IDEMPOTENCY_MISMATCH, ST_OK, ST_INVALID_STATE};
    for (unsigned i = 0; i < g.n; i++) {
        assert_int_equal(g.t[i].st, st[i]);
        assert_int_equal(g.t[i].replayed, i == 1);
    }
    assert_int_equal(g.body[1].len, before.body[0].len);
    assert_memory_equal(g.body[1].data, before.body[0].data, g.body[1].len);
    assert_true(uid_equal(&g.t[0].out.id, &g.t[0].wish.id));
    assert_int_equal(kept("one"), 201);
    assert_int_equal(kept("two"), 201);
    assert_int_equal(kept("no"), -1);
    assert_int_equal(payments(&order[2]), 0);
    group_free(&before);
    group_free(&g);
}

/* Pages need no call: their answers are kept with the attempts. A refusal and a key from before cost
 * the others nothing. */
static void test_group_of_pages(void **state)
{
    static const enum status st[] = {ST_OK, ST_OK, ST_OK, ST_INVALID_STATE, ST_OK, ST_OK};
    struct uid order[5];
    struct group before = {0}, g = {0};
    for (unsigned i = 0; i < COUNT(order); i++)
        order[i] = an_order();
    group_add(&before, &order[0], "page-was", "a")->wish.action = PAYMENT_BY_REDIRECT;
    group_submit(&before);
    group_wait(&before);
    flow_tell(&flow, "UPDATE orders SET state = 3 WHERE id IN (%s, %s)", hex_id(&order[0]),
              hex_id(&order[3]));
    group_add(&g, &order[1], "page-one", "a");
    group_add(&g, &order[1], NULL, "a"); /* the same order at once */
    group_add(&g, &order[2], NULL, "a");
    group_add(&g, &order[3], "page-no", "a");
    group_add(&g, &order[0], "page-was", "a"); /* its order takes no payment any more */
    group_add(&g, &order[4], "page-two", "a");
    for (unsigned i = 0; i < g.n; i++)
        g.t[i].wish.action = PAYMENT_BY_REDIRECT;
    group_run_together(&g);
    for (unsigned i = 0; i < g.n; i++) {
        assert_int_equal(g.t[i].st, st[i]);
        assert_int_equal(g.t[i].replayed, i == 4);
        if (st[i] == ST_OK)
            assert_non_null(memmem(g.body[i].data, g.body[i].len, "&sign=", 6));
    }
    assert_true(uid_equal(&g.t[0].out.id, &g.t[1].out.id));
    assert_int_equal(g.body[4].len, before.body[0].len);
    assert_memory_equal(g.body[4].data, before.body[0].data, g.body[4].len);
    assert_int_equal(kept("page-one"), 201);
    assert_int_equal(kept("page-two"), 201);
    assert_int_equal(kept("page-no"), -1);
    for (unsigned i = 0; i < COUNT(order); i++)
        assert_int_equal(payments(&order[i]), i != 3);
    assert_int_equal(atomic_load(&till.calls), 1); /* of group_run_together's own */
    group_free(&before);
    group_free(&g);
}

/* Told as refused or unanswered, each for itself; the key's next try goes on with the same. */
static void test_group_that_the_channel_refuses(void **state)
{
    struct uid order[] = {an_order(), an_order()};
    struct group g = {0}, again = {0};
    atomic_store(&till.status, 500);
    for (unsigned i = 0; i < 2; i++) {
        group_add(&g, &order[i], i ? "refused" : NULL, "a");
        group_add(&again, &order[i], i ? "refused" : NULL, "a");
    }
    group_run_together(&g);
    setup(state);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(g.t[i].st, ST_UNAVAILABLE);
    group_submit(&again);
    group_wait(&again);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(again.t[i].st, ST_OK);
        assert_true(uid_equal(&again.t[i].out.id, &g.t[i].out.id));
        assert_int_equal(payments(&order[i]), 1);
    }
    assert_int_equal(kept("refused"), 201);
    group_free(&g);
    group_free(&again);
}

/* The other transaction is the heavier one, so the group is the victim and is run again. */
static void test_group_that_deadlocks(void **state)
{
    struct uid order[] = {an_order(), an_order()};
    struct group first = {0}, g = {0};
    char text[200];
    if (memcmp(&order[0], &order[1], sizeof(order[0])) > 0) {
        struct uid high = order[0];
        order[0] = order[1];
        order[1] = high;
    }
    struct sql *beside = fixture_connect(&flow.db.conf);
    assert_int_equal(sql_begin(beside), ST_OK);
    fixture_exec(beside, "INSERT INTO leases (name, owner, until_ms) VALUES ('heavy', '', 0)");
    snprintf(text, sizeof(text), "UPDATE orders SET gen = gen + 1 WHERE id = %s",
             hex_id(&order[1]));
    fixture_exec(beside, text);
    for (unsigned i = 0; i < 2; i++)
        group_add(&g, &order[i], i ? NULL : "deadlock", "a");
    group_begin_together(&first, &g);
    usleep(300000); /* it holds the first order and waits for the second */
    snprintf(text, sizeof(text), "UPDATE orders SET state = 3 WHERE id = %s", hex_id(&order[0]));
    fixture_exec(beside, text);
    assert_int_equal(sql_commit(beside), ST_OK);
    group_wait(&first);
    group_wait(&g);
    assert_int_equal(g.t[0].st, ST_INVALID_STATE);
    assert_int_equal(g.t[1].st, ST_OK);
    assert_int_equal(kept("deadlock"), -1);
    assert_int_equal(payments(&order[0]) + 10 * payments(&order[1]), 10);
    sql_destroy(&beside);
    group_free(&first);
    group_free(&g);
}

/* From here on through a relay; returns the usual pool. */
static struct jobs *begin_relayed(struct relay *relay)
{
    static struct engine engine;
    static char address[128];
    relay_start(relay, flow.db.conf.address);
    snprintf(address, sizeof(address), "unix:%s", relay->here.sun_path);
    memcpy(&engine, &flow.engine, sizeof(engine));
    engine.sql.address = address;
    engine.sql.timeout_ms = 1000;
    struct jobs *usual = flow.engine.payments;
    assert_int_equal(jobs_create_grouped(&engine, &payments_group, 1000, &flow.engine.payments),
                     ST_OK);
    engine.payments = flow.engine.payments;
    return usual;
}

static void end_relayed(struct relay *relay, struct jobs *usual)
{
    jobs_stop(flow.engine.payments);
    jobs_destroy(&flow.engine.payments);
    flow.engine.payments = usual;
    relay_stop(relay);
}

/* Whichever answer of MariaDB is lost: it was done, or doing it again does it, and once. */
static void lose_each_answer(enum payment_action action)
{
    enum { REQUESTS = 30, MANY = 3 };
    struct relay relay;
    char key[2][32];
    unsigned refused = 0;
    struct jobs *usual = begin_relayed(&relay);
    for (int lost = 0; lost < REQUESTS; lost++) {
        struct group g = {0}, again = {0};
        struct uid order[MANY];
        for (unsigned i = 0; i < MANY; i++) {
            order[i] = an_order();
            snprintf(key[i % 2], sizeof(key[0]), "lost-%d-%d-%u", action, lost, i);
            group_add(&g, &order[i], i < 2 ? key[i] : NULL, "a")->wish.action = action;
            group_add(&again, &order[i], i < 2 ? key[i] : NULL, "a")->wish.action = action;
        }
        atomic_store(&relay.pass_on, lost);
        group_submit(&g);
        group_wait(&g);
        atomic_store(&relay.pass_on, -1);
        group_submit(&again);
        group_wait(&again);
        for (unsigned i = 0; i < MANY; i++) {
            assert_true(g.t[i].st == ST_OK || g.t[i].st == ST_UNAVAILABLE);
            refused += g.t[i].st != ST_OK;
            assert_int_equal(again.t[i].st, ST_OK);
            assert_int_equal(again.t[i].replayed, i < 2 && g.t[i].st == ST_OK);
            assert_int_equal(payments(&order[i]), 1);
        }
        group_free(&g);
        group_free(&again);
    }
    assert_true(refused > 0 && refused < REQUESTS * MANY / 2);
    end_relayed(&relay, usual);
}

static void test_group_whose_answer_is_lost(void **state)
{
    lose_each_answer(PAYMENT_BY_QR_CODE);
    lose_each_answer(PAYMENT_BY_REDIRECT);
}

/* Who waits for an answer gets one, however many wait: each key's way back to be free would take a
 * time-out of its own. */
static void test_group_while_mariadb_is_silent(void **state)
{
    enum { MANY = 8, PATIENCE_MS = 7000 };
    struct relay relay;
    struct group g = {0}, again = {0};
    char key[MANY][16];
    int64_t recorded = flow_ask(&flow, "SELECT COUNT(*) FROM payments");
    struct jobs *usual = begin_relayed(&relay);
    atomic_store(&till.busy, true);
    for (unsigned i = 0; i < MANY; i++) {
        struct uid order = an_order();
        snprintf(key[i], sizeof(key[i]), "silent-%u", i);
        group_add(&g, &order, key[i], "a");
        group_add(&again, &order, key[i], "a");
    }
    group_submit(&g);
    while (flow_ask(&flow, "SELECT COUNT(*) FROM payments") < recorded + MANY)
        usleep(1000);
    atomic_store(&relay.silent, true);
    atomic_store(&till.busy, false);
    int64_t since_us = clock_mono_us();
    for (unsigned i = 0; i < MANY; i++)
        assert_non_null(queue_wait(replies, PATIENCE_MS));
    assert_true(clock_mono_us() - since_us < PATIENCE_MS * 1000);
    atomic_store(&relay.silent, false);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(g.t[i].st, ST_UNAVAILABLE);
    flow_tell(&flow, "UPDATE idempotency SET started_ms = 0"); /* half a minute later */
    group_submit(&again);
    group_wait(&again);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(again.t[i].st, ST_OK);
    end_relayed(&relay, usual);
    group_free(&g);
    group_free(&again);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_group_of_all_kinds),
        TEST(test_group_with_keys),
        TEST(test_group_of_pages),
        TEST(test_group_that_the_channel_refuses),
        TEST(test_group_that_deadlocks),
        TEST(test_group_whose_answer_is_lost),
        TEST(test_group_while_mariadb_is_silent),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
