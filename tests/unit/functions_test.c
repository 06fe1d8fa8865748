/* functions_test.c - service/redis/functions.lua on a real Redis: reserve, release, find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_fixture.h"

/* --- reserve: who gets what ----------------------------------------------------------------------
 */

static void test_codes_in_one_batch(void **state)
{
    struct gate *g = *state;
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 2, 3}, /* W */
                                {"tea", "ann", 2, 2, 1, 3},    /* W: two rows of one shopper */
                                {"tea", "ann", 3, 3, 1, 3},    /* L: counts the batch's own */
                                {"tea", "ann", 4, 1, 1, 9},  /* D: one key twice, the first wins */
                                {"tea", "bob", 5, 5, 3, 9},  /* S: 2 left */
                                {"tea", "bob", 6, 6, 2, 9},  /* W */
                                {"tea", "cat", 7, 7, 1, 9},  /* S */
                                {"jam", "cat", 8, 8, 1, 9},  /* S: none from the start */
                                {"pie", "cat", 9, 9, 1, 9}), /* C: no such item here */
                        "OK * WWLDSWSSC tea 0 jam 0 pie -1");
    assert_string_equal(on_key(g, "HGET", LEFT, "tea", NULL), "0");
    assert_string_equal(on_key(g, "HEXISTS", LEFT, "pie", NULL), "0");
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "3"); /* #epoch, ann, bob */
    assert_string_equal(on_key(g, "HGET", LEFT, "#wins", NULL), "1");
}

static void test_same_key_again(void **state)
{
    struct gate *g = *state;
    struct image before;
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 1, 3}), "OK * W tea 4");
    image_take(g, &before);
    assert_string_equal(RESERVE(g, {"tea", "ann", 2, 1, 1, 3}), "OK - D tea 4");
    assert_string_equal(RESERVE(g, {"tea", "ann", 2, 1, 3, 3}), "OK - D tea 4");  /* before L */
    assert_string_equal(RESERVE(g, {"tea", "ann", 2, 1, 9, 99}), "OK - D tea 4"); /* before S */
    assert_unchanged(g, &before);
    assert_string_equal(RESERVE(g, {"tea", "bob", 3, 1, 1, 3}), "OK * W tea 3"); /* his own key */
    assert_string_equal(RESERVE(g, {"tea", "ann", 4, 2, 1, 3}), "OK * W tea 2");
    assert_string_equal(RESERVE(g, {"tea", "ann", 5, 1, 1, 3}), "OK - D tea 2"); /* any record */
    assert_string_equal(RESERVE(g, {"tea", "ann", 5, 2, 1, 3}), "OK - D tea 2");
}

/* Rule R2: an order that goes through reserve again finds itself, whatever its units and limit are. */
static void test_r2_the_order_itself_again(void **state)
{
    struct gate *g = *state;
    struct image before;
    RESERVE(g, {"tea", "ann", 1, 1, 2, 3});
    image_take(g, &before);
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 2, 3}), "OK - M tea 3");
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 2, 2}), "OK - M tea 3");
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 2, 1, 2}), "OK - l tea 3"); /* another key */
    assert_unchanged(g, &before);
}

static void test_limit(void **state)
{
    struct gate *g = *state;
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 3, 2}), "OK - L tea 5");
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 2, 2}), "OK * W tea 3");
    assert_string_equal(RESERVE(g, {"tea", "ann", 2, 2, 1, 3}), "OK * W tea 2");
    assert_string_equal(RESERVE(g, {"tea", "ann", 3, 3, 1, 3}), "OK - l tea 2");
    assert_string_equal(RESERVE(g, {"tea", "bob", 4, 4, 5, 4}), "OK - L tea 2"); /* before S */
    release(g, "tea|ann", 1);
    assert_string_equal(RESERVE(g, {"tea", "ann", 5, 5, 2, 3}), "OK * W tea 2");
}

