/* redis_test.c - reading INFO, addresses and error replies; the names of a shard's keys. */
#include "redis/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define RUN  "0123456789abcdef0123456789abcdef01234567"
#define REPL "fedcba9876543210fedcba9876543210fedcba98"

static const char info[] = "# Server\r\nredis_version:7.0.15\r\nrun_id:" RUN "\r\ntcp_port:0\r\n"
                           "\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
                           "\r\n# Replication\r\nrole:master\r\nmaster_replid:" REPL "\r\n"
                           "master_replid2:0000000000000000000000000000000000000000\r\n";

/* --- INFO ----------------------------------------------------------------------------------------
 */

/* Parses a copy without a byte to spare, so that reading past its end shows. */
static enum status parse(const char *text, struct redis_identity *id)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    enum status st = redis_identity_parse((struct str){copy, n}, id);
    free(copy);
    return st;
}

static void test_info(void **state)
{
    struct redis_identity id;
    assert_int_equal(parse(info, &id), ST_OK);
    assert_string_equal(id.run_id, RUN);
    assert_string_equal(id.repl_id, REPL);
    assert_true(id.master);
    assert_true(id.noeviction);
}

static void test_info_of_others(void **state)
{
    static const struct {
        const char *text;
        enum status st;
        bool master, noeviction;
    } cases[] = {
        {"run_id:" RUN "\nmaster_replid:" RUN "\nrole:master\nmaxmemory_policy:noeviction", ST_OK,
         true, true},
        {"run_id:" RUN "\r\nmaster_replid:" RUN
         "\r\nrole:slave\r\nmaxmemory_policy:allkeys-lru\r\n",
         ST_OK, false, false},
        {"run_id:" RUN "\nmaster_replid:" RUN "\nrole:masters\nmaxmemory_policy:noevictio\n", ST_OK,
         false, false},
        /* names only at the start of a line, and whole */
        {"xrun_id:a\nmaster_replid:b\nrole:master\nmaxmemory_policy:noeviction", ST_INVALID_REQUEST,
         false, false},
        {"a run_id:a\nmaster_replid:b\nrole:master\nmaxmemory_policy:x", ST_INVALID_REQUEST, false,
         false},
        {"run_id:a\nmaster_replid2:b\nrole:master\nmaxmemory_policy:x", ST_INVALID_REQUEST, false,
         false},
        {"run_id:a\nmaster_replid:b\nmaxmemory_policy:noeviction", ST_INVALID_REQUEST, false,
         false},
        {"run_id:a\nmaster_replid:b\nrole:master\n", ST_INVALID_REQUEST, false, false},
        {"run_id:" RUN "0\nmaster_replid:b\nrole:master\nmaxmemory_policy:x", ST_INVALID_REQUEST,
         false, false},
        {"run_id:a\nmaster_replid:" RUN "\nrole:master\nmaxmemory_policy:x", ST_INVALID_REQUEST,
         false, false},
        {"run_id\nmaster_replid:b\nrole:master\nmaxmemory_policy:x", ST_INVALID_REQUEST, false,
         false},
        {"", ST_INVALID_REQUEST, false, false},
        {"\n\n\r\n", ST_INVALID_REQUEST, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct redis_identity id = {.run_id = "before"};
        enum status st = parse(cases[i].text, &id);
        if (st != cases[i].st)
            fail_msg("case %zu: status %d", i, st);
        if (st == ST_OK) {
            assert_int_equal(id.master, cases[i].master);
            assert_int_equal(id.noeviction, cases[i].noeviction);
        } else {
            assert_string_equal(id.run_id, "before"); /* written only on success */
        }
    }
}

/* INFO cut before the last thing it is asked for is refused. */
static void test_info_cut(void **state)
{
    size_t whole = (size_t)(strstr(info, REPL) - info); /* an id cut inside is another id */
    for (size_t n = 0; n < whole; n++) {
        struct redis_identity id;
        char text[sizeof(info)];
        memcpy(text, info, n);
        text[n] = '\0';
        assert_int_equal(parse(text, &id), ST_INVALID_REQUEST);
    }
}

/* Rule R1: another run or another history is another Redis. */
static void test_r1_identity_equal(void **state)
{
    struct redis_identity a, b;
    assert_int_equal(parse(info, &a), ST_OK);
    b = a;
    assert_true(redis_identity_equal(&a, &b));
    b.run_id[REDIS_ID_LEN - 1] = 'x';
    assert_false(redis_identity_equal(&a, &b));
    b = a;
    b.repl_id[0] = 'x';
    assert_false(redis_identity_equal(&a, &b));
    b = a;
    b.master = b.noeviction = false; /* says what it does now, not who it is */
    assert_true(redis_identity_equal(&a, &b));
}

/* --- addresses -----------------------------------------------------------------------------------
 */

static void test_addresses(void **state)
{
    static const struct {
        const char *address, *path, *host;
        int port; /* 0: refused */
    } cases[] = {
        {"unix:/run/redis.sock", "/run/redis.sock", NULL, 0},
        {"unix:relative.sock", "relative.sock", NULL, 0},
        {"unix:/odd:6379", "/odd:6379", NULL, 0},
        {"localhost:6379", NULL, "localhost", 6379},
        {"10.0.0.1:1", NULL, "10.0.0.1", 1},
        {"h:65535", NULL, "h", 65535},
        {"::1:6379", NULL, "::1", 6379},
        {"1234567:80", NULL, "1234567", 80},
        {"12345678:80", NULL, NULL, 0}, /* host has 8 bytes below: 7 and a NUL */
        {"h:65536", NULL, NULL, 0},
        {"h:0", NULL, NULL, 0},
        {"h:-1", NULL, NULL, 0},
        {"h:", NULL, NULL, 0},
        {"h:80x", NULL, NULL, 0},
        {"h:99999999999999999999", NULL, NULL, 0},
        {":6379", NULL, NULL, 0},
        {"localhost", NULL, NULL, 0},
        {"", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path = "before";
        char host[16] = "before";
        int port = 4711;
        size_t size = cases[i].host && strlen(cases[i].host) > 7 ? sizeof(host) : 8;
        enum status st = redis_address(cases[i].address, &path, host, size, &port);
        bool good = cases[i].path || cases[i].host;
        if (st != (good ? ST_OK : ST_INVALID_REQUEST))
            fail_msg("%s: status %d", cases[i].address, st);
        if (cases[i].path) {
            assert_string_equal(path, cases[i].path);
        } else if (cases[i].host) {
            assert_null(path);
            assert_string_equal(host, cases[i].host);
            assert_int_equal(port, cases[i].port);
        } else {
            assert_string_equal(path, "before");
            assert_string_equal(host, "before");
            assert_int_equal(port, 4711);
        }
    }
}

/* --- keys ----------------------------------------------------------------------------------------
 */

static void test_shard_keys(void **state)
{
    static const char *const want[] = {"su:{sale_demo.3}:left", "su:{sale_demo.3}:held",
                                       "su:{sale_demo.3}:log", "su:{sale_demo.3}:seen"};
    struct shard_keys keys;
    shard_keys_make((struct str){"sale_demo and more", 9}, 3, &keys);
    for (int i = 0; i < SHARD_KEYS; i++) {
        assert_string_equal(keys.text[i], want[i]);
        assert_int_equal(keys.len[i], strlen(want[i]));
    }
}

/* The longest sale id and shard number still fit, whole. */
static void test_longest_shard_keys(void **state)
{
    char sale[65], want[128];
    struct shard_keys keys;
    memset(sale, 's', 64);
    sale[64] = '\0';
    shard_keys_make(str_from(sale), UINT32_MAX, &keys);
    snprintf(want, sizeof(want), "su:{%s.4294967295}:left", sale);
    assert_string_equal(keys.text[0], want);
    for (int i = 0; i < SHARD_KEYS; i++)
        assert_true(keys.len[i] < SHARD_KEY_MAX && keys.len[i] == strlen(keys.text[i]));
}

/* Shards of one sale, and sales whose names run into numbers, never share a key. */
static void test_shard_keys_differ(void **state)
{
    struct shard_keys a, b;
    shard_keys_make(STR("s.1"), 2, &a);
    shard_keys_make(STR("s"), 12, &b);
    assert_string_not_equal(a.text[0], b.text[0]);
    shard_keys_make(STR("s"), 1, &a);
    assert_string_not_equal(a.text[0], b.text[0]);
}

/* --- replies -------------------------------------------------------------------------------------
 */

static void test_reply_status(void **state)
{
    static const struct {
        int type;
        const char *text;
        enum status st;
    } cases[] = {
        {REDIS_REPLY_ERROR, "READONLY You can't write against a read only replica.",
         ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "LOADING Redis is loading the dataset in memory", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "MISCONF Redis is configured to save", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "OOM command not allowed", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "BUSY Redis is busy running a script", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "NOREPLICAS Not enough good replicas to write.", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "MOVED 3999 127.0.0.1:6381", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "ASK 3999 127.0.0.1:6381", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "TRYAGAIN Multiple keys request", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "CLUSTERDOWN Hash slot not served", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "MASTERDOWN Link with MASTER is down", ST_UNAVAILABLE},
        {REDIS_REPLY_ERROR, "ERR Function not found", ST_FENCED},
        {REDIS_REPLY_ERROR, "ERR Functions are fine", ST_INTERNAL},
        {REDIS_REPLY_ERROR, "WRONGTYPE Operation against a key", ST_INTERNAL},
        {REDIS_REPLY_ERROR, "NOAUTH Authentication required.", ST_INTERNAL},
        {REDIS_REPLY_ERROR, "ERR not READONLY", ST_INTERNAL},
        {REDIS_REPLY_ERROR, "", ST_INTERNAL},
        {REDIS_REPLY_STRING, "READONLY", ST_OK},
        {REDIS_REPLY_STATUS, "OK", ST_OK},
        {REDIS_REPLY_NIL, NULL, ST_OK},
        {REDIS_REPLY_INTEGER, NULL, ST_OK},
        {REDIS_REPLY_ARRAY, NULL, ST_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64] = "";
        snprintf(text, sizeof(text), "%s", cases[i].text ? cases[i].text : "");
        const redisReply r = {
            .type = cases[i].type, .str = cases[i].text ? text : NULL, .len = strlen(text)};
        if (redis_reply_status(&r) != cases[i].st)
            fail_msg("%s: status %d", text, redis_reply_status(&r));
        bool moved = strncmp(text, "READONLY ", 9) == 0 || strncmp(text, "MOVED ", 6) == 0;
        if (redis_reply_moved(&r) != moved)
            fail_msg("%s: moved %d", text, !moved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_info_of_others),
        cmocka_unit_test(test_info_cut),
        cmocka_unit_test(test_r1_identity_equal),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_shard_keys),
        cmocka_unit_test(test_longest_shard_keys),
        cmocka_unit_test(test_shard_keys_differ),
        cmocka_unit_test(test_reply_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
