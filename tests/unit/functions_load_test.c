/* functions_load_test.c - service/redis/functions.lua on a real Redis: load, add, peek. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_fixture.h"

#define LOAD(g, ...) fcall((g), "snapup_load", __VA_ARGS__, NULL)

/* A hold to load; field is borrowed. */
struct loaded {
    const char *field;
    unsigned id, key;
    uint8_t gen, qty;
};

static const char *load_holds(struct gate *g, const char *epoch, const struct loaded *holds,
                              unsigned n)
{
    args_reset(&g->args);
    args_fcall(&g->args, "snapup_load", &g->keys);
    args_z(&g->args, epoch);
    args_z(&g->args, "holds");
    for (unsigned i = 0; i < n; i++) {
        uint8_t record[RECORD_LEN];
        record_of(record, holds[i].id, holds[i].key, holds[i].gen, holds[i].qty);
        args_z(&g->args, holds[i].field);
        add_bytes(g, record, RECORD_LEN);
    }
    return run(g);
}

static const struct loaded two[] = {{"tea|ann", 1, 11, 0, 2}, {"tea|bob", 2, 22, 3, 1}};

static const char *peeked_epoch(struct gate *g)
{
    fcall(g, "snapup_peek", NULL);
    return g->reply->element[0]->str;
}

/* --- load: the steps -----------------------------------------------------------------------------
 */

static void test_steps(void **state)
{
    struct gate *g = *state;
    const struct want row = {"tea", "cat", 5, 5, 1, 9};
    RESERVE(g, {"tea", "dan", 3, 3, 1, 9});
    assert_string_equal(LOAD(g, "4", "begin", "1024"), "OK");
    /* Closed until the end, for the old epoch and for the new one. */
    assert_string_equal(reserve_as(g, "3", &row, 1), "EPOCH 4");
    assert_string_equal(reserve_as(g, "4", &row, 1), "EPOCH 4");
    assert_string_equal(peeked_epoch(g), "0");
    assert_string_equal(load_holds(g, "4", two, 2), "OK");
    assert_string_equal(reserve_as(g, "4", &row, 1), "EPOCH 4");
    assert_string_equal(LOAD(g, "4", "end", "tea", "6", "9", "jam", "0", "0"), "OK");
    assert_string_equal(peeked_epoch(g), "4");
    assert_string_equal(reserve_as(g, "3", &row, 1), "EPOCH 4");
    assert_string_equal(reserve_as(g, "4", &row, 1), "OK * W tea 5");
}

/* Rule R7: what the shard knew before is gone: stock, holds, log and filter. */
static void test_r7_load_starts_from_nothing(void **state)
{
    struct gate *g = *state;
    RESERVE(g, {"tea", "dan", 3, 3, 1, 9});
    LOAD(g, "4", "begin", "2048");
    LOAD(g, "4", "end", "nut", "1", "1");
    assert_string_equal(on_key(g, "XLEN", LOG_KEY, NULL), "0");
    assert_string_equal(on_key(g, "HGETALL", HELD, NULL), "#epoch 4");
    assert_string_equal(on_key(g, "BITCOUNT", SEEN, NULL), "0"); /* there, and empty */
    assert_string_equal(on_key(g, "STRLEN", SEEN, NULL), "256");
    assert_string_equal(on_key(g, "HEXISTS", LEFT, "tea", NULL), "0");
    assert_string_equal(on_key(g, "HEXISTS", LEFT, "+tea", NULL), "0");
    assert_string_equal(on_key(g, "HMGET", LEFT, "nut", "+nut", "#epoch", "#bits", "#wins", NULL),
                        "1 1 4 2048 0");
}

/* Rule R6: a loader whose epoch is not the highest is refused at any step. */
static void test_r6_lower_epoch_refused(void **state)
{
    struct gate *g = *state;
    struct image before;
    for (int open = 1; open >= 0; open--) {
        image_take(g, &before);
        assert_string_equal(LOAD(g, "2", "begin", "1024"), open ? "EPOCH 3" : "EPOCH 9");
        assert_string_equal(load_holds(g, "2", two, 2), open ? "EPOCH 3" : "EPOCH 9");
        assert_string_equal(LOAD(g, "2", "end", "tea", "99", "99"), open ? "EPOCH 3" : "EPOCH 9");
        assert_unchanged(g, &before);
        LOAD(g, "9", "begin", "1024"); /* and the same while a load is under way */
    }
}

