/* link_test.c - the pipelined Redis connection on a loop: every call is
 * answered once, whatever happens. */
#include "redis/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_server.h"

#include "base/clock.h"

#include <event2/event.h>

enum { CALLS_MAX = 512, PATIENCE_US = 20000000 };

struct world;

/* One call and what became of it. */
struct call {
    struct world *world;
    const char *then; /* a call to make from inside the callback; NULL: none */
    unsigned answers;
    enum status st;
    long long number; /* of an integer reply, else -1 */
    char text[64];    /* of any other */
    unsigned place;   /* among all answers, from 1 */
    enum status then_st;
};

struct world {
    struct redis_server server;
    struct event_base *base;
    struct event *heartbeat; /* so that a turn of the loop ends */
    struct redis_link *link;
    struct args args;
    struct redis_identity identity;
    unsigned ups, downs, answers;
    struct call call[CALLS_MAX];
    unsigned calls;
    const char *on_up; /* a call to make as soon as the link is ready */
};

static enum status call(struct world *w, const char *text);

static void on_state(void *arg, const struct redis_identity *identity)
{
    struct world *w = arg;
    if (!identity) {
        w->downs++;
        assert_false(redis_link_ready(w->link));
        return;
    }
    w->ups++;
    w->identity = *identity;
    if (w->on_up)
        assert_int_equal(call(w, w->on_up), ST_OK);
}

static void on_answer(void *arg, enum status st, const struct redisReply *reply)
{
    struct call *c = arg;
    c->answers++;
    c->st = st;
    c->place = ++c->world->answers;
    c->number = -1;
    assert_int_equal(st == ST_OK, reply != NULL);
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        c->number = reply->integer;
    else if (reply && reply->str)
        snprintf(c->text, sizeof(c->text), "%s", reply->str);
    if (c->then)
        c->then_st = call(c->world, c->then);
}

/* Sends the words of text; what comes of it is seen in w->call[n]. */
static enum status call(struct world *w, const char *text)
{
    char words[256], *rest = words;
    assert_true(w->calls < CALLS_MAX);
    struct call *c = &w->call[w->calls++];
    c->world = w;
    snprintf(words, sizeof(words), "%s", text);
    args_reset(&w->args);
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " "))
        args_z(&w->args, word);
    return redis_link_call(w->link, &w->args, on_answer, c);
}

/* --- turning the loop
 * ----------------------------------------------------------------------------
 */

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
}

