/* payment_state_test.c - every (state, event) of an attempt to pay: money is never forgotten. */
#include "rules/payment_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const enum payment_state expected[][PAYMENT_EVENTS] = {
    /*                     sent               captured           captured late      declined */
    [PAYMENT_NONE] = {PAYMENT_NONE, PAYMENT_NONE, PAYMENT_NONE, PAYMENT_NONE},
    [PAYMENT_CREATED] = {PAYMENT_PENDING, PAYMENT_SUCCEEDED, PAYMENT_UNAPPLIED, PAYMENT_FAILED},
    [PAYMENT_PENDING] = {PAYMENT_PENDING, PAYMENT_SUCCEEDED, PAYMENT_UNAPPLIED, PAYMENT_FAILED},
    [PAYMENT_SUCCEEDED] = {PAYMENT_SUCCEEDED, PAYMENT_SUCCEEDED, PAYMENT_SUCCEEDED,
                           PAYMENT_SUCCEEDED},
    [PAYMENT_FAILED] = {PAYMENT_FAILED, PAYMENT_SUCCEEDED, PAYMENT_UNAPPLIED, PAYMENT_FAILED},
    [PAYMENT_UNAPPLIED] = {PAYMENT_UNAPPLIED, PAYMENT_UNAPPLIED, PAYMENT_UNAPPLIED,
                           PAYMENT_UNAPPLIED},
};
_Static_assert(sizeof(expected) / sizeof(expected[0]) == PAYMENT_STATES, "a row per state");

/* A payment that does not exist takes no event; any other takes all of them. */
static void test_every_pair(void **state)
{
    for (int s = 0; s < PAYMENT_STATES; s++) {
        for (int e = 0; e < PAYMENT_EVENTS; e++) {
            struct payment_step step = payment_step((enum payment_state)s, (enum payment_event)e);
            enum payment_state to = expected[s][e];
            enum status st = s == PAYMENT_NONE ? ST_INVALID_STATE : ST_OK;
            if (step.st != st || step.to != to || step.changes != ((int)to != s))
                fail_msg("state %d, event %d: status %d to %d, changes %d", s, e, step.st, step.to,
                         step.changes);
        }
    }
}

static bool has_money(enum payment_state s)
{
    return s == PAYMENT_SUCCEEDED || s == PAYMENT_UNAPPLIED;
}

/* Channels deliver out of order: whatever comes before or after a capture, the money stays
 * recorded, and as what it was first recorded. */
static void test_no_order_of_events_loses_money(void **state)
{
    enum { LONG = 5 };
    for (int run = 0; run < 1 << (2 * LONG); run++) {
        enum payment_state s = PAYMENT_CREATED;
        for (int i = 0; i < LONG; i++) {
            enum payment_event e = (enum payment_event)(run >> (2 * i) & 3);
            struct payment_step step = payment_step(s, e);
            assert_int_equal(step.st, ST_OK);
            if (has_money(s))
                assert_int_equal(step.to, s);
            else
                assert_int_equal(has_money(step.to),
                                 e == PAYMENT_CAPTURED || e == PAYMENT_CAPTURED_LATE);
            s = step.to;
        }
    }
    _Static_assert(PAYMENT_EVENTS == 4, "two bits an event");
}

static void test_open(void **state)
{
    for (int s = 0; s < PAYMENT_STATES; s++)
        assert_int_equal(payment_open((enum payment_state)s),
                         s == PAYMENT_CREATED || s == PAYMENT_PENDING);
}

/* MariaDB holds the numbers and clients read the words, so neither may move. */
static void test_numbers_and_words(void **state)
{
    static const char *const text[] = {"unknown",   "pending", "pending",
                                       "succeeded", "failed",  "unapplied"};
    for (int i = 0; i < PAYMENT_STATES; i++)
        assert_string_equal(payment_state_text(i), text[i]);
    static const int numbers[] = {-1, PAYMENT_STATES, 255, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_string_equal(payment_state_text(numbers[i]), "unknown");
    assert_int_equal(PAYMENT_CREATED, 1);
    assert_int_equal(PAYMENT_PENDING, 2);
    assert_int_equal(PAYMENT_SUCCEEDED, 3);
    assert_int_equal(PAYMENT_FAILED, 4);
    assert_int_equal(PAYMENT_UNAPPLIED, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_no_order_of_events_loses_money),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_numbers_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