/* Rule R6: who loads an epoch that is loaded already does nothing, and learns it at any step. */
static void test_r6_equal_and_finished_is_done(void **state)
{
    struct gate *g = *state;
    struct image before;
    RESERVE(g, {"tea", "dan", 3, 3, 1, 9});
    image_take(g, &before);
    assert_string_equal(LOAD(g, "3", "begin", "1024"), "DONE");
    assert_string_equal(load_holds(g, "3", two, 2), "DONE");
    assert_string_equal(LOAD(g, "3", "end", "tea", "99", "99"), "DONE");
    assert_unchanged(g, &before);
}

/* A later step needs its own beginning, whatever the shard holds now. */
static void test_step_without_beginning(void **state)
{
    struct gate *g = *state;
    struct image before;
    image_take(g, &before);
    assert_string_equal(load_holds(g, "4", two, 2), "EPOCH 3");
    assert_string_equal(LOAD(g, "4", "end", "tea", "99", "99"), "EPOCH 3");
    assert_unchanged(g, &before);
    on_key(g, "DEL", LEFT, NULL); /* Redis was emptied between two steps */
    image_take(g, &before);
    assert_string_equal(load_holds(g, "3", two, 2), "EPOCH 0");
    assert_string_equal(LOAD(g, "3", "end", "tea", "99", "99"), "EPOCH 0");
    assert_unchanged(g, &before);
}

static void test_starting_over(void **state)
{
    struct gate *g = *state;
    LOAD(g, "4", "begin", "1024");
    load_holds(g, "4", two, 2);
    assert_string_equal(LOAD(g, "4", "begin", "1024"), "OK");
    assert_string_equal(load_holds(g, "4", two, 2), "OK");
    on_key(g, "HSTRLEN", HELD, "tea|ann", NULL);
    assert_int_equal(g->reply->integer, RECORD_LEN); /* once */
    assert_string_equal(LOAD(g, "4", "end", "tea", "6", "9"), "OK");
}

/* Rule R6: of two loaders the one with the higher epoch goes on, wherever the other was. */
static void test_r6_overtaken(void **state)
{
    struct gate *g = *state;
    LOAD(g, "4", "begin", "1024");
    assert_string_equal(LOAD(g, "5", "begin", "1024"), "OK");
    assert_string_equal(load_holds(g, "4", two, 2), "EPOCH 5");
    assert_string_equal(LOAD(g, "5", "end", "tea", "1", "1"), "OK");
    assert_string_equal(LOAD(g, "4", "end", "tea", "99", "99"), "EPOCH 5");
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "1");
    assert_string_equal(on_key(g, "HGET", LEFT, "tea", NULL), "1");
}

/* Epochs are compared as numbers. */
static void test_epochs_are_numbers(void **state)
{
    struct gate *g = *state;
    const struct want row = {"tea", "ann", 1, 1, 1, 9};
    assert_string_equal(LOAD(g, "10", "begin", "1024"), "OK");
    assert_string_equal(LOAD(g, "10", "end", "tea", "1", "1"), "OK");
    assert_string_equal(LOAD(g, "9", "begin", "1024"), "EPOCH 10");
    assert_string_equal(LOAD(g, "9007199254740991", "begin", "1024"), "OK");
    assert_string_equal(LOAD(g, "9007199254740991", "end", "tea", "2", "2"), "OK");
    assert_string_equal(reserve_as(g, "9007199254740990", &row, 1), "EPOCH 9007199254740991");
    assert_string_equal(reserve_as(g, "9007199254740991", &row, 1), "OK * W tea 1");
}

/* --- load: the holds -----------------------------------------------------------------------------
 */

