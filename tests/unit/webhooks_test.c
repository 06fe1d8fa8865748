#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "webhook_fixture.h"

static void test_captured(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order);
    struct channel_event e = event_of(&order, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_APPLIED);
    assert_int_equal(payment_state(&payment), PAYMENT_SUCCEEDED);
    assert_int_equal(flow_state(&flow, &order), ORDER_PAID);
    assert_int_equal(recorded(&e, "applied"), 1);
    assert_int_equal(flow_ask(&flow,
                              "SELECT COUNT(*) FROM payments WHERE id = %s AND "
                              "channel_ref = 'ch_1' AND changed_ms > 1",
                              hex_id(&payment)),
                     1);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM orders WHERE id = %s AND changed_ms > 1",
                              hex_id(&order)),
                     1);
}

static void test_declined_leaves_the_order_open(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order);
    struct channel_event e = event_of(&order, &payment, CHANNEL_DECLINED);
    assert_int_equal(apply(&e), WEBHOOK_APPLIED);
    assert_int_equal(payment_state(&payment), PAYMENT_FAILED);
    assert_int_equal(flow_state(&flow, &order), ORDER_PENDING);
    e = event_of(&order, &payment, CHANNEL_CAPTURED); /* out of order: the capture wins */
    assert_int_equal(apply(&e), WEBHOOK_APPLIED);
    assert_int_equal(flow_state(&flow, &order), ORDER_PAID);
    e = event_of(&order, &payment, CHANNEL_DECLINED);
    assert_int_equal(apply(&e), WEBHOOK_REPEATED);
    assert_int_equal(payment_state(&payment), PAYMENT_SUCCEEDED);
}

static void test_same_event_again(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order);
    struct channel_event e = event_of(&order, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_APPLIED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(apply(&e), WEBHOOK_REPEATED);
    assert_int_equal(recorded(&e, "applied"), 1); /* what it did the first time */
    struct channel_event same = event_of(&order, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&same), WEBHOOK_REPEATED); /* another event with the same news */
    assert_int_equal(recorded(&same, "repeated"), 1);
    assert_int_equal(
        flow_ask(&flow, "SELECT COUNT(*) FROM webhook_events WHERE payment = %s", hex_id(&payment)),
        2);
}

/* Events need not name an order; one that names another than the payment's is not believed. */
static void test_order_of_an_event(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order), other = an_order();
    struct channel_event e = event_of(&other, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_MISMATCH);
    assert_int_equal(recorded(&e, "mismatch"), 1);
    assert_int_equal(payment_state(&payment), PAYMENT_PENDING);
    assert_int_equal(flow_state(&flow, &order), ORDER_PENDING);
    assert_int_equal(flow_state(&flow, &other), ORDER_PENDING);
    const struct uid none = {{0}};
    e = event_of(&none, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_APPLIED);
    assert_int_equal(flow_state(&flow, &order), ORDER_PAID);
    struct uid nowhere = uid_make(flow.s->ids, clock_wall_ms());
    e = event_of(&none, &nowhere, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_UNMATCHED);
}

/* An event number belongs to its first use, whatever the second says. */
static void test_event_number_used_twice(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order);
    struct uid other = an_order(), others = a_payment(&other);
    struct channel_event e = event_of(&order, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_APPLIED);
    e.payment = others;
    e.order = other;
    assert_int_equal(apply(&e), WEBHOOK_REPEATED);
    assert_int_equal(flow_state(&flow, &other), ORDER_PENDING);
    assert_int_equal(payment_state(&others), PAYMENT_PENDING);
}

static void test_unmatched(void **state)
{
    struct uid order = an_order(), payment = uid_make(flow.s->ids, clock_wall_ms());
    struct channel_event e = event_of(&order, &payment, CHANNEL_CAPTURED);
    assert_int_equal(apply(&e), WEBHOOK_UNMATCHED);
    assert_int_equal(recorded(&e, "unmatched"), 1);
    assert_int_equal(flow_state(&flow, &order), ORDER_PENDING);
    payment = a_payment(&order);
    flow_tell(&flow, "UPDATE payments SET channel = 'other' WHERE id = %s", hex_id(&payment));
    e = event_of(&order, &payment, CHANNEL_CAPTURED); /* of another channel: not its business */
    assert_int_equal(apply(&e), WEBHOOK_UNMATCHED);
    assert_int_equal(payment_state(&payment), PAYMENT_PENDING);
}

static void test_mismatch(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order);
    struct channel_event e[4];
    for (unsigned i = 0; i < COUNT(e); i++)
        e[i] = event_of(&order, &payment, i < 3 ? CHANNEL_CAPTURED : CHANNEL_DECLINED);
    e[0].amount--;
    e[1].amount++;
    strcpy(e[2].currency, "USD");
    e[3].amount = 0;
    for (unsigned i = 0; i < COUNT(e); i++) {
        assert_int_equal(apply(&e[i]), WEBHOOK_MISMATCH);
        assert_int_equal(recorded(&e[i], "mismatch"), 1);
    }
    assert_int_equal(payment_state(&payment), PAYMENT_PENDING);
    assert_int_equal(flow_state(&flow, &order), ORDER_PENDING);
}