static void test_nobody_wins_nothing_changes(void **state)
{
    struct gate *g = *state;
    struct image before;
    image_take(g, &before);
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 6, 9}, {"jam", "bob", 2, 2, 1, 9},
                                {"pie", "bob", 3, 3, 1, 9}, {"tea", "cat", 4, 4, 2, 1}),
                        "OK - SSCL tea 5 jam 0 pie -1");
    assert_unchanged(g, &before);
}

/* Big numbers stay exact: no way around the limit or the stock by overflow. */
static void test_huge_quantities(void **state)
{
    struct gate *g = *state;
    assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, UINT32_MAX, UINT32_MAX},
                                {"tea", "ann", 2, 2, 1, UINT32_MAX},
                                {"tea", "ann", 3, 3, UINT32_MAX, UINT32_MAX}),
                        "OK * SWL tea 4");
}

/* Rule R15: whoever may have held something before has his key looked up before he is refused. */
static void test_r15_seen_before_is_lower_case(void **state)
{
    struct gate *g = *state;
    RESERVE(g, {"tea", "ann", 1, 1, 1, 3});
    release(g, "tea|ann", 1);
    assert_string_equal(RESERVE(g, {"tea", "ann", 2, 2, 6, 9}, {"tea", "bob", 3, 3, 6, 9},
                                {"tea", "ann", 4, 4, 2, 1}, {"tea", "bob", 5, 5, 2, 1},
                                {"jam", "ann", 6, 6, 1, 9}),
                        "OK - sSlLs tea 5 jam 0");
}

static void test_seen_bit(void **state)
{
    struct gate *g = *state;
    g->hash = 0xfffffc07;
    RESERVE(g, {"tea", "ann", 1, 1, 1, 3});
    assert_string_equal(on_key(g, "GETBIT", SEEN, "7", NULL), "1");
    assert_string_equal(on_key(g, "BITCOUNT", SEEN, NULL), "1");
    g->hash = UINT32_MAX;
    RESERVE(g, {"tea", "bob", 2, 2, 1, 3});
    assert_string_equal(on_key(g, "GETBIT", SEEN, "1023", NULL), "1");
    assert_string_equal(on_key(g, "STRLEN", SEEN, NULL), "128"); /* never longer than #bits */
}

/* Rule R5: stock taken back passes through gate and log like an order, but nobody holds it. */
static void test_r5_take_back(void **state)
{
    struct gate *g = *state;
    assert_string_equal(RESERVE(g, {"tea", NULL, 1, 1, 6, 0}), "OK - S tea 5");
    assert_string_equal(RESERVE(g, {"tea", NULL, 1, 1, 5, 0}, {"tea", "ann", 2, 2, 1, 3}),
                        "OK * WS tea 0");
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "1");
    assert_string_equal(on_key(g, "BITCOUNT", SEEN, NULL), "0");
    assert_string_equal(on_key(g, "XLEN", LOG_KEY, NULL), "1");
    assert_string_equal(on_key(g, "HGET", LEFT, "+tea", NULL), "10");
}

/* Rule R16: ids cannot name a control, a running total or another pair of sku and shopper. */
static void test_r16_names_are_outside_the_alphabet(void **state)
{
    struct gate *g = *state;
    uint8_t bytes[ROW_MAX];
    static const char *const not_ids[] = {"#epoch", "#ready", "#bits", "#wins",
                                          "+tea",   "tea|a",  "|",     ""};
    for (size_t i = 0; i < sizeof(not_ids) / sizeof(not_ids[0]); i++) {
        struct row back, r = row_of(&(struct want){not_ids[i], "ann", 1, 1, 1, 1});
        assert_false(id_valid(r.sku));
        struct str encoded = {(const char *)bytes, row_encode(&r, bytes)};
        assert_int_equal(row_decode(encoded, &back), ST_INVALID_REQUEST);
        r.sku = STR("tea");
        r.shopper = str_from(not_ids[i]);
        encoded.n = row_encode(&r, bytes);
        assert_int_equal(row_decode(encoded, &back), ST_INVALID_REQUEST);
    }
    assert_string_equal(RESERVE(g, {"tea", "Bob", 1, 1, 1, 1}, {"tea", "bob", 2, 2, 1, 1},
                                {"epoch", "bob", 3, 3, 1, 1}, {"TEA", "bob", 4, 4, 1, 1}),
                        "OK * WWCC tea 3 epoch -1 TEA -1");
}

