#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A worker's purchases while their shard is rebuilt under them (rules R2, R22), or its filter of
 * shoppers is forgotten (R15). The loop is the test's own thread. */
#include "rebuild_fixture.h"

#include "flow/refresh.h"
#include "flow/reserve.h"

#include <event2/event.h>

enum { PATIENCE_US = 20 * 1000 * 1000 };

struct shop {
    struct event_base *base;
    struct queue *replies;
    struct catalog_reader reader;
    struct reserve *reserve;
    struct event *on_reply, *tick;
};

static struct shop shop;

/* What a purchase was told, in turn. */
struct told {
    unsigned n;
    enum buy buy[4];
    enum status st[4];
};

static void on_bought(struct purchase *p, enum buy buy, enum status st)
{
    struct told *t = p->arg;
    assert_in_range(t->n, 0, 3);
    t->buy[t->n] = buy;
    t->st[t->n++] = st;
}

static void on_replies(evutil_socket_t fd, short what, void *arg)
{
    struct task *t = queue_take(shop.replies, 100), *next;
    for (; t; t = next) {
        next = t->next;
        t->run(t);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
}

static int setup(void **state)
{
    if (flow_setup(&flow, "") != 0)
        return -1;
    shop.base = event_base_new();
    assert_int_equal(queue_create(1000, &shop.replies), ST_OK);
    catalog_reader_init(&shop.reader, flow.engine.catalog);
    assert_int_equal(reserve_create(&flow.engine, shop.base, shop.replies,
                                    metrics_block(flow.engine.metrics), &shop.reader,
                                    &shop.reserve),
                     ST_OK);
    shop.on_reply =
        event_new(shop.base, queue_fd(shop.replies), EV_READ | EV_PERSIST, on_replies, NULL);
    shop.tick = event_new(shop.base, -1, EV_PERSIST, on_tick, NULL);
    event_add(shop.on_reply, NULL);
    event_add(shop.tick, &(struct timeval){0, 10000});
    return 0;
}

static int teardown(void **state)
{
    reserve_destroy(&shop.reserve);
    event_free(shop.on_reply);
    event_free(shop.tick);
    event_base_free(shop.base);
    catalog_reader_fini(&shop.reader);
    int rc = flow_teardown(&flow);
    queue_destroy(&shop.replies);
    return rc;
}

static void turn(void)
{
    event_base_loop(shop.base, EVLOOP_ONCE);
    reserve_turn(shop.reserve);
}

#define TURN_UNTIL(condition)                               \
    for (int64_t until_us_ = clock_mono_us() + PATIENCE_US; \
         !(condition) && clock_mono_us() < until_us_;)      \
        turn();                                             \
    assert_true(condition)

/* Sends a purchase; what it is told goes to *told. Returns its order's id. */
static struct uid buy(uint32_t no, const struct flow_wish *wish, struct told *told)
{
    const struct sale *sale = flow_look(&flow, no);
    TURN_UNTIL(reserve_ready(shop.reserve));
    struct purchase *p = purchase_new(shop.reserve);
    *told = (struct told){0};
    p->row = flow_row(&flow, sale, wish);
    p->done = on_bought;
    p->arg = told;
    p->async = wish->async;
    p->explicit_key = wish->key != NULL;
    purchase_seal(p);
    const struct uid id = p->row.id;
    reserve_submit(shop.reserve, sale, &sale->item[wish->item], p);
    reserve_turn(shop.reserve);
    return id;
}

static void expect_told(const struct told *t, unsigned n, enum buy buy, enum status st)
{
    assert_int_equal(t->n, n);
    assert_int_equal(t->buy[n - 1], buy);
    assert_int_equal(t->st[n - 1], st);
}

/* --- a rebuild between reserving and committing ------------------------------------------------ */

/* Holds up the committer: it waits for a row of the same shopper and key. */
static void hold_commit(uint32_t no, const char *shopper, const char *key)
{
    uint8_t hash[16];
    char hex[40];
    int n = 0;
    idem_hash(str_from(key), STR(""), hash);
    for (int i = 0; i < 16; i++)
        n += sprintf(hex + n, "%02x", hash[i]);
    flow_tell(&flow, "START TRANSACTION");
    flow_tell(&flow,
              "INSERT INTO orders (id, storefront, shopper, idem, item, shard, qty, amount, state) "
              "VALUES ('0123456789abcdef', 1, '%s', X'%s', %u, 0, 1, 1, 1)",
              shopper, hex, flow_look(&flow, no)->item[0].no);
}

static void free_commit(void)
{
    flow_tell(&flow, "ROLLBACK");
}

static bool in_log(uint32_t no)
{
    return flow_units(&flow, no, 0).log > 0;
}

/* The shard is rebuilt while the purchase waits to be committed. The log is lost unless it is kept. */
static void rebuild(uint32_t no)
{
    flow_redis(&flow, "FLUSHALL");
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
}

static void test_r2_goes_again_with_its_id(void **state)
{
    struct told t;
    uint32_t no = busy_sale();
    hold_commit(no, "dan", "dans-1");
    struct uid id = buy(no, &(struct flow_wish){.shopper = "dan", .key = "dans-1"}, &t);
    TURN_UNTIL(in_log(no));
    rebuild(no);
    assert_int_equal(t.n, 0);
    free_commit();
    TURN_UNTIL(t.n == 1);
    expect_told(&t, 1, BUY_DURABLE, ST_OK);
    assert_int_equal(flow_state(&flow, &id), ORDER_PENDING);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    flow_expect(&flow, no, 0, 10, 6);
}

/* A rebuild wrote it from its log: the order finds itself, and nothing is held twice. */
static void test_r2_finds_itself(void **state)
{
    struct told t;
    char log_id[40];
    uint32_t no = busy_sale();
    struct uid id = buy(no, &(struct flow_wish){.shopper = "dan", .key = "dans-2"}, &t);
    TURN_UNTIL(t.n == 1);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    assert_int_equal(recover_shard(flow.s, no, 0, true), ST_OK);
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "dan", .key = "dans-2"});
    row.id = id;
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'M');
    flow_expect(&flow, no, 0, 10, 6);
}

