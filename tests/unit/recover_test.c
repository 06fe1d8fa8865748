#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rebuild_fixture.h"

#include "flow/refresh.h"

static void move(uint32_t no, enum sale_event event)
{
    assert_int_equal(sale_move(flow.s, 1, flow_look(&flow, no)->id, event), ST_OK);
}

/* As if Redis had been restarted. */
static void forget_redis(uint32_t no)
{
    flow_tell(&flow, "UPDATE shards SET run_id = REPEAT('0', 40) WHERE sale = %u", no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    flow_look(&flow, no);
}

static struct gate_count refresh(void)
{
    struct gate_count count;
    assert_int_equal(refresh_gates(flow.s, &count), ST_OK);
    return count;
}

struct marker {
    struct job job;
    sem_t done;
};

static void post_marker(struct job *job, struct session *s)
{
    sem_post(&CONTAINER_OF(job, struct marker, job)->done);
}

/* Returns when what was asked of the pool is done. */
static void let_work(struct jobs *pool)
{
    struct marker m = {.job = {.work = post_marker}};
    sem_init(&m.done, 0, 0);
    assert_int_equal(jobs_submit(pool, &m.job), ST_OK);
    sem_wait(&m.done);
    sem_destroy(&m.done);
}

static void expect_closed(uint32_t no, int64_t epoch)
{
    assert_int_equal(flow_ask(&flow, "SELECT epoch FROM shards WHERE sale = %u", no), epoch);
}

/* Redis restarts: a sale that sells is not behind those that are over, however many they are. */
static void test_selling_waits_for_no_ended_sale(void **state)
{
    const uint32_t over = busy_sale(), sells = busy_sale();
    const int64_t over_epoch = epoch_of(over), epoch = epoch_of(sells);
    move(over, SALE_END);
    flow_hold(&flow, flow.engine.idle_rebuilds); /* one that takes long is being rebuilt */
    forget_redis(over);
    forget_redis(sells);
    refresh();
    let_work(flow.engine.rebuilds);
    expect_open(sells, epoch + 1);
    expect_closed(over, over_epoch);
    refresh();
    expect_closed(over, over_epoch); /* asked for once */
    flow_let_go(&flow, flow.engine.idle_rebuilds);
    expect_open(over, over_epoch + 1);
}

/* A paused sale is in the slow queue; once it goes on, it is in the fast one. */
static void test_resumed_sale_is_in_no_slow_queue(void **state)
{
    const uint32_t no = busy_sale();
    const int64_t epoch = epoch_of(no);
    move(no, SALE_PAUSE);
    flow_hold(&flow, flow.engine.idle_rebuilds);
    forget_redis(no);
    refresh();
    let_work(flow.engine.rebuilds);
    expect_closed(no, epoch);
    move(no, SALE_RESUME);
    refresh();
    let_work(flow.engine.rebuilds);
    expect_open(no, epoch + 1);
    flow_let_go(&flow, flow.engine.idle_rebuilds);
    expect_open(no, epoch + 1); /* the one in the slow queue found it done */
}

/* Readiness is about what sells: an ended sale's gate is no reason to wait. */
static void test_only_gates_that_sell_are_counted(void **state)
{
    const struct gate_count before = refresh();
    const uint32_t no = busy_sale();
    struct gate_count count = refresh();
    assert_int_equal(count.seen, before.seen + 1);
    assert_int_equal(count.open, before.open + 1);
    flow_hold(&flow, flow.engine.rebuilds);
    forget_redis(no);
    count = refresh();
    assert_int_equal(count.seen, before.seen + 1);
    assert_int_equal(count.open, before.open);
    flow_let_go(&flow, flow.engine.rebuilds);
    move(no, SALE_PAUSE);
    count = refresh();
    assert_int_equal(count.seen, before.seen);
    assert_int_equal(count.open, before.open);
    move(no, SALE_RESUME);
    flow_tell(&flow, "UPDATE sales SET starts_ms = %lld WHERE no = %u",
              (long long)clock_wall_ms() + 30000, no); /* about to begin */
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    flow_look(&flow, no);
    count = refresh();
    assert_int_equal(count.seen, before.seen + 1);
    assert_int_equal(count.open, before.open + 1);
}

/* A stop does not wait for gates that nobody needs, but takes no doubt with it. */
static void test_stop_leaves_the_idle_as_they_are(void **state)
{
    const uint32_t plain = busy_sale(), doubted = busy_sale();
    const int64_t plain_epoch = epoch_of(plain), epoch = epoch_of(doubted);
    move(plain, SALE_END);
    move(doubted, SALE_END);
    refresh();
    flow_hold(&flow, flow.engine.idle_rebuilds);
    forget_redis(plain);
    refresh();
    recover_request(&flow.engine, flow_look(&flow, doubted)->shard[0].live, epoch);
    atomic_store(&flow.engine.stopping, true);
    flow_let_go(&flow, flow.engine.idle_rebuilds);
    expect_closed(plain, plain_epoch);
    expect_open(doubted, epoch + 1);
    atomic_store(&flow.engine.stopping, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selling_waits_for_no_ended_sale),
        cmocka_unit_test(test_resumed_sale_is_in_no_slow_queue),
        cmocka_unit_test(test_only_gates_that_sell_are_counted),
        cmocka_unit_test(test_stop_leaves_the_idle_as_they_are),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
