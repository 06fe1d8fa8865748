#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "payments_fixture.h"

#include "base/websign.h"

static void test_recorded_and_told_to_the_channel(void **state)
{
    struct payment p, read;
    struct uid order = an_order();
    struct payment_wish wish = wish_for(&order);
    char text[40];
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
    assert_true(uid_equal(&p.id, &wish.id));
    assert_int_equal(p.state, PAYMENT_PENDING);
    assert_int_equal(p.amount, 2 * PRICE);
    assert_string_equal(p.currency, "CNY");
    assert_string_equal(p.channel, "sandbox");
    assert_string_equal(p.phase, "full");
    assert_string_equal(p.action_url, "http://till/pay/1");
    assert_string_equal(p.channel_ref, "till-1");
    assert_string_equal(p.return_url, "https://shop.example/back");
    uid_format("pay_", &wish.id, text);
    assert_non_null(strstr(till.got, text));
    assert_non_null(strstr(till.got, "\"amount\":19800"));
    assert_int_equal(payment_get(flow.s, &wish.id, &anns, &read), ST_OK);
    assert_memory_equal(&read, &p, sizeof(p));
    assert_int_equal(flow_state(&flow, &order), ORDER_PENDING);
}

static bool signed_by_us(const char *url, const char *payment)
{
    struct hmac_key *key = NULL;
    const char *query = strchr(url, '?');
    assert_non_null(query);
    assert_int_equal(hmac_key_create(str_from(flow.conf.sandbox_secret), &key), ST_OK);
    bool holds = websign_link_holds(key, str_from(payment), str_from(query + 1));
    hmac_key_destroy(&key);
    return holds;
}

/* A page needs no word to the channel: what it has to know stands in the signed address. */
static void test_page_is_signed_here(void **state)
{
    struct payment p, read;
    struct uid order = an_order();
    struct payment_wish wish = wish_for(&order);
    char payment[40], text[40], start[200];
    wish.action = PAYMENT_BY_REDIRECT;
    wish.return_url = STR("https://shop.example/?a=1&b=\xc3\xbc");
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
    assert_int_equal(p.state, PAYMENT_PENDING);
    assert_int_equal(p.action, PAYMENT_BY_REDIRECT);
    uid_format("pay_", &wish.id, payment);
    uid_format("ord_", &order, text);
    snprintf(start, sizeof(start),
             "%s/pay/%s?order=%s&amount=19800&currency=CNY&return_url=", till.url, payment, text);
    assert_memory_equal(p.action_url, start, strlen(start));
    assert_non_null(
        strstr(p.action_url, "=https%3A%2F%2Fshop.example%2F%3Fa%3D1%26b%3D%C3%BC&sign="));
    assert_true(signed_by_us(p.action_url, payment));
    uid_format("sbx_", &wish.id, text);
    assert_string_equal(p.channel_ref, text);
    assert_int_equal(payment_get(flow.s, &wish.id, &anns, &read), ST_OK);
    assert_memory_equal(&read, &p, sizeof(p));
    assert_int_equal(atomic_load(&till.calls), 0);
}

/* What does not fit into an address is told to the channel. */
static void test_page_with_a_long_way_back(void **state)
{
    static char back[1025] = "https://shop.example/";
    struct payment p;
    struct uid order = an_order();
    struct payment_wish wish = wish_for(&order);
    memset(back + strlen(back), 'x', sizeof(back) - 1 - strlen(back));
    wish.action = PAYMENT_BY_REDIRECT;
    for (size_t n = 250; atomic_load(&till.calls) == 0 && n <= 1024; n++) {
        wish.id = uid_make(flow.s->ids, clock_wall_ms());
        wish.return_url = (struct str){back, n};
        assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
        assert_int_equal(strlen(p.return_url), n);
        flow_tell(&flow, "UPDATE payments SET state = 4 WHERE id = %s",
                  hex_id(&p.id)); /* declined */
    }
    assert_int_equal(atomic_load(&till.calls), 1);
    assert_string_equal(p.action_url, "http://till/pay/1");
}

static void test_payment_of_others_is_not_found(void **state)
{
    struct payment p;
    struct uid order = an_order();
    struct payment_wish wish = wish_for(&order);
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
    const struct order_scope bobs = {1, STR("bob")}, elsewhere = {2, {0}}, shop = {1, {0}};
    assert_int_equal(payment_get(flow.s, &wish.id, &bobs, &p), ST_PAYMENT_NOT_FOUND);
    assert_int_equal(payment_get(flow.s, &wish.id, &elsewhere, &p), ST_PAYMENT_NOT_FOUND);
    assert_int_equal(payment_get(flow.s, &wish.id, &shop, &p), ST_OK);
    assert_int_equal(payment_get(flow.s, &order, &shop, &p), ST_PAYMENT_NOT_FOUND);
    wish = wish_for(&order);
    wish.scope = bobs;
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_ORDER_NOT_FOUND);
    assert_int_equal(payments(&order), 1);
}

