#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <time.h>

static void test_clocks_run(void **state)
{
    int64_t wall = clock_wall_ms();
    assert_true(wall / 1000 - time(NULL) <= 1);
    assert_true(time(NULL) - wall / 1000 <= 1);
    int64_t before = clock_mono_us();
    assert_true(before > 0);
    assert_true(clock_mono_us() >= before);
}

static const struct {
    int64_t ms;
    const char *text;
    const char *http;
} times[] = {
    {0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
    {INT64_C(784111777000), "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"},
    {INT64_C(951782399999), "2000-02-28T23:59:59.999Z", "Mon, 28 Feb 2000 23:59:59 GMT"},
    {INT64_C(951782400000), "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"},
    {INT64_C(1794355200000), "2026-11-11T00:00:00.000Z", "Wed, 11 Nov 2026 00:00:00 GMT"},
    {INT64_C(4107542400007), "2100-03-01T00:00:00.007Z", "Mon, 01 Mar 2100 00:00:00 GMT"},
    {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
};

static void test_formats(void **state)
{
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char text[CLOCK_TEXT_LEN + 1];
        text[CLOCK_TEXT_LEN] = '#';
        clock_format(times[i].ms, text);
        assert_int_equal(text[CLOCK_TEXT_LEN], '#');
        assert_memory_equal(text, times[i].text, CLOCK_TEXT_LEN);
        char http[30];
        clock_http_date(times[i].ms, http);
        assert_string_equal(http, times[i].http);
        int64_t ms = -1;
        assert_true(clock_parse(str_from(times[i].text), &ms));
        assert_true(ms == times[i].ms);
    }
}

static void test_format_clamps(void **state)
{
    char text[CLOCK_TEXT_LEN];
    clock_format(INT64_MIN, text);
    assert_memory_equal(text, "1970-01-01T00:00:00.000Z", CLOCK_TEXT_LEN);
    clock_format(INT64_MAX, text);
    assert_memory_equal(text, "9999-12-31T23:59:59.999Z", CLOCK_TEXT_LEN);
}

/* Every day of 400 years and more, against the C library. */
static void test_format_agrees_with_gmtime(void **state)
{
    for (int64_t day = 0; day < 200000; day++) {
        time_t s = day * 86400 + day % 86400;
        struct tm tm;
        assert_non_null(gmtime_r(&s, &tm));
        char want[64];
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        char text[CLOCK_TEXT_LEN];
        clock_format(s * 1000, text);
        if (memcmp(text, want, CLOCK_TEXT_LEN) != 0)
            fail_msg("day %lld: want %s, have %.24s", (long long)day, want, text);
        int64_t ms;
        assert_true(clock_parse((struct str){text, CLOCK_TEXT_LEN}, &ms));
        assert_true(ms == s * 1000);
    }
}

static void test_parses(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"2026-11-11T00:00:00Z", INT64_C(1794355200000)},
        {"2026-11-11t00:00:00z", INT64_C(1794355200000)},
        {"2026-11-11T08:00:00+08:00", INT64_C(1794355200000)},
        {"2026-11-10T18:30:00-05:30", INT64_C(1794355200000)},
        {"2026-11-11T00:00:00-00:00", INT64_C(1794355200000)},
        {"2026-11-11T00:00:00.1Z", INT64_C(1794355200100)},
        {"2026-11-11T00:00:00.12+00:00", INT64_C(1794355200120)},
        {"2026-11-11T00:00:00.123999999Z", INT64_C(1794355200123)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"1969-12-31T23:59:59.5Z", -500},
        {"0000-03-01T00:00:00Z", INT64_C(-62162035200000)},
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 0;
        if (!clock_parse(str_from(rows[i].text), &ms) || ms != rows[i].ms)
            fail_msg("%s: have %lld", rows[i].text, (long long)ms);
    }
}

static void test_refuses(void **state)
{
    static const char *const rows[] = {
        "",
        "2026",
        "2026-11-11",
        "2026-11-11T00:00:00",
        "2026-11-11 00:00:00Z",
        "2026-11-11T00:00Z",
        "2026-11-11T00:00:00.Z",
        "2026-11-11T00:00:00.1234567890Z",
        "2026-11-11T00:00:00,5Z",
        "2026-11-11T24:00:00Z",
        "2026-11-11T00:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-04-00T00:00:00Z",
        "2026-11-11T00:00:00+0800",
        "2026-11-11T00:00:00+08",
        "2026-11-11T00:00:00+24:00",
        "2026-11-11T00:00:00+08:60",
        "2026-11-11T00:00:00Z ",
        " 2026-11-11T00:00:00Z",
        "+026-11-11T00:00:00Z",
        "2026-1-11T00:00:00Z",
        "2026-11-11T00:00:0-Z",
        "12026-11-11T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 77;
        if (clock_parse(str_from(rows[i]), &ms) || ms != 77)
            fail_msg("accepted %s", rows[i]);
    }
    int64_t ms = 77;
    assert_false(clock_parse((struct str){"2026-11-11T00:00:00\0", 20}, &ms));
    assert_false(clock_parse((struct str){NULL, 0}, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clocks_run),    cmocka_unit_test(test_formats),
        cmocka_unit_test(test_format_clamps), cmocka_unit_test(test_format_agrees_with_gmtime),
        cmocka_unit_test(test_parses),        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
