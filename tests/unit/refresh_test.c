#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Whose filter of shoppers is in memory, and when. */
#include "rebuild_fixture.h"

#include "flow/refresh.h"

static struct gate_count refresh(void)
{
    struct gate_count count;
    assert_int_equal(refresh_gates(flow.s, &count), ST_OK);
    return count;
}

static struct live_shard *live_of(uint32_t no)
{
    return flow_look(&flow, no)->shard[0].live;
}

/* A sale with one unit, which ann has; looked at since. */
static uint32_t sold_out_sale(void)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 1});
    flow_buy(&flow, no, &(struct flow_wish){0});
    refresh();
    return no;
}

static void move(uint32_t no, enum sale_event event)
{
    assert_int_equal(sale_move(flow.s, 1, flow_look(&flow, no)->id, event), ST_OK);
    flow_look(&flow, no);
}

static void expect_loaded(uint32_t no)
{
    const struct sale *sale = flow_look(&flow, no);
    const struct live_shard *live = sale->shard[0].live;
    assert_true(atomic_load(&live->filter_current));
    assert_true(live_filter_has(live, shopper_hash(STR("ann"))));
    assert_int_equal(atomic_load(&sale->item[0].live[0].refuse),
                     atomic_load(&sale->item[0].live[0].left) == 0);
}

static void expect_forgotten(uint32_t no)
{
    const struct sale *sale = flow_look(&flow, no);
    const struct live_shard *live = sale->shard[0].live;
    assert_false(atomic_load(&live->filter_current));
    assert_false(atomic_load(&live->filter_used));
    assert_false(live_filter_has(live, shopper_hash(STR("ann"))));
    assert_false(atomic_load(&sale->item[0].live[0].refuse));
}

/* As if it had been a while since the end, and since anybody asked. */
static void let_time_pass(uint32_t no)
{
    live_of(no)->wanted_until_us = 0;
}

static void ask(uint32_t no)
{
    atomic_store(&live_of(no)->asked, true);
}

static uint32_t forgotten_sale(void)
{
    uint32_t no = sold_out_sale();
    move(no, SALE_END);
    let_time_pass(no);
    refresh();
    expect_forgotten(no);
    return no;
}

static void test_ended_sale_keeps_it_for_a_while(void **state)
{
    uint32_t no = sold_out_sale();
    expect_loaded(no);
    move(no, SALE_END);
    refresh();
    expect_loaded(no);
    let_time_pass(no);
    const int64_t before = refresh().filter_bytes;
    expect_forgotten(no);
    ask(no);
    refresh();
    assert_int_equal(refresh().filter_bytes, before + live_of(no)->filter_bits / 8);
}

/* Units were left: nobody could be refused, so it was never loaded while the sale went on. */
static void test_it_is_loaded_for_the_end(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 2});
    flow_buy(&flow, no, &(struct flow_wish){0});
    refresh();
    assert_false(atomic_load(&live_of(no)->filter_current));
    move(no, SALE_END);
    refresh();
    expect_loaded(no);
}

/* Whoever asks brings it back, for those who come with him; then it goes again. */
static void test_it_comes_back_with_who_asks(void **state)
{
    uint32_t no = forgotten_sale();
    refresh();
    expect_forgotten(no);
    for (int i = 0; i < 2; i++) {
        ask(no);
        refresh();
        expect_loaded(no);
        assert_false(atomic_load(&live_of(no)->asked));
        refresh();
        expect_loaded(no);
        let_time_pass(no);
        refresh();
        expect_forgotten(no);
    }
}

static void test_who_asks_in_time_keeps_it(void **state)
{
    uint32_t no = sold_out_sale();
    move(no, SALE_END);
    let_time_pass(no);
    ask(no);
    refresh();
    expect_loaded(no);
    refresh();
    expect_loaded(no);
}

static void test_sales_that_go_on_keep_theirs(void **state)
{
    uint32_t open = sold_out_sale(), paused = sold_out_sale();
    move(paused, SALE_PAUSE);
    for (int i = 0; i < 2; i++) {
        let_time_pass(open);
        let_time_pass(paused);
        refresh();
        expect_loaded(open);
        expect_loaded(paused);
    }
}

static void ended_long_ago(uint32_t no)
{
    flow_tell(&flow, "UPDATE sales SET starts_ms = %lld, ends_ms = %lld WHERE no = %u",
              (long long)clock_wall_ms() - 3 * HOUR_MS, (long long)clock_wall_ms() - 2 * HOUR_MS,
              no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    assert_false(refresh_wants(flow_look(&flow, no), clock_wall_ms()));
}

/* Its gate is not looked at any more: what was forgotten stays so, whoever asks. */
static void test_sale_that_ended_long_ago(void **state)
{
    uint32_t no = sold_out_sale();
    ended_long_ago(no);
    refresh();
    expect_loaded(no);
    let_time_pass(no);
    ask(no);
    refresh();
    expect_loaded(no);
    let_time_pass(no);
    refresh();
    expect_forgotten(no);
    ask(no);
    refresh();
    expect_forgotten(no);
}

/* A rebuild fills it on its way, however long ago the sale ended. */
static void test_what_a_rebuild_leaves_is_forgotten(void **state)
{
    uint32_t ended = forgotten_sale(), old = forgotten_sale();
    ended_long_ago(old);
    assert_int_equal(recover_shard(flow.s, ended, 0, true), ST_OK);
    assert_int_equal(recover_shard(flow.s, old, 0, true), ST_OK);
    assert_true(atomic_load(&live_of(ended)->filter_used));
    assert_true(atomic_load(&live_of(old)->filter_used));
    let_time_pass(ended);
    let_time_pass(old);
    refresh();
    expect_forgotten(ended);
    expect_forgotten(old);
    ask(ended);
    refresh();
    expect_loaded(ended);
}

/* Memory is given back though Redis is not the one that was loaded, or cannot be asked. */
static void test_forgetting_needs_no_redis(void **state)
{
    struct gate_count count;
    uint32_t no = sold_out_sale();
    move(no, SALE_END);
    let_time_pass(no);
    struct redis_session *redis = flow.s->redis;
    const struct redis_conf nowhere = {"unix:/nonexistent.sock", "", 100};
    assert_int_equal(redis_session_create(&nowhere, NULL, &flow.s->redis), ST_OK);
    assert_int_not_equal(refresh_gates(flow.s, &count), ST_OK);
    redis_session_destroy(&flow.s->redis);
    flow.s->redis = redis;
    expect_forgotten(no);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ended_sale_keeps_it_for_a_while),
        cmocka_unit_test(test_it_is_loaded_for_the_end),
        cmocka_unit_test(test_it_comes_back_with_who_asks),
        cmocka_unit_test(test_who_asks_in_time_keeps_it),
        cmocka_unit_test(test_sales_that_go_on_keep_theirs),
        cmocka_unit_test(test_sale_that_ended_long_ago),
        cmocka_unit_test(test_what_a_rebuild_leaves_is_forgotten),
        cmocka_unit_test(test_forgetting_needs_no_redis),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