static void test_loaded_holds_count(void **state)
{
    struct gate *g = *state;
    LOAD(g, "4", "begin", "1024");
    load_holds(g, "4", two, 2);
    LOAD(g, "4", "end", "tea", "6", "9");
    const struct want again = {"tea", "ann", 9, 11, 1, 9}, more = {"tea", "ann", 8, 8, 1, 2};
    g->hash = 7;
    assert_string_equal(reserve_as(g, "4", &again, 1), "OK - D tea 6");
    assert_string_equal(reserve_as(g, "4", &more, 1), "OK - L tea 6");
    /* Rule R19: a hold's name is order and generation. */
    assert_string_equal(release_as(g, "4", NULL, "tea|bob", 2, 0), "OK");
    assert_string_equal(release_as(g, "4", NULL, "tea|bob", 2, 3), "OK tea 7");
    assert_string_equal(release_as(g, "4", NULL, "tea|ann", 1, 0), "OK tea 9");
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "1");
}

static void test_several_holds_of_one_shopper(void **state)
{
    struct gate *g = *state;
    static const struct loaded later = {"tea|ann", 3, 33, 1, 1};
    uint8_t want[2 * RECORD_LEN];
    LOAD(g, "4", "begin", "1024");
    load_holds(g, "4", two, 2);
    assert_string_equal(load_holds(g, "4", &later, 1), "OK"); /* in another step */
    on_key(g, "HGET", HELD, "tea|ann", NULL);
    record_of(want, 1, 11, 0, 2);
    record_of(want + RECORD_LEN, 3, 33, 1, 1);
    assert_int_equal(g->reply->len, sizeof(want));
    assert_memory_equal(g->reply->str, want, sizeof(want));
}

/* Rule R15: who held something once stays known across epochs, also with nothing left to hold. */
static void test_r15_seen_is_loaded(void **state)
{
    struct gate *g = *state;
    LOAD(g, "4", "begin", "1024");
    assert_string_equal(LOAD(g, "4", "seen", "1", "@"), "OK");   /* 0x40: bit 9 */
    assert_string_equal(LOAD(g, "4", "seen", "127", "A"), "OK"); /* 0x41: bits 1017 and 1023 */
    assert_string_equal(LOAD(g, "3", "seen", "0", "A"), "EPOCH 4");
    LOAD(g, "4", "end", "tea", "0", "9");
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "1");
    assert_string_equal(on_key(g, "BITCOUNT", SEEN, NULL), "3");
    assert_string_equal(on_key(g, "STRLEN", SEEN, NULL), "128");
    assert_string_equal(on_key(g, "GETBIT", SEEN, "1023", NULL), "1");
    assert_string_equal(on_key(g, "GETBIT", SEEN, "9", NULL), "1");
    const struct want row = {"tea", "fay", 6, 6, 1, 9};
    g->hash = 9;
    assert_string_equal(reserve_as(g, "4", &row, 1), "OK - s tea 0");
    g->hash = 10;
    assert_string_equal(reserve_as(g, "4", &row, 1), "OK - S tea 0");
}

/* As many holds as one step carries; the rebuild sends 1000. */
static void test_largest_step(void **state)
{
    enum { HOLDS = 1000 };
    struct gate *g = *state;
    struct loaded *holds = calloc(HOLDS, sizeof(*holds));
    char(*field)[32] = calloc(HOLDS, sizeof(*field));
    for (unsigned i = 0; i < HOLDS; i++) {
        snprintf(field[i], sizeof(field[i]), "tea|shopper-%u", i);
        holds[i] = (struct loaded){field[i], i, i, 0, 1};
    }
    LOAD(g, "4", "begin", "1024");
    assert_string_equal(load_holds(g, "4", holds, HOLDS), "OK");
    assert_false(g->args.overflow);
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "1001");
    free(field);
    free(holds);
}

/* --- add -----------------------------------------------------------------------------------------
 */

/* Rule R5: what is told is the running total, so hearing it twice or late changes nothing. */
static void test_r5_add_is_a_running_total(void **state)
{
    struct gate *g = *state;
    struct image before;
    assert_string_equal(fcall(g, "snapup_add", "3", "tea", "12", NULL), "OK tea 7");
    image_take(g, &before);
    fcall(g, "snapup_add", "3", "tea", "12", NULL);
    assert_string_equal(g->reply->element[0]->str, "OK");
    fcall(g, "snapup_add", "3", "tea", "11", NULL);
    assert_string_equal(g->reply->element[0]->str, "OK");
    assert_unchanged(g, &before);
    assert_string_equal(fcall(g, "snapup_add", "3", "tea", "13", "jam", "4", NULL),
                        "OK tea 8 jam 4");
    assert_string_equal(on_key(g, "HMGET", LEFT, "tea", "+tea", "jam", "+jam", NULL), "8 13 4 4");
}

