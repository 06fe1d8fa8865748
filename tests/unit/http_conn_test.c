#include "http_fixture.h"

#include "net/http_priv.h"

#include <sys/resource.h>
#include <sys/un.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void stops_reading_at_pipeline_max(void **state)
{
    struct http_conf conf = rig_conf;
    conf.pipeline_max = 4;
    struct rig *r = rig_open(&conf);
    struct client *c = client_open(r);
    struct reply reply;
    for (int i = 0; i < 6; i++)
        client_send(c, GET("/hold"));
    client_send(c, "GET /items/last HT");
    settle(r);
    assert_int_equal(r->held_count, 4);
    /* One answered lets one in; an answer that waits behind another lets none in. */
    answer_text(r->held[1], 200, STR("1"));
    settle(r);
    assert_int_equal(r->held_count, 4);
    answer_text(r->held[0], 200, STR("0"));
    settle(r);
    assert_int_equal(r->held_count, 6);
    client_send(c, "TP/1.1\r\nHost: a\r\n\r\n");
    for (unsigned i = 2; i < 6; i++)
        answer_text(r->held[i], 200, STR("x"));
    for (int i = 0; i < 6; i++)
        client_reply(c, false, &reply);
    client_reply(c, false, &reply);
    assert_string_equal(reply.body, "last");
    client_close(c);
    rig_close(r);
}

static void stops_reading_at_output_max(void **state)
{
    struct http_conf conf = rig_conf;
    conf.output_max = 3 * BIG_BYTES;
    struct rig *r = rig_open(&conf);
    struct client *c = client_open_with(r, 4096);
    struct reply reply;
    enum { ASKED = 40 };
    for (int i = 0; i < ASKED; i++)
        client_send(c, GET("/big"));
    settle(r);
    /* The kernel takes a few; then answers collect up to output_max, and no request more is read.
     */
    unsigned before = r->requests;
    assert_true(before < 20);
    settle(r);
    assert_int_equal(r->requests, before);
    for (int i = 0; i < ASKED; i++) {
        client_reply(c, false, &reply);
        assert_int_equal(reply.body_len, BIG_BYTES);
    }
    assert_int_equal(r->requests, ASKED);
    assert_alive(c);
    client_close(c);
    rig_close(r);
}

/* What is sent to a connection that is not read stays in the kernel, which pushes back. */
static void leaves_bytes_to_the_kernel(void **state)
{
    enum { MORE_THAN_SOCKETS_HOLD = 64 << 20 };
    struct http_conf conf = rig_conf;
    conf.pipeline_max = 1;
    struct rig *r = rig_open(&conf);
    struct client *c = client_open(r);
    char junk[65536] = {0};
    client_send(c, GET("/hold"));
    WAIT_FOR(r, r->held_count == 1);
    size_t taken = 0;
    for (int blocked = 0; blocked < 20 && taken < MORE_THAN_SOCKETS_HOLD;) {
        ssize_t n = send(c->fd, junk, sizeof(junk), MSG_NOSIGNAL);
        taken += n > 0 ? (size_t)n : 0;
        blocked = n > 0 ? 0 : blocked + 1;
        turn(r, EVLOOP_NONBLOCK);
    }
    assert_true(taken < MORE_THAN_SOCKETS_HOLD);
    answer_text(r->held[0], 200, STR("held"));
    assert_string_equal(client_ask(c, "")->body, "held");
    assert_int_equal(client_ask(c, "")->status, 400);
    client_close(c);
    rig_close(r);
}

/* A connection that is to be timed out in 200 ms while other deadlines lie far away. */
static struct rig *rig_hasty(size_t timeout)
{
    struct http_conf conf = rig_conf;
    *(uint32_t *)((char *)&conf + timeout) = 200;
    return rig_open(&conf);
}

