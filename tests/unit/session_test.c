/* session_test.c - the blocking Redis connection: what is said about calls, lost servers,
 * functions. */
#include "redis/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_server.h"

#include <hiredis/hiredis.h>
#include <unistd.h>

static struct args args;

static struct redis_session *open_at(const char *address, const char *password, int64_t timeout_ms)
{
    const struct redis_conf conf = {address, password, timeout_ms};
    struct redis_session *s = NULL;
    assert_int_equal(redis_session_create(&conf, NULL, &s), ST_OK);
    return s;
}

/* Runs the words of text. *reply is set on ST_OK, the caller's. */
static enum status ask(struct redis_session *s, const char *text, redisReply **reply)
{
    char words[256], *rest = words;
    snprintf(words, sizeof(words), "%s", text);
    args_reset(&args);
    for (char *w = strsep(&rest, " "); w; w = strsep(&rest, " "))
        args_z(&args, w);
    *reply = NULL;
    return redis_session_call(s, &args, reply);
}

static enum status tell(struct redis_session *s, const char *text)
{
    redisReply *r;
    enum status st = ask(s, text, &r);
    assert_int_equal(st == ST_OK, r != NULL);
    if (r)
        freeReplyObject(r);
    return st;
}

static int64_t number(struct redis_session *s, const char *text)
{
    redisReply *r;
    assert_int_equal(ask(s, text, &r), ST_OK);
    assert_int_equal(r->type, REDIS_REPLY_INTEGER);
    int64_t n = r->integer;
    freeReplyObject(r);
    return n;
}

/* --- on the tests' Redis -------------------------------------------------------------------------
 */

struct pair {
    struct redis_session *s, *beside;
};

static int setup(void **state)
{
    static struct pair pair;
    const char *address = getenv("SNAPUP_TEST_REDIS");
    if (!address) {
        print_error("SNAPUP_TEST_REDIS is not set: tests/support/with-servers starts one\n");
        return -1;
    }
    pair.s = open_at(address, "", 5000);
    pair.beside = open_at(address, "", 5000);
    *state = &pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    redis_session_destroy(&p->s);
    redis_session_destroy(&p->beside);
    assert_null(p->s);
    redis_session_destroy(&p->s); /* harmless */
    return 0;
}

static void test_call(void **state)
{
    struct pair *p = *state;
    redisReply *r = NULL;
    args_reset(&args);
    args_z(&args, "ECHO");
    args_add(&args, "a\0b\r\nc", 6);
    assert_int_equal(redis_session_call(p->s, &args, &r), ST_OK);
    assert_int_equal(r->len, 6);
    assert_memory_equal(r->str, "a\0b\r\nc", 6);
    freeReplyObject(r);
}

static void test_error_replies(void **state)
{
    struct pair *p = *state;
    assert_int_equal(tell(p->s, "NO_SUCH_COMMAND"), ST_INTERNAL);
    assert_int_equal(tell(p->s, "EVAL return(redis.error_reply('BUSY\\32now')) 0"), ST_UNAVAILABLE);
    int64_t id = number(p->s, "CLIENT ID");
    assert_int_equal(tell(p->s, "NO_SUCH_COMMAND"), ST_INTERNAL);
    assert_int_equal(number(p->s, "CLIENT ID"), id); /* errors cost no connection */
}

static void test_too_many_words(void **state)
{
    struct pair *p = *state;
    redisReply *r = NULL;
    args_reset(&args);
    args_z(&args, "DEL");
    for (int i = 0; i < ARGS_MAX; i++)
        args_z(&args, "none");
    assert_true(args.overflow);
    assert_int_equal(redis_session_call(p->s, &args, &r), ST_INTERNAL);
    assert_null(r);
}

static void test_identity(void **state)
{
    struct pair *p = *state;
    struct redis_identity a, b;
    assert_int_equal(redis_session_identity(p->s, &a), ST_OK);
    assert_int_equal(redis_session_identity(p->beside, &b), ST_OK);
    assert_true(redis_identity_equal(&a, &b));
    assert_int_equal(strlen(a.run_id), REDIS_ID_LEN);
    assert_int_equal(strlen(a.repl_id), REDIS_ID_LEN);
    assert_true(a.master);
    assert_true(a.noeviction);
}

