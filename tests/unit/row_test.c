/* row_test.c - the bytes of an order in the intent log, and the places that follow from a shopper.
 */
#include "redis/row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const char longest[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._";
_Static_assert(sizeof(longest) - 1 == 64, "longest id");

static struct row sample(void)
{
    struct row r = {.kind = ROW_ORDER,
                    .qty = 0x01020304,
                    .limit = 0x05060708,
                    .hash = 0x090a0b0c,
                    .storefront = 0x0d0e0f10,
                    .item = 0x11121314,
                    .amount = 0x15161718191a1b1c,
                    .flags = ROW_ASYNC,
                    .sku = STR("tea"),
                    .shopper = STR("ann")};
    for (int i = 0; i < UID_LEN; i++)
        r.id.b[i] = (uint8_t)(0xa0 + i);
    for (int i = 0; i < KEY_LEN; i++)
        r.key[i] = (uint8_t)(0xc0 + i);
    return r;
}

static struct str encode(const struct row *r, uint8_t out[ROW_MAX])
{
    size_t n = row_encode(r, out);
    assert_true(n <= ROW_MAX);
    return (struct str){(const char *)out, n};
}

static void assert_same(const struct row *a, const struct row *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(a->id.b, b->id.b, UID_LEN);
    assert_memory_equal(a->key, b->key, KEY_LEN);
    assert_int_equal(a->qty, b->qty);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->hash, b->hash);
    assert_int_equal(a->storefront, b->storefront);
    assert_int_equal(a->item, b->item);
    assert_true(a->amount == b->amount);
    assert_int_equal(a->flags, b->flags);
    assert_true(str_equal(a->sku, b->sku));
    assert_true(str_equal(a->shopper, b->shopper));
}

/* The exact bytes: logs written by an older build are read by a newer one, and by functions.lua. */
static void test_layout(void **state)
{
    uint8_t want[ROW_FIXED + 7] = {1, 'O'};
    for (int i = 0; i < 16; i++) {
        want[2 + i] = (uint8_t)(0xa0 + i);
        want[18 + i] = (uint8_t)(0xc0 + i);
    }
    for (int i = 34; i < 62; i++)
        want[i] = (uint8_t)(i - 33); /* the numbers count up, byte by byte */
    want[62] = 1;
    want[63] = 3;
    memcpy(want + ROW_FIXED, "tea|ann", 7);
    struct row r = sample();
    uint8_t bytes[ROW_MAX];
    struct str s = encode(&r, bytes);
    assert_int_equal(s.n, sizeof(want));
    assert_memory_equal(s.p, want, sizeof(want));
    assert_true(str_equal(row_field(bytes, s.n), STR("tea|ann")));
}

static void test_round_trip(void **state)
{
    static const struct {
        const char *sku, *shopper;
        enum row_kind kind;
        uint32_t u;
        int64_t amount;
    } cases[] = {
        {"a", "b", ROW_ORDER, 1, 1},
        {longest, longest, ROW_ORDER, UINT32_MAX, INT64_MAX},
        {"a", longest, ROW_ORDER, 0x80000000, 12345},
        {longest, "b", ROW_ORDER, 0x7fffffff, INT64_MAX - 1},
        {"tea:green", "a.b-c_d:e", ROW_ORDER, 0xff, INT64_C(1) << 32},
        {longest, "", ROW_TAKE, 0x01000000, 1},
        {"a", "", ROW_TAKE, 0x100, 0xffffffff},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[ROW_MAX];
        struct row r = sample(), back;
        r.kind = cases[i].kind;
        r.qty = r.limit = r.hash = r.storefront = r.item = cases[i].u;
        r.amount = cases[i].amount;
        r.flags = (uint8_t)i;
        r.sku = str_from(cases[i].sku);
        r.shopper = str_from(cases[i].shopper);
        struct str s = encode(&r, bytes);
        assert_int_equal(s.n, ROW_FIXED + r.sku.n + 1 + r.shopper.n);
        assert_int_equal(row_decode(s, &back), ST_OK);
        assert_same(&r, &back);
        assert_true(back.sku.p == s.p + ROW_FIXED); /* points into the bytes */
    }
}

/* What is no row leaves the caller's row alone. The copy has no spare byte, so reading past it
 * shows. */
static void assert_refused(const void *p, size_t n)
{
    struct row back = {.qty = 4711}, before = back;
    char *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    assert_int_equal(row_decode((struct str){copy, n}, &back), ST_INVALID_REQUEST);
    assert_memory_equal(&back, &before, sizeof(back));
    free(copy);
}

