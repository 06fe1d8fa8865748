#include "http_fixture.h"
#include "net/http_priv.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void drains(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *idle = client_open(r), *busy = client_open(r), *part = client_open(r);
    struct reply reply;
    client_ask(idle, GET("/hello"));
    client_send(busy, GET("/hold") GET("/hold"));
    client_send(part, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    assert_alive(idle);
    WAIT_FOR(r, r->held_count == 2);
    http_server_drain(r->server);
    assert_closed(idle);
    answer_text(r->held[0], 200, STR("first"));
    answer_text(r->held[1], 200, STR("second"));
    client_reply(busy, false, &reply);
    assert_null(strstr(reply.head, "Connection: close"));
    client_reply(busy, false, &reply);
    assert_non_null(strstr(reply.head, "Connection: close\r\n"));
    assert_closed(busy);
    client_send(part, "lo" GET("/hello"));
    client_reply(part, false, &reply);
    assert_string_equal(reply.body, "hello");
    assert_non_null(strstr(reply.head, "Connection: close\r\n"));
    assert_closed(part);
    client_close(part); /* had sent more than it will be answered, so it is lingered for */
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    assert_int_equal(http_server_busy(r->server), 0);
    client_close(idle);
    client_close(busy);
    rig_close(r);
}

/* Sends without a turn of the server's loop. */
static void slip(struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void asked_before_the_drain_is_answered(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *kept = client_open(r), *fresh = client_open(r), *silent = client_open(r);
    struct reply reply;
    client_ask(kept, GET("/hello"));
    WAIT_FOR(r, http_server_conns(r->server) == 3);
    /* In the sockets' buffers, but not read when the drain begins. */
    slip(kept, GET("/hello"));
    slip(fresh, GET("/hello"));
    struct client *queued = client_open(r); /* not even accepted */
    slip(queued, GET("/hello"));
    http_server_drain(r->server);
    assert_int_equal(http_server_conns(r->server), 4);
    struct client *const all[] = {kept, fresh, queued};
    for (unsigned i = 0; i < 3; i++) {
        client_reply(all[i], false, &reply);
        assert_int_equal(reply.status, 200);
        assert_non_null(strstr(reply.head, "Connection: close\r\n"));
        assert_closed(all[i]);
        client_close(all[i]);
    }
    WAIT_FOR(r, http_server_busy(r->server) == 1);
    assert_alive(silent); /* it may still ask */
    assert_closed(silent);
    assert_int_equal(http_server_busy(r->server), 0);
    client_close(silent);
    rig_close(r);
}

static void who_connects_and_is_silent_does_not_hold_up_the_end(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *silent = client_open(r);
    http_server_drain(r->server);
    assert_int_equal(http_server_busy(r->server), 1);
    assert_closed(silent);
    assert_int_equal(http_server_busy(r->server), 0);
    client_close(silent);
    rig_close(r);
}

static void retired_it_closes_what_it_answers(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *kept = client_open(r);
    client_ask(kept, GET("/hello"));
    http_server_retire(r->server, false);
    settle(r);
    assert_false(client_ended(kept));
    assert_non_null(strstr(client_ask(kept, GET("/hello"))->head, "Connection: close\r\n"));
    assert_closed(kept);
    struct client *later = client_open(r);
    assert_non_null(strstr(client_ask(later, GET("/hello"))->head, "Connection: close\r\n"));
    client_close(kept);
    client_close(later);
    rig_close(r);
}

static void handed_over_it_leaves_the_queue_to_the_next(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    int next = fcntl(r->server->listeners->fd, F_DUPFD_CLOEXEC, 0);
    http_server_retire(r->server, true);
    struct client *c = client_open(r);
    settle(r);
    assert_int_equal(http_server_conns(r->server), 0);
    int fd = accept(next, NULL, NULL);
    assert_true(fd >= 0);
    close(fd);
    close(next);
    client_close(c);
    rig_close(r);
}

static void new_time_outs_hold_for_open_connections(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct http_conf conf = rig_conf;
    struct client *old = client_open(r);
    client_ask(old, GET("/hello"));
    conf.idle_timeout_ms = 150;
    http_server_configure(r->server, &conf);
    struct client *young = client_open(r);
    client_ask(young, GET("/hello"));
    assert_closed(young);
    assert_closed(old);
    client_close(old);
    client_close(young);
    rig_close(r);
}

static struct client *stream_open(struct rig *r)
{
    struct client *c = client_open_with(r, 4096);
    struct reply reply;
    client_send(c, GET("/hold") GET("/stream"));
    WAIT_FOR(r, r->stream != NULL);
    exchange_stream_send(r->stream, STR("data: 1\n\n"));
    settle(r);
    client_read(c);
    assert_int_equal(c->n, 0);
    answer_text(r->held[0], 200, STR("first"));
    client_reply(c, false, &reply);
    assert_string_equal(reply.body, "first");
    client_reply(c, false, &reply);
    assert_non_null(strstr(reply.head, "\r\nContent-Type: text/event-stream\r\n"));
    assert_null(strstr(reply.head, "Content-Length"));
    exchange_stream_send(r->stream, STR("data: 2\n\n"));
    WAIT_FOR(r, client_has(c, "data: 1\n\ndata: 2\n\n"));
    assert_int_equal(http_server_busy(r->server), 0);
    c->n = 0;
    return c;
}

static void streams_until_the_peer_goes(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = stream_open(r);
    client_close(c);
    WAIT_FOR(r, r->closed_streams == 1);
    assert_int_equal(http_server_conns(r->server), 0);
    rig_close(r);
}

static void streams_end_for_who_reads_too_slowly(void **state)
{
    struct http_conf conf = rig_conf;
    conf.output_max = 50000;
    struct rig *r = rig_open(&conf);
    struct client *c = stream_open(r);
    char event[1000];
    memset(event, 'e', sizeof(event));
    for (int i = 0; i < 5000 && r->closed_streams == 0; i++) {
        exchange_stream_send(r->stream, (struct str){event, sizeof(event)});
        assert_int_equal(r->closed_streams, 0); /* never inside the call */
        http_server_flush(r->server);
    }
    assert_int_equal(r->closed_streams, 1);
    assert_int_equal(http_server_conns(r->server), 0);
    client_close(c);
    rig_close(r);
}

static void streams_end_with_the_service(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = stream_open(r);
    exchange_stream_send(r->stream, STR("data: bye\n\n"));
    http_server_drain(r->server);
    WAIT_FOR(r, r->closed_streams == 1);
    WAIT_FOR(r, client_ended(c));
    assert_string_equal(c->data, "data: bye\n\n");
    client_close(c);
    rig_close(r);

    r = rig_open(&rig_conf);
    c = stream_open(r);
    http_server_destroy(&r->server);
    assert_int_equal(r->closed_streams, 1);
    client_close(c);
    rig_close(r);
}

static void a_stream_may_begin_after_the_peer_has_gone(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = client_open(r);
    client_send(c, GET("/hold"));
    WAIT_FOR(r, r->held_count == 1);
    client_close(c);
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    exchange_stream(r->held[0], STR(""), stream_closed, r);
    exchange_stream_send(r->held[0], STR("data: 1\n\n"));
    assert_int_equal(r->closed_streams, 0);
    http_server_flush(r->server);
    assert_int_equal(r->closed_streams, 1);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drains),
        cmocka_unit_test(asked_before_the_drain_is_answered),
        cmocka_unit_test(who_connects_and_is_silent_does_not_hold_up_the_end),
        cmocka_unit_test(retired_it_closes_what_it_answers),
        cmocka_unit_test(handed_over_it_leaves_the_queue_to_the_next),
        cmocka_unit_test(new_time_outs_hold_for_open_connections),
        cmocka_unit_test(streams_until_the_peer_goes),
        cmocka_unit_test(streams_end_for_who_reads_too_slowly),
        cmocka_unit_test(streams_end_with_the_service),
        cmocka_unit_test(a_stream_may_begin_after_the_peer_has_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