#define TURN_UNTIL(w, condition)                                          \
    do {                                                                  \
        int64_t until_us = clock_mono_us() + PATIENCE_US;                 \
        while (!(condition)) {                                            \
            assert_int_equal(event_base_loop((w)->base, EVLOOP_ONCE), 0); \
            if (clock_mono_us() > until_us)                               \
                fail_msg("never: %s", #condition);                        \
        }                                                                 \
    } while (0)

/* Long enough for anything that is on its way to show: n heartbeats of 5 ms. */
static void turn(struct world *w, int n)
{
    while (n-- > 0)
        assert_int_equal(event_base_loop(w->base, EVLOOP_ONCE), 0);
}

static void link_open(struct world *w, const char *password, int64_t timeout_ms)
{
    const struct redis_conf conf = {w->server.address, password, timeout_ms};
    assert_int_equal(redis_link_create(w->base, &conf, NULL, on_state, w, &w->link), ST_OK);
}

static void link_open_ready(struct world *w, int64_t timeout_ms)
{
    link_open(w, "", timeout_ms);
    TURN_UNTIL(w, redis_link_ready(w->link));
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    server_init(&w->server);
    server_start(&w->server);
    w->base = event_base_new();
    w->heartbeat = event_new(w->base, -1, EV_PERSIST, on_heartbeat, NULL);
    assert_int_equal(event_add(w->heartbeat, &(struct timeval){0, 5000}), 0);
    *state = w;
    return 0;
}

/* Whatever a test did: each call was answered exactly once by the time the link
 * is gone. */
static int teardown(void **state)
{
    struct world *w = *state;
    redis_link_destroy(&w->link);
    assert_null(w->link);
    redis_link_destroy(&w->link); /* harmless */
    event_free(w->heartbeat);
    event_base_free(w->base);
    server_fini(&w->server);
    free(w);
    return 0;
}

static void assert_answered(const struct world *w, unsigned from, unsigned to, enum status st)
{
    for (unsigned i = from; i < to; i++) {
        if (w->call[i].answers != 1 || w->call[i].st != st)
            fail_msg("call %u: %u answers, status %d", i, w->call[i].answers, w->call[i].st);
        if (i > from)
            assert_true(w->call[i].place > w->call[i - 1].place);
    }
}

/* --- while all is well
 * ---------------------------------------------------------------------------
 */

static void test_ready(void **state)
{
    struct world *w = *state;
    link_open(w, "", 5000);
    assert_int_equal(w->ups, 0);
    assert_false(redis_link_ready(w->link));
    assert_int_equal(call(w, "PING"), ST_UNAVAILABLE);
    TURN_UNTIL(w, w->ups == 1);
    assert_true(redis_link_ready(w->link));
    assert_int_equal(strlen(w->identity.run_id), REDIS_ID_LEN);
    assert_int_equal(strlen(w->identity.repl_id), REDIS_ID_LEN);
    assert_true(w->identity.master);
    turn(w, 10);
    assert_int_equal(w->call[0].answers, 0); /* what was refused is never answered */
    assert_int_equal(w->ups, 1);
    assert_int_equal(w->downs, 0);
}

static void test_calls_are_pipelined_in_order(void **state)
{
    enum { N = 300 };
    struct world *w = *state;
    link_open_ready(w, 5000);
    for (int i = 0; i < N; i++)
        assert_int_equal(call(w, "INCR n"), ST_OK);
    assert_int_equal(w->answers, 0); /* none inside the call */
    TURN_UNTIL(w, w->answers == N);
    assert_answered(w, 0, N, ST_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(w->call[i].number, i + 1);
}

static void test_error_reply_is_an_answer(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    assert_int_equal(call(w, "NO_SUCH_COMMAND"), ST_OK);
    assert_int_equal(call(w, "PING"), ST_OK);
    TURN_UNTIL(w, w->answers == 2);
    assert_answered(w, 0, 2, ST_OK);
    assert_memory_equal(w->call[0].text, "ERR unknown command", 19);
    assert_string_equal(w->call[1].text, "PONG");
    assert_int_equal(w->downs, 0);
}

static void test_calls_from_callbacks(void **state)
{
    struct world *w = *state;
    w->on_up = "INCR n";
    w->call[0].then = "INCR n";
    w->call[1].then = "INCR n";
    link_open_ready(w, 5000);
    TURN_UNTIL(w, w->answers == 3);
    assert_answered(w, 0, 3, ST_OK);
    assert_int_equal(w->call[2].number, 3);
}

static void test_too_many_words(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    args_reset(&w->args);
    for (int i = 0; i <= ARGS_MAX; i++)
        args_z(&w->args, "DEL");
    assert_int_equal(redis_link_call(w->link, &w->args, on_answer, &w->call[0]), ST_UNAVAILABLE);
    assert_int_equal(call(w, "PING"), ST_OK);
    TURN_UNTIL(w, w->answers == 1);
}

/* --- when Redis goes
 * -----------------------------------------------------------------------------
 */

static void test_killed_with_calls_pending(void **state)
{
    enum { N = 100 };
    struct world *w = *state;
    link_open_ready(w, 10000);
    struct redis_identity first = w->identity;
    server_freeze(&w->server);
    for (int i = 0; i < N; i++)
        assert_int_equal(call(w, "INCR n"), ST_OK);
    turn(w, 5);
    assert_int_equal(w->answers, 0);
    server_kill(&w->server);
    TURN_UNTIL(w, w->answers == N && w->downs == 1);
    assert_answered(w, 0, N, ST_UNKNOWN);
    assert_int_equal(call(w, "PING"), ST_UNAVAILABLE);
    server_start(&w->server);
    TURN_UNTIL(w, redis_link_ready(w->link));
    assert_int_equal(w->ups, 2);
    assert_int_equal(w->downs, 1);
    assert_false(redis_identity_equal(&first, &w->identity)); /* rule R1 */
    assert_int_equal(call(w, "PING"), ST_OK);
    TURN_UNTIL(w, w->answers == N + 1);
    assert_answered(w, 0, N, ST_UNKNOWN);
}

static void test_killed_while_idle(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    server_kill(&w->server);
    TURN_UNTIL(w, w->downs == 1);
    turn(w, 20);
    assert_int_equal(w->downs, 1); /* once, however often it tries */
    assert_int_equal(w->ups, 1);
    server_start(&w->server);
    TURN_UNTIL(w, w->ups == 2);
}

static void test_connection_closed_by_redis(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    struct redis_identity first = w->identity;
    server_tell(&w->server, "CLIENT KILL TYPE normal");
    TURN_UNTIL(w, w->downs == 1);
    TURN_UNTIL(w, w->ups == 2);
    assert_true(
        redis_identity_equal(&first, &w->identity)); /* another connection, the same Redis */
}

/* The answer to a lost call may not be followed by another call before the link
 * is up again. */
static void test_call_from_a_lost_call(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 10000);
    server_freeze(&w->server);
    w->call[0].then = "PING";
    w->call[0].then_st = ST_OK;
    assert_int_equal(call(w, "PING"), ST_OK);
    server_kill(&w->server);
    TURN_UNTIL(w, w->answers == 1 && w->downs == 1);
    assert_answered(w, 0, 1, ST_UNKNOWN);
    assert_int_equal(w->call[0].then_st, ST_UNAVAILABLE);
    assert_int_equal(w->call[1].answers, 0);
}

/* A call into a connection whose end has not been noticed yet. */
static void test_call_after_unnoticed_death(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    server_kill(&w->server);
    enum status st = call(w, "PING");
    assert_int_equal(w->answers, 0); /* never inside the call */
    turn(w, 20);
    assert_int_equal(w->call[0].answers, st == ST_OK);
    assert_int_equal(w->downs, 1);
}

/* The same from inside a callback: an answer had arrived before Redis died. */
static void test_call_from_callback_after_unnoticed_death(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    w->call[0].then = "INCR n";
    assert_int_equal(call(w, "INCR n"), ST_OK);
    server_tell(&w->server, "PING"); /* by then the first call is done ... */
    server_tell(&w->server, "PING"); /* ... and its answer written */
    server_kill(&w->server);
    TURN_UNTIL(w, w->downs == 1);
    turn(w, 5);
    assert_answered(w, 0, 1, ST_OK);
    assert_int_equal(w->call[1].answers, w->call[0].then_st == ST_OK);
}

/* --- deadlines
 * -----------------------------------------------------------------------------------
 */

static void test_deadline(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 200);
    int64_t from_us = clock_mono_us();
    assert_int_equal(call(w, "BLPOP nothing 0"), ST_OK);
    assert_int_equal(call(w, "PING"), ST_OK);
    TURN_UNTIL(w, w->answers == 2);
    int64_t took_us = clock_mono_us() - from_us;
    assert_true(took_us >= 200000 && took_us < 5000000);
    assert_answered(w, 0, 2, ST_UNKNOWN);
    assert_int_equal(w->downs, 1);
    TURN_UNTIL(w, w->ups == 2);
    assert_int_equal(call(w, "PING"), ST_OK);
    TURN_UNTIL(w, w->answers == 3);
    assert_string_equal(w->call[2].text, "PONG"); /* late answers are nobody else's */
}

