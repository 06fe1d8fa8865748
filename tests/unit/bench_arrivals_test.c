#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/arrivals.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/values.c"   // NOLINT(bugprone-suspicious-include)

#include <unistd.h>

enum { S = 1000000 };

static struct arrivals *plan(const char *text)
{
    char error[256] = "";
    struct arrivals *a = NULL;
    if (arrivals_parse(text, 7, &a, error, sizeof(error)) != ST_OK) {
        fail_msg("%s: %s", text, error);
    }
    return a;
}

static const struct {
    const char *text;
    uint64_t count;
    int64_t length_us;
    int64_t first_us, last_us;
} plans[] = {
    {"constant 2000/s for 30s", 60000, 30 * S, 0, 30 * S - 500},
    {"constant 0.5/s for 10s", 5, 10 * S, 0, 8 * S},
    {"constant 3/s for 1s", 3, S, 0, 666667},
    {"ramp 0/s to 100/s for 2s", 100, 2 * S, 0, 1989975}, /* k = 25 t^2 */
    {"ramp 100/s to 0/s for 2s", 100, 2 * S, 0, 1800000}, /* k = 100 t - 25 t^2 */
    {"ramp 50/s to 50/s for 1s", 50, S, 0, 980000},
    {"spike 3", 3, 0, 0, 0},
    {"pause 2s then spike 1", 1, 2 * S, 2 * S, 2 * S},
    {"steps 1/s 2/s for 2s each", 6, 4 * S, 0, 3500000},
    {"spike 2 then constant 1/s for 2s then spike 1", 5, 2 * S, 0, 2 * S},
};

static void each_plan_is_exact(void **state)
{
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        struct arrivals *a = plan(plans[i].text);
        struct arrivals_cursor c;
        int64_t at_us = -1, last_us = -1;
        uint64_t n = 0;
        arrivals_begin(a, 0, 1, &c);
        while (arrivals_next(&c, &at_us)) {
            if (at_us < last_us || (n == 0 && at_us != plans[i].first_us)) {
                fail_msg("%s: arrival %llu", plans[i].text, (unsigned long long)n);
            }
            last_us = at_us;
            n++;
        }
        if (n != plans[i].count || arrivals_count(a) != n || last_us != plans[i].last_us ||
            arrivals_length_us(a) != plans[i].length_us) {
            fail_msg("%s: %llu arrivals, the last at %lld", plans[i].text, (unsigned long long)n,
                     (long long)last_us);
        }
        arrivals_destroy(&a);
    }
}

static void nothing_drifts_within_a_day(void **state)
{
    struct arrivals *a = plan("constant 3/s for 24h");
    struct arrivals_cursor c;
    int64_t at_us = 0;
    arrivals_begin(a, arrivals_count(a) - 1, 1, &c);
    assert_true(arrivals_next(&c, &at_us));
    assert_int_equal(at_us, 24 * 3600 * (int64_t)S - 333333);
    arrivals_destroy(&a);
}

/* Three takers of every third arrival have together what one has, chance included. */
static void takers_share_a_plan(void **state)
{
    struct arrivals *a = plan("poisson 500/s for 1s then ramp 0/s to 90/s for 1s then spike 5");
    struct arrivals_cursor one, some[3];
    int64_t at_us, theirs_us;
    arrivals_begin(a, 0, 1, &one);
    for (unsigned k = 0; k < 3; k++) {
        arrivals_begin(a, k, 3, &some[k]);
    }
    uint64_t n = 0;
    for (; arrivals_next(&one, &at_us); n++) {
        assert_true(arrivals_next(&some[n % 3], &theirs_us));
        assert_int_equal(theirs_us, at_us);
    }
    assert_int_equal(n, arrivals_count(a));
    assert_false(arrivals_next(&some[n % 3], &theirs_us));
    arrivals_destroy(&a);
}

static void chance_keeps_its_rate_and_follows_the_seed(void **state)
{
    struct arrivals *a = plan("poisson 2000/s for 50s");
    struct arrivals *again = plan("poisson 2000/s for 50s");
    struct arrivals *other = NULL;
    char error[64];
    assert_int_equal(arrivals_parse("poisson 2000/s for 50s", 8, &other, error, sizeof(error)),
                     ST_OK);
    assert_in_range(arrivals_count(a), 98500, 101500); /* 100,000 +- 4.7 sigma */
    assert_int_equal(arrivals_count(a), arrivals_count(again));
    assert_int_not_equal(arrivals_count(a), arrivals_count(other));
    arrivals_destroy(&a);
    arrivals_destroy(&again);
    arrivals_destroy(&other);
}

static const char recording[] = "build/bench_arrivals_test.txt";

static void record(const char *text)
{
    FILE *file = fopen(recording, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_recording_is_replayed(void **state)
{
    struct arrivals_cursor c;
    int64_t at_us = 0;
    record("# seconds\n0.25\n\n0.25 # two at once\n  1.5\n");
    struct arrivals *a = plan("pause 1s then replay build/bench_arrivals_test.txt");
    arrivals_begin(a, 0, 1, &c);
    static const int64_t want_us[] = {1250000, 1250000, 2500000};
    for (int i = 0; i < 3; i++) {
        assert_true(arrivals_next(&c, &at_us));
        assert_int_equal(at_us, want_us[i]);
    }
    assert_false(arrivals_next(&c, &at_us));
    arrivals_destroy(&a);
    unlink(recording);
}

static void every_fault_is_told(void **state)
{
    static const struct {
        const char *text, *says;
    } faults[] = {
        {"", "want closed, constant"},
        {"sometimes", "want closed, constant"},
        {"closed then spike 1", "want closed, constant"},
        {"constant", "want a rate such as 2000/s, got \"nothing more\""},
        {"constant 2000 for 1s", "want a rate such as 2000/s, got \"2000\""},
        {"constant -1/s for 1s", "want a rate"},
        {"constant 1/s 1s", "want for, got \"1s\""},
        {"constant 1/s for 30", "want a duration"},
        {"constant 1/s for 0", "want a duration"},
        {"constant 1/s for 1s and more", "want then"},
        {"constant 1/s for 1s then", "want closed, constant"},
        {"ramp 1/s for 1s", "want to"},
        {"spike many", "want how many"},
        {"spike 0", "want how many"},
        {"steps for 1s each", "want a rate"},
        {"steps 1/s for 1s", "want each"},
        {"pause 1s", "nobody comes"},
        {"constant 0/s for 1s", "nobody comes"},
        {"constant 1000000/s for 1h", "100000000 arrivals"},
        {"replay build/there-is-none", "No such file"},
        {"replay build/bench_arrivals_test.txt", ":2: want seconds"},
    };
    record("2\n1\n");
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char error[256] = "";
        struct arrivals *a = NULL;
        if (arrivals_parse(faults[i].text, 1, &a, error, sizeof(error)) != ST_INVALID_REQUEST ||
            !strstr(error, faults[i].says)) {
            fail_msg("%s: want \"%s\", said: %s", faults[i].text, faults[i].says, error);
        }
    }
    unlink(recording);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_plan_is_exact),
        cmocka_unit_test(nothing_drifts_within_a_day),
        cmocka_unit_test(takers_share_a_plan),
        cmocka_unit_test(chance_keeps_its_rate_and_follows_the_seed),
        cmocka_unit_test(a_recording_is_replayed),
        cmocka_unit_test(every_fault_is_told),
    };
    return cmocka_run_group_tests_name("bench_arrivals", tests, NULL, NULL);
}