static void header_deadline_is_not_put_off(void **state)
{
    struct rig *r = rig_hasty(offsetof(struct http_conf, header_timeout_ms));
    struct client *c = client_open(r), *silent = client_open(r);
    struct reply reply;
    assert_alive(c);
    int64_t start = clock_mono_us();
    client_send(c, "GET /hello HTTP/1.1\r\nX: ");
    int64_t last = clock_mono_us();
    while (client_read(c), c->n == 0) { /* a byte every few ms, as a slow loris does */
        assert_true(clock_mono_us() - start < PATIENCE_US);
        if (clock_mono_us() - last > 5000) {
            send(c->fd, "y", 1, MSG_NOSIGNAL);
            last = clock_mono_us();
        }
        turn(r, EVLOOP_NONBLOCK);
    }
    assert_true(clock_mono_us() - start >= 200000);
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 408);
    assert_non_null(strstr(reply.head, "Connection: close\r\n"));
    assert_closed(c);
    assert_int_equal(r->refused_as, ST_REQUEST_TIMEOUT);
    assert_alive(silent); /* has sent no first byte */
    client_close(silent);
    client_close(c);
    rig_close(r);
}

static void an_empty_line_starts_no_header(void **state)
{
    struct rig *r = rig_hasty(offsetof(struct http_conf, header_timeout_ms));
    struct client *c = client_open(r);
    client_send(c, GET("/hello") "\r\n");
    struct reply reply;
    client_reply(c, false, &reply);
    int64_t start = clock_mono_us();
    WAIT_FOR(r, clock_mono_us() - start > 600000);
    assert_alive(c);
    client_close(c);
    rig_close(r);
}

static void body_deadline_answers(void **state)
{
    struct rig *r = rig_hasty(offsetof(struct http_conf, body_timeout_ms));
    struct client *c = client_open(r);
    client_send(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    struct reply reply;
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 408);
    assert_closed(c);
    for (int i = 0; i < 2; i++) { /* the rest comes too late, but is no reason for a reset */
        assert_int_equal(send(c->fd, "l", 1, MSG_NOSIGNAL), 1);
        settle(r);
    }
    client_close(c);
    rig_close(r);
}

static void idle_deadline_closes_silently(void **state)
{
    struct rig *r = rig_hasty(offsetof(struct http_conf, idle_timeout_ms));
    struct client *fresh = client_open(r), *used = client_open(r), *waiting = client_open(r);
    assert_alive(used);
    client_send(waiting, GET("/hold"));
    assert_closed(fresh);
    assert_closed(used);
    assert_int_equal(http_server_conns(r->server), 1);
    /* Who waits for us is not idle. */
    int64_t start = clock_mono_us();
    WAIT_FOR(r, clock_mono_us() - start > 600000);
    answer_text(r->held[0], 200, STR("late"));
    assert_string_equal(client_ask(waiting, "")->body, "late");
    client_close(fresh);
    client_close(used);
    client_close(waiting);
    rig_close(r);
}

static void write_deadline_drops_who_does_not_read(void **state)
{
    struct rig *r = rig_hasty(offsetof(struct http_conf, write_timeout_ms));
    struct client *c = client_open_with(r, 4096);
    for (int i = 0; i < 20; i++)
        client_send(c, GET("/big"));
    assert_int_equal(http_server_conns(r->server), 1);
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    client_close(c);
    rig_close(r);
}