/* What is answered in time resets no deadline of the others, and an idle link
 * has none. */
static void test_only_the_late_are_late(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 100);
    int64_t from_us = clock_mono_us();
    while (clock_mono_us() - from_us < 400000) {
        assert_int_equal(call(w, "PING"), ST_OK);
        TURN_UNTIL(w, w->answers == w->calls);
        turn(w, 1);
    }
    turn(w, 40);
    assert_int_equal(w->downs, 0);
}

/* A call's time counts from the call, however long the link has been up. */
static void test_deadline_counts_from_the_call(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 300);
    turn(w, 80);
    server_freeze(&w->server);
    assert_int_equal(call(w, "PING"), ST_OK);
    turn(w, 10);
    server_thaw(&w->server);
    TURN_UNTIL(w, w->answers == 1);
    assert_answered(w, 0, 1, ST_OK);
}

static void test_silent_greeting(void **state)
{
    struct world *w = *state;
    server_freeze(&w->server);
    link_open(w, "", 100);
    turn(w, 60); /* at least one greeting has timed out */
    assert_false(redis_link_ready(w->link));
    assert_int_equal(w->ups + w->downs, 0); /* it never was up */
    server_thaw(&w->server);
    TURN_UNTIL(w, w->ups == 1);
}

/* --- who answers
 * ---------------------------------------------------------------------------------
 */

