#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void assert_content(const struct buf *b, const char *want)
{
    assert_int_equal(b->len, strlen(want));
    if (b->len)
        assert_memory_equal(b->data, want, b->len);
}

static void test_appends_in_order(void **state)
{
    struct buf b;
    buf_init(&b, 1000);
    assert_null(b.data);
    BUF_LIT(&b, "a=");
    buf_int(&b, 42);
    buf_char(&b, ',');
    buf_add(&b, STR("xyz"));
    buf_append(&b, NULL, 0);
    buf_printf(&b, "%s/%03d", "p", 7);
    assert_content(&b, "a=42,xyzp/007");
    assert_false(b.overflow);
    buf_reset(&b);
    assert_content(&b, "");
    assert_non_null(b.data);
    buf_fini(&b);
    assert_null(b.data);
}

static void test_ceiling_keeps_content_and_sticks(void **state)
{
    struct buf b;
    buf_init(&b, 8);
    BUF_LIT(&b, "12345");
    BUF_LIT(&b, "6789");
    assert_true(b.overflow);
    assert_content(&b, "12345");
    /* What would fit is refused too: the content stays a prefix of what was meant. */
    BUF_LIT(&b, "6");
    buf_char(&b, '6');
    buf_printf(&b, "6");
    buf_json(&b, STR(""));
    assert_content(&b, "12345");
    assert_null(buf_reserve(&b, 1));
    buf_reset(&b);
    BUF_LIT(&b, "12345678");
    assert_false(b.overflow);
    assert_content(&b, "12345678");
    buf_fini(&b);
}

static void put_int(struct buf *b)
{
    buf_int(b, INT64_MIN);
}

static void put_json(struct buf *b)
{
    buf_json(b, STR("a\n\x01"));
}

static void put_time(struct buf *b)
{
    buf_json_time(b, 1);
}

static void put_printf(struct buf *b)
{
    buf_printf(b, "%0600d", 5);
}

/* Each way to fill refuses as a whole when one byte is missing, and fits exactly otherwise. */
static void test_every_builder_fits_exactly_or_not_at_all(void **state)
{
    static const struct {
        void (*put)(struct buf *b);
        size_t n;
    } rows[] = {{put_int, 20}, {put_json, 11}, {put_time, 26}, {put_printf, 600}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf b;
        buf_init(&b, rows[i].n);
        rows[i].put(&b);
        assert_false(b.overflow);
        assert_int_equal(b.len, rows[i].n);
        buf_fini(&b);
        buf_init(&b, rows[i].n - 1);
        rows[i].put(&b);
        assert_true(b.overflow);
        assert_int_equal(b.len, 0);
        buf_fini(&b);
    }
}

static void test_grows_and_keeps_bytes(void **state)
{
    struct buf b;
    buf_init(&b, 100000);
    for (int i = 0; i < 20000; i++)
        buf_printf(&b, "%05d", i);
    assert_false(b.overflow);
    assert_int_equal(b.len, 100000);
    for (int i = 0; i < 20000; i++) {
        char want[16];
        snprintf(want, sizeof(want), "%05d", i);
        assert_memory_equal(b.data + i * 5, want, 5);
    }
    buf_char(&b, 'x');
    assert_true(b.overflow);
    buf_fini(&b);
}

static void test_reserve_is_writable(void **state)
{
    struct buf b;
    buf_init(&b, 4096);
    char *to = buf_reserve(&b, 4096);
    assert_non_null(to);
    memset(to, 'x', 4096);
    assert_int_equal(b.len, 0);
    b.len += 4096;
    assert_null(buf_reserve(&b, 1));
    buf_fini(&b);
    buf_init(&b, 100);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_fini(&b);
    buf_init(&b, 0);
    assert_non_null(buf_reserve(&b, 0));
    assert_null(buf_reserve(&b, 1));
    buf_fini(&b);
}

static void test_int(void **state)
{
    static const struct {
        int64_t v;
        const char *want;
    } rows[] = {
        {0, "0"},
        {9, "9"},
        {10, "10"},
        {-1, "-1"},
        {1234567890123, "1234567890123"},
        {INT64_MAX, "9223372036854775807"},
        {INT64_MIN, "-9223372036854775808"},
    };
    struct buf b;
    buf_init(&b, 64);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_reset(&b);
        buf_int(&b, rows[i].v);
        assert_content(&b, rows[i].want);
    }
    buf_fini(&b);
}

static void test_json(void **state)
{
    static const struct {
        struct str in;
        const char *want;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\b\t\n\f\r", 5}, "\"\\b\\t\\n\\f\\r\""},
        {{"\0\x01\x0b\x1f\x7f", 5}, "\"\\u0000\\u0001\\u000b\\u001f\x7f\""},
        {{"\xe6\x8a\xa2", 3}, "\"\xe6\x8a\xa2\""},
    };
    struct buf b;
    buf_init(&b, 256);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_reset(&b);
        buf_json(&b, rows[i].in);
        assert_content(&b, rows[i].want);
    }
    buf_fini(&b);
}

static void test_json_time(void **state)
{
    struct buf b;
    buf_init(&b, 256);
    buf_json_time(&b, 0);
    buf_json_time(&b, INT64_C(1794355200123));
    assert_content(&b, "null\"2026-11-11T00:00:00.123Z\"");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_in_order),
        cmocka_unit_test(test_ceiling_keeps_content_and_sticks),
        cmocka_unit_test(test_every_builder_fits_exactly_or_not_at_all),
        cmocka_unit_test(test_grows_and_keeps_bytes),
        cmocka_unit_test(test_reserve_is_writable),
        cmocka_unit_test(test_int),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
