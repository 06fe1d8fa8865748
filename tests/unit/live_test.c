/* live_test.c - the hints that threads share: filter of shoppers, in Redis' bit order, and its
 * size; and what is left of it once it was forgotten. */
#include "flow/live.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* One size for every instance and every epoch: changing it would send bits to other places. */
static void test_filter_sizes(void **state)
{
    static const struct {
        int64_t units;
        uint32_t bits;
    } cases[] = {
        {0, 1u << 16},       {1, 1u << 16},          {2048, 1u << 16},
        {2049, 1u << 17},    {4096, 1u << 17},       {4097, 1u << 18},
        {50000, 1u << 21},   {1 << 20, 1u << 25},    {(1 << 20) + 1, 1u << 26},
        {1 << 21, 1u << 26}, {1000000000, 1u << 26},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(live_filter_bits(cases[i].units), cases[i].bits);
}

static struct live_sale *make(unsigned shards, unsigned items, int64_t units)
{
    struct live_sale *s = NULL;
    unsigned index = 7;
    assert_int_equal(live_sale_create(42, shards, items, units, &index, &s), ST_OK);
    assert_int_equal(index, 7 + shards);
    return s;
}

static void test_new_sale(void **state)
{
    struct live_sale *s = make(3, 2, 9000);
    assert_int_equal(s->no, 42);
    assert_int_equal(s->shards, 3);
    assert_int_equal(s->items, 2);
    for (unsigned i = 0; i < 3; i++) {
        const struct live_shard *shard = &s->shard[i];
        assert_int_equal(shard->sale_no, 42);
        assert_int_equal(shard->shard, i);
        assert_int_equal(shard->index, 7 + i);
        assert_int_equal(shard->filter_bits, live_filter_bits(3001));
        assert_int_equal(atomic_load(&shard->wins), -1);
        assert_false(atomic_load(&shard->recovering[0]) || atomic_load(&shard->recovering[1]));
        assert_int_equal(atomic_load(&shard->suspect_epoch), 0);
        assert_false(atomic_load(&shard->filter_current));
        for (uint32_t bit = 0; bit < shard->filter_bits; bit++)
            assert_false(live_filter_has(shard, bit));
        for (unsigned k = 0; k < 2; k++) { /* nothing is known, so nothing may be refused */
            assert_int_equal(atomic_load(&s->item[k][i].left), -1);
            assert_false(atomic_load(&s->item[k][i].refuse));
        }
    }
    live_sale_destroy(&s);
    assert_null(s);
    live_sale_destroy(&s); /* harmless */
}

static unsigned count(const struct live_shard *s)
{
    unsigned n = 0;
    for (uint32_t bit = 0; bit < s->filter_bits; bit++)
        n += live_filter_has(s, bit);
    return n;
}

static void test_set_has(void **state)
{
    static const uint32_t hashes[] = {0, 1, 63, 64, 65535, 12345};
    enum { N = sizeof(hashes) / sizeof(hashes[0]) };
    struct live_sale *s = make(1, 1, 10);
    struct live_shard *shard = &s->shard[0];
    for (unsigned i = 0; i < N; i++) {
        assert_false(live_filter_has(shard, hashes[i]));
        live_filter_set(shard, hashes[i]);
        live_filter_set(shard, hashes[i]);
        assert_true(live_filter_has(shard, hashes[i]));
        assert_int_equal(count(shard), i + 1);
    }
    /* A hash counts modulo the filter's size, as in functions.lua. */
    assert_true(live_filter_has(shard, 12345 + 65536));
    live_filter_set(shard, UINT32_MAX - 1);
    assert_true(live_filter_has(shard, 65534));
    assert_int_equal(count(shard), N + 1);
    live_sale_destroy(&s);
}

/* SETBIT 0 is the highest bit of the first byte. */
static void test_merge_in_redis_bit_order(void **state)
{
    static const struct {
        struct str bitmap;
        uint32_t bits[4];
        unsigned n;
    } cases[] = {
        {STR(""), {0}, 0},
        {STR("\0\0\0"), {0}, 0},
        {STR("\x80"), {0}, 1},
        {STR("\x01"), {7}, 1},
        {STR("\x00\x40"), {9}, 1},
        {STR("\x81\x00\x10\x02"), {0, 7, 19, 30}, 4},
        {STR("\0\0\0\0\0\0\0\x01\x80"), {63, 64}, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct live_sale *s = make(1, 1, 10);
        live_filter_merge(&s->shard[0], cases[i].bitmap);
        assert_int_equal(count(&s->shard[0]), cases[i].n);
        for (unsigned k = 0; k < cases[i].n; k++)
            assert_true(live_filter_has(&s->shard[0], cases[i].bits[k]));
        live_sale_destroy(&s);
    }
}

/* Bits are only ever added, here and by both sides. */
static void test_merge_adds(void **state)
{
    struct live_sale *s = make(1, 1, 10);
    struct live_shard *shard = &s->shard[0];
    live_filter_set(shard, 3);
    live_filter_merge(shard, STR("\x84"));
    live_filter_merge(shard, STR("\x00\x01"));
    live_filter_merge(shard, (struct str){0});
    assert_int_equal(count(shard), 4);
    assert_true(live_filter_has(shard, 0) && live_filter_has(shard, 3));
    assert_true(live_filter_has(shard, 5) && live_filter_has(shard, 15));
    live_sale_destroy(&s);
}

/* A bitmap as long as the filter is taken whole; what hangs over does not wrap round. */
static void test_merge_whole_and_too_long(void **state)
{
    struct live_sale *s = make(1, 1, 10);
    size_t bytes = s->shard[0].filter_bits / 8;
    char *map = calloc(bytes + 2, 1);
    map[bytes - 1] = 1;
    map[bytes] = map[bytes + 1] = (char)0xff;
    live_filter_merge(&s->shard[0], (struct str){map, bytes + 2});
    assert_int_equal(count(&s->shard[0]), 1);
    assert_true(live_filter_has(&s->shard[0], s->shard[0].filter_bits - 1));
    free(map);
    live_sale_destroy(&s);
}

/* --- forgetting --------------------------------------------------------------------------------- */

/* Pages of the filter that take memory. */
static size_t resident(const struct live_shard *s)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = s->filter_bits / 8 / page;
    unsigned char *in = calloc(pages, 1);
    size_t n = 0;
    assert_int_equal(mincore((void *)s->filter, pages * page, in), 0);
    for (size_t i = 0; i < pages; i++)
        n += in[i] & 1;
    free(in);
    return n;
}

static void test_forget_gives_all_back(void **state)
{
    struct live_sale *s = make(1, 1, 1 << 21);
    struct live_shard *shard = &s->shard[0];
    assert_int_equal(resident(shard), 0);
    assert_false(atomic_load(&shard->filter_used));
    for (uint32_t bit = 0; bit < shard->filter_bits; bit += 4096)
        live_filter_set(shard, bit);
    assert_true(atomic_load(&shard->filter_used));
    assert_true(resident(shard) > 0);
    atomic_store(&shard->filter_current, true);
    atomic_store(&shard->wins, 7);
    live_filter_forget(shard);
    assert_int_equal(resident(shard), 0);
    assert_int_equal(count(shard), 0);
    assert_false(atomic_load(&shard->filter_used));
    assert_false(
        atomic_load(&shard->filter_current));        /* nothing may be refused for want of a bit */
    assert_int_equal(atomic_load(&shard->wins), -1); /* and Redis' is to be read again */
    live_sale_destroy(&s);
}

static void test_forgotten_filter_fills_again(void **state)
{
    struct live_sale *s = make(1, 1, 10);
    struct live_shard *shard = &s->shard[0];
    for (unsigned i = 0; i < 3; i++) {
        live_filter_set(shard, 12345);
        live_filter_merge(shard, STR("\x81"));
        assert_int_equal(count(shard), 3);
        assert_true(atomic_load(&shard->filter_used));
        live_filter_forget(shard);
        assert_int_equal(count(shard), 0);
    }
    live_filter_merge(shard, STR("\x01"));
    assert_true(atomic_load(&shard->filter_used)); /* however they come */
    assert_true(live_filter_has(shard, 7));
    live_sale_destroy(&s);
}

/* A reader who is overtaken: the filter was complete when he began, and is complete again, but the
 * bit he missed was away in between. */
static void test_lacks_is_not_said_across_a_forgetting(void **state)
{
    struct live_sale *s = make(1, 1, 10);
    struct live_shard *shard = &s->shard[0];
    live_filter_set(shard, 3);
    unsigned began = atomic_load(&shard->forgets);
    assert_false(live_filter_lacks(shard, 3, began));
    assert_true(live_filter_lacks(shard, 4, began));
    live_filter_forget(shard);
    atomic_store(&shard->filter_current, true);
    assert_false(live_filter_lacks(shard, 3, began));
    assert_false(live_filter_lacks(shard, 4, began));
    assert_true(live_filter_lacks(shard, 4, atomic_load(&shard->forgets)));
    live_sale_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter_sizes),
        cmocka_unit_test(test_new_sale),
        cmocka_unit_test(test_set_has),
        cmocka_unit_test(test_merge_in_redis_bit_order),
        cmocka_unit_test(test_merge_adds),
        cmocka_unit_test(test_merge_whole_and_too_long),
        cmocka_unit_test(test_forget_gives_all_back),
        cmocka_unit_test(test_forgotten_filter_fills_again),
        cmocka_unit_test(test_lacks_is_not_said_across_a_forgetting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
