#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/fail_if.c" // NOLINT(bugprone-suspicious-include)

static const char run_text[] =
    "{\"duration_s\": 10,"
    " \"totals\": {\"sent\": 2000, \"errors\": 3, \"timeouts\": 0, \"lost\": 1, \"bad_answers\": "
    "2},"
    " \"rates\": {\"orders_per_s\": 120.5, \"requests_per_s\": 200},"
    " \"latency\": {"
    "  \"orders\": {\"n\": 1205, \"p50\": 900, \"p99\": 20000, \"p99.9\": 45000, \"max\": 50000},"
    "  \"refusals\": {\"n\": 0, \"p99\": 0},"
    "  \"all\": {\"n\": 2000, \"p99\": 21000}},"
    " \"steps\": [{\"name\": \"pay\", \"latency\": {\"n\": 4, \"p99\": 7000, \"p99.9\": 8000}}],"
    " \"cpu_us\": {\"service\": 5000000}}";

static const struct {
    const char *text;
    enum fail_if_found found;
    double value;
} cases[] = {
    {"p99>20ms", LIMIT_HOLDS_NOT, 20000},
    {"p99>=20ms", LIMIT_HOLDS, 20000},
    {"p99 < 20ms", LIMIT_HOLDS_NOT, 20000},
    {"p99<=20 ms", LIMIT_HOLDS, 20000},
    {" p99 > 19999us ", LIMIT_HOLDS, 20000},
    {"p99>0.02s", LIMIT_HOLDS_NOT, 20000},
    {"p99.9>0.04s", LIMIT_HOLDS, 45000},
    {"orders.p99.9>45ms", LIMIT_HOLDS_NOT, 45000},
    {"all.p99>20ms", LIMIT_HOLDS, 21000},
    {"pay.p99>6ms", LIMIT_HOLDS, 7000},
    {"pay.p99.9<8ms", LIMIT_HOLDS_NOT, 8000},
    {"max>49ms", LIMIT_HOLDS, 50000},
    {"errors>0.1%", LIMIT_HOLDS, 0.0015},
    {"errors>0.15%", LIMIT_HOLDS_NOT, 0.0015},
    {"errors>2", LIMIT_HOLDS, 3},
    {"timeouts>0", LIMIT_HOLDS_NOT, 0},
    {"lost>0", LIMIT_HOLDS, 1},
    {"bad-answers>2", LIMIT_HOLDS_NOT, 2},
    {"orders/s<121", LIMIT_HOLDS, 120.5},
    {"orders/s<120/s", LIMIT_HOLDS_NOT, 120.5},
    {"requests/s<=200", LIMIT_HOLDS, 200},
    {"cpu.service>49%", LIMIT_HOLDS, 0.5},
    {"cpu.service>50%", LIMIT_HOLDS_NOT, 0.5},
    /* What was not measured is neither good nor bad. */
    {"refusals.p99<1s", LIMIT_UNKNOWN, 0},
    {"nobody.p99<1s", LIMIT_UNKNOWN, 0},
    {"p90<1s", LIMIT_UNKNOWN, 0},
    {"checkouts/s<1", LIMIT_UNKNOWN, 0},
    {"cpu.redis>1%", LIMIT_UNKNOWN, 0},
    {"cpu.sandbox>1%", LIMIT_UNKNOWN, 0},
};

static void test_limits(void **state)
{
    char error[256];
    json_t *run = json_loads(run_text, 0, NULL);
    assert_non_null(run);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fail_if f;
        double value = -1;
        if (!fail_if_parse(cases[i].text, &f, error, sizeof(error))) {
            fail_msg("%s", error);
        }
        if (fail_if_judge(&f, run, &value) != cases[i].found ||
            fabs(value - cases[i].value) > 1e-9) {
            fail_msg("%s: compared %f", cases[i].text, value);
        }
    }
    json_decref(run);
}

static void test_a_limit_has_a_unit(void **state)
{
    static const char *const units[][2] = {{"p99>20ms", "us"},
                                           {"errors>0.1%", "share"},
                                           {"errors>2", "count"},
                                           {"orders/s<5", "per_s"},
                                           {"cpu.redis>9%", "share"}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct fail_if f;
        char error[256];
        assert_true(fail_if_parse(units[i][0], &f, error, sizeof(error)));
        assert_string_equal(fail_if_unit(&f), units[i][1]);
    }
}

static void test_hostile_runs_are_not_judged(void **state)
{
    static const char *const runs[] = {"{}",
                                       "[]",
                                       "{\"latency\": 3}",
                                       "{\"latency\": {\"orders\": {\"n\": 5, \"p99\": \"x\"}}}",
                                       "{\"steps\": {\"name\": 1}}",
                                       "{\"totals\": {\"sent\": 0, \"errors\": 1}}"};
    char error[256];
    double value;
    struct fail_if f[2];
    assert_true(fail_if_parse("p99<1s", &f[0], error, sizeof(error)));
    assert_true(fail_if_parse("errors<1%", &f[1], error, sizeof(error)));
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        json_t *run = json_loads(runs[i], 0, NULL);
        assert_int_equal(fail_if_judge(&f[0], run, &value), LIMIT_UNKNOWN);
        assert_int_equal(fail_if_judge(&f[1], run, &value), LIMIT_UNKNOWN);
        json_decref(run);
    }
}

static const struct {
    const char *text, *why;
} faults[] = {
    {"", "wants a comparison"},
    {"p99", "wants a comparison"},
    {"p99=20ms", "wants a comparison"},
    {"p99>", "us, ms or s"},
    {"p99>20", "us, ms or s"},
    {"p99>20m", "us, ms or s"},
    {"p99>-1ms", "us, ms or s"},
    {"p99>20%", "us, ms or s"},
    {"p99>nan", "us, ms or s"},
    {"p98>20ms", "wants p50"},
    {">20ms", "wants p50"},
    {"pay.errors>3", "wants p50"},
    {"cpu.nobody>3%", "wants p50"},
    {"errors>3ms", "whole number"},
    {"orders/s<5%", "/s"},
    {"cpu.redis>0.5", "share of a core"},
    {"p99>20ms>30ms", "us, ms or s"},
    {"123456789012345678901234567890123.p99>1ms", "wants p50"},
};

static void test_faults_are_told(void **state)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct fail_if f;
        char error[256] = "";
        if (fail_if_parse(faults[i].text, &f, error, sizeof(error)) ||
            !strstr(error, faults[i].why)) {
            fail_msg("%s: %s", faults[i].text, error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_limit_has_a_unit),
        cmocka_unit_test(test_hostile_runs_are_not_judged),
        cmocka_unit_test(test_faults_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