static void test_add_reaches_buyers(void **state)
{
    struct gate *g = *state;
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 5, 9}), "OK * W tea 0");
    assert_string_equal(RESERVE(g, {"tea", "bob", 2, 2, 1, 9}), "OK - S tea 0");
    fcall(g, "snapup_add", "3", "tea", "11", NULL);
    assert_string_equal(RESERVE(g, {"tea", "bob", 2, 2, 1, 9}), "OK * W tea 0");
}

/* An item that was not loaded stays closed (rule R17); it is the next load that brings it. */
static void test_r17_add_to_an_unknown_item(void **state)
{
    struct gate *g = *state;
    struct image before;
    image_take(g, &before);
    fcall(g, "snapup_add", "3", "pie", "5", NULL);
    assert_string_equal(g->reply->element[0]->str, "OK");
    assert_unchanged(g, &before);
}

/* --- peek ----------------------------------------------------------------------------------------
 */

static void test_peek(void **state)
{
    struct gate *g = *state;
    static const char *const pairs[] = {"#epoch", "3", "#ready", "1", "#bits", "1024",
                                        "#wins",  "1", "tea",    "4", "+tea",  "10",
                                        "jam",    "0", "+jam",   "0"};
    RESERVE(g, {"tea", "ann", 1, 1, 1, 9});
    fcall(g, "snapup_peek", NULL);
    assert_int_equal(g->reply->elements, 2 + sizeof(pairs) / sizeof(pairs[0]));
    assert_string_equal(g->reply->element[0]->str, "3");
    assert_int_equal(g->reply->element[1]->integer, 1); /* length of the log */
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i += 2) {
        size_t at = 2;
        while (at < g->reply->elements && strcmp(g->reply->element[at]->str, pairs[i]) != 0)
            at += 2;
        assert_true(at < g->reply->elements);
        assert_string_equal(g->reply->element[at + 1]->str, pairs[i + 1]);
    }
}

static void test_peek_at_nothing(void **state)
{
    struct gate *g = *state;
    for (int k = 0; k < SHARD_KEYS; k++)
        on_key(g, "DEL", (enum key_at)k, NULL);
    assert_string_equal(fcall(g, "snapup_peek", NULL), "0 0");
}

/* Looking changes nothing, and Redis knows it: a replica may answer. */
static void test_readers_do_not_write(void **state)
{
    static const char *const readers[] = {"snapup_peek", "snapup_find"};
    struct gate *g = *state;
    struct image before;
    RESERVE(g, {"tea", "ann", 1, 1, 1, 9});
    image_take(g, &before);
    for (size_t i = 0; i < 2; i++) {
        args_reset(&g->args);
        args_fcall(&g->args, readers[i], &g->keys);
        args_z(&g->args, "0123456789abcdef");
        g->args.word[0] = "FCALL_RO";
        g->args.len[0] = strlen("FCALL_RO");
        run(g);
    }
    assert_unchanged(g, &before);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)
    const struct CMUnitTest tests[] = {
        T(test_steps),
        T(test_r7_load_starts_from_nothing),
        T(test_r6_lower_epoch_refused),
        T(test_r6_equal_and_finished_is_done),
        T(test_step_without_beginning),
        T(test_starting_over),
        T(test_r6_overtaken),
        T(test_epochs_are_numbers),
        T(test_loaded_holds_count),
        T(test_several_holds_of_one_shopper),
        T(test_r15_seen_is_loaded),
        T(test_largest_step),
        T(test_r5_add_is_a_running_total),
        T(test_add_reaches_buyers),
        T(test_r17_add_to_an_unknown_item),
        T(test_peek),
        T(test_peek_at_nothing),
        T(test_readers_do_not_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
