#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include "flow/expire.h"
#include "flow/outbox.h"

#include <pthread.h>

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

/* Cursors are per time to pay, so each test has a time of its own. */
static uint32_t own_time(void)
{
    static uint32_t next = 60;
    return next += 7;
}

static bool sweep(void)
{
    bool full;
    assert_int_equal(expire_sweep(flow.s, &full), ST_OK);
    return full;
}

static int64_t cursor_ms(uint32_t pay_within_s)
{
    return flow_ask(&flow,
                    "SELECT CAST(CONV(HEX(LEFT(upto, 6)), 16, 10) AS INTEGER) FROM expiry_cursors "
                    "WHERE pay_within_s = %u",
                    pay_within_s);
}

static void test_only_what_is_due(void **state)
{
    static const enum order_state others[] = {ORDER_PAID, ORDER_CANCELLED};
    uint32_t s = own_time();
    uint32_t no =
        flow_sell(&flow, &(struct flow_sale){.stock = 20, .limit = 20, .pay_within_s = s});
    int64_t now = clock_wall_ms(), due = now - s * 1000;
    struct uid late = flow_buy(&flow, no, &(struct flow_wish){.ms = due - 1, .qty = 2});
    struct uid early = flow_buy(&flow, no, &(struct flow_wish){.ms = due + 60000});
    struct uid other[2];
    for (int i = 0; i < 2; i++) {
        other[i] = flow_buy(&flow, no, &(struct flow_wish){.ms = due - 5000});
        flow_tell(&flow, "UPDATE orders SET state = %d WHERE id = %s", others[i],
                  hex_id(&other[i]));
    }
    assert_false(sweep());
    assert_int_equal(flow_state(&flow, &late), ORDER_EXPIRED);
    assert_int_equal(flow_state(&flow, &early), ORDER_PENDING);
    for (int i = 0; i < 2; i++)
        assert_int_equal(flow_state(&flow, &other[i]), others[i]);
    assert_true(flow_ask(&flow, "SELECT changed_ms FROM orders WHERE id = %s", hex_id(&late)) >=
                now);
    flow_expect(&flow, no, 0, 20, 3); /* Redis was told at once */
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM outbox"), 0);
}

static void test_each_sale_has_its_own_time(void **state)
{
    uint32_t s = own_time(), longer = own_time();
    int64_t ms = clock_wall_ms() - s * 1000 - 100;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .pay_within_s = s});
    uint32_t other = flow_sell(&flow, &(struct flow_sale){.stock = 5, .pay_within_s = longer});
    struct uid gone = flow_buy(&flow, no, &(struct flow_wish){.ms = ms});
    struct uid stays = flow_buy(&flow, other, &(struct flow_wish){.ms = ms});
    sweep();
    assert_int_equal(flow_state(&flow, &gone), ORDER_EXPIRED);
    assert_int_equal(flow_state(&flow, &stays), ORDER_PENDING);
}

static void test_limit_is_free_again(void **state)
{
    uint32_t s = own_time();
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .limit = 1, .pay_within_s = s});
    flow_buy(&flow, no, &(struct flow_wish){.ms = clock_wall_ms() - s * 1000 - 100});
    sweep();
    flow_buy(&flow, no, &(struct flow_wish){0});
    flow_expect(&flow, no, 0, 5, 1);
}

static void test_cursor_moves_behind_the_deadline(void **state)
{
    uint32_t s = own_time();
    flow_sell(&flow, &(struct flow_sale){.stock = 5, .pay_within_s = s});
    int64_t before = clock_wall_ms();
    sweep();
    int64_t first = cursor_ms(s);
    assert_in_range(first, before - s * 1000, clock_wall_ms() - s * 1000);
    before = clock_wall_ms();
    while (clock_wall_ms() == before) /* a later millisecond: the cursor has somewhere to go */
        ;
    sweep();
    assert_true(cursor_ms(s) > first);
}

/* With a short time to pay it stays well behind now, so that orders in time need not pull it. */
static void test_cursor_trails_now(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .pay_within_s = 1});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.ms = clock_wall_ms() - 2000});
    sweep();
    assert_int_equal(flow_state(&flow, &id), ORDER_EXPIRED);
    assert_true(cursor_ms(1) <= clock_wall_ms() - 10000);
    id = flow_buy(&flow, no, &(struct flow_wish){.ms = clock_wall_ms() - 2000}); /* not "late" */
    sweep();
    assert_int_equal(flow_state(&flow, &id), ORDER_EXPIRED);
    flow_expect(&flow, no, 0, 5, 0);
}