static void test_money_that_comes_too_late(void **state)
{
    static const enum order_state states[] = {ORDER_CANCELLED, ORDER_EXPIRED};
    for (unsigned i = 0; i < COUNT(states); i++) {
        struct uid order = an_order(), payment = a_payment(&order);
        flow_tell(&flow, "UPDATE orders SET state = %d WHERE id = %s", states[i], hex_id(&order));
        struct channel_event e = event_of(&order, &payment, CHANNEL_CAPTURED);
        assert_int_equal(apply(&e), WEBHOOK_UNAPPLIED);
        assert_int_equal(payment_state(&payment), PAYMENT_UNAPPLIED);
        assert_int_equal(flow_state(&flow, &order), states[i]);
        assert_int_equal(recorded(&e, "unapplied"), 1);
        e = event_of(&order, &payment, CHANNEL_CAPTURED);
        assert_int_equal(apply(&e), WEBHOOK_REPEATED);
    }
}

static void test_captured_by_two_payments(void **state)
{
    struct uid order = an_order(), first = a_payment(&order), second = a_payment(&order);
    struct channel_event a = event_of(&order, &first, CHANNEL_CAPTURED);
    struct channel_event b = event_of(&order, &second, CHANNEL_CAPTURED);
    assert_int_equal(apply(&a), WEBHOOK_APPLIED);
    assert_int_equal(apply(&b), WEBHOOK_UNAPPLIED);
    assert_int_equal(payment_state(&first), PAYMENT_SUCCEEDED);
    assert_int_equal(payment_state(&second), PAYMENT_UNAPPLIED);
    assert_int_equal(flow_state(&flow, &order), ORDER_PAID);
}

static void test_of_no_consequence(void **state)
{
    struct uid order = an_order(), payment = a_payment(&order);
    struct channel_event e = event_of(&order, &payment, CHANNEL_OTHER);
    assert_int_equal(apply(&e), WEBHOOK_IGNORED);
    assert_int_equal(payment_state(&payment), PAYMENT_PENDING);
    assert_int_equal(recorded(&e, "ignored"), 1);
}

struct call {
    pthread_t thread;
    struct channel_event event;
    enum webhook_outcome outcome;
    enum status st;
};

static void *apply_beside(void *arg)
{
    struct call *c = arg;
    struct session *s = NULL;
    if (session_create(&flow.engine, &s) != ST_OK)
        abort();
    struct webhook w = {.channel = &channel_sandbox, .event = c->event};
    struct job *one = &w.job;
    webhooks_apply(s, &one, 1);
    c->st = w.st;
    c->outcome = w.outcome;
    session_destroy(&s);
    return NULL;
}

/* Two payments of one order, each notified three times, all at once: one capture is applied. */
static void test_all_at_once(void **state)
{
    enum { CALLS = 6 };
    struct call call[CALLS];
    struct uid order = an_order(), payment[] = {a_payment(&order), a_payment(&order)};
    unsigned outcomes[WEBHOOK_IGNORED + 1] = {0};
    for (unsigned i = 0; i < CALLS; i++)
        call[i].event = event_of(&order, &payment[i % 2], CHANNEL_CAPTURED);
    call[4].event = call[0].event; /* one of them is the very same event */
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(pthread_create(&call[i].thread, NULL, apply_beside, &call[i]), 0);
    for (unsigned i = 0; i < CALLS; i++) {
        pthread_join(call[i].thread, NULL);
        assert_int_equal(call[i].st, ST_OK);
        outcomes[call[i].outcome]++;
    }
    assert_int_equal(outcomes[WEBHOOK_APPLIED], 1);
    assert_int_equal(outcomes[WEBHOOK_UNAPPLIED], 1);
    assert_int_equal(outcomes[WEBHOOK_REPEATED], CALLS - 2);
    assert_int_equal(flow_state(&flow, &order), ORDER_PAID);
    assert_int_equal(payment_state(&payment[0]) + payment_state(&payment[1]),
                     PAYMENT_SUCCEEDED + PAYMENT_UNAPPLIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captured),
        cmocka_unit_test(test_declined_leaves_the_order_open),
        cmocka_unit_test(test_same_event_again),
        cmocka_unit_test(test_order_of_an_event),
        cmocka_unit_test(test_event_number_used_twice),
        cmocka_unit_test(test_unmatched),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_money_that_comes_too_late),
        cmocka_unit_test(test_captured_by_two_payments),
        cmocka_unit_test(test_of_no_consequence),
        cmocka_unit_test(test_all_at_once),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