/* A row cut inside its shopper is still a row (of another shopper); Redis keeps lengths, so only
 * cuts that take more than that can be seen, and must be. */
static void test_cut_short(void **state)
{
    static const char *const skus[] = {"a", "tea", longest};
    for (size_t i = 0; i < sizeof(skus) / sizeof(skus[0]); i++) {
        uint8_t bytes[ROW_MAX];
        struct row r = sample();
        r.sku = str_from(skus[i]);
        r.shopper = STR("b");
        struct str s = encode(&r, bytes);
        for (size_t n = 0; n < s.n; n++)
            assert_refused(bytes, n);
    }
}

static void test_too_long(void **state)
{
    uint8_t bytes[ROW_MAX + 1];
    struct row r = sample();
    r.sku = r.shopper = str_from(longest);
    assert_int_equal(encode(&r, bytes).n, ROW_MAX);
    bytes[ROW_MAX] = 'x';
    assert_refused(bytes, ROW_MAX + 1);
}

/* At each place, exactly the values listed are a row. */
static void test_bad_bytes(void **state)
{
    static const char id[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    static const struct {
        size_t at;
        const char *good;
        size_t n;
    } places[] = {
        {0, "\x01", 1}, {1, "O", 1},  {63, "\x03", 1}, {64, id, 66}, {65, id, 66},
        {66, id, 66},   {67, "|", 1}, {68, id, 66},    {69, id, 66}, {70, id, 66},
    };
    _Static_assert(sizeof(id) - 1 == 66, "alphabet of ids");
    uint8_t bytes[ROW_MAX];
    struct row r = sample(), back;
    struct str s = encode(&r, bytes);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint8_t was = bytes[places[i].at];
        for (int b = 0; b < 256; b++) {
            bytes[places[i].at] = (uint8_t)b;
            if (memchr(places[i].good, b, places[i].n))
                assert_int_equal(row_decode(s, &back), ST_OK);
            else
                assert_refused(bytes, s.n);
        }
        bytes[places[i].at] = was;
    }
}

static void test_kind_and_shopper_agree(void **state)
{
    uint8_t bytes[ROW_MAX];
    struct row r = sample();
    r.kind = ROW_TAKE;
    struct str s = encode(&r, bytes);
    assert_refused(s.p, s.n); /* taken back for a shopper */
    r.kind = ROW_ORDER;
    r.shopper = (struct str){0};
    s = encode(&r, bytes);
    assert_refused(s.p, s.n); /* an order of nobody */
}

static void test_nothing_ordered(void **state)
{
    uint8_t bytes[ROW_MAX];
    struct row r = sample();
    r.qty = 0;
    struct str s = encode(&r, bytes);
    assert_refused(s.p, s.n);
    for (int64_t amount = -1; amount <= 0; amount++) {
        r = sample();
        r.amount = amount;
        s = encode(&r, bytes);
        assert_refused(s.p, s.n);
    }
}

/* Where a published sale's shoppers live follows from these numbers, so they must never change. */
static void test_shopper_hash_is_fixed(void **state)
{
    static const struct {
        const char *shopper;
        uint32_t hash;
    } cases[] = {
        {"", 0x811d9ffc},       {"a", 0xe40de134},         {"b", 0xe70de3fd},
        {"ann", 0x1529e64b},    {"Bob", 0xebca76e3},       {"bob", 0x86c7ad59},
        {"foobar", 0xbf9d8651}, {"shopper-1", 0xd663cc1e}, {"shopper-2", 0xd563f583},
        {"u_4711", 0x105b9d1d}, {"a.b-c_d:e", 0xd2145509}, {longest, 0xd2c4d847},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(shopper_hash(str_from(cases[i].shopper)), cases[i].hash);
    assert_int_equal(shopper_hash((struct str){0}), shopper_hash(STR("")));
}

static void test_hold_layout(void **state)
{
    const struct row r = sample();
    uint8_t out[HOLD_BYTES];
    hold_encode(r.id.b, r.key, 0x1d, r.qty, out);
    assert_memory_equal(out, r.id.b, UID_LEN);
    assert_memory_equal(out + 16, r.key, KEY_LEN);
    assert_memory_equal(out + 32, "\x1d\x01\x02\x03\x04", HOLD_BYTES - 32);
    assert_int_equal(hold_qty(out), r.qty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),          cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut_short),       cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_bad_bytes),       cmocka_unit_test(test_kind_and_shopper_agree),
        cmocka_unit_test(test_nothing_ordered), cmocka_unit_test(test_shopper_hash_is_fixed),
        cmocka_unit_test(test_hold_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