/* R22: told 202, and then the place was gone: it stays as a cancelled order under its id. */
static void test_r22_queued_order_loses_its_place(void **state)
{
    struct told t;
    uint32_t no = busy_sale();
    hold_commit(no, "dan", "dans-3");
    struct uid id =
        buy(no, &(struct flow_wish){.shopper = "dan", .key = "dans-3", .async = true}, &t);
    TURN_UNTIL(t.n == 1);
    expect_told(&t, 1, BUY_QUEUED, ST_OK);
    TURN_UNTIL(in_log(no));
    rebuild(no);
    flow_buy(&flow, no, &(struct flow_wish){.shopper = "eve", .qty = 5}); /* the rest */
    free_commit();
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    assert_int_equal(t.n, 1); /* told once */
    assert_int_equal(flow_state(&flow, &id), ORDER_CANCELLED);
    flow_expect(&flow, no, 0, 10, 10);
}

static void test_r22_queued_order_keeps_its_place(void **state)
{
    struct told t;
    uint32_t no = busy_sale();
    hold_commit(no, "dan", "dans-4");
    struct uid id =
        buy(no, &(struct flow_wish){.shopper = "dan", .key = "dans-4", .async = true}, &t);
    TURN_UNTIL(t.n == 1);
    TURN_UNTIL(in_log(no));
    rebuild(no);
    free_commit();
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    assert_int_equal(t.n, 1);
    assert_int_equal(flow_state(&flow, &id), ORDER_PENDING);
    flow_expect(&flow, no, 0, 10, 6);
}

/* The ledger is the guard (P1): the gate gives away more than there is, and nothing of it is sold. */
static void test_guard_refuses_what_the_gate_gave_away(void **state)
{
    struct told t;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 2});
    int64_t epoch = epoch_of(no);
    flow_buy(&flow, no, &(struct flow_wish){.shopper = "ann", .qty = 2});
    flow_redis(&flow, "HSET %s sku0 5", flow_look(&flow, no)->shard[0].keys.text[0]);
    buy(no, &(struct flow_wish){.shopper = "dan"}, &t);
    TURN_UNTIL(t.n == 1);
    assert_int_equal(t.buy[0], BUY_REFUSED);
    TURN_UNTIL(epoch_of(no) == epoch + 1);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    flow_expect(&flow, no, 0, 2, 2);
}

/* --- what waits for more ------------------------------------------------------------------------ */

static int64_t entries(uint32_t no)
{
    return flow_units(&flow, no, 0).log;
}