/* Redis closes idle connections; that is seen before a command is sent, so no outcome is in doubt.
 */
static void test_closed_while_idle(void **state)
{
    struct pair *p = *state;
    char text[64];
    int64_t id = number(p->s, "CLIENT ID");
    snprintf(text, sizeof(text), "CLIENT KILL ID %lld", (long long)id);
    assert_int_equal(number(p->beside, text), 1);
    assert_int_not_equal(number(p->s, "CLIENT ID"), id);
    struct redis_identity who;
    id = number(p->s, "CLIENT ID");
    snprintf(text, sizeof(text), "CLIENT KILL ID %lld", (long long)id);
    assert_int_equal(number(p->beside, text), 1);
    assert_int_equal(redis_session_identity(p->s, &who), ST_OK);
}

static void test_deadline(void **state)
{
    struct redis_session *s = open_at(getenv("SNAPUP_TEST_REDIS"), "", 200);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(tell(s, "BLPOP snapup-nothing 0"), ST_UNKNOWN);
    clock_gettime(CLOCK_MONOTONIC, &to);
    int64_t took_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
    assert_true(took_ms >= 199 && took_ms < 5000);
    assert_int_equal(tell(s, "PING"), ST_OK); /* the late answer is nobody else's */
    redis_session_destroy(&s);
}

/* --- functions -----------------------------------------------------------------------------------
 */

static const char library[] = "service/redis/functions.lua";

static int64_t loads(struct redis_session *s)
{
    redisReply *r;
    assert_int_equal(ask(s, "INFO commandstats", &r), ST_OK);
    const char *line = strstr(r->str, "cmdstat_function|load:calls=");
    int64_t n = line ? strtoll(strchr(line, '=') + 1, NULL, 10) : 0;
    freeReplyObject(r);
    return n;
}

