#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/arrivals.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/text.c"     // NOLINT(bugprone-suspicious-include)
#include "../../bench/values.c"   // NOLINT(bugprone-suspicious-include)

#include <unistd.h>

enum { SEED = 7 };

static struct arrivals *plan(const char *text)
{
    struct arrivals *a = NULL;
    char error[512] = "";
    if (arrivals_parse(text, SEED, &a, error, sizeof(error)) != ST_OK) {
        fail_msg("%s: %s", text, error);
    }
    return a;
}

static int64_t nth(const struct arrivals *a, uint64_t n)
{
    struct arrivals_cursor c;
    int64_t at = -1;
    arrivals_begin(a, n, 1, &c);
    assert_true(arrivals_next(&c, &at));
    return at;
}

/* What a file holds, under a name of its own; the test removes it. */
static void recorded(const char *text, char path[32])
{
    strcpy(path, "/tmp/arrivals-XXXXXX"); // NOLINT(clang-analyzer-security.insecureAPI.strcpy)
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void a_plan_has_so_many_arrivals_in_so_much_time(void **state)
{
    static const struct {
        const char *text;
        uint64_t count;
        int64_t length_us;
    } cases[] = {
        {"constant 2000/s for 30s", 60000, 30000000},
        {"constant 0.1/s for 10s", 1, 10000000},
        {"constant 3/s for 500ms", 1, 500000},
        {"constant 1000000/s for 100s", 100000000, 100000000},
        {"ramp 0/s to 5000/s for 30s", 75000, 30000000},
        {"ramp 5000/s to 0/s for 30s", 75000, 30000000},
        {"ramp 100/s to 300/s for 1min", 12000, 60000000},
        {"spike 50000", 50000, 0},
        {"steps 1000/s 2000/s 4000/s for 10s each", 70000, 30000000},
        {"spike 1 then pause 5s then spike 2", 3, 5000000},
        {"pause 1h then spike 1", 1, 3600000000},
        {"constant 10/s for 1s then ramp 10/s to 20/s for 2s", 40, 3000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arrivals *a = plan(cases[i].text);
        if (arrivals_count(a) != cases[i].count || arrivals_length_us(a) != cases[i].length_us) {
            fail_msg("%s: %lu arrivals, %ld us", cases[i].text, arrivals_count(a),
                     arrivals_length_us(a));
        }
        assert_false(arrivals_closed(a));
        arrivals_destroy(&a);
    }
}

static void the_nth_arrival_follows_from_the_formula(void **state)
{
    static const struct {
        const char *text;
        uint64_t n;
        int64_t at_us;
    } cases[] = {
        {"constant 2000/s for 30s", 0, 0},
        {"constant 2000/s for 30s", 1, 500},
        {"constant 2000/s for 30s", 59999, 29999500},
        {"constant 3/s for 10s", 29, 9666667}, /* no drift: 29/3 s to the microsecond */
        {"constant 1000000/s for 100s", 99999999, 99999999},
        /* a ramp from 0 to 5000/s in 30 s: n = 5000 t^2 / 60 */
        {"ramp 0/s to 5000/s for 30s", 0, 0},
        {"ramp 0/s to 5000/s for 30s", 18750, 15000000},
        /* the same mirrored: n = 5000 t - 5000 t^2 / 60 */
        {"ramp 5000/s to 0/s for 30s", 56250, 15000000},
        {"ramp 100/s to 300/s for 1min", 4500, 30000000},
        {"ramp 200/s to 200/s for 1min", 4500, 22500000},
        {"spike 50000", 49999, 0},
        {"steps 1000/s 2000/s for 10s each", 9999, 9999000},
        {"steps 1000/s 2000/s for 10s each", 10000, 10000000},
        {"steps 1000/s 2000/s for 10s each", 10001, 10000500},
        {"spike 1 then pause 5s then spike 2", 2, 5000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arrivals *a = plan(cases[i].text);
        int64_t at = nth(a, cases[i].n);
        if (at != cases[i].at_us) {
            fail_msg("%s: arrival %lu at %ld us", cases[i].text, cases[i].n, at);
        }
        arrivals_destroy(&a);
    }
}

static void takers_share_a_plan_without_gap_or_overlap(void **state)
{
    static const char *const texts[] = {
        "constant 997/s for 3s then poisson 500/s for 3s then spike 100 then ramp 0/s to 90/s for "
        "5s",
        "poisson 2000/s for 2s then poisson 2000/s for 2s",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct arrivals *a = plan(texts[i]);
        struct arrivals_cursor all;
        struct arrivals_cursor some[3];
        int64_t before = 0;
        arrivals_begin(a, 0, 1, &all);
        for (uint64_t k = 0; k < 3; k++) {
            arrivals_begin(a, k, 3, &some[k]);
        }
        for (uint64_t n = 0; n < arrivals_count(a); n++) {
            int64_t one = -1;
            int64_t other = -2;
            assert_true(arrivals_next(&all, &one));
            assert_true(arrivals_next(&some[n % 3], &other));
            assert_int_equal(one, other);
            assert_true(one >= before && one <= arrivals_length_us(a));
            before = one;
        }
        int64_t at;
        assert_false(arrivals_next(&all, &at));
        for (uint64_t k = 0; k < 3; k++) {
            assert_false(arrivals_next(&some[k], &at));
        }
        arrivals_destroy(&a);
    }
}

/* Of a Poisson process the number within a time has the mean as its variance; gaps are exponential, so
 * 1/e of them are longer than their mean. */
static void poisson_arrivals_have_its_mean_and_its_gaps(void **state)
{
    struct arrivals *a = plan("poisson 10000/s for 100s");
    assert_true(llabs((int64_t)arrivals_count(a) - 1000000) < 5000); /* 5 sigma */
    struct arrivals_cursor c;
    int64_t before = 0;
    int64_t at = 0;
    uint64_t longer = 0;
    arrivals_begin(a, 0, 1, &c);
    while (arrivals_next(&c, &at)) {
        longer += at - before > 100;
        before = at;
    }
    double share = (double)longer / (double)arrivals_count(a);
    assert_true(share > 0.36 && share < 0.375);
    arrivals_destroy(&a);
}

static void chance_follows_from_the_seed(void **state)
{
    static const char text[] = "poisson 1000/s for 1s";
    char error[512];
    struct arrivals *a = plan(text);
    struct arrivals *same = plan(text);
    struct arrivals *other = NULL;
    assert_int_equal(arrivals_parse(text, SEED + 1, &other, error, sizeof(error)), ST_OK);
    assert_int_equal(arrivals_count(a), arrivals_count(same));
    assert_int_equal(nth(a, 500), nth(same, 500));
    assert_int_not_equal(nth(a, 500), nth(other, 500));
    arrivals_destroy(&a);
    arrivals_destroy(&same);
    arrivals_destroy(&other);
}

static void a_recording_is_played_again(void **state)
{
    char path[32];
    char text[96];
    recorded("# from the gateway, ................................................................"
             "................................................................................"
             "................................................................................"
             "................................................................................\n"
             "0.000001 # the first\n\n  0.5\r\n0.5\n2",
             path);
    snprintf(text, sizeof(text), "pause 1s then replay %s then spike 1", path);
    struct arrivals *a = plan(text);
    static const int64_t want[] = {1000001, 1500000, 1500000, 3000000, 3000000};
    assert_int_equal(arrivals_count(a), 5);
    for (uint64_t n = 0; n < 5; n++) {
        assert_int_equal(nth(a, n), want[n]);
    }
    arrivals_destroy(&a);
    unlink(path);
}

static void closed_load_has_no_plan(void **state)
{
    struct arrivals *a = plan(" closed ");
    struct arrivals_cursor c;
    int64_t at;
    assert_true(arrivals_closed(a));
    assert_int_equal(arrivals_count(a), 0);
    arrivals_begin(a, 0, 1, &c);
    assert_false(arrivals_next(&c, &at));
    arrivals_destroy(&a);
}

static void refused(const char *text, const char *why)
{
    struct arrivals *a = NULL;
    char error[512] = "";
    enum status st = arrivals_parse(text, SEED, &a, error, sizeof(error));
    if (st != ST_INVALID_REQUEST || a || !strstr(error, why)) {
        fail_msg("%s: \"%s\"", text, error);
    }
}

static void a_faulty_plan_is_refused_with_a_reason(void **state)
{
    static const char shapes[] =
        "want closed, constant, ramp, poisson, spike, steps, pause or replay";
    static const char segments[] = "want constant, ramp, poisson, spike, steps, pause or replay";
    static const char rate_wanted[] = "want a rate such as 2000/s";
    static const char length_wanted[] = "want a duration such as 30s";
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", shapes},
        {"sometimes", shapes},
        {"closed then spike 1", segments},
        {"spike 1 then closed", segments},
        {"spike 1 then", segments},
        {"spike 1 spike 2", "want then, got \"spike\""},
        {"constant", rate_wanted},
        {"constant 2000 for 30s", rate_wanted},
        {"constant -1/s for 30s", rate_wanted},
        {"constant 1e3/s for 30s", rate_wanted},
        {"constant /s for 30s", rate_wanted},
        {"constant 10000001/s for 1s", rate_wanted},
        {"constant 2000/s", "want for, got \"nothing more\""},
        {"constant 2000/s in 30s", "want for, got \"in\""},
        {"constant 2000/s for 30", length_wanted},
        {"constant 2000/s for 0s", length_wanted},
        {"constant 2000/s for ever", length_wanted},
        {"constant 1/s for 9999h", length_wanted},
        {"ramp 1/s for 5s", "want to, got \"for\""},
        {"ramp 1/s to for 5s", rate_wanted},
        {"poisson 5/s", "want for"},
        {"spike", "want how many come at once"},
        {"spike many", "want how many come at once"},
        {"spike 0", "want how many come at once"},
        {"spike 1.5", "want how many come at once"},
        {"steps for 10s each", rate_wanted},
        {"steps 1/s 2/s for 10s", "want each"},
        {"pause", length_wanted},
        {"pause 5s", "nobody comes"},
        {"constant 0/s for 5s", "nobody comes"},
        {"replay", "want a file"},
        {"replay /nowhere/arrivals", "No such file"},
        {"replay /dev/zero", "/dev/zero:1: want seconds"},
        {"constant 1000001/s for 100s", "more than 64 segments or 100000000 arrivals"},
        {"poisson 10000000/s for 20s", "more than 64 segments or 100000000 arrivals"},
        {"spike 60000000 then spike 60000000", "more than 64 segments or 100000000 arrivals"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, cases[i].why);
    }
}

static void a_plan_without_end_is_refused(void **state)
{
    char text[8192] = "steps";
    for (int i = 0; i < ARRIVALS_SEGMENTS_MAX + 1; i++) {
        strcat(text, " 1/s"); // NOLINT(clang-analyzer-security.insecureAPI.strcpy)
    }
    strcat(text, " for 1s each"); // NOLINT(clang-analyzer-security.insecureAPI.strcpy)
    refused(text, "more than 64 segments");
    snprintf(text, sizeof(text), "spike 1");
    for (int i = 0; i < 600; i++) {
        strcat(text, " then"); // NOLINT(clang-analyzer-security.insecureAPI.strcpy)
    }
    refused(text, "more than 64 segments");
}

static void a_faulty_recording_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *content, *why;
    } cases[] = {
        {"1\n0.5\n", ":2: want seconds, not fewer than in the line before"},
        {"1\n\nsoon\n", ":3: want seconds"},
        {"-1\n", ":1: want seconds"},
        {"# nobody\n", "nobody comes"},
        {"", "nobody comes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[32];
        char text[96];
        recorded(cases[i].content, path);
        snprintf(text, sizeof(text), "replay %s", path);
        refused(text, cases[i].why);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_has_so_many_arrivals_in_so_much_time),
        cmocka_unit_test(the_nth_arrival_follows_from_the_formula),
        cmocka_unit_test(takers_share_a_plan_without_gap_or_overlap),
        cmocka_unit_test(poisson_arrivals_have_its_mean_and_its_gaps),
        cmocka_unit_test(chance_follows_from_the_seed),
        cmocka_unit_test(a_recording_is_played_again),
        cmocka_unit_test(closed_load_has_no_plan),
        cmocka_unit_test(a_faulty_plan_is_refused_with_a_reason),
        cmocka_unit_test(a_plan_without_end_is_refused),
        cmocka_unit_test(a_faulty_recording_is_refused_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
