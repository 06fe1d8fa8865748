/* http_fixture.h - a server on a loop of the test's own, and clients that wait for it by turning
 * it.
 *
 * Nothing sleeps: whoever waits runs loop turns until what it waits for has happened, or five
 * seconds have passed and the test fails.
 */
#pragma once

#include "base/clock.h"
#include "base/loop.h"
#include "net/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELD_MAX = 64, BIG_BYTES = 20000, CLIENT_BYTES = 1 << 20, PATIENCE_US = 5000000 };

struct rig {
    struct event_base *base;
    struct router *router;
    struct conn_census *census;
    struct http_server *server;
    struct http_conf conf;
    struct sockaddr_in addr;
    struct exchange *held[HELD_MAX]; /* what /hold has not answered, in order of arrival */
    unsigned held_count;
    struct exchange *stream;
    unsigned requests, refusals, done, closed_streams;
    enum status refused_as;
    const char *refused_why;
};

struct client {
    struct rig *rig;
    int fd;
    size_t n; /* bytes of data not yet taken */
    bool eof, reset;
    char data[CLIENT_BYTES + 1];
};

struct reply {
    int status;
    char head[2048];
    size_t body_len;
    char body[BIG_BYTES + 1];
};

#define UNUSED __attribute__((unused))

static void answer_text(struct exchange *x, uint16_t status, struct str text)
{
    exchange_answer(x,
                    &(struct answer){
                        .status = status, .content_type = "text/plain", .body = text, .st = ST_OK});
}

static void handle_hello(void *ctx, struct exchange *x)
{
    answer_text(x, 200, STR("hello"));
}

static void handle_echo(void *ctx, struct exchange *x)
{
    answer_text(x, 200, x->body);
}

static void handle_item(void *ctx, struct exchange *x)
{
    answer_text(x, 200, x->match.param[0]);
}

static void handle_big(void *ctx, struct exchange *x)
{
    static char text[BIG_BYTES];
    memset(text, 'b', sizeof(text));
    answer_text(x, 200, (struct str){text, sizeof(text)});
}

static void handle_hold(void *ctx, struct exchange *x)
{
    struct rig *r = ctx;
    assert_true(r->held_count < HELD_MAX);
    r->held[r->held_count++] = x;
}

static void stream_closed(void *arg)
{
    struct rig *r = arg;
    r->closed_streams++;
    r->stream = NULL;
}

static void handle_stream(void *ctx, struct exchange *x)
{
    struct rig *r = ctx;
    r->stream = x;
    exchange_stream(x, STR("Content-Type: text/event-stream\r\n"), stream_closed, r);
}

static void on_request(void *ctx, struct exchange *x)
{
    struct rig *r = ctx;
    r->requests++;
    assert_non_null(x->head);
    assert_int_equal((uintptr_t)x->local % 16, 0);
    x->match.route->handler(ctx, x);
}

static void on_refusal(void *ctx, struct exchange *x, enum status st, const char *why,
                       struct str extra)
{
    struct rig *r = ctx;
    r->refusals++;
    r->refused_as = st;
    r->refused_why = why;
    exchange_answer(x, &(struct answer){.status = status_info(st)->http,
                                        .content_type = "text/plain",
                                        .headers = extra,
                                        .body = str_from(why),
                                        .st = st});
}

static void on_done(void *ctx, struct exchange *x, enum status st, int64_t duration_us)
{
    struct rig *r = ctx;
    assert_true(duration_us >= 0 && duration_us < 10 * PATIENCE_US);
    r->done++;
}

static const struct route rig_routes[] = {
    {.method = HTTP_GET, .pattern = "/hello", .handler = handle_hello},
    {.method = HTTP_POST, .pattern = "/echo", .handler = handle_echo, .body_max = 1000},
    {.method = HTTP_PUT, .pattern = "/echo", .handler = handle_echo, .body_max = 200000},
    {.method = HTTP_GET, .pattern = "/items/{id}", .handler = handle_item},
    {.method = HTTP_GET, .pattern = "/big", .handler = handle_big},
    {.method = HTTP_GET, .pattern = "/hold", .handler = handle_hold},
    {.method = HTTP_POST, .pattern = "/hold", .handler = handle_hold, .body_max = 1000},
    {.method = HTTP_GET, .pattern = "/stream", .handler = handle_stream},
};

static const struct http_conf rig_conf = {
    .limits = {256, 1024, 16},
    .conns_max = 100,
    .conns_per_addr = 100,
    .pipeline_max = 16,
    .output_max = 1 << 20,
    .header_timeout_ms = 60000,
    .body_timeout_ms = 60000,
    .idle_timeout_ms = 60000,
    .write_timeout_ms = 60000,
};

