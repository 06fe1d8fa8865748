#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/hist.c" // NOLINT(bugprone-suspicious-include)

#include <stdlib.h>

static struct hist *fresh(void)
{
    struct hist *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    return h;
}

static void small_values_are_exact(void **state)
{
    struct hist *h = fresh();
    for (int64_t us = 1; us <= 1000; us++) {
        hist_record(h, us);
    }
    static const struct {
        uint32_t per_100k;
        int64_t us;
    } cases[] = {{0, 1},       {100, 1},     {101, 2},      {50000, 500},
                 {99000, 990}, {99900, 999}, {99901, 1000}, {100000, 1000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(hist_quantile(h, cases[i].per_100k), cases[i].us);
    }
    free(h);
}

static void every_value_lands_within_a_thousandth(void **state)
{
    for (int64_t us = 1; us < HIST_MAX_US; us += 1 + us / 7) {
        unsigned slot = slot_of((uint64_t)us);
        assert_true(slot < HIST_SLOTS);
        assert_true(hist_slot_end(slot) >= us);
        assert_true(slot == 0 || hist_slot_end(slot - 1) < us);
        assert_true((hist_slot_end(slot) - us) * 1000 <= us);
    }
}

static void slots_follow_each_other_at_the_borders(void **state)
{
    for (int bit = 1; bit < HIST_TOP_BITS; bit++) {
        uint64_t border = UINT64_C(1) << bit;
        assert_int_equal(slot_of(border), slot_of(border - 1) + 1);
    }
    assert_int_equal(slot_of(HIST_MAX_US), HIST_SLOTS - 1);
}

static void a_quantile_never_passes_the_largest_value(void **state)
{
    struct hist *h = fresh();
    hist_record(h, 1000001);
    assert_int_equal(hist_quantile(h, 50000), 1000001);
    assert_int_equal(hist_quantile(h, 100000), 1000001);
    free(h);
}

static void values_past_the_end_keep_their_maximum(void **state)
{
    struct hist *h = fresh();
    hist_record(h, 5);
    hist_record(h, HIST_MAX_US * 10);
    assert_int_equal(h->n, 2);
    assert_int_equal(h->max_us, HIST_MAX_US * 10);
    assert_int_equal(hist_quantile(h, 50000), 5);
    assert_int_equal(hist_quantile(h, 100000), HIST_MAX_US * 10);
    free(h);
}

static void nothing_recorded_is_nothing(void **state)
{
    struct hist *h = fresh();
    assert_int_equal(hist_quantile(h, 99900), 0);
    hist_record(h, -7);
    assert_int_equal(h->n, 1);
    assert_int_equal(hist_quantile(h, 99900), 0);
    free(h);
}

static void two_add_up_to_one(void **state)
{
    struct hist *a = fresh(), *b = fresh(), *both = fresh();
    hist_record_n(a, 10, 3);
    hist_record_n(a, 7, 0); /* nothing, not even the largest */
    hist_record(b, 4000);
    hist_record(b, -5);
    hist_add(both, a);
    hist_add(both, b);
    assert_int_equal(both->n, 5);
    assert_int_equal(hist_quantile(both, 80000), 10);
    assert_int_equal(both->max_us, 4000);
    assert_true(hist_mean(both) == (3 * 10 + 4000) / 5.0);
    free(a);
    free(b);
    free(both);
}

static void nothing_has_a_mean_of_nothing(void **state)
{
    struct hist *h = fresh();
    assert_true(hist_mean(h) == 0);
    assert_int_equal(hist_quantile(h, 99000), 0);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_add_up_to_one),
        cmocka_unit_test(nothing_has_a_mean_of_nothing),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(every_value_lands_within_a_thousandth),
        cmocka_unit_test(slots_follow_each_other_at_the_borders),
        cmocka_unit_test(a_quantile_never_passes_the_largest_value),
        cmocka_unit_test(values_past_the_end_keep_their_maximum),
        cmocka_unit_test(nothing_recorded_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