/* The largest batch there is, with as many deletions as ride along: nothing is done by halves. */
static void test_largest_batch(void **state)
{
    enum { ROWS = 1024, ACKS = 256 }; /* reserve_batch_max, ACKS_MAX */
    struct gate *g = *state;
    char name[32];
    assert_string_equal(fcall(g, "snapup_add", "3", "tea", "10000", NULL), "OK tea 9995");
    args_reset(&g->args);
    args_fcall(&g->args, "snapup_reserve", &g->keys);
    args_z(&g->args, "3");
    args_z(&g->args, "owner");
    args_int(&g->args, ACKS);
    for (unsigned i = 0; i < ACKS; i++)
        args_z(&g->args, "1-1");
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(name, sizeof(name), "shopper-%u", i);
        add_row(g, &(struct want){"tea", name, i, i, 1, 1});
    }
    assert_false(g->args.overflow);
    run(g);
    assert_int_equal(g->reply->element[2]->len, ROWS);
    assert_int_equal(strspn(g->reply->element[2]->str, "W"), ROWS);
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "1025");
    assert_string_equal(on_key(g, "HGET", LEFT, "tea", NULL), "8971");
    on_key(g, "XRANGE", LOG_KEY, "-", "+", NULL);
    assert_int_equal(g->reply->element[0]->element[1]->elements, 4 + 2 * ROWS);
}

/* --- reserve: what is written down ---------------------------------------------------------------
 */

/* Rules R2, R20: the entry has owner, epoch and exactly the winners' rows, so anybody can write
 * them. */
static void test_r2_log_entry(void **state)
{
    struct gate *g = *state;
    static const struct want won[] = {{"tea", "ann", 1, 1, 1, 3}, {"tea", "bob", 3, 3, 4, 4}};
    assert_string_equal(RESERVE(g, won[0], {"tea", "ann", 2, 2, 3, 3}, won[1]), "OK * WLW tea 0");
    char id[40];
    memcpy(id, g->log_id, sizeof(id));
    on_key(g, "XRANGE", LOG_KEY, "-", "+", NULL);
    assert_int_equal(g->reply->elements, 1);
    assert_string_equal(g->reply->element[0]->element[0]->str, id);
    const redisReply *fields = g->reply->element[0]->element[1];
    assert_int_equal(fields->elements, 8);
    static const char *const words[] = {"o", "owner-of-16-byte", "e", "3", "r"};
    for (int i = 0; i < 5; i++)
        assert_string_equal(fields->element[i]->str, words[i]);
    assert_string_equal(fields->element[6]->str, "r");
    for (int i = 0; i < 2; i++) {
        uint8_t bytes[ROW_MAX];
        struct row r = row_of(&won[i]);
        assert_int_equal(fields->element[5 + 2 * i]->len, row_encode(&r, bytes));
        assert_memory_equal(fields->element[5 + 2 * i]->str, bytes,
                            fields->element[5 + 2 * i]->len);
    }
}

static void test_held_records(void **state)
{
    struct gate *g = *state;
    uint8_t want[2 * RECORD_LEN];
    RESERVE(g, {"tea", "ann", 1, 11, 1, 3});
    RESERVE(g, {"tea", "ann", 2, 22, 2, 3});
    on_key(g, "HGET", HELD, "tea|ann", NULL);
    record_of(want, 1, 11, 0, 1);
    record_of(want + RECORD_LEN, 2, 22, 0, 2);
    assert_int_equal(g->reply->len, sizeof(want));
    assert_memory_equal(g->reply->str, want, sizeof(want));
}