/* An order that commits after the sweep has passed its deadline pulls the cursor back. */
static void test_cursor_is_pulled_back(void **state)
{
    uint32_t s = own_time();
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .pay_within_s = s});
    sweep();
    int64_t ms = clock_wall_ms() - s * 1000 - 30000;
    assert_true(cursor_ms(s) > ms);
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.ms = ms});
    assert_int_equal(cursor_ms(s), ms);
    sweep();
    assert_int_equal(flow_state(&flow, &id), ORDER_EXPIRED);
    assert_true(cursor_ms(s) > ms);
    flow_expect(&flow, no, 0, 5, 0);
}

/* --- crowds
 * --------------------------------------------------------------------------------------- */

enum { CROWD_MAX = 16500 };

/* n unpaid orders that are due, one per shopper, over two items and shards; not in Redis yet. */
static uint32_t crowd(unsigned n, uint32_t pay_within_s)
{
    static struct commit_row rows[CROWD_MAX], *of[CROWD_MAX], flat[CROWD_MAX];
    static char shopper[CROWD_MAX][16];
    enum { GROUP = 4000 };
    const struct flow_sale wish = {
        .shards = 2, .items = 2, .stock = 20000, .pay_within_s = pay_within_s};
    uint32_t no = flow_sell(&flow, &wish);
    const struct sale *sale = flow_look(&flow, no);
    int64_t ms = clock_wall_ms() - pay_within_s * 1000 - 2 * CROWD_MAX;
    assert_true(n <= CROWD_MAX);
    for (unsigned i = 0; i < n; i++) {
        snprintf(shopper[i], sizeof(shopper[i]), "c%u", i);
        struct row row = flow_row(
            &flow, sale, &(struct flow_wish){.shopper = shopper[i], .item = i % 2, .ms = ms + i});
        rows[i] = flow_commit_row(sale, &row);
        of[i] = &rows[i];
    }
    for (unsigned i = 0; i < n; i += GROUP)
        assert_int_equal(
            commit_rows(flow.s->sql, of + i, n - i < GROUP ? n - i : GROUP, false, flat), ST_OK);
    return no;
}

static void load_crowd(uint32_t no)
{
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(recover_shard(flow.s, no, i, true), ST_OK);
}

static int64_t pending(uint32_t no)
{
    return flow_ask(&flow,
                    "SELECT COUNT(*) FROM orders WHERE state = 1 AND item IN (SELECT no FROM items "
                    "WHERE sale = %u)",
                    no);
}

static void test_crowd_in_several_batches(void **state)
{
    uint32_t no = crowd(2500, own_time());
    load_crowd(no);
    flow_expect(&flow, no, 0, 20000, 1250);
    flow_expect(&flow, no, 1, 20000, 1250);
    assert_false(sweep());
    assert_int_equal(pending(no), 0);
    flow_expect(&flow, no, 0, 20000, 0);
    flow_expect(&flow, no, 1, 20000, 0);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM outbox"), 0);
}

/* A sweep ends after a while, so that other chores have their turn, and says that there is more. */
static void test_sweep_is_bounded(void **state)
{
    uint32_t s = own_time(), no = crowd(CROWD_MAX, s);
    int64_t before = clock_wall_ms();
    assert_true(sweep());
    int64_t rest = pending(no);
    assert_in_range(rest, 1, CROWD_MAX - OUTBOX_BATCH);
    assert_true(cursor_ms(s) < before - s * 1000 - CROWD_MAX); /* not past the rest */
    while (sweep())
        assert_true(pending(no) < rest);
    assert_int_equal(pending(no), 0);
    assert_int_equal(flow_units(&flow, no, 0).ledger_held, 0);
    assert_int_equal(flow_units(&flow, no, 1).ledger_held, 0);
}

static void *sweep_beside(void *arg)
{
    struct session *s = NULL;
    bool full = true;
    if (session_create(&flow.engine, &s) != ST_OK)
        abort();
    /* A deadlock is one of the ways in which one of two gives way. */
    for (int i = 0; i < 20 && full; i++)
        if (expire_sweep(s, &full) != ST_OK)
            full = true;
    session_destroy(&s);
    return NULL;
}

/* Instances sweep side by side: each order gives its units back once. */
static void test_exactly_once_by_many_sweepers(void **state)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    uint32_t no = crowd(1200, own_time());
    load_crowd(no);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, sweep_beside, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(pending(no), 0);
    unsigned waiting;
    assert_int_equal(outbox_sweep(flow.s, &waiting), ST_OK);
    flow_expect(&flow, no, 0, 20000, 0);
    flow_expect(&flow, no, 1, 20000, 0);
}

