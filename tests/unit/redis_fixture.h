/* redis_fixture.h - shards of their own on the Redis that SNAPUP_TEST_REDIS names.
 *
 * For tests: include after <cmocka.h>. A test's shard belongs to a sale that nobody else has; its
 * keys are deleted in the end. Answers are compared as text: `OK * WL tea 3`, where `*` stands for
 * the id of a log entry and `-` for an empty word.
 */
#pragma once

#include "base/buf.h"
#include "redis/row.h"
#include "redis/session.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIXTURE_BITS = 1024, RECORD_LEN = 37 };
static const char functions_file[] = "service/redis/functions.lua";

struct gate {
    struct redis_session *redis;
    struct shard_keys keys;
    struct args args;
    redisReply *reply;  /* of the latest call */
    char text[4096];    /* the same in words, cut off at its size */
    char log_id[40];    /* latest one seen in an answer */
    struct buf scratch; /* holds rows until they are sent */
    uint32_t hash;      /* of all rows, instead of their shoppers'; 0: those */
};

enum key_at { LEFT, HELD, LOG_KEY, SEEN };

static inline int fixture_conf(struct redis_conf *conf)
{
    const char *address = getenv("SNAPUP_TEST_REDIS");
    if (!address) {
        print_error("SNAPUP_TEST_REDIS is not set: it must name a private Redis, like "
                    "unix:/path/to.sock. tests/support/with-servers starts one.\n");
        return -1;
    }
    *conf = (struct redis_conf){address, "", 10000};
    return 0;
}

/* --- answers as text -----------------------------------------------------------------------------
 */

static inline bool is_log_id(const char *word, size_t n)
{
    return n > 10 && memchr(word, '-', n) && strspn(word, "0123456789-") == n;
}

static inline void put_words(struct gate *g, const redisReply *r, size_t *at)
{
    size_t room = sizeof(g->text) - *at;
    const char *gap = *at > 0 ? " " : "";
    int n = 0;
    if (r->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < r->elements; i++)
            put_words(g, r->element[i], at);
    } else if (r->type == REDIS_REPLY_INTEGER) {
        n = snprintf(g->text + *at, room, "%s%lld", gap, r->integer);
    } else if (r->type == REDIS_REPLY_NIL) {
        n = snprintf(g->text + *at, room, "%snil", gap);
    } else if (is_log_id(r->str, r->len)) {
        snprintf(g->log_id, sizeof(g->log_id), "%s", r->str);
        n = snprintf(g->text + *at, room, "%s*", gap);
    } else {
        n = snprintf(g->text + *at, room, "%s%s", gap, r->len ? r->str : "-");
    }
    assert_true(n >= 0);
    *at += (size_t)n < room ? (size_t)n : room - 1; /* what is long is read from the reply */
}

/* --- calls ---------------------------------------------------------------------------------------
 */

/* Sends g->args; the answer as text. Valid until the next call. */
static inline const char *run(struct gate *g)
{
    size_t at = 0;
    if (g->reply)
        freeReplyObject(g->reply);
    g->reply = NULL;
    assert_int_equal(redis_session_call(g->redis, &g->args, &g->reply), ST_OK);
    g->text[0] = '\0';
    put_words(g, g->reply, &at);
    buf_reset(&g->scratch);
    return g->text;
}

/* command key word... NULL */
static inline const char *on_key(struct gate *g, const char *command, enum key_at key, ...)
{
    va_list words;
    args_reset(&g->args);
    args_z(&g->args, command);
    args_add(&g->args, g->keys.text[key], g->keys.len[key]);
    va_start(words, key);
    for (const char *w = va_arg(words, const char *); w; w = va_arg(words, const char *))
        args_z(&g->args, w);
    va_end(words);
    return run(g);
}

/* fcall of function with words, NULL-terminated. */
static inline const char *fcall(struct gate *g, const char *function, ...)
{
    va_list words;
    args_reset(&g->args);
    args_fcall(&g->args, function, &g->keys);
    va_start(words, function);
    for (const char *w = va_arg(words, const char *); w; w = va_arg(words, const char *))
        args_z(&g->args, w);
    va_end(words);
    return run(g);
}

/* --- orders --------------------------------------------------------------------------------------
 */

/* A row in short: `id` and `key` are numbers spread over all 16 bytes. */
struct want {
    const char *sku, *shopper;
    unsigned id, key;
    uint32_t qty, limit;
};

static inline void fill16(uint8_t out[16], unsigned n)
{
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)(n >> (8 * (i % 4)));
}

static inline struct row row_of(const struct want *w)
{
    struct row r = {.kind = w->shopper ? ROW_ORDER : ROW_TAKE,
                    .qty = w->qty,
                    .limit = w->limit,
                    .storefront = 1,
                    .item = 1,
                    .amount = 9900,
                    .sku = str_from(w->sku),
                    .shopper = str_from(w->shopper)};
    r.hash = shopper_hash(r.shopper);
    fill16(r.id.b, w->id);
    fill16(r.key, w->key);
    return r;
}