/* Rule R10: entries are deleted by name, exactly those, never by age. */
static void test_r10_acks_delete_exactly_their_entries(void **state)
{
    struct gate *g = *state;
    char first[40], second[40];
    RESERVE(g, {"tea", "ann", 1, 1, 1, 3});
    memcpy(first, g->log_id, sizeof(first));
    RESERVE(g, {"tea", "bob", 2, 2, 1, 3});
    memcpy(second, g->log_id, sizeof(second));
    /* Riding along with a batch of nothing; unknown ones are harmless. */
    assert_string_equal(fcall(g, "snapup_reserve", "3", "me", "2", "1-1", second, NULL), "OK - -");
    on_key(g, "XRANGE", LOG_KEY, "-", "+", NULL);
    assert_int_equal(g->reply->elements, 1);
    assert_string_equal(g->reply->element[0]->element[0]->str, first);
    /* With a release, in one call; a later entry stays. */
    RESERVE(g, {"tea", "cat", 3, 3, 1, 3});
    assert_string_equal(release_as(g, "3", first, "tea|ann", 1, 0), "OK tea 3");
    on_key(g, "XRANGE", LOG_KEY, "-", "+", NULL);
    assert_int_equal(g->reply->elements, 1);
    assert_string_equal(g->reply->element[0]->element[0]->str, g->log_id);
    /* The log may be empty and is there all the same: the shard stays open. */
    assert_string_equal(release_as(g, "3", g->log_id, NULL, 0, 0), "OK");
    assert_string_equal(on_key(g, "XLEN", LOG_KEY, NULL), "0");
    assert_string_equal(RESERVE(g, {"tea", "ann", 4, 4, 1, 3}), "OK * W tea 2");
}

/* Rule R10: a release may come late, and its epoch's log is gone. Its hold is given back by name; the entry
 * that has the same id here is another's. */
static void test_r10_acks_of_an_older_epoch(void **state)
{
    struct gate *g = *state;
    RESERVE(g, {"tea", "ann", 1, 1, 1, 3});
    assert_string_equal(release_as(g, "2", g->log_id, "tea|ann", 1, 0), "OK tea 5");
    assert_string_equal(on_key(g, "XLEN", LOG_KEY, NULL), "1");
}

/* --- epochs --------------------------------------------------------------------------------------
 */

/* Rule R2: a reservation under any other epoch than the shard's own is refused, its deletions, too.
 */
static void test_r2_wrong_epoch_refused(void **state)
{
    struct gate *g = *state;
    struct image before;
    static const char *const epochs[] = {"2", "4", "0", "-3", "33"};
    const struct want row = {"tea", "ann", 1, 1, 1, 3};
    RESERVE(g, {"tea", "bob", 2, 2, 1, 3});
    char id[40];
    memcpy(id, g->log_id, sizeof(id));
    image_take(g, &before);
    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
        assert_string_equal(reserve_as(g, epochs[i], &row, 1), "EPOCH 3");
        assert_string_equal(fcall(g, "snapup_reserve", epochs[i], "me", "1", id, NULL), "EPOCH 3");
    }
    assert_unchanged(g, &before);
}

/* Rule R4: a change made under a newer epoch waits until the shard has been loaded under it. */
static void test_r4_older_shard_refuses(void **state)
{
    struct gate *g = *state;
    struct image before;
    RESERVE(g, {"tea", "ann", 1, 1, 1, 3});
    char id[40];
    memcpy(id, g->log_id, sizeof(id));
    image_take(g, &before);
    assert_string_equal(release_as(g, "4", id, "tea|ann", 1, 0), "EPOCH 3");
    assert_string_equal(fcall(g, "snapup_add", "4", "tea", "11", NULL), "EPOCH 3");
    assert_unchanged(g, &before);
    /* The shard's own, and older ones. */
    assert_string_equal(fcall(g, "snapup_add", "2", "tea", "11", NULL), "OK tea 5");
    assert_string_equal(release_as(g, "2", NULL, "tea|ann", 1, 0), "OK tea 6");
}

