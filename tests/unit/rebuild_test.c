#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rebuild_fixture.h"

#include "flow/refresh.h"

#include <pthread.h>

static enum status recover(uint32_t no)
{
    return recover_shard(flow.s, no, 0, false);
}

static char reserve_code(uint32_t no, const struct flow_wish *wish)
{
    char log_id[40];
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, wish);
    return flow_reserve(&flow, sale, &row, log_id);
}

static void test_nothing_to_do(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    assert_int_equal(recover(no), ST_OK);
    expect_open(no, epoch);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK); /* in doubt: all the same */
    expect_open(no, epoch + 1);
    assert_int_equal(recover_shard(flow.s, no, 1, false), ST_SALE_NOT_FOUND);
    assert_int_equal(recover_shard(flow.s, 1 << 23, 0, false), ST_SALE_NOT_FOUND);
}

static void test_wiped_redis(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    flow_redis(&flow, "FLUSHALL");
    flow_redis(&flow, "FUNCTION FLUSH");
    assert_int_equal(recover(no), ST_OK);
    expect_open(no, epoch + 1);
    flow_expect(&flow, no, 0, 10, 5);
    flow_expect(&flow, no, 1, 10, 0);
}

/* The holds themselves, not only their sum: keys, limits and names are those of before. */
static void test_holds_are_as_before(void **state)
{
    uint32_t no = busy_sale();
    flow_redis(&flow, "FLUSHALL");
    assert_int_equal(recover(no), ST_OK);
    assert_int_equal(reserve_code(no, &(struct flow_wish){.key = anns_key(no)}), 'D');
    assert_int_equal(reserve_code(no, &(struct flow_wish){.qty = 4}), 'l'); /* 2 + 4 > 5 */
    assert_int_equal(reserve_code(no, &(struct flow_wish){.shopper = "bob", .qty = 3}), 'l');
    assert_int_equal(reserve_code(no, &(struct flow_wish){.shopper = "cid", .qty = 5}), 'W');
    struct order list[2];
    unsigned found;
    bool more;
    static const struct order_scope anns = {1, {"ann", 3}};
    uint32_t item = flow_look(&flow, no)->item[0].no;
    assert_int_equal(order_list(flow.s, &anns, NULL, 1, list, &found, &more), ST_OK);
    assert_int_equal(list[0].item, item);
    assert_int_equal(order_cancel(flow.s, &list[0].id, &anns, &list[1]), ST_OK);
    struct flow_units u = flow_units(&flow, no, 0);
    assert_int_equal(u.held, 3 + 5); /* bob's and cid's: the release found ann's by name */
    assert_int_equal(u.left, 2);
}

/* Whoever ever held something is in the filter, also after it was given back (R15). */
/* Clocks were set back right after the start: the oldest id there may be is found again, too. */
static void test_r18_order_of_the_first_moment(void **state)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    flow_buy(&flow, no,
             &(struct flow_wish){.key = anns_key(no), .ms = flow_look(&flow, no)->starts_ms});
    flow_redis(&flow, "FLUSHALL");
    assert_int_equal(recover(no), ST_OK);
    flow_expect(&flow, no, 0, 10, 1);
    assert_int_equal(reserve_code(no, &(struct flow_wish){.key = anns_key(no)}), 'D');
}

static void test_filter_knows_everybody(void **state)
{
    static const char *const shoppers[] = {"ann", "bob", "cid"};
    uint32_t no = busy_sale();
    flow_redis(&flow, "FLUSHALL");
    assert_int_equal(recover(no), ST_OK);
    const struct sale *sale = flow_look(&flow, no);
    for (int i = 0; i < 3; i++) {
        uint32_t hash = shopper_hash(str_from(shoppers[i]));
        assert_int_equal(flow_redis(&flow, "GETBIT %s %u", sale->shard[0].keys.text[3],
                                    hash % sale->shard[0].live->filter_bits),
                         1);
        assert_true(live_filter_has(sale->shard[0].live, hash));
    }
    assert_int_equal(flow_redis(&flow, "BITCOUNT %s", sale->shard[0].keys.text[3]), 3);
}

/* R17: any key missing means closed; so does one of another epoch. */
static void test_r17_any_key_missing(void **state)
{
    uint32_t no = busy_sale();
    for (int i = 0; i < 4; i++) {
        int64_t epoch = epoch_of(no);
        const struct sale *sale = flow_look(&flow, no);
        const struct shard_keys *keys = &sale->shard[0].keys;
        if (i < 3)
            flow_redis(&flow, "DEL %s", keys->text[i]);
        else
            flow_redis(&flow, "HSET %s #epoch 1000", keys->text[1]);
        struct row row = flow_row(&flow, sale, &(struct flow_wish){0});
        char code, log_id[40];
        int64_t left;
        assert_int_equal(gate_reserve(flow.s, sale, 0, &row, &code, log_id, &left), ST_FENCED);
        assert_int_equal(redis_epoch(no), 0);
        assert_int_equal(recover(no), ST_OK);
        expect_open(no, epoch + 1);
        flow_expect(&flow, no, 0, 10, 5);
    }
}