/* While ours are being written, a few gather, but not for long; who is told 202 does not wait. */
static void test_a_few_gather_while_ours_are_written(void **state)
{
    struct told dan, eve, fay, gus;
    uint32_t no = busy_sale();
    hold_commit(no, "dan", "dans-6");
    buy(no, &(struct flow_wish){.shopper = "dan", .key = "dans-6"}, &dan);
    TURN_UNTIL(entries(no) == 1);
    for (int i = 0; i < 3; i++)
        turn(); /* and that is known here */
    buy(no, &(struct flow_wish){.shopper = "eve"}, &eve);
    buy(no, &(struct flow_wish){.shopper = "fay"}, &fay);
    usleep(20000);
    assert_int_equal(entries(no), 1);
    TURN_UNTIL(entries(no) > 1);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(entries(no), 2); /* both in one call */
    buy(no, &(struct flow_wish){.shopper = "gus", .async = true}, &gus);
    usleep(20000);
    assert_int_equal(entries(no), 3);
    free_commit();
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    expect_told(&dan, 1, BUY_DURABLE, ST_OK);
    expect_told(&eve, 1, BUY_DURABLE, ST_OK);
    expect_told(&fay, 1, BUY_DURABLE, ST_OK);
    expect_told(&gus, 1, BUY_QUEUED, ST_OK);
    flow_expect(&flow, no, 0, 10, 9);
}

/* Another sale's orders are no reason to wait: a rush always has some being written. */
static void test_nobody_gathers_for_another_sale(void **state)
{
    struct told dan, eve;
    uint32_t rush = busy_sale(), other = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    hold_commit(rush, "dan", "dans-7");
    buy(rush, &(struct flow_wish){.shopper = "dan", .key = "dans-7"}, &dan);
    TURN_UNTIL(entries(rush) == 1);
    for (int i = 0; i < 3; i++)
        turn(); /* and that is known here */
    buy(other, &(struct flow_wish){.shopper = "eve"}, &eve);
    usleep(20000);
    assert_int_equal(entries(other), 1);
    free_commit();
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    expect_told(&dan, 1, BUY_DURABLE, ST_OK);
    expect_told(&eve, 1, BUY_DURABLE, ST_OK);
}

/* --- refused from memory ------------------------------------------------------------------------ */

/* What a purchase of an ended sale is told at once; key NULL: it names none. */
static enum buy refused(uint32_t no, const char *shopper, const char *key)
{
    struct told t = {0};
    const struct sale *sale = flow_look(&flow, no);
    struct purchase *p = purchase_new(shop.reserve);
    p->row = flow_row(&flow, sale, &(struct flow_wish){.shopper = shopper, .key = key});
    p->done = on_bought;
    p->arg = &t;
    p->explicit_key = key != NULL;
    purchase_seal(p);
    reserve_refuse(shop.reserve, sale, p, ST_SALE_ENDED);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.st[0], ST_SALE_ENDED);
    return t.buy[0];
}

/* As long as the filter is not known to be complete, everybody is looked up: nobody is told that his
 * order is none for want of a bit. */
static void test_r15_ended_sale_with_a_forgotten_filter(void **state)
{
    struct gate_count count;
    uint32_t no = busy_sale();
    struct live_shard *live = flow_look(&flow, no)->shard[0].live;
    assert_int_equal(sale_move(flow.s, 1, flow_look(&flow, no)->id, SALE_END), ST_OK);
    flow_look(&flow, no);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(refresh_gates(flow.s, &count), ST_OK);
        assert_false(atomic_load(&live->filter_current));
        assert_int_equal(refused(no, "dan", NULL), BUY_REFUSED);
        assert_false(atomic_load(&live->asked)); /* MariaDB could tell him nothing either */
        assert_int_equal(refused(no, "ann", anns_key(no)), BUY_LOOKUP);
        assert_int_equal(refused(no, "dan", "dans-8"), BUY_LOOKUP);
        assert_true(atomic_load(&live->asked)); /* so the next look brings the filter */
        assert_int_equal(refresh_gates(flow.s, &count), ST_OK);
        assert_true(atomic_load(&live->filter_current));
        assert_int_equal(refused(no, "ann", anns_key(no)), BUY_LOOKUP);
        assert_int_equal(refused(no, "cid", "cids-1"), BUY_LOOKUP);
        assert_int_equal(refused(no, "dan", "dans-8"), BUY_REFUSED);
        atomic_store(&live->asked, false);
        live->wanted_until_us = 0; /* a while later */
    }
}

/* Units that another shard is drawing stand in no shard's number; who asks meanwhile is not told that
 * there are none. */
static void test_units_on_their_way(void **state)
{
    struct told first[2], late;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.shards = 2, .stock = 2});
    for (int i = 0; i < 2; i++) {
        buy(no, &(struct flow_wish){.shopper = i ? "bob" : "ann"}, &first[i]);
        TURN_UNTIL(first[i].n == 1);
        expect_told(&first[i], 1, BUY_DURABLE, ST_OK);
    }
    struct live_item *live = flow_look(&flow, no)->item[0].live;
    atomic_store(&live[0].arriving, 1);
    buy(no, &(struct flow_wish){.shopper = "dan"}, &late);
    /* A turn has one tick at most, and he waits for more of them than this. */
    for (int i = 0; i < 8; i++) {
        turn();
        assert_int_equal(late.n, 0);
    }
    atomic_store(&live[0].arriving, 0);
    TURN_UNTIL(late.n == 1);
    expect_told(&late, 1, BUY_REFUSED, ST_SOLD_OUT);
}