/* Rule R17: whichever key or control is missing, the shard is closed and stays as it is. */
static void test_r17_anything_missing_is_closed(void **state)
{
    static const struct {
        const char *command;
        enum key_at key;
        const char *word, *value, *answer;
    } holes[] = {
        {"DEL", LEFT, NULL, NULL, "EPOCH 0"},      {"DEL", HELD, NULL, NULL, "EPOCH 3"},
        {"DEL", LOG_KEY, NULL, NULL, "EPOCH 3"},   {"HDEL", LEFT, "#epoch", NULL, "EPOCH 0"},
        {"HDEL", LEFT, "#ready", NULL, "EPOCH 3"}, {"HDEL", LEFT, "#bits", NULL, "EPOCH 3"},
        {"HDEL", HELD, "#epoch", NULL, "EPOCH 3"}, {"HSET", LEFT, "#epoch", "4", "EPOCH 4"},
        {"HSET", HELD, "#epoch", "2", "EPOCH 3"},  {"HSET", LEFT, "#ready", "0", "EPOCH 3"},
    };
    struct gate *g = *state;
    const struct want row = {"tea", "bob", 2, 2, 1, 3};
    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
        struct image before;
        for (int k = 0; k < SHARD_KEYS; k++)
            on_key(g, "DEL", (enum key_at)k, NULL);
        gate_open(g, "3");
        assert_string_equal(RESERVE(g, {"tea", "ann", 1, 1, 1, 3}), "OK * W tea 4");
        on_key(g, holes[i].command, holes[i].key, holes[i].word, holes[i].value, NULL);
        image_take(g, &before);
        assert_string_equal(reserve_as(g, "3", &row, 1), holes[i].answer);
        assert_string_equal(release(g, "tea|ann", 1), holes[i].answer);
        assert_string_equal(fcall(g, "snapup_add", "3", "tea", "11", NULL), holes[i].answer);
        fcall(g, "snapup_peek", NULL);
        assert_string_equal(g->reply->element[0]->str, "0");
        assert_unchanged(g, &before);
    }
}

/* --- release -------------------------------------------------------------------------------------
 */

static void test_release_twice_is_harmless(void **state)
{
    struct gate *g = *state;
    RESERVE(g, {"tea", "ann", 1, 1, 2, 3});
    assert_string_equal(release(g, "tea|ann", 1), "OK tea 5");
    struct image before;
    image_take(g, &before);
    assert_string_equal(release(g, "tea|ann", 1), "OK");
    assert_unchanged(g, &before);
    assert_string_equal(on_key(g, "HEXISTS", HELD, "tea|ann", NULL), "0");
}

/* Rules R3, R19: only the very hold that is named: shopper, item, order and generation. */
static void test_r3_r19_release_of_others_is_harmless(void **state)
{
    struct gate *g = *state;
    struct image before;
    RESERVE(g, {"tea", "ann", 1, 11, 2, 3});
    image_take(g, &before);
    assert_string_equal(release(g, "tea|ann", 2), "OK");
    assert_string_equal(release(g, "tea|ann", 11), "OK"); /* a key is no name */
    assert_string_equal(release(g, "tea|bob", 1), "OK");
    assert_string_equal(release(g, "jam|ann", 1), "OK");
    assert_string_equal(release_as(g, "3", NULL, "tea|ann", 1, 1), "OK");
    assert_string_equal(release_as(g, "3", NULL, NULL, 0, 0), "OK");
    assert_unchanged(g, &before);
}

static void test_release_of_one_among_several(void **state)
{
    struct gate *g = *state;
    uint8_t want[2 * RECORD_LEN];
    RESERVE(g, {"tea", "ann", 1, 1, 1, 5}, {"tea", "ann", 2, 2, 2, 5}, {"tea", "ann", 3, 3, 1, 5});
    assert_string_equal(release(g, "tea|ann", 2), "OK tea 3");
    on_key(g, "HGET", HELD, "tea|ann", NULL);
    record_of(want, 1, 1, 0, 1);
    record_of(want + RECORD_LEN, 3, 3, 0, 1);
    assert_int_equal(g->reply->len, sizeof(want));
    assert_memory_equal(g->reply->str, want, sizeof(want));
}

