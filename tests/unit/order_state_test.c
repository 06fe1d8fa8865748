/* order_state_test.c - every (state, event) of an order, and what follows. */
#include "rules/order_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* What a cell of the table below says: refused, nothing but the same answer again, or a new state.
 */
#define NO                                       \
    {                                            \
        ST_INVALID_STATE, SAME, ORDER_DO_NOTHING \
    }
#define AGAIN                         \
    {                                 \
        ST_OK, SAME, ORDER_DO_NOTHING \
    }
#define GO(to)                              \
    {                                       \
        ST_OK, ORDER_##to, ORDER_DO_NOTHING \
    }
#define FREE(to)                            \
    {                                       \
        ST_OK, ORDER_##to, ORDER_DO_RELEASE \
    }
enum { SAME = -1 };

static const struct {
    enum order_state state;
    struct {
        enum status st;
        int to;
        enum order_action action;
    } on[ORDER_EVENTS]; /* commit, cancel, expire, pay */
} table[] = {
    {ORDER_QUEUED, {GO(PENDING), NO, NO, NO}},
    {ORDER_PENDING, {NO, FREE(CANCELLED), FREE(EXPIRED), GO(PAID)}},
    {ORDER_PAID, {NO, NO, NO, NO}},
    {ORDER_CANCELLED, {NO, AGAIN, NO, NO}},
    {ORDER_EXPIRED, {NO, NO, AGAIN, NO}},
    {ORDER_REFUNDING, {NO, NO, NO, NO}},
    {ORDER_REFUNDED, {NO, NO, NO, NO}},
};
_Static_assert(sizeof(table) / sizeof(table[0]) == ORDER_STATES, "a row per state");
_Static_assert(ORDER_EVENTS == 4, "a column per event");

static void test_every_pair(void **state)
{
    for (int s = 0; s < ORDER_STATES; s++) {
        assert_int_equal(table[s].state, s);
        for (int e = 0; e < ORDER_EVENTS; e++) {
            struct order_step step = order_step((enum order_state)s, (enum order_event)e);
            int to = table[s].on[e].to == SAME ? s : table[s].on[e].to;
            if (step.st != table[s].on[e].st || (int)step.to != to ||
                step.action != table[s].on[e].action)
                fail_msg("%s, event %d: status %d to %s, action %d", order_state_text(s), e,
                         step.st, order_state_text((int)step.to), step.action);
        }
    }
}

/* Units are given back exactly when an order stops being live, and then in the same step. */
static void test_units_follow_the_state(void **state)
{
    for (int s = 0; s < ORDER_STATES; s++) {
        for (int e = 0; e < ORDER_EVENTS; e++) {
            struct order_step step = order_step((enum order_state)s, (enum order_event)e);
            bool ends = order_live((enum order_state)s) && !order_live(step.to);
            assert_int_equal(step.action == ORDER_DO_RELEASE, ends);
            assert_false(!order_live((enum order_state)s) && order_live(step.to));
        }
    }
}

/* MariaDB holds the numbers and clients read the words, so neither may move. */
static void test_numbers_and_words(void **state)
{
    static const struct {
        int number;
        bool live;
        const char *text;
    } rows[] = {
        {0, true, "queued"},     {1, true, "pending_payment"}, {2, true, "paid"},
        {3, false, "cancelled"}, {4, false, "expired"},        {5, false, "refunding"},
        {6, false, "refunded"},
    };
    for (int i = 0; i < ORDER_STATES; i++) {
        assert_int_equal(rows[i].number, i);
        assert_string_equal(order_state_text(i), rows[i].text);
        assert_int_equal(order_live((enum order_state)i), rows[i].live);
    }
    assert_int_equal(ORDER_PENDING, 1);
    assert_int_equal(ORDER_PAID, 2);
    assert_int_equal(ORDER_CANCELLED, 3);
    assert_int_equal(ORDER_EXPIRED, 4);
}

static void test_numbers_that_are_no_state(void **state)
{
    static const int numbers[] = {-1, ORDER_STATES, 255, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_string_equal(order_state_text(numbers[i]), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_units_follow_the_state),
        cmocka_unit_test(test_numbers_and_words),
        cmocka_unit_test(test_numbers_that_are_no_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