static void survives_the_peer(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *gone = client_open(r), *half = client_open(r), *part = client_open(r);
    client_send(gone, GET("/hold") GET("/hold") GET("/hold"));
    client_send(half, GET("/hold"));
    client_send(part, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    WAIT_FOR(r, r->held_count == 4);
    answer_text(r->held[1], 200, STR("waits behind the first"));
    struct linger now = {1, 0};
    setsockopt(gone->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* a reset */
    client_close(gone);
    client_close(part);
    shutdown(half->fd, SHUT_WR);
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    assert_int_equal(http_server_busy(r->server), 3);
    for (unsigned i = 0; i < 4; i++) {
        if (i == 1)
            continue;
        assert_null(r->held[i]->conn);
        answer_text(r->held[i], 200, STR("late"));
    }
    assert_int_equal(http_server_busy(r->server), 0);
    assert_int_equal(r->done, 4);
    assert_closed(half);
    client_close(half);
    rig_close(r);
}

static void closes_between_answer_and_flush(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = client_open(r);
    client_send(c, GET("/hold"));
    WAIT_FOR(r, r->held_count == 1);
    struct linger now = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    client_close(c);
    answer_text(r->held[0], 200, STR("late"));
    /* The loop sees the reset before the flush comes to the touched connection. */
    event_base_loop(r->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    http_server_flush(r->server);
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    rig_close(r);
}

static void answers_before_a_half_close_arrive(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = client_open_with(r, 4096);
    struct reply reply;
    for (int i = 0; i < 10; i++)
        client_send(c, GET("/big"));
    client_send(c, GET("/hold"));
    shutdown(c->fd, SHUT_WR);
    settle(r);
    for (int i = 0; i < 10; i++)
        client_reply(c, false, &reply);
    assert_closed(c); /* what is not answered yet is not waited for */
    answer_text(r->held[0], 200, STR("late"));
    client_close(c);
    rig_close(r);
}

/* The peer is still sending when it is refused: it must see the answer, not a reset. */
static void lingers_after_a_refusal(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = client_open(r);
    struct reply reply;
    char junk[40000];
    memset(junk, 'j', sizeof(junk));
    client_send(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n");
    for (int i = 0; i < 10; i++)
        client_send_n(c, junk, sizeof(junk));
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 413);
    assert_closed(c);
    assert_int_equal(http_server_conns(r->server), 1);
    client_close(c);
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    rig_close(r);
}

static void lingers_only_so_long(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *patient = client_open(r), *flood = client_open(r);
    client_send(patient, "\x16nonsense");
    client_send(flood, "\x16nonsense");
    char junk[65536] = {0};
    for (int i = 0; i < 40 && http_server_conns(r->server) == 2; i++)
        client_send_n(flood, junk, sizeof(junk));
    assert_int_equal(http_server_conns(r->server), 1);
    WAIT_FOR(r, http_server_conns(r->server) == 0);
    client_close(flood);
    client_close(patient);
    rig_close(r);
}

static void keeps_the_caps(void **state)
{
    struct http_conf conf = rig_conf;
    conf.conns_max = 3;
    conf.conns_per_addr = 2;
    struct rig *r = rig_open(&conf);
    struct client *a = client_open(r), *b = client_open(r), *over = client_open(r);
    WAIT_FOR(r, client_ended(over));
    assert_alive(a);
    assert_alive(b);
    client_close(a);
    WAIT_FOR(r, http_server_conns(r->server) == 1);
    struct client *again = client_open(r);
    assert_alive(again);
    client_close(again);
    client_close(b);
    client_close(over);
    rig_close(r);
}

static uint64_t key_of(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    uint64_t key = 0;
    bool v4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
    assert_true(v4 || inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
    assert_true(census_key(v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6, &key));
    return key;
}

static void counts_by_address(void **state)
{
    assert_int_equal(key_of("10.0.0.1"), key_of("::ffff:10.0.0.1"));
    assert_int_not_equal(key_of("10.0.0.1"), key_of("10.0.0.2"));
    assert_int_equal(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ffff::2"));
    assert_int_not_equal(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:3::1"));
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    uint64_t key;
    assert_false(census_key((struct sockaddr *)&un, &key));

    enum { ADDRESSES = 3000 };
    struct conn_census *census = NULL;
    assert_int_equal(conn_census_create(&census), ST_OK);
    for (int round = 0; round < 3; round++) {
        for (uint64_t a = 0; a < ADDRESSES; a++) {
            assert_true(census_enter(census, &a, 2 * ADDRESSES + 1, 2));
            assert_true(census_enter(census, &a, 2 * ADDRESSES + 1, 2));
            assert_false(census_enter(census, &a, 2 * ADDRESSES + 1, 2));
        }
        assert_true(census_enter(census, NULL, 2 * ADDRESSES + 1, 2));
        assert_false(census_enter(census, NULL, 2 * ADDRESSES + 1, 2));
        census_leave(census, NULL);
        for (uint64_t i = 0; i < 2 * ADDRESSES; i++) {
            uint64_t a = i * 7 % ADDRESSES; /* in another order, so that runs of slots close up */
            census_leave(census, &a);
        }
    }
    conn_census_destroy(&census);
}

static void survives_want_of_descriptors(void **state)
{
    struct rig *r = rig_open(&rig_conf);
    struct client *c = client_open(r), *over = client_open(r);
    struct rlimit before, now;
    getrlimit(RLIMIT_NOFILE, &before);
    settle(r);
    client_close(over);
    WAIT_FOR(r, http_server_conns(r->server) == 1);
    over = client_open(r); /* waits in the queue of the listening socket */
    int top = dup(0);
    close(top);
    now = before;
    now.rlim_cur = (rlim_t)top;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int rc = dup(0);
    if (rc >= 0)
        close(rc);
    assert_int_equal(rc, -1);
    WAIT_FOR(r, client_ended(over));
    assert_alive(c);
    /* Nothing waits any more, so nothing may keep the loop awake. */
    settle(r);
    assert_int_equal(http_server_conns(r->server), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct client *next = client_open(r);
    assert_alive(next);
    client_close(next);
    client_close(over);
    client_close(c);
    rig_close(r);
}

static void opens_listening_sockets(void **state)
{
    static const struct {
        const char *address, *bound; /* bound up to the port */
        enum status st;
    } rows[] = {
        {"127.0.0.1:0", "127.0.0.1:", ST_OK},
        {"localhost:0", "", ST_OK},
        {":0", "", ST_OK},
        {"127.0.0.1", "", ST_INVALID_REQUEST},
        {"127.0.0.1:", "", ST_INVALID_REQUEST},
        {"127.0.0.1:http", "", ST_INVALID_REQUEST},
        {"::1:0", "", ST_INVALID_REQUEST},
        {"[::1:0", "", ST_INVALID_REQUEST},
        {"unix:", "", ST_INVALID_REQUEST},
        {"unix:/nonexistent/folder/socket", "", ST_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int fd = -1;
        char bound[64] = "", error[200] = "";
        enum status st =
            http_listen_socket(rows[i].address, &fd, bound, sizeof(bound), error, sizeof(error));
        if (st != rows[i].st)
            fail_msg("%s: %s", rows[i].address, error);
        assert_int_equal(st == ST_OK, error[0] == '\0');
        assert_int_equal(strncmp(bound, rows[i].bound, strlen(rows[i].bound)), 0);
        if (st == ST_OK)
            close(fd);
    }
}

static void takes_over_a_dead_unix_socket_only(void **state)
{
    char folder[] = "/tmp/snapup-http-XXXXXX", address[64], bound[64], error[200];
    assert_non_null(mkdtemp(folder));
    snprintf(address, sizeof(address), "unix:%s/socket", folder);
    int first = -1, second = -1;
    assert_int_equal(
        http_listen_socket(address, &first, bound, sizeof(bound), error, sizeof(error)), ST_OK);
    assert_string_equal(bound, address);
    assert_int_equal(http_listen_socket(address, &second, NULL, 0, error, sizeof(error)),
                     ST_UNAVAILABLE);
    close(first);
    assert_int_equal(http_listen_socket(address, &second, NULL, 0, error, sizeof(error)), ST_OK);
    close(second);
    unlink(address + 5);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_reading_at_pipeline_max),
        cmocka_unit_test(stops_reading_at_output_max),
        cmocka_unit_test(leaves_bytes_to_the_kernel),
        cmocka_unit_test(header_deadline_is_not_put_off),
        cmocka_unit_test(an_empty_line_starts_no_header),
        cmocka_unit_test(body_deadline_answers),
        cmocka_unit_test(idle_deadline_closes_silently),
        cmocka_unit_test(write_deadline_drops_who_does_not_read),
        cmocka_unit_test(survives_the_peer),
        cmocka_unit_test(closes_between_answer_and_flush),
        cmocka_unit_test(answers_before_a_half_close_arrive),
        cmocka_unit_test(lingers_after_a_refusal),
        cmocka_unit_test(lingers_only_so_long),
        cmocka_unit_test(keeps_the_caps),
        cmocka_unit_test(counts_by_address),
        cmocka_unit_test(survives_want_of_descriptors),
        cmocka_unit_test(opens_listening_sockets),
        cmocka_unit_test(takes_over_a_dead_unix_socket_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