static void test_release_of_several(void **state)
{
    struct gate *g = *state;
    static const char generation = 0;
    uint8_t one[16], two[16];
    RESERVE(g, {"tea", "ann", 1, 1, 1, 5}, {"tea", "bob", 2, 2, 2, 5}, {"tea", "cat", 3, 3, 1, 5});
    fill16(one, 1);
    fill16(two, 2);
    args_reset(&g->args);
    args_fcall(&g->args, "snapup_release", &g->keys);
    args_z(&g->args, "3");
    args_z(&g->args, "0");
    for (int again = 0; again < 2; again++) { /* each twice, even within the call */
        args_z(&g->args, "tea|ann");
        args_add(&g->args, one, sizeof(one));
        args_add(&g->args, &generation, 1);
        args_z(&g->args, "tea|bob");
        args_add(&g->args, two, sizeof(two));
        args_add(&g->args, &generation, 1);
    }
    assert_string_equal(run(g), "OK tea 4");
    assert_string_equal(on_key(g, "HLEN", HELD, NULL), "2"); /* #epoch, cat */
    assert_string_equal(on_key(g, "HGET", LEFT, "#back", NULL), "3");
}

/* --- find ----------------------------------------------------------------------------------------
 */

static const char *find(struct gate *g, unsigned id, const char *field, const char *other)
{
    uint8_t name[16];
    fill16(name, id);
    args_reset(&g->args);
    args_fcall(&g->args, "snapup_find", &g->keys);
    args_add(&g->args, name, sizeof(name));
    if (field)
        args_z(&g->args, field);
    if (other)
        args_z(&g->args, other);
    return run(g);
}

static void test_find(void **state)
{
    struct gate *g = *state;
    RESERVE(g, {"tea", "ann", 1, 1, 1, 5}, {"tea", "bob", 2, 2, 2, 5});
    RESERVE(g, {"tea", "ann", 3, 3, 2, 5});
    assert_string_equal(find(g, 3, "jam|ann", "tea|ann"), "tea|ann 2");
    assert_string_equal(find(g, 2, "jam|ann", "tea|ann"), ""); /* not his */
    assert_string_equal(find(g, 9, "tea|ann", NULL), "");
    assert_string_equal(find(g, 1, NULL, NULL), "tea|ann 1");
    assert_string_equal(find(g, 2, NULL, NULL), "tea|bob 2");
    assert_string_equal(find(g, 3, NULL, NULL), "tea|ann 2");
    assert_string_equal(find(g, 9, NULL, NULL), "");
    assert_string_equal(find(g, 1, "tea|cat", NULL), ""); /* asked for holds: the log is not read */
    on_key(g, "XTRIM", LOG_KEY, "MAXLEN", "0", NULL);
    assert_string_equal(find(g, 1, NULL, NULL), "");
    assert_string_equal(find(g, 1, "tea|ann", NULL), "tea|ann 1");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)
    const struct CMUnitTest tests[] = {
        T(test_codes_in_one_batch),
        T(test_same_key_again),
        T(test_r2_the_order_itself_again),
        T(test_limit),
        T(test_nobody_wins_nothing_changes),
        T(test_huge_quantities),
        T(test_r15_seen_before_is_lower_case),
        T(test_seen_bit),
        T(test_r5_take_back),
        T(test_r16_names_are_outside_the_alphabet),
        T(test_largest_batch),
        T(test_r2_log_entry),
        T(test_held_records),
        T(test_r10_acks_delete_exactly_their_entries),
        T(test_r10_acks_of_an_older_epoch),
        T(test_r2_wrong_epoch_refused),
        T(test_r4_older_shard_refuses),
        T(test_r17_anything_missing_is_closed),
        T(test_release_twice_is_harmless),
        T(test_r3_r19_release_of_others_is_harmless),
        T(test_release_of_one_among_several),
        T(test_release_of_several),
        T(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