static void test_started_before_redis(void **state)
{
    struct world *w = *state;
    server_kill(&w->server);
    link_open(w, "", 1000);
    turn(w, 10);
    assert_int_equal(call(w, "PING"), ST_UNAVAILABLE);
    assert_int_equal(w->ups + w->downs, 0);
    server_start(&w->server);
    TURN_UNTIL(w, w->ups == 1);
}

/* Over TCP a refusal comes later, when the loop turns. Nobody listens at
 * port 1. */
static void test_refused_over_tcp(void **state)
{
    struct world *w = *state;
    const struct redis_conf conf = {"127.0.0.1:1", "", 1000};
    assert_int_equal(redis_link_create(w->base, &conf, NULL, on_state, w, &w->link), ST_OK);
    turn(w, 40);
    assert_false(redis_link_ready(w->link));
    assert_int_equal(w->ups + w->downs, 0);
}

static void test_password(void **state)
{
    struct world *w = *state;
    server_tell(&w->server, "CONFIG SET requirepass right");
    link_open(w, "right", 1000);
    TURN_UNTIL(w, w->ups == 1);
}

static void test_wrong_password(void **state)
{
    static const char *const passwords[] = {"wrong", ""};
    struct world *w = *state;
    server_tell(&w->server, "CONFIG SET requirepass right");
    for (int i = 0; i < 2; i++) {
        link_open(w, passwords[i], 50);
        turn(w, 40);
        assert_int_equal(w->ups, 0);
        redis_link_destroy(&w->link);
    }
}

static void test_replica_is_no_use(void **state)
{
    struct world *w = *state;
    server_tell(&w->server, "REPLICAOF 127.0.0.1 1");
    link_open(w, "", 100);
    turn(w, 60);
    assert_int_equal(w->ups, 0);
    server_tell(&w->server, "REPLICAOF NO ONE");
    TURN_UNTIL(w, w->ups == 1);
}

/* --- the end
 * -------------------------------------------------------------------------------------
 */

static void test_destroyed_with_calls_pending(void **state)
{
    struct world *w = *state;
    link_open_ready(w, 5000);
    server_freeze(&w->server);
    for (int i = 0; i < 10; i++)
        assert_int_equal(call(w, "PING"), ST_OK);
    redis_link_destroy(&w->link);
    assert_answered(w, 0, 10, ST_UNKNOWN);
}

static void test_destroyed_in_any_state(void **state)
{
    struct world *w = *state;
    link_open(w, "", 5000); /* still connecting */
    redis_link_destroy(&w->link);
    server_kill(&w->server);
    link_open(w, "", 5000); /* nobody there */
    turn(w, 3);
    redis_link_destroy(&w->link);
    turn(w, 3);
    assert_int_equal(w->ups + w->downs, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_ready),
        T(test_calls_are_pipelined_in_order),
        T(test_error_reply_is_an_answer),
        T(test_calls_from_callbacks),
        T(test_too_many_words),
        T(test_killed_with_calls_pending),
        T(test_killed_while_idle),
        T(test_connection_closed_by_redis),
        T(test_call_from_a_lost_call),
        T(test_call_after_unnoticed_death),
        T(test_call_from_callback_after_unnoticed_death),
        T(test_deadline),
        T(test_only_the_late_are_late),
        T(test_deadline_counts_from_the_call),
        T(test_silent_greeting),
        T(test_started_before_redis),
        T(test_refused_over_tcp),
        T(test_password),
        T(test_wrong_password),
        T(test_replica_is_no_use),
        T(test_destroyed_with_calls_pending),
        T(test_destroyed_in_any_state),
    };
    signal(SIGPIPE, SIG_IGN); /* as main.c does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