static void test_one_open_attempt_per_channel(void **state)
{
    struct payment p, second;
    struct uid order = an_order();
    struct payment_wish wish = wish_for(&order), other = wish_for(&order);
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
    assert_int_equal(payment_create(flow.s, &other, &second), ST_OK);
    assert_true(uid_equal(&second.id, &p.id));
    assert_int_equal(payments(&order), 1);
    assert_int_equal(atomic_load(&till.calls), 1);
    flow_tell(&flow, "UPDATE payments SET state = 4 WHERE id = %s", hex_id(&p.id)); /* declined */
    assert_int_equal(payment_create(flow.s, &other, &second), ST_OK);
    assert_true(uid_equal(&second.id, &other.id));
    assert_int_equal(payments(&order), 2);
}

static void test_orders_that_cannot_be_paid(void **state)
{
    static const enum order_state states[] = {ORDER_PAID, ORDER_CANCELLED, ORDER_EXPIRED};
    struct payment p;
    struct uid order = an_order();
    struct payment_wish wish = wish_for(&order);
    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        flow_tell(&flow, "UPDATE orders SET state = %d WHERE id = %s", states[i], hex_id(&order));
        assert_int_equal(payment_create(flow.s, &wish, &p), ST_INVALID_STATE);
    }
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.stock = 10, .pay_within_s = 5});
    struct uid late = flow_buy(&flow, no, &(struct flow_wish){.ms = clock_wall_ms() - 5000});
    wish = wish_for(&late);
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_INVALID_STATE);
    struct uid nothing = uid_make(flow.s->ids, clock_wall_ms());
    wish = wish_for(&nothing);
    assert_int_equal(payment_create(flow.s, &wish, &p), ST_ORDER_NOT_FOUND);
    assert_int_equal(payments(&order) + payments(&late), 0);
    assert_int_equal(atomic_load(&till.calls), 0);
}

/* The attempt stays and the same wish is made again under the same number. */
static void test_channel_that_does_not_answer(void **state)
{
    static const struct {
        int status;
        const char *body;
    } faults[] = {{500, "{}"}, {0, ""}, {200, "no json"}, {200, "{\"url\":1}"}, {400, "{}"}};
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct payment p;
        struct uid order = an_order();
        struct payment_wish wish = wish_for(&order);
        atomic_store(&till.status, faults[i].status);
        atomic_store(&till.body, faults[i].body);
        assert_int_equal(payment_create(flow.s, &wish, &p), ST_UNAVAILABLE);
        assert_int_equal(payments(&order), 1);
        assert_int_equal(payment_get(flow.s, &wish.id, &anns, &p), ST_OK);
        assert_int_equal(p.state, PAYMENT_CREATED);
        setup(state);
        assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
        assert_int_equal(p.state, PAYMENT_PENDING);
        assert_int_equal(payments(&order), 1);
        assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK); /* known: not told again */
        assert_int_equal(atomic_load(&till.calls), 1);
    }
}

static void test_payments_of_an_order_newest_first(void **state)
{
    enum { MANY = ORDER_PAYMENTS_MAX + 2 };
    struct order o;
    struct uid order = an_order(), last = {{0}};
    for (int i = 0; i < MANY; i++) {
        struct payment p;
        struct payment_wish wish = wish_for(&order);
        wish.id = last = uid_make(flow.s->ids, clock_wall_ms() + i);
        assert_int_equal(payment_create(flow.s, &wish, &p), ST_OK);
        flow_tell(&flow, "UPDATE payments SET state = 4 WHERE id = %s", hex_id(&wish.id));
    }
    assert_int_equal(order_get(flow.s, &order, &anns, &o), ST_OK);
    assert_int_equal(o.payments, ORDER_PAYMENTS_MAX);
    assert_true(uid_equal(&o.payment[0].id, &last));
    for (unsigned i = 1; i < o.payments; i++)
        assert_true(memcmp(o.payment[i - 1].id.b, o.payment[i].id.b, UID_LEN) > 0);
    order_free(&o);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recorded_and_told_to_the_channel), TEST(test_page_is_signed_here),
        TEST(test_page_with_a_long_way_back),        TEST(test_payment_of_others_is_not_found),
        TEST(test_one_open_attempt_per_channel),     TEST(test_orders_that_cannot_be_paid),
        TEST(test_channel_that_does_not_answer),     TEST(test_payments_of_an_order_newest_first),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