/* Adds n bytes that live until the next run. */
static inline void add_bytes(struct gate *g, const void *p, size_t n)
{
    char *to = buf_reserve(&g->scratch, n);
    assert_non_null(to);
    memcpy(to, p, n);
    g->scratch.len += n;
    args_add(&g->args, to, n);
}

static inline void add_row(struct gate *g, const struct want *w)
{
    uint8_t bytes[ROW_MAX];
    struct row r = row_of(w);
    if (g->hash)
        r.hash = g->hash;
    add_bytes(g, bytes, row_encode(&r, bytes));
}

static inline const char *reserve_as(struct gate *g, const char *epoch, const struct want *rows,
                                     unsigned n)
{
    args_reset(&g->args);
    args_fcall(&g->args, "snapup_reserve", &g->keys);
    args_z(&g->args, epoch);
    args_z(&g->args, "owner-of-16-byte");
    args_z(&g->args, "0");
    for (unsigned i = 0; i < n; i++)
        add_row(g, &rows[i]);
    return run(g);
}

#define RESERVE(g, ...)                                      \
    reserve_as((g), "3", (const struct want[]){__VA_ARGS__}, \
               sizeof((const struct want[]){__VA_ARGS__}) / sizeof(struct want))

/* field NULL: releases nothing. ack NULL: deletes nothing. */
static inline const char *release_as(struct gate *g, const char *epoch, const char *ack,
                                     const char *field, unsigned id, uint8_t gen)
{
    uint8_t name[16];
    fill16(name, id);
    args_reset(&g->args);
    args_fcall(&g->args, "snapup_release", &g->keys);
    args_z(&g->args, epoch);
    args_z(&g->args, ack ? "1" : "0");
    if (ack)
        args_z(&g->args, ack);
    if (field) {
        args_z(&g->args, field);
        args_add(&g->args, name, sizeof(name));
        args_add(&g->args, &gen, 1);
    }
    return run(g);
}

static inline const char *release(struct gate *g, const char *field, unsigned id)
{
    return release_as(g, "3", NULL, field, id, 0);
}

/* A record as `held` keeps it. */
static inline void record_of(uint8_t out[RECORD_LEN], unsigned id, unsigned key, uint8_t gen,
                             uint8_t qty)
{
    fill16(out, id);
    fill16(out + 16, key);
    out[32] = gen;
    out[33] = out[34] = out[35] = 0;
    out[36] = qty;
}

/* --- what a shard holds --------------------------------------------------------------------------
 */

/* Everything in the shard, byte for byte. */
struct image {
    struct buf bytes;
};

static inline void image_take(struct gate *g, struct image *image)
{
    buf_init(&image->bytes, 1 << 20);
    for (int i = 0; i < SHARD_KEYS; i++) {
        on_key(g, "DUMP", (enum key_at)i, NULL);
        if (g->reply->type == REDIS_REPLY_STRING)
            buf_append(&image->bytes, g->reply->str, g->reply->len);
        buf_char(&image->bytes, '\n');
    }
    assert_false(image->bytes.overflow);
}

/* Fails when anything changed since; frees the image. */
static inline void assert_unchanged(struct gate *g, struct image *before)
{
    struct image now;
    image_take(g, &now);
    assert_int_equal(now.bytes.len, before->bytes.len);
    assert_memory_equal(now.bytes.data, before->bytes.data, now.bytes.len);
    buf_fini(&now.bytes);
    buf_fini(&before->bytes);
}

/* --- set up --------------------------------------------------------------------------------------
 */

/* Loads an empty-handed shard under the epoch: 5 of `tea` (10 ever added), 0 of `jam`. */
static inline void gate_open(struct gate *g, const char *epoch)
{
    assert_string_equal(fcall(g, "snapup_load", epoch, "begin", "1024", NULL), "OK");
    assert_string_equal(
        fcall(g, "snapup_load", epoch, "end", "tea", "5", "10", "jam", "0", "0", NULL), "OK");
}

/* An open shard of epoch 3. */
static inline int gate_setup(void **state)
{
    static unsigned sales;
    struct redis_conf conf;
    char sale[64];
    struct gate *g = calloc(1, sizeof(*g));
    if (fixture_conf(&conf) != 0 || redis_session_create(&conf, NULL, &g->redis) != ST_OK ||
        redis_session_load_functions(g->redis, functions_file) != ST_OK) {
        print_error("Redis at %s cannot be used, or %s is not here\n", conf.address,
                    functions_file);
        return -1;
    }
    buf_init(&g->scratch, 1 << 20);
    assert_non_null(buf_reserve(&g->scratch, 1 << 19)); /* never moves afterwards */
    snprintf(sale, sizeof(sale), "test_%d_%u", (int)getpid(), ++sales);
    shard_keys_make(str_from(sale), 0, &g->keys);
    gate_open(g, "3");
    *state = g;
    return 0;
}

static inline int gate_teardown(void **state)
{
    struct gate *g = *state;
    for (int i = 0; i < SHARD_KEYS; i++)
        on_key(g, "DEL", (enum key_at)i, NULL);
    freeReplyObject(g->reply);
    redis_session_destroy(&g->redis);
    buf_fini(&g->scratch);
    free(g);
    return 0;
}
