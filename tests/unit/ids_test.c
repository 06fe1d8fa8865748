#include "base/ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

static int setup(void **state)
{
    *state = uid_source_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct uid_source *src = *state;
    uid_source_destroy(&src);
    assert_null(src);
    uid_source_destroy(&src);
    return 0;
}

static void test_fields_come_back(void **state)
{
    struct uid id = uid_make_routed(*state, INT64_C(1794355200123), 0xABCDEF, 0x42);
    assert_true(uid_ms(&id) == INT64_C(1794355200123));
    assert_int_equal(uid_sale_no(&id), 0xABCDEF);
    assert_int_equal(uid_shard(&id), 0x42);
    id = uid_make(*state, 5);
    assert_true(uid_ms(&id) == 5);
}

static void test_r18_order_is_not_older_than_its_sale(void **state)
{
    static const struct {
        int64_t now, starts, is;
    } cases[] = {{999, 1000, 1000}, {1000, 1000, 1000}, {1001, 1000, 1001}, {0, 5000, 5000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uid id = uid_make_order(*state, cases[i].now, cases[i].starts, 7, 3);
        struct uid from = uid_floor(cases[i].starts);
        assert_true(uid_ms(&id) == cases[i].is);
        assert_true(memcmp(id.b, from.b, UID_LEN) >= 0);
        assert_int_equal(uid_sale_no(&id), 7);
        assert_int_equal(uid_shard(&id), 3);
    }
}

static void test_ids_differ(void **state)
{
    enum { N = 5000 };
    static struct uid ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = uid_make_routed(*state, 1, 1, 1);
    /* Neighbours, and equal places in two fills of the pool. */
    for (int i = 1; i < N; i++) {
        for (int back = 1; back <= i && back < 1000; back++)
            assert_false(uid_equal(&ids[i], &ids[i - back]));
    }
    assert_true(uid_equal(&ids[0], &ids[0]));
}

static void test_floor_bounds_its_millisecond(void **state)
{
    struct uid lo = uid_floor(1000);
    struct uid hi = uid_floor(1001);
    for (int i = 0; i < 1000; i++) {
        struct uid id = uid_make(*state, 1000);
        assert_true(memcmp(lo.b, id.b, UID_LEN) <= 0);
        assert_true(memcmp(id.b, hi.b, UID_LEN) < 0);
    }
    struct uid before = uid_floor(-5);
    assert_true(uid_ms(&before) == 0);
    struct uid far = uid_floor(INT64_MAX);
    assert_true(uid_ms(&far) == (INT64_C(1) << 48) - 1);
}

static const struct {
    struct uid id;
    const char *text;
} forms[] = {
    {{{0}}, "00000000000000000000000000"},
    {{{[15] = 1}}, "00000000000000000000000001"},
    {{{[15] = 31}}, "0000000000000000000000000Z"},
    {{{[14] = 1}}, "00000000000000000000000080"},
    {{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
       0xff}},
     "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"},
    {{{0x01, 0x56, 0x3D, 0xF3, 0x64, 0x81, 0x57, 0xC3, 0x7B, 0x3E, 0x26, 0x82, 0x27, 0x5A, 0x2C,
       0x58}},
     "01ARYZ6S41AZ1QPFH6G8KNMB2R"},
};

static void test_text_form(void **state)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char out[4 + UID_TEXT_LEN + 2];
        out[sizeof(out) - 1] = '#';
        assert_int_equal(uid_format("ord_", &forms[i].id, out), 30);
        assert_int_equal(out[sizeof(out) - 1], '#');
        assert_memory_equal(out, "ord_", 4);
        assert_string_equal(out + 4, forms[i].text);
        struct uid id = {{9}};
        assert_true(uid_parse("ord_", str_from(out), &id));
        assert_true(uid_equal(&id, &forms[i].id));
        assert_true(uid_parse("", str_from(forms[i].text), &id));
    }
}

static void test_text_round_trip(void **state)
{
    for (int i = 0; i < 2000; i++) {
        struct uid id = uid_make(*state, INT64_C(1794355200000) + i);
        struct uid again;
        char out[64];
        uid_format("pay_", &id, out);
        assert_true(uid_parse("pay_", str_from(out), &again));
        assert_true(uid_equal(&id, &again));
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const rows[] = {
        "",
        "ord_",
        "01ARYZ6S41AZ1QPFH6G9TTPB2R",
        "pay_01ARYZ6S41AZ1QPFH6G9TTPB2R",
        "ORD_01ARYZ6S41AZ1QPFH6G9TTPB2R",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2RR",
        "ord_01aryz6s41az1qpfh6g9ttpb2r",
        "ord_81ARYZ6S41AZ1QPFH6G9TTPB2R",
        "ord_Z1ARYZ6S41AZ1QPFH6G9TTPB2R",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2I",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2L",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2O",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2U",
        "ord_01ARYZ6S41AZ1QPFH6G9TTPB2\xff",
        "ord_ 1ARYZ6S41AZ1QPFH6G9TTPB2R",
        "ord_-1ARYZ6S41AZ1QPFH6G9TTPB2R",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct uid id = {{7}};
        if (uid_parse("ord_", str_from(rows[i]), &id) || id.b[0] != 7)
            fail_msg("accepted %s", rows[i]);
    }
}

static void test_random(void **state)
{
    static const size_t lens[] = {1, 16, 4096, 4095, 2, 10000};
    static uint8_t a[10000], b[10000];
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        memset(a, 0, sizeof(a));
        uid_random(*state, a, lens[i]);
        uid_random(*state, b, lens[i]);
        if (lens[i] >= 16)
            assert_memory_not_equal(a, b, lens[i]);
        for (size_t j = lens[i]; j < sizeof(a); j++)
            assert_int_equal(a[j], 0);
    }
    /* A pool that handed out wiped bytes would show as runs of zeros. */
    unsigned zeros = 0;
    for (size_t i = 0; i < 2000; i++) {
        uid_random(*state, a, 16);
        for (size_t j = 0; j < 16; j++)
            zeros += a[j] == 0;
    }
    assert_true(zeros > 50 && zeros < 250); /* 125 expected, sigma 11 */
}

static void test_id_valid(void **state)
{
    char longest[65];
    memset(longest, 'a', sizeof(longest));
    assert_true(id_valid((struct str){longest, 64}));
    assert_false(id_valid((struct str){longest, 65}));
    assert_false(id_valid((struct str){NULL, 0}));
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        bool want = c && c < 128 &&
                    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-", c);
        assert_int_equal(id_valid((struct str){&one, 1}), want);
    }
    assert_false(id_valid(STR("ab cd")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_come_back),
        cmocka_unit_test(test_r18_order_is_not_older_than_its_sale),
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_floor_bounds_its_millisecond),
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_id_valid),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
