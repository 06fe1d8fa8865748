#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static const struct order_scope anns = {1, {"ann", 3}};

/* --- one
 * ------------------------------------------------------------------------------------------ */

static void test_get(void **state)
{
    struct order o;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.items = 2, .stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.item = 1, .qty = 2});
    assert_int_equal(order_get(flow.s, &id, &anns, &o), ST_OK);
    const struct sale *sale = flow_look(&flow, no);
    assert_true(uid_equal(&o.id, &id));
    assert_int_equal(o.item, sale->item[1].no);
    assert_int_equal(o.qty, 2);
    assert_int_equal(o.amount, 2 * PRICE);
    assert_int_equal(o.state, ORDER_PENDING);
    assert_int_equal(o.changed_ms, 0);
    assert_string_equal(o.shopper, "ann");
    assert_int_equal(o.payments, 0);
    assert_int_equal(order_pay_by(&o, sale), uid_ms(&id) + 900 * 1000);
    order_free(&o);
}

static void test_scope(void **state)
{
    static const struct {
        struct order_scope scope;
        enum status st;
    } cases[] = {
        {{1, {"ann", 3}}, ST_OK},
        {{1, {NULL, 0}}, ST_OK},
        {{0, {NULL, 0}}, ST_OK},
        {{1, {"bob", 3}}, ST_ORDER_NOT_FOUND},
        {{1, {"Ann", 3}}, ST_ORDER_NOT_FOUND},
        {{1, {"an", 2}}, ST_ORDER_NOT_FOUND},
        {{2, {"ann", 3}}, ST_ORDER_NOT_FOUND},
        {{2, {NULL, 0}}, ST_ORDER_NOT_FOUND},
    };
    char log_id[40];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    const struct sale *sale = flow_look(&flow, no);
    struct row queued = flow_row(&flow, sale, &(struct flow_wish){0});
    assert_int_equal(flow_reserve(&flow, sale, &queued, log_id), 'W');
    struct uid durable = flow_buy(&flow, no, &(struct flow_wish){0});
    for (unsigned i = 0; i < COUNT(cases); i++) {
        struct order o;
        enum status st = order_get(flow.s, &durable, &cases[i].scope, &o);
        if (st != cases[i].st)
            fail_msg("case %u: %s", i, status_info(st)->name);
        st = order_get(flow.s, &queued.id, &cases[i].scope, &o);
        if (st != cases[i].st)
            fail_msg("case %u, queued: %s", i, status_info(st)->name);
        if (cases[i].st == ST_OK)
            continue;
        st = order_cancel(flow.s, &durable, &cases[i].scope, &o);
        if (st != cases[i].st)
            fail_msg("case %u, cancelled: %s", i, status_info(st)->name);
    }
    assert_int_equal(flow_state(&flow, &durable), ORDER_PENDING);
}

static void test_queued_until_it_is_durable(void **state)
{
    struct order o;
    char log_id[40];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.items = 2, .stock = 10});
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.item = 1, .qty = 2});
    assert_int_equal(order_get(flow.s, &row.id, &anns, &o), ST_ORDER_NOT_FOUND);
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W');
    static const struct order_scope scopes[] = {{1, {"ann", 3}}, {1, {NULL, 0}}};
    for (unsigned i = 0; i < COUNT(scopes); i++) { /* by what he holds; by the log */
        assert_int_equal(order_get(flow.s, &row.id, &scopes[i], &o), ST_OK);
        assert_int_equal(o.state, ORDER_QUEUED);
        assert_int_equal(o.item, sale->item[1].no);
        assert_int_equal(o.qty, 2);
        assert_int_equal(o.amount, 2 * PRICE);
        assert_string_equal(o.shopper, "ann");
    }
    assert_int_equal(order_cancel(flow.s, &row.id, &anns, &o), ST_INVALID_STATE);
    assert_int_equal(o.state, ORDER_QUEUED);
    flow_commit(&flow, sale, &row);
    assert_int_equal(order_get(flow.s, &row.id, &anns, &o), ST_OK);
    assert_int_equal(o.state, ORDER_PENDING);
}

static void test_not_found(void **state)
{
    struct order o;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    uint32_t draft = flow_sell(&flow, &(struct flow_sale){.stock = 10, .draft = true});
    const struct {
        uint32_t sale;
        uint8_t shard;
    } routes[] = {{no, 0}, {no, 1}, {no, 255}, {draft, 0}, {0xffffff, 0}, {0, 0}};
    for (unsigned i = 0; i < COUNT(routes); i++) {
        struct uid id =
            uid_make_routed(flow.s->ids, clock_wall_ms(), routes[i].sale, routes[i].shard);
        assert_int_equal(order_get(flow.s, &id, &anns, &o), ST_ORDER_NOT_FOUND);
        assert_int_equal(order_cancel(flow.s, &id, &anns, &o), ST_ORDER_NOT_FOUND);
    }
}

static void test_by_key(void **state)
{
    struct order o;
    uint8_t key[KEY_LEN], other[KEY_LEN];
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.key = "k1"});
    idem_hash(STR("k1"), STR(""), key);
    idem_hash(STR("k2"), STR(""), other);
    assert_int_equal(order_by_key(flow.s, 1, STR("ann"), key, &o), ST_OK);
    assert_true(uid_equal(&o.id, &id));
    order_free(&o);
    assert_int_equal(order_by_key(flow.s, 1, STR("ann"), other, &o), ST_ORDER_NOT_FOUND);
    assert_int_equal(order_by_key(flow.s, 1, STR("bob"), key, &o), ST_ORDER_NOT_FOUND);
    assert_int_equal(order_by_key(flow.s, 2, STR("ann"), key, &o), ST_ORDER_NOT_FOUND);
}