/* --- R1: which Redis
 * ------------------------------------------------------------------------------ */

static void test_r1_another_run_id(void **state)
{
    static const char *const columns[] = {"run_id", "repl_id"};
    for (int i = 0; i < 2; i++) {
        uint32_t no = busy_sale();
        int64_t epoch = epoch_of(no);
        /* As if Redis had been restarted: MariaDB remembers another one, the epochs agree. */
        flow_tell(&flow, "UPDATE shards SET %s = REPEAT('0', 40) WHERE sale = %u", columns[i], no);
        assert_int_equal(catalog_touch(flow.sql), ST_OK);
        const struct sale *sale = flow_look(&flow, no);
        struct row row = flow_row(&flow, sale, &(struct flow_wish){0});
        char code, log_id[40];
        int64_t left;
        assert_int_equal(gate_reserve(flow.s, sale, 0, &row, &code, log_id, &left), ST_FENCED);
        assert_int_equal(recover(no), ST_OK);
        expect_open(no, epoch + 1);
        flow_expect(&flow, no, 0, 10, 5);
    }
}

/* The look at the gates several times a second notices it by itself. */
static void test_r1_noticed_by_the_refresh(void **state)
{
    struct gate_count count;
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    assert_int_equal(refresh_gates(flow.s, &count), ST_OK);
    const unsigned before = count.open;
    flow_tell(&flow, "UPDATE shards SET run_id = REPEAT('0', 40) WHERE sale = %u", no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    flow_look(&flow, no);
    assert_int_equal(refresh_gates(flow.s, &count), ST_OK);
    assert_int_equal(count.open, before - 1);
    flow_hold(&flow, flow.engine.rebuilds);
    flow_let_go(&flow, flow.engine.rebuilds);
    expect_open(no, epoch + 1);
}

/* --- R6, R8: epochs
 * ------------------------------------------------------------------------------- */

static void test_r6_epoch_exceeds_both_stores(void **state)
{
    uint32_t no = busy_sale();
    const struct sale *sale = flow_look(&flow, no);
    /* An older MariaDB was restored: Redis is ahead. */
    flow_redis(&flow, "HSET %s #epoch 500", sale->shard[0].keys.text[0]);
    flow_redis(&flow, "HSET %s #epoch 500", sale->shard[0].keys.text[1]);
    assert_int_equal(recover(no), ST_OK);
    expect_open(no, 501);
    flow_tell(&flow, "UPDATE shards SET epoch = 900 WHERE sale = %u", no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    assert_int_equal(recover(no), ST_OK);
    expect_open(no, 901);
    flow_expect(&flow, no, 0, 10, 5);
}

static void test_r6_lease_of_another(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    flow_tell(&flow,
              "UPDATE shards SET owner = REPEAT('x', 16), until_ms = "
              "UNIX_TIMESTAMP() * 1000 + 60000 WHERE sale = %u",
              no);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_BUSY);
    expect_open(no, epoch); /* nothing happened */
    flow_tell(&flow, "UPDATE shards SET until_ms = UNIX_TIMESTAMP() * 1000 - 1000 WHERE sale = %u",
              no);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    expect_open(no, epoch + 1);
    assert_int_equal(flow_ask(&flow, "SELECT until_ms FROM shards WHERE sale = %u", no), 0);
}

/* Redis is reached before the epoch is touched: a partitioned rebuilder fences nobody. */
static void test_r6_redis_first(void **state)
{
    struct engine away = flow.engine;
    struct session *s = NULL;
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    away.redis.address = "unix:/nowhere/redis.sock";
    assert_int_equal(session_create(&away, &s), ST_OK);
    assert_int_equal(recover_shard(s, no, 0, true), ST_UNAVAILABLE);
    session_destroy(&s);
    expect_open(no, epoch);
}

/* Each step of a load names its epoch: lower is refused, equal and finished does nothing. */
static void test_r6_load_under_an_old_epoch(void **state)
{
    static const char *const steps[] = {"begin 65536", "holds sku0|mal x 1", "end sku0 99 99"};
    uint32_t no = busy_sale();
    const struct shard_keys *k = &flow_look(&flow, no)->shard[0].keys;
    for (int older = 0; older < 2; older++) {
        for (int i = 0; i < 3; i++) {
            char text[400];
            snprintf(text, sizeof(text), "FCALL snapup_load 4 %s %s %s %s %d %s", k->text[0],
                     k->text[1], k->text[2], k->text[3], (int)epoch_of(no) - older, steps[i]);
            redisReply *r = redisCommand(flow.redis, text);
            assert_int_equal(r->type, REDIS_REPLY_ARRAY);
            assert_string_equal(r->element[0]->str, older ? "EPOCH" : "DONE");
            freeReplyObject(r);
        }
    }
    flow_expect(&flow, no, 0, 10, 5);
}

struct rebuilder {
    pthread_t thread;
    struct engine engine;
    uint32_t no;
    enum status st;
};

static void *rebuild_beside(void *arg)
{
    struct rebuilder *r = arg;
    struct session *s = NULL;
    if (session_create(&r->engine, &s) != ST_OK)
        abort();
    r->st = recover_shard(s, r->no, 0, true);
    session_destroy(&s);
    return NULL;
}

static void await_epoch(uint32_t no, int64_t epoch)
{
    int64_t until_us = clock_mono_us() + 5000000;
    while (flow_ask(&flow, "SELECT epoch FROM shards WHERE sale = %u", no) != epoch)
        if (clock_mono_us() > until_us)
            fail_msg("no rebuild reached epoch %lld", (long long)epoch);
}

/* Two rebuilders: the first is held up before its load, the second takes over with a newer epoch.
 */
static void test_r6_second_rebuilder_wins(void **state)
{
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    struct rebuilder first = {.engine = flow.engine, .no = no}, second = first;
    second.engine.instance = uid_make(flow.s->ids, clock_wall_ms());
    second.engine.catalog = NULL; /* another process */
    assert_int_equal(catalog_create(flow_master_key, false, NULL, &second.engine.catalog), ST_OK);
    flow_redis(&flow, "CLIENT PAUSE 20000 WRITE"); /* reads pass, closing the gate waits */
    assert_int_equal(pthread_create(&first.thread, NULL, rebuild_beside, &first), 0);
    await_epoch(no, epoch + 1);
    flow_tell(&flow, "UPDATE shards SET until_ms = 0 WHERE sale = %u", no); /* its lease lapses */
    assert_int_equal(pthread_create(&second.thread, NULL, rebuild_beside, &second), 0);
    await_epoch(no, epoch + 2);
    flow_redis(&flow, "CLIENT UNPAUSE");
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    catalog_destroy(&second.engine.catalog);
    assert_int_equal(first.st, ST_BUSY);
    assert_int_equal(second.st, ST_OK);
    expect_open(no, epoch + 2);
    flow_expect(&flow, no, 0, 10, 5);
}

/* R8: an order that commits between bump and snapshot would be held and not counted, or the
 * reverse. */
static void test_r8_commits_beside_rebuilds(void **state)
{
    enum { ORDERS = 60 };
    struct rebuilder r = {.engine = flow.engine};
    uint32_t no = r.no = flow_sell(&flow, &(struct flow_sale){.stock = 100, .limit = 100});
    unsigned fenced = 0;
    for (int i = 0; i < ORDERS; i++) {
        if (i % 10 == 0)
            assert_int_equal(pthread_create(&r.thread, NULL, rebuild_beside, &r), 0);
        struct commit_row c, flat, *one = &c;
        char code = 0, log_id[40];
        int64_t left;
        const struct sale *sale = flow_look(&flow, no);
        struct row row = flow_row(&flow, sale, &(struct flow_wish){0});
        if (gate_reserve(flow.s, sale, 0, &row, &code, log_id, &left) == ST_OK && code == 'W') {
            c = flow_commit_row(sale, &row);
            fenced += commit_rows(flow.s->sql, &one, 1, true, &flat) == ST_FENCED;
        }
        if (i % 10 == 9) {
            pthread_join(r.thread, NULL);
            assert_int_equal(r.st, ST_OK);
        }
    }
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    int64_t live = flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE state = 1 AND item = %u",
                            flow_look(&flow, no)->item[0].no);
    assert_true(live + fenced <= ORDERS);
    flow_expect(&flow, no, 0, 100, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_wiped_redis),
        cmocka_unit_test(test_holds_are_as_before),
        cmocka_unit_test(test_r18_order_of_the_first_moment),
        cmocka_unit_test(test_filter_knows_everybody),
        cmocka_unit_test(test_r17_any_key_missing),
        cmocka_unit_test(test_r1_another_run_id),
        cmocka_unit_test(test_r1_noticed_by_the_refresh),
        cmocka_unit_test(test_r6_epoch_exceeds_both_stores),
        cmocka_unit_test(test_r6_lease_of_another),
        cmocka_unit_test(test_r6_redis_first),
        cmocka_unit_test(test_r6_load_under_an_old_epoch),
        cmocka_unit_test(test_r6_second_rebuilder_wins),
        cmocka_unit_test(test_r8_commits_beside_rebuilds),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