/* --- Redis cannot for a while ------------------------------------------------------------------ */

/* It said no, so nothing was done: nothing to rebuild, and on it goes by itself. */
static void test_misconf_passes(void **state)
{
    struct told t;
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    flow_redis(&flow, "CONFIG SET min-replicas-to-write 1");
    buy(no, &(struct flow_wish){.shopper = "dan"}, &t);
    TURN_UNTIL(t.n == 1);
    expect_told(&t, 1, BUY_REFUSED, ST_RECOVERING);
    flow_redis(&flow, "CONFIG SET min-replicas-to-write 0");
    buy(no, &(struct flow_wish){.shopper = "dan"}, &t);
    TURN_UNTIL(t.n == 1);
    expect_told(&t, 1, BUY_DURABLE, ST_OK);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    expect_open(no, epoch);
    flow_expect(&flow, no, 0, 10, 6);
}

/* Ids of entries to delete ride along with a call; if that call is refused, with the next. */
static void test_r10_acks_outlive_a_refused_call(void **state)
{
    struct told a, b;
    uint32_t no = busy_sale();
    buy(no, &(struct flow_wish){.shopper = "dan"}, &a);
    TURN_UNTIL(a.n == 1);
    flow_redis(&flow, "CONFIG SET min-replicas-to-write 1");
    buy(no, &(struct flow_wish){.shopper = "eve"}, &b);
    TURN_UNTIL(b.n == 1);
    expect_told(&b, 1, BUY_REFUSED, ST_RECOVERING);
    flow_redis(&flow, "CONFIG SET min-replicas-to-write 0");
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    flow_expect(&flow, no, 0, 10, 6);
}

static void test_function_flush(void **state)
{
    struct told t;
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    flow_redis(&flow, "FUNCTION FLUSH");
    buy(no, &(struct flow_wish){.shopper = "dan"}, &t);
    TURN_UNTIL(t.n == 1);
    expect_told(&t, 1, BUY_REFUSED, ST_RECOVERING);
    for (int i = 0; i < 100 && t.buy[0] != BUY_DURABLE; i++) {
        buy(no, &(struct flow_wish){.shopper = "dan"}, &t);
        TURN_UNTIL(t.n == 1);
        turn();
    }
    expect_told(&t, 1, BUY_DURABLE, ST_OK);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    expect_open(no, epoch); /* the gate was as it had been */
    flow_expect(&flow, no, 0, 10, 6);
}

/* R1: made a replica and promoted again, it keeps its connections and is another all the same. */
static void test_r1_promoted_again(void **state)
{
    struct told t;
    uint32_t no = busy_sale();
    int64_t epoch = epoch_of(no);
    buy(no, &(struct flow_wish){.shopper = "dan"}, &t);
    TURN_UNTIL(t.n == 1);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    flow_redis(&flow, "REPLICAOF 127.0.0.1 1");
    flow_redis(&flow, "REPLICAOF NO ONE");
    assert_int_equal(recover_shard(flow.s, no, 0, false), ST_OK); /* as the keeper's look asks */
    expect_open(no, epoch + 1);
    for (int i = 0; i < 100 && t.n > 0; i++) {
        buy(no, &(struct flow_wish){.shopper = "eve"}, &t);
        TURN_UNTIL(t.n == 1);
        if (t.buy[0] == BUY_DURABLE)
            break;
    }
    expect_told(&t, 1, BUY_DURABLE, ST_OK);
    TURN_UNTIL(reserve_busy(shop.reserve) == 0);
    flow_expect(&flow, no, 0, 10, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r2_goes_again_with_its_id),
        cmocka_unit_test(test_r2_finds_itself),
        cmocka_unit_test(test_r22_queued_order_loses_its_place),
        cmocka_unit_test(test_r22_queued_order_keeps_its_place),
        cmocka_unit_test(test_guard_refuses_what_the_gate_gave_away),
        cmocka_unit_test(test_a_few_gather_while_ours_are_written),
        cmocka_unit_test(test_nobody_gathers_for_another_sale),
        cmocka_unit_test(test_r15_ended_sale_with_a_forgotten_filter),
        cmocka_unit_test(test_units_on_their_way),
        cmocka_unit_test(test_misconf_passes),
        cmocka_unit_test(test_r10_acks_outlive_a_refused_call),
        cmocka_unit_test(test_function_flush),
        cmocka_unit_test(test_r1_promoted_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