static struct rig *rig_open(const struct http_conf *conf)
{
    struct rig *r = calloc(1, sizeof(*r));
    r->base = loop_create();
    r->conf = *conf;
    const struct http_app app = {r, on_request, on_refusal, on_done};
    assert_int_equal(
        router_create(rig_routes, sizeof(rig_routes) / sizeof(*rig_routes), &r->router), ST_OK);
    assert_int_equal(conn_census_create(&r->census), ST_OK);
    assert_int_equal(
        http_server_create(r->base, conf, &app, r->router, r->census, NULL, NULL, NULL, &r->server),
        ST_OK);
    int fd = -1, small = 4096;
    char bound[64], error[200];
    assert_int_equal(
        http_listen_socket("127.0.0.1:0", &fd, bound, sizeof(bound), error, sizeof(error)), ST_OK);
    /* Accepted sockets inherit it, so that a peer that does not read is soon felt. */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    socklen_t len = sizeof(r->addr);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&r->addr, &len), 0);
    assert_int_equal(http_server_listen(r->server, fd), ST_OK);
    return r;
}

static void rig_close(struct rig *r)
{
    http_server_destroy(&r->server);
    conn_census_destroy(&r->census);
    router_destroy(&r->router);
    event_base_free(r->base);
    free(r);
}

/* One turn of the loop, as main.c turns it. */
static void turn(struct rig *r, int flags)
{
    event_base_loop(r->base, EVLOOP_ONCE | flags);
    http_server_flush(r->server);
}

/* Runs the loop until there is nothing left to do now. */
UNUSED static void settle(struct rig *r)
{
    for (int i = 0; i < 20; i++)
        turn(r, EVLOOP_NONBLOCK);
}

#define WAIT_FOR(r, condition)                                 \
    do {                                                       \
        int64_t give_up = clock_mono_us() + PATIENCE_US;       \
        while (!(condition)) {                                 \
            if (clock_mono_us() > give_up)                     \
                fail_msg("waited in vain for %s", #condition); \
            turn((r), 0);                                      \
        }                                                      \
    } while (0)

static struct client *client_open_with(struct rig *r, int receive_bytes)
{
    struct client *c = calloc(1, sizeof(*c));
    c->rig = r;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    if (receive_bytes > 0)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    assert_int_equal(connect(c->fd, (struct sockaddr *)&r->addr, sizeof(r->addr)), 0);
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

static struct client *client_open(struct rig *r)
{
    return client_open_with(r, 0);
}

static void client_close(struct client *c)
{
    close(c->fd);
    free(c);
}

static void client_send_n(struct client *c, const char *data, size_t n)
{
    int64_t give_up = clock_mono_us() + PATIENCE_US;
    while (n > 0) {
        assert_true(clock_mono_us() < give_up);
        ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* closed meanwhile; the test looks at what came back */
        data += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
        turn(c->rig, EVLOOP_NONBLOCK);
    }
}

static void client_send(struct client *c, const char *text)
{
    client_send_n(c, text, strlen(text));
}

/* Reads what is there, without turning the loop. */
static void client_read(struct client *c)
{
    while (!c->eof && !c->reset && c->n < CLIENT_BYTES) {
        ssize_t n = recv(c->fd, c->data + c->n, CLIENT_BYTES - c->n, 0);
        if (n < 0) {
            c->reset = errno != EAGAIN;
            break;
        }
        c->eof = n == 0;
        c->n += (size_t)n;
    }
    c->data[c->n] = '\0';
}

UNUSED static bool client_has(struct client *c, const char *text)
{
    client_read(c);
    return strstr(c->data, text) != NULL;
}

static bool client_ended(struct client *c)
{
    client_read(c);
    return c->eof || c->reset;
}

static bool reply_whole(struct client *c, bool head_only, size_t *head_len, size_t *body_len)
{
    client_read(c);
    const char *end = strstr(c->data, "\r\n\r\n");
    if (!end)
        return false;
    *head_len = (size_t)(end - c->data) + 4;
    const char *length = strstr(c->data, "Content-Length: ");
    *body_len = length && length < end && !head_only ? (size_t)atol(length + 16) : 0;
    return c->n >= *head_len + *body_len;
}

/* Waits for one answer and takes it off what has arrived. */
static void client_reply(struct client *c, bool head_only, struct reply *reply)
{
    size_t head_len = 0, body_len = 0;
    WAIT_FOR(c->rig, reply_whole(c, head_only, &head_len, &body_len));
    assert_true(head_len < sizeof(reply->head) && body_len < sizeof(reply->body));
    memcpy(reply->head, c->data, head_len);
    reply->head[head_len] = '\0';
    memcpy(reply->body, c->data + head_len, body_len);
    reply->body[body_len] = '\0';
    reply->body_len = body_len;
    reply->status = atoi(reply->head + strlen("HTTP/1.1 "));
    c->n -= head_len + body_len;
    memmove(c->data, c->data + head_len + body_len, c->n + 1);
}

static struct reply *client_ask(struct client *c, const char *request)
{
    static struct reply reply;
    client_send(c, request);
    client_reply(c, strncmp(request, "HEAD", 4) == 0, &reply);
    return &reply;
}

/* The connection ends in order, not by a reset, and nothing more came. */
static void assert_closed(struct client *c)
{
    WAIT_FOR(c->rig, client_ended(c));
    assert_false(c->reset);
    assert_int_equal(c->n, 0);
}

/* Later bytes still find the server there. */
UNUSED static void assert_alive(struct client *c)
{
    struct reply *reply = client_ask(c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "hello");
}
