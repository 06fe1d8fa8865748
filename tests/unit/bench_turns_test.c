#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/arrivals.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/text.c"     // NOLINT(bugprone-suspicious-include)
#include "../../bench/turns.c"    // NOLINT(bugprone-suspicious-include)
#include "../../bench/values.c"   // NOLINT(bugprone-suspicious-include)

enum { MS = 1000, S = 1000000 };

static struct arrivals *plan(const char *text)
{
    char error[256] = "";
    struct arrivals *a = NULL;
    if (arrivals_parse(text, 1, &a, error, sizeof(error)) != ST_OK) {
        fail_msg("%s", error);
    }
    return a;
}

static struct turns begin(struct turns_conf conf, const char *arrivals)
{
    struct turns t;
    conf.arrivals = plan(arrivals);
    conf.step = conf.step ? conf.step : 1;
    assert_int_equal(turns_init(&t, &conf), ST_OK);
    turns_start(&t, 0);
    return t;
}

static void end(struct turns *t)
{
    struct arrivals *a = (struct arrivals *)t->conf.arrivals;
    turns_fini(t);
    arrivals_destroy(&a);
}

/* Whoever is due; false: nobody. */
static bool take_any(struct turns *t, int64_t now_us, uint32_t *shopper)
{
    int64_t due_us;
    if (turns_take_back(t, now_us, shopper, &due_us)) {
        return true;
    }
    if (!turns_newcomer_due(t, now_us)) {
        return false;
    }
    *shopper = t->next;
    turns_take_newcomer(t, now_us);
    return true;
}

static uint32_t take(struct turns *t, int64_t now_us)
{
    uint32_t shopper = UINT32_MAX;
    assert_true(take_any(t, now_us, &shopper));
    return shopper;
}

static void in_a_closed_load_newcomers_come_at_once_and_in_order(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 3}, "closed");
    uint32_t shopper;
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(turns_over(&t));
        assert_int_equal(take(&t, i), i);
        assert_int_equal(t.shoppers[i].since_us, i);
    }
    assert_false(take_any(&t, 3600 * (int64_t)S, &shopper));
    assert_true(turns_over(&t));
    end(&t);
}

static void a_plan_holds_newcomers_back_until_it_is_lifted(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 5}, "constant 10/s for 1s");
    uint32_t shopper;
    assert_int_equal(take(&t, 0), 0);
    assert_false(take_any(&t, 99 * MS, &shopper));
    assert_int_equal(take(&t, 100 * MS), 1);
    assert_int_equal(turns_take_newcomer(&t, 1000 * MS), 200 * MS); /* late: he was due before */
    assert_int_equal(take(&t, 1000 * MS), 3);
    assert_false(take_any(&t, 399 * MS, &shopper));
    turns_hurry(&t, 399 * MS);
    assert_int_equal(turns_take_newcomer(&t, 399 * MS), 399 * MS);
    assert_true(turns_over(&t)); /* five shoppers, though the plan has ten */
    end(&t);
}

static void two_takers_share_a_plan(void **state)
{
    struct turns t =
        begin((struct turns_conf){.shoppers = 5, .first = 1, .step = 2}, "constant 10/s for 1s");
    assert_int_equal(t.next_us, 100 * MS);
    assert_int_equal(turns_take_newcomer(&t, 1000 * MS), 100 * MS);
    assert_int_equal(turns_take_newcomer(&t, 1000 * MS), 300 * MS);
    end(&t);
}

static void who_has_one_try_does_not_come_back(void **state)
{
    struct turns t = begin((struct turns_conf){.shoppers = 1}, "closed");
    assert_int_equal(take(&t, 0), 0);
    assert_false(turns_retry(&t, 0, 0, 0));
    assert_true(turns_over(&t));
    end(&t);
}

/* When the only shopper comes back after a failure at now_us. */
static int64_t comes_back(struct turns *t, int64_t now_us)
{
    uint32_t shopper;
    for (int64_t at = now_us;; at += MS) {
        if (take_any(t, at, &shopper)) {
            return at;
        }
        assert_true(at < now_us + 100 * (int64_t)S);
    }
}

static void waits_grow_stay_bounded_and_end_with_patience(void **state)
{
    struct turns t = begin(
        (struct turns_conf){.shoppers = 1, .persist_us = 20 * (int64_t)S, .seed = 7}, "closed");
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
    end(&t);
}

static void retry_after_is_waited_for_unless_impatient(void **state)
{
    struct turns t = begin(
        (struct turns_conf){.shoppers = 1, .persist_us = 60 * (int64_t)S, .seed = 1}, "closed");
    take(&t, 0);
    assert_true(turns_retry(&t, 0, 0, 3));
    assert_in_range(comes_back(&t, 0), 3 * S, 3 * S + 100 * MS);
    end(&t);

    t = begin(
        (struct turns_conf){
            .shoppers = 1, .persist_us = 60 * (int64_t)S, .impatient = true, .seed = 1},
        "closed");
    take(&t, 0);
    assert_true(turns_retry(&t, 0, 0, 3));
    assert_in_range(comes_back(&t, 0), 0, 10 * MS);
    end(&t);
}

static void those_who_wait_come_in_the_order_of_their_time(void **state)
{
    enum { CROWD = 1000 };
    struct turns t = begin(
        (struct turns_conf){.shoppers = CROWD, .persist_us = 60 * (int64_t)S, .seed = 3}, "closed");
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
    end(&t);
}

static void another_step_has_patience_of_its_own(void **state)
{
    struct turns t = begin(
        (struct turns_conf){.shoppers = 1, .persist_us = 5 * (int64_t)S, .seed = 9}, "closed");
    uint32_t shopper;
    take(&t, 0);
    turns_plan(&t, 0, 5 * S);
    assert_false(turns_over(&t));
    assert_false(take_any(&t, 5 * S - 1, &shopper));
    assert_int_equal(take(&t, 6 * S), 0);
    assert_true(turns_retry(&t, 0, 7 * S, 0));
    turns_stop(&t);
    assert_true(turns_over(&t));
    assert_false(take_any(&t, 60 * (int64_t)S, &shopper));
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_closed_load_newcomers_come_at_once_and_in_order),
        cmocka_unit_test(a_plan_holds_newcomers_back_until_it_is_lifted),
        cmocka_unit_test(two_takers_share_a_plan),
        cmocka_unit_test(who_has_one_try_does_not_come_back),
        cmocka_unit_test(waits_grow_stay_bounded_and_end_with_patience),
        cmocka_unit_test(retry_after_is_waited_for_unless_impatient),
        cmocka_unit_test(those_who_wait_come_in_the_order_of_their_time),
        cmocka_unit_test(another_step_has_patience_of_its_own),
    };
    return cmocka_run_group_tests_name("bench_turns", tests, NULL, NULL);
}