/* --- lists
 * ---------------------------------------------------------------------------------------- */

static void test_list_newest_first_in_pages(void **state)
{
    enum { ORDERS = 7 };
    static const struct order_scope scope = {1, {"lis", 3}};
    struct order page[LIST_MAX];
    struct uid id[ORDERS];
    unsigned found;
    bool more;
    int64_t now = clock_wall_ms();
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 20, .limit = 20});
    for (int i = 0; i < ORDERS; i++)
        id[i] = flow_buy(&flow, no, &(struct flow_wish){.shopper = "lis", .ms = now - 100 + i});
    flow_buy(&flow, no, &(struct flow_wish){.shopper = "Lis"});
    assert_int_equal(order_list(flow.s, &scope, NULL, 3, page, &found, &more), ST_OK);
    assert_int_equal(found, 3);
    assert_true(more);
    for (int i = 0; i < 3; i++)
        assert_true(uid_equal(&page[i].id, &id[ORDERS - 1 - i]));
    assert_int_equal(order_list(flow.s, &scope, &id[4], 4, page, &found, &more), ST_OK);
    assert_int_equal(found, 4);
    assert_false(more); /* exactly the rest */
    assert_true(uid_equal(&page[0].id, &id[3]));
    assert_true(uid_equal(&page[3].id, &id[0]));
    assert_int_equal(order_list(flow.s, &scope, &id[0], 4, page, &found, &more), ST_OK);
    assert_int_equal(found, 0);
    assert_false(more);
    assert_int_equal(order_list(flow.s, &scope, NULL, LIST_MAX, page, &found, &more), ST_OK);
    assert_int_equal(found, ORDERS);
}

/* --- cancel
 * --------------------------------------------------------------------------------------- */

static void test_cancel_gives_units_and_limit_back(void **state)
{
    struct order o;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10, .limit = 2});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    flow_expect(&flow, no, 0, 10, 2);
    assert_int_equal(order_cancel(flow.s, &id, &anns, &o), ST_OK);
    assert_int_equal(o.state, ORDER_CANCELLED);
    assert_true(o.changed_ms > 0);
    flow_expect(&flow, no, 0, 10, 0);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM outbox"), 0);
    assert_int_equal(flow_state(&flow, &id), ORDER_CANCELLED);
    flow_buy(&flow, no, &(struct flow_wish){.qty = 2}); /* at once */
}

static void test_cancel_again_is_the_same_answer(void **state)
{
    struct order o, again;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    flow_buy(&flow, no, &(struct flow_wish){.shopper = "bob", .qty = 3});
    assert_int_equal(order_cancel(flow.s, &id, &anns, &o), ST_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(order_cancel(flow.s, &id, &anns, &again), ST_OK);
        assert_int_equal(again.state, ORDER_CANCELLED);
        assert_int_equal(again.changed_ms, o.changed_ms);
    }
    flow_expect(&flow, no, 0, 10, 3);
}

static void test_only_unpaid_orders_are_cancelled(void **state)
{
    static const enum order_state states[] = {ORDER_PAID, ORDER_EXPIRED, ORDER_REFUNDING,
                                              ORDER_REFUNDED};
    struct order o;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){0});
    for (unsigned i = 0; i < COUNT(states); i++) {
        flow_tell(&flow, "UPDATE orders SET state = %d WHERE id = %s", states[i], hex_id(&id));
        assert_int_equal(order_cancel(flow.s, &id, &anns, &o), ST_INVALID_STATE);
        assert_int_equal(o.state, states[i]);
        assert_int_equal(flow_state(&flow, &id), states[i]);
    }
    assert_int_equal(flow_units(&flow, no, 0).ledger_held, 1);
}

/* Redis is away: MariaDB decides, and Redis learns of it later. */
static void test_cancel_while_redis_is_away(void **state)
{
    struct order o;
    struct engine away = flow.engine;
    struct session *s = NULL;
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10});
    struct uid id = flow_buy(&flow, no, &(struct flow_wish){.qty = 2});
    away.redis.address = "unix:/nowhere/redis.sock";
    assert_int_equal(session_create(&away, &s), ST_OK);
    assert_int_equal(order_cancel(s, &id, &anns, &o), ST_OK);
    session_destroy(&s);
    assert_int_equal(o.state, ORDER_CANCELLED);
    struct flow_units u = flow_units(&flow, no, 0);
    assert_int_equal(u.ledger_held, 0);
    assert_int_equal(u.held, 2);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM outbox WHERE sale = %u", no), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_scope),
        cmocka_unit_test(test_queued_until_it_is_durable),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_by_key),
        cmocka_unit_test(test_list_newest_first_in_pages),
        cmocka_unit_test(test_cancel_gives_units_and_limit_back),
        cmocka_unit_test(test_cancel_again_is_the_same_answer),
        cmocka_unit_test(test_only_unpaid_orders_are_cancelled),
        cmocka_unit_test(test_cancel_while_redis_is_away),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