/* Redis is away: orders expire all the same, and it is told when it is back. */
static void test_redis_away(void **state)
{
    struct engine away = flow.engine;
    struct session *s = NULL;
    bool full;
    unsigned waiting;
    uint32_t t = own_time();
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 5, .pay_within_s = t});
    struct uid id =
        flow_buy(&flow, no, &(struct flow_wish){.ms = clock_wall_ms() - t * 1000 - 100});
    away.redis.address = "unix:/nowhere/redis.sock";
    assert_int_equal(session_create(&away, &s), ST_OK);
    assert_int_equal(expire_sweep(s, &full), ST_OK);
    session_destroy(&s);
    assert_int_equal(flow_state(&flow, &id), ORDER_EXPIRED);
    assert_int_equal(flow_units(&flow, no, 0).held, 1);
    assert_int_equal(outbox_sweep(flow.s, &waiting), ST_OK);
    assert_int_equal(waiting, 1);
    flow_expect(&flow, no, 0, 5, 0);
}

/* A late order commits while a sweep that has scanned past its time is telling Redis. */
static void test_late_order_beside_a_sweep(void **state)
{
    enum { T = 60 };
    bool full;
    pthread_t thread;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10, .limit = 9, .pay_within_s = T});
    int64_t ms = clock_wall_ms() - T * 1000 - 500;
    struct uid due = flow_buy(&flow, no, &(struct flow_wish){.ms = ms});
    const struct sale *sale = flow_look(&flow, no);
    struct row late = flow_row(&flow, sale, &(struct flow_wish){.ms = ms + 10});
    struct row early = flow_row(&flow, sale, &(struct flow_wish){.ms = ms - 10});
    char log_id[40];
    assert_int_equal(flow_reserve(&flow, sale, &late, log_id), 'W');
    assert_int_equal(gate_ack(flow.s, sale, 0, log_id), ST_OK);
    assert_int_equal(flow_reserve(&flow, sale, &early, log_id), 'W');
    assert_int_equal(gate_ack(flow.s, sale, 0, log_id), ST_OK);
    flow_redis(&flow, "CLIENT PAUSE 1500 WRITE");
    assert_int_equal(pthread_create(&thread, NULL, sweep_beside, NULL), 0);
    int64_t until = clock_mono_us() + 3000000;
    while (flow_state(&flow, &due) != ORDER_EXPIRED && clock_mono_us() < until)
        ;
    flow_commit(&flow, sale, &late);
    flow_commit(&flow, sale, &early);
    flow_redis(&flow, "CLIENT UNPAUSE");
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(expire_sweep(flow.s, &full), ST_OK);
    assert_int_equal(flow_state(&flow, &late.id), ORDER_EXPIRED);
    assert_int_equal(flow_state(&flow, &early.id), ORDER_EXPIRED);
}

/* A sale that starts next week shares its time to pay with one that sells now. */
static void test_later_sale_of_the_same_term(void **state)
{
    enum { T = 71 };
    bool full;
    int64_t now = clock_wall_ms();
    flow_sell(&flow, &(struct flow_sale){.stock = 1, .pay_within_s = T});
    flow_tell(&flow, "UPDATE sales SET starts_ms = %lld, ends_ms = %lld WHERE pay_within_s = 71",
              (long long)now + 604800000, (long long)now + 604900000);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    assert_int_equal(catalog_reload(flow.engine.catalog, flow.sql), ST_OK);
    assert_int_equal(expire_sweep(flow.s, &full), ST_OK); /* makes the cursor */
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10, .pay_within_s = T});
    struct uid due = flow_buy(&flow, no, &(struct flow_wish){.ms = now - T * 1000 - 500});
    assert_int_equal(expire_sweep(flow.s, &full), ST_OK);
    assert_int_equal(flow_state(&flow, &due), ORDER_EXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_due),
        cmocka_unit_test(test_each_sale_has_its_own_time),
        cmocka_unit_test(test_limit_is_free_again),
        cmocka_unit_test(test_cursor_moves_behind_the_deadline),
        cmocka_unit_test(test_cursor_trails_now),
        cmocka_unit_test(test_cursor_is_pulled_back),
        cmocka_unit_test(test_crowd_in_several_batches),
        cmocka_unit_test(test_sweep_is_bounded),
        cmocka_unit_test(test_exactly_once_by_many_sweepers),
        cmocka_unit_test(test_redis_away),
        cmocka_unit_test(test_late_order_beside_a_sweep),
        cmocka_unit_test(test_later_sale_of_the_same_term),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