static void test_functions_are_loaded_once(void **state)
{
    struct pair *p = *state;
    assert_int_equal(redis_session_load_functions(p->s, library), ST_OK);
    int64_t before = loads(p->s);
    assert_int_equal(redis_session_load_functions(p->s, library), ST_OK);
    assert_int_equal(redis_session_load_functions(p->beside, library), ST_OK);
    assert_int_equal(loads(p->s), before);
    tell(p->s, "FUNCTION DELETE snapup");
    assert_int_equal(redis_session_load_functions(p->s, library), ST_OK);
    assert_int_equal(loads(p->s), before + 1);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Another build's functions are replaced; code that Redis cannot take replaces nothing. */
static void test_other_functions_are_replaced(void **state)
{
    static const char other[] = "#!lua name=snapup\n"
                                "redis.register_function('snapup_peek', function() return 7 end)\n";
    struct pair *p = *state;
    char path[] = "/tmp/snapup-functions.XXXXXX";
    close(mkstemp(path));
    write_file(path, other);
    assert_int_equal(redis_session_load_functions(p->s, library), ST_OK);
    assert_int_equal(redis_session_load_functions(p->s, path), ST_OK);
    assert_int_equal(number(p->s, "FCALL snapup_peek 0"), 7);
    write_file(path, "#!lua name=snapup\nthis is no Lua\n");
    assert_int_equal(redis_session_load_functions(p->s, path), ST_INTERNAL);
    assert_int_equal(number(p->s, "FCALL snapup_peek 0"), 7);
    unlink(path);
    assert_int_equal(redis_session_load_functions(p->s, path), ST_NOT_FOUND);
    assert_int_equal(redis_session_load_functions(p->s, library), ST_OK);
    assert_int_equal(tell(p->s, "FCALL snapup_peek 3 {x}a {x}b {x}c"), ST_OK);
}

/* --- on a Redis of our own -----------------------------------------------------------------------
 */

static int server_setup(void **state)
{
    static struct redis_server server;
    server_init(&server);
    server_start(&server);
    *state = &server;
    return 0;
}

static int server_teardown(void **state)
{
    server_fini(*state);
    return 0;
}

/* Rule R1: after a restart the session says that somebody else answers. */
static void test_r1_server_restarts(void **state)
{
    struct redis_server *server = *state;
    struct redis_session *s = open_at(server->address, "", 5000);
    struct redis_identity first, second;
    assert_int_equal(redis_session_identity(s, &first), ST_OK);
    server_kill(server);
    second = first;
    assert_int_equal(redis_session_identity(s, &second), ST_UNAVAILABLE);
    assert_true(redis_identity_equal(&first, &second)); /* written only on success */
    assert_int_equal(tell(s, "PING"), ST_UNAVAILABLE);
    assert_int_equal(redis_session_load_functions(s, library), ST_UNAVAILABLE);
    server_start(server);
    assert_int_equal(tell(s, "PING"), ST_OK);
    assert_int_equal(redis_session_identity(s, &second), ST_OK);
    assert_false(redis_identity_equal(&first, &second));
    redis_session_destroy(&s);
}

/* A server that takes connections and says nothing costs the deadline, and nothing was done. */
static void test_silent_server(void **state)
{
    struct redis_server *server = *state;
    struct redis_session *s = open_at(server->address, "", 200);
    server_freeze(server);
    assert_int_equal(tell(s, "INCR n"), ST_UNAVAILABLE);
    server_thaw(server);
    while (tell(s, "PING") != ST_OK)
        ;
    assert_int_equal(number(s, "INCR n"), 1);
    redis_session_destroy(&s);
}

static void test_password(void **state)
{
    static const struct {
        const char *password;
        enum status st;
    } cases[] = {{"right", ST_OK}, {"wrong", ST_UNAVAILABLE}, {"", ST_UNAVAILABLE}};
    struct redis_server *server = *state;
    server_tell(server, "CONFIG SET requirepass right");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct redis_session *s = open_at(server->address, cases[i].password, 5000);
        assert_int_equal(tell(s, "PING"), cases[i].st);
        redis_session_destroy(&s);
    }
}

static void test_replica_is_no_use(void **state)
{
    struct redis_server *server = *state;
    struct redis_session *before = open_at(server->address, "", 5000);
    struct redis_session *after = open_at(server->address, "", 5000);
    struct redis_identity id;
    assert_int_equal(tell(before, "SET n 1"), ST_OK);
    server_tell(server, "REPLICAOF 127.0.0.1 1");
    assert_int_equal(tell(before, "SET n 2"), ST_UNAVAILABLE); /* READONLY */
    assert_int_equal(redis_session_identity(after, &id), ST_UNAVAILABLE);
    server_tell(server, "REPLICAOF NO ONE");
    assert_int_equal(tell(after, "SET n 3"), ST_OK);
    redis_session_destroy(&before);
    redis_session_destroy(&after);
}

static void test_bad_addresses(void **state)
{
    static const char *const addresses[] = {"unix:/tmp/snapup-no-such-socket", "nowhere", ":1", ""};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct redis_session *s = open_at(addresses[i], "", 1000);
        assert_int_equal(tell(s, "PING"), ST_UNAVAILABLE);
        redis_session_destroy(&s);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define O(name) cmocka_unit_test_setup_teardown(name, server_setup, server_teardown)
    const struct CMUnitTest tests[] = {
        T(test_call),
        T(test_error_replies),
        T(test_too_many_words),
        T(test_identity),
        T(test_closed_while_idle),
        T(test_deadline),
        T(test_functions_are_loaded_once),
        T(test_other_functions_are_replaced),
        O(test_r1_server_restarts),
        O(test_silent_server),
        O(test_password),
        O(test_replica_is_no_use),
        cmocka_unit_test(test_bad_addresses),
    };
    signal(SIGPIPE, SIG_IGN); /* as main.c does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
