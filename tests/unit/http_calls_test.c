#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pay/http_calls.h"
#include "till_fixture.h"

#include <curl/curl.h>

enum { MANY = 100, WAIT_MS = 20000 };

struct one {
    struct http_call call;
    struct task back;
    struct queue *replies;
    char reply[64];
};

static struct http_calls *calls;
static struct queue *replies;

static int setup(void **state)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    assert_int_equal(queue_create(MANY, &replies), ST_OK);
    assert_int_equal(http_calls_create(&calls), ST_OK);
    assert_int_equal(http_calls_start(calls), ST_OK);
    return 0;
}

static int teardown(void **state)
{
    http_calls_stop(calls);
    http_calls_destroy(&calls);
    queue_destroy(&replies);
    curl_global_cleanup();
    return 0;
}

static void on_ended(struct http_call *call)
{
    struct one *o = CONTAINER_OF(call, struct one, call);
    snprintf(o->reply, sizeof(o->reply), "%.*s", (int)call->reply.len,
             call->reply.data ? call->reply.data : "");
    queue_push_reply(o->replies, &o->back);
}

static void post(struct one *o, const char *url)
{
    *o = (struct one){
        .call = {.url = url, .header = "X-Number: 1", .body = STR("{\"a\":1}"), .ended = on_ended},
        .replies = replies};
    http_calls_post(calls, &o->call);
}

static void wait_for(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_non_null(queue_wait(replies, WAIT_MS));
    assert_null(queue_take(replies, 1));
    assert_int_equal(http_calls_depth(calls), 0);
}

static void test_posted_and_answered(void **state)
{
    struct till till;
    struct one o;
    till_open(&till);
    atomic_store(&till.calls, 0);
    post(&o, till.url);
    wait_for(1);
    assert_int_equal(o.call.st, ST_OK);
    assert_int_equal(o.call.http, 200);
    assert_memory_equal(o.reply, till_trade, 30);
    assert_non_null(strstr(till.got, "POST / HTTP/1.1\r\n"));
    assert_non_null(strstr(till.got, "\r\nX-Number: 1\r\n"));
    assert_non_null(strstr(till.got, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(till.got, "\r\n\r\n{\"a\":1}"));
    atomic_store(&till.status, 503);
    post(&o, till.url);
    wait_for(1);
    assert_int_equal(o.call.st, ST_OK);
    assert_int_equal(o.call.http, 503);
    till_close(&till);
}

/* What is known of a call that was not answered. */
static void test_faults(void **state)
{
    static char large[HTTP_CALL_REPLY_MAX + 2];
    struct till till;
    struct one o;
    char gone[64];
    till_open(&till);
    atomic_store(&till.status, 0); /* hangs up */
    post(&o, till.url);
    wait_for(1);
    assert_int_equal(o.call.st, ST_UNKNOWN);
    memset(large, 'x', sizeof(large) - 1);
    atomic_store(&till.status, 200);
    atomic_store(&till.body, large);
    post(&o, till.url);
    wait_for(1);
    assert_int_equal(o.call.st, ST_UNKNOWN);
    snprintf(gone, sizeof(gone), "%s", till.url);
    till_close(&till);
    post(&o, gone);
    wait_for(1);
    assert_int_equal(o.call.st, ST_UNAVAILABLE);
}

/* A channel that answers nobody before all have asked. */
struct slow {
    int fd;
    char url[64];
    unsigned n;
};

static void *slow_main(void *arg)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    struct slow *s = arg;
    int fds[MANY];
    char text[4096];
    for (unsigned i = 0; i < s->n; i++) {
        fds[i] = accept(s->fd, NULL, NULL);
        assert(read(fds[i], text, sizeof(text)) > 0);
    }
    for (unsigned i = 0; i < s->n; i++) {
        assert(write(fds[i], answer, sizeof(answer) - 1) == sizeof(answer) - 1);
        close(fds[i]);
    }
    return NULL;
}

static void slow_open(struct slow *s, unsigned n)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    s->n = n;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(bind(s->fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(s->fd, MANY) == 0);
    assert(getsockname(s->fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", ntohs(at.sin_port));
}

static void test_a_slow_channel_holds_nobody_up(void **state)
{
    static struct one o[MANY];
    struct slow slow;
    pthread_t thread;
    slow_open(&slow, MANY);
    assert_int_equal(pthread_create(&thread, NULL, slow_main, &slow), 0);
    for (unsigned i = 0; i < MANY; i++)
        post(&o[i], slow.url);
    wait_for(MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(o[i].call.st, ST_OK);
        assert_string_equal(o[i].reply, "ok");
    }
    pthread_join(thread, NULL);
    close(slow.fd);
}

/* Those under way end by themselves, later ones are refused at once. */
static void test_stop(void **state)
{
    struct slow slow;
    struct one waits, late;
    pthread_t thread;
    slow_open(&slow, 2);
    assert_int_equal(pthread_create(&thread, NULL, slow_main, &slow), 0);
    post(&waits, slow.url);
    while (http_calls_depth(calls) == 0)
        usleep(1000);
    usleep(50000);
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    assert(getsockname(slow.fd, (struct sockaddr *)&at, &len) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && write(fd, "x", 1) == 1);
    http_calls_stop(calls);
    assert_int_equal(waits.call.st, ST_OK);
    post(&late, slow.url);
    assert_int_equal(late.call.st, ST_UNAVAILABLE);
    wait_for(2);
    pthread_join(thread, NULL);
    close(fd);
    close(slow.fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_posted_and_answered),
        TEST(test_faults),
        TEST(test_a_slow_channel_holds_nobody_up),
        TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
