#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/turns.c" // NOLINT(bugprone-suspicious-include)

enum { MS = 1000, S = 1000000 };

static struct turns begin(struct turns_conf conf)
{
    struct turns t;
    assert_int_equal(turns_init(&t, &conf), ST_OK);
    turns_start(&t, 0);
    return t;
}

static uint32_t take(struct turns *t, int64_t now_us)
{
    uint32_t shopper = UINT32_MAX;
    assert_true(turns_take(t, now_us, &shopper));
    return shopper;
}

static void without_a_pace_newcomers_come_at_once_and_in_order(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 3});
    uint32_t shopper;
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(turns_over(&t));
        assert_int_equal(take(&t, 0), i);
    }
    assert_false(turns_take(&t, 3600 * (int64_t)S, &shopper));
    assert_true(turns_over(&t));
    turns_fini(&t);
}

static void a_pace_holds_newcomers_back_until_it_is_lifted(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 5, .rate = 10});
    uint32_t shopper;
    assert_int_equal(take(&t, 0), 0);
    assert_false(turns_take(&t, 99 * MS, &shopper));
    assert_int_equal(take(&t, 100 * MS), 1);
    assert_int_equal(take(&t, 1000 * MS), 2); /* late: nobody is left out */
    assert_int_equal(take(&t, 1000 * MS), 3);
    turns_start(&t, 1000 * MS);
    assert_false(turns_take(&t, 1000 * MS, &shopper));
    turns_hurry(&t);
    assert_int_equal(take(&t, 1000 * MS), 4);
    turns_fini(&t);
}

static void who_has_one_try_does_not_come_back(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 1});
    assert_int_equal(take(&t, 0), 0);
    assert_false(turns_retry(&t, 0, 0, 0));
    assert_true(turns_over(&t));
    turns_fini(&t);
}

/* When the only shopper comes back after a failure at now_us. */
static int64_t comes_back(struct turns *t, int64_t now_us)
{
    uint32_t shopper;
    for (int64_t at = now_us;; at += MS) {
        if (turns_take(t, at, &shopper)) {
            return at;
        }
        assert_true(at < now_us + 100 * (int64_t)S);
    }
}

static void waits_grow_stay_bounded_and_end_with_patience(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 1, .persist_s = 20, .seed = 7});
    int64_t now_us = take(&t, 0);
    int64_t longest = BACKOFF_FIRST_US;
    int tries = 0;
    while (turns_retry(&t, 0, now_us, 0)) {
        int64_t at = comes_back(&t, now_us);
        assert_in_range(at - now_us, longest / 2, 3 * longest / 2 + MS);
        longest = longest < BACKOFF_LAST_US ? 2 * longest : longest;
        now_us = at;
        tries++;
    }
    assert_in_range(now_us, 17 * S, 20 * S);
    assert_in_range(tries, 15, 35);
    assert_true(turns_over(&t));
    turns_fini(&t);
}

static void retry_after_is_waited_for_unless_impatient(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 1, .persist_s = 60, .seed = 1});
    take(&t, 0);
    assert_true(turns_retry(&t, 0, 0, 3));
    assert_in_range(comes_back(&t, 0), 3 * S, 3 * S + 100 * MS);
    turns_fini(&t);

    t = begin((struct turns_conf){.shoppers = 1, .persist_s = 60, .impatient = true, .seed = 1});
    take(&t, 0);
    assert_true(turns_retry(&t, 0, 0, 3));
    assert_in_range(comes_back(&t, 0), 0, 10 * MS);
    turns_fini(&t);
}

static void those_who_wait_come_in_the_order_of_their_time(void **state)
{
    enum { CROWD = 1000 };
    struct turns t = begin((struct turns_conf){.shoppers = CROWD, .persist_s = 60, .seed = 3});
    bool seen[CROWD] = {false};
    int64_t last_us = 0;
    for (uint32_t i = 0; i < CROWD; i++) {
        take(&t, 0);
        assert_true(turns_retry(&t, i, (int64_t)(i * 37 % 101) * MS, 0));
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        int64_t due_us = t.heap[0].due_us;
        uint32_t shopper = take(&t, due_us);
        assert_true(due_us >= last_us);
        assert_false(seen[shopper]);
        seen[shopper] = true;
        last_us = due_us;
    }
    assert_true(turns_over(&t));
    turns_fini(&t);
}

static void a_repetition_has_patience_of_its_own(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 1, .persist_s = 5, .seed = 9});
    uint32_t shopper;
    take(&t, 0);
    turns_repeat(&t, 0, 4 * S);
    assert_false(turns_over(&t));
    assert_false(turns_take(&t, 4 * S - 1, &shopper));
    assert_int_equal(take(&t, 6 * S), 0);
    assert_true(turns_retry(&t, 0, 7 * S, 0));
    turns_stop(&t);
    assert_true(turns_over(&t));
    assert_false(turns_take(&t, 60 * (int64_t)S, &shopper));
    turns_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_pace_newcomers_come_at_once_and_in_order),
        cmocka_unit_test(a_pace_holds_newcomers_back_until_it_is_lifted),
        cmocka_unit_test(who_has_one_try_does_not_come_back),
        cmocka_unit_test(waits_grow_stay_bounded_and_end_with_patience),
        cmocka_unit_test(retry_after_is_waited_for_unless_impatient),
        cmocka_unit_test(those_who_wait_come_in_the_order_of_their_time),
        cmocka_unit_test(a_repetition_has_patience_of_its_own),
    };
    return cmocka_run_group_tests_name("bench_turns", tests, NULL, NULL);
}
