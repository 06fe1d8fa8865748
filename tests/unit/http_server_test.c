#include "http_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static int setup(void **state)
{
    *state = rig_open(&rig_conf);
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void answers_with_its_headers(void **state)
{
    struct client *c = client_open(*state);
    struct reply *reply = client_ask(c, GET("/items/a%20b"));
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "a b");
    assert_int_equal(strncmp(reply->head, "HTTP/1.1 200 OK\r\nDate: ", 23), 0);
    assert_non_null(strstr(reply->head, " GMT\r\nX-Request-Id: req_"));
    assert_non_null(strstr(reply->head, "\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"));
    assert_null(strstr(reply->head, "Connection:"));
    assert_null(strstr(reply->head, "Idempotent-Replayed"));
    assert_alive(c);
    client_close(c);
}

static void names_requests(void **state)
{
    static const struct {
        const char *wish;
        bool kept;
    } rows[] = {
        {"order-1.a:B_2", true},
        {"0123456789012345678901234567890123456789012345678901234567890123", true},
        {"01234567890123456789012345678901234567890123456789012345678901234", false},
        {"", false},
        {"a b", false},
        {"a\"b", false},
    };
    struct client *c = client_open(*state);
    char request[256], line[128], last[64] = "";
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        snprintf(request, sizeof(request),
                 "GET /hello HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\n\r\n", rows[i].wish);
        struct reply *reply = client_ask(c, request);
        snprintf(line, sizeof(line), "\r\nX-Request-Id: %s\r\n", rows[i].wish);
        assert_int_equal(strstr(reply->head, line) != NULL, rows[i].kept);
        if (rows[i].kept)
            continue;
        const char *ours = strstr(reply->head, "X-Request-Id: req_");
        assert_non_null(ours);
        assert_int_equal(strcspn(ours, "\r"), strlen("X-Request-Id: req_") + 16);
        assert_int_not_equal(strncmp(ours, last, strcspn(ours, "\r")), 0);
        snprintf(last, sizeof(last), "%.*s", (int)strcspn(ours, "\r"), ours);
    }
    client_close(c);
}

static void answers_head_without_a_body(void **state)
{
    struct client *c = client_open(*state);
    struct reply *reply = client_ask(c, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(reply->status, 200);
    assert_non_null(strstr(reply->head, "Content-Length: 5\r\n"));
    reply = client_ask(c, "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(reply->status, 404);
    assert_alive(c);
    client_close(c);
}

static void keeps_or_closes_as_asked(void **state)
{
    static const struct {
        const char *request, *line;
        bool kept;
    } rows[] = {
        {"GET /hello HTTP/1.0\r\n\r\n", "Connection: close\r\n", false},
        {"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive\r\n",
         true},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "Connection: close\r\n",
         false},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct client *c = client_open(*state);
        struct reply *reply = client_ask(c, rows[i].request);
        assert_non_null(strstr(reply->head, rows[i].line));
        assert_string_equal(reply->body, "hello");
        if (rows[i].kept)
            assert_alive(c);
        else
            assert_closed(c);
        client_close(c);
    }
}

static void nothing_follows_a_close(void **state)
{
    struct rig *r = *state;
    struct client *c = client_open(r);
    struct reply *reply =
        client_ask(c, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/hello"));
    assert_int_equal(reply->status, 200);
    assert_closed(c);
    assert_int_equal(r->requests, 1);
    client_close(c);
}

static void refuses_what_has_no_route(void **state)
{
    struct client *c = client_open(*state);
    assert_int_equal(client_ask(c, GET("/none"))->status, 404);
    struct reply *reply = client_ask(c, "DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(reply->status, 405);
    assert_non_null(strstr(reply->head, "\r\nAllow: POST, PUT\r\n"));
    reply = client_ask(c, "BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(reply->status, 405);
    assert_non_null(strstr(reply->head, "\r\nAllow: GET, HEAD\r\n"));
    assert_alive(c);
    /* Its body would have to be read to find the next request. */
    reply = client_ask(c, "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
    assert_int_equal(reply->status, 404);
    assert_non_null(strstr(reply->head, "Connection: close\r\n"));
    assert_closed(c);
    client_close(c);
}

#define PREFIX "POST /echo HTTP/1.1\r\nHost: a\r\n"
#define X64    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256   X64 X64 X64 X64

static const struct {
    const char *what, *text;
    int status;
} refusals[] = {
    {"TE and CL", PREFIX "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"gzip, chunked", PREFIX "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    {"two lengths", PREFIX "Content-Length: 0\r\nContent-Length: 50\r\n\r\n", 400},
    {"signed length", PREFIX "Content-Length: +5\r\n\r\nhello", 400},
    {"listed length", PREFIX "Content-Length: 5, 5\r\n\r\nhello", 400},
    {"space before colon", PREFIX "Content-Length : 50\r\n\r\n", 400},
    {"folded", PREFIX "X: a\r\n Content-Length: 50\r\n\r\n", 400},
    {"bare LF", PREFIX "X: a\nContent-Length: 50\r\n\r\n", 400},
    {"bare CR", PREFIX "X: a\rContent-Length: 50\r\n\r\n", 400},
    {"two hosts", PREFIX "Host: b\r\n\r\n", 400},
    {"no host", "GET /hello HTTP/1.1\r\n\r\n", 400},
    {"other authority", "GET http://b/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"two credentials", PREFIX "Authorization: a\r\nAuthorization: b\r\n\r\n", 400},
    {"HEAD with a body", "HEAD /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n", 413},
    {"GET with a body", "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n", 413},
    {"GET with chunks", "GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
     413},
    {"large body", PREFIX "Content-Length: 1001\r\n\r\n", 413},
    {"large chunk", PREFIX "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413},
    {"bad chunk", PREFIX "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", 400},
    {"framing trailer", PREFIX "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 40\r\n\r\n",
     400},
    {"HTTP/2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"long line", "GET /" X256 " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
    {"large head", PREFIX "X: " X256 X256 X256 X256 "\r\n\r\n", 431},
    {"many headers",
     PREFIX "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n"
            "a:\r\na:\r\na:\r\na:\r\na:\r\n\r\n",
     431},
    {"unknown expectation", PREFIX "Expect: tea\r\nContent-Length: 1\r\n\r\nx", 417},
    {"bad encoding", GET("/items/%zz"), 400},
    {"not HTTP", "\x16\x03\x01", 400},
};

/* A second request rides behind each: it must never be answered, nor seen. */
static void refuses_and_closes(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        char text[2048];
        snprintf(text, sizeof(text), "%s" GET("/hello"), refusals[i].text);
        struct client *c = client_open(r);
        struct reply reply;
        client_send(c, text);
        client_reply(c, strncmp(text, "HEAD", 4) == 0, &reply);
        if (reply.status != refusals[i].status)
            fail_msg("%s: %d", refusals[i].what, reply.status);
        assert_non_null(strstr(reply.head, "\r\nConnection: close\r\n"));
        assert_closed(c);
        client_close(c);
        assert_int_equal(r->requests, 0);
        assert_int_equal(r->refusals, i + 1);
        assert_int_equal(r->done, i + 1);
    }
}

static void answers_pipelined_requests_in_order(void **state)
{
    struct rig *r = *state;
    struct client *c = client_open(r);
    struct reply reply;
    client_send(c, GET("/hold") GET("/hello") GET("/hold") GET("/items/4") GET("/hold"));
    WAIT_FOR(r, r->held_count == 3);
    settle(r);
    client_read(c);
    assert_int_equal(c->n, 0);
    answer_text(r->held[1], 200, STR("third"));
    settle(r);
    client_read(c);
    assert_int_equal(c->n, 0);
    answer_text(r->held[0], 200, STR("first"));
    static const char *const bodies[] = {"first", "hello", "third", "4"};
    for (size_t i = 0; i < 4; i++) {
        client_reply(c, false, &reply);
        assert_string_equal(reply.body, bodies[i]);
    }
    assert_int_equal(http_server_busy(r->server), 1);
    answer_text(r->held[2], 200, STR("fifth"));
    client_reply(c, false, &reply);
    assert_string_equal(reply.body, "fifth");
    assert_int_equal(http_server_busy(r->server), 0);
    client_close(c);
}

static const char with_length[] = "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"
                                  "hello world";
static const char with_chunks[] =
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: v\r\n\r\n";

static void reads_requests_cut_anywhere(void **state)
{
    static const char *const texts[] = {with_length, with_chunks};
    struct client *c = client_open(*state);
    struct reply reply;
    for (size_t t = 0; t < 2; t++) {
        size_t n = strlen(texts[t]);
        for (size_t cut = 1; cut < n; cut++) {
            client_send_n(c, texts[t], cut);
            settle(*state);
            /* The piece behind the cut brings a whole request along. */
            client_send_n(c, texts[t] + cut, n - cut);
            client_send(c, GET("/hello"));
            client_reply(c, false, &reply);
            assert_int_equal(reply.status, 200);
            assert_string_equal(reply.body, "hello world");
            client_reply(c, false, &reply);
            assert_string_equal(reply.body, "hello");
        }
    }
    client_close(c);
}

static void reads_requests_byte_by_byte(void **state)
{
    static const char *const texts[] = {with_length, with_chunks};
    struct client *c = client_open(*state);
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < strlen(texts[t]); i++)
            client_send_n(c, texts[t] + i, 1);
        assert_string_equal(client_ask(c, "")->body, "hello world");
    }
    client_close(c);
}

static void reads_large_bodies(void **state)
{
    struct rig *r = *state;
    struct client *c = client_open(r);
    enum { N = 15000, CHUNKS = 150 };
    char *text = malloc(40 * N);
    int n = sprintf(text, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", N);
    memset(text + n, 'q', N);
    client_send_n(c, text, (size_t)n + N);
    assert_int_equal(client_ask(c, "")->body_len, N);
    n = sprintf(text, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < CHUNKS; i++)
        n += sprintf(text + n, "64\r\n%0100d\r\n", i);
    n += sprintf(text + n, "0\r\n\r\n");
    client_send_n(c, text, (size_t)n);
    struct reply *reply = client_ask(c, "");
    assert_int_equal(reply->body_len, N);
    for (int i = 0; i < CHUNKS; i++)
        assert_int_equal(atoi(strndupa(reply->body + 100 * i, 100)), i);
    assert_alive(c);
    free(text);
    client_close(c);
}

static const char expecting[] =
    "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

static void says_continue_when_the_body_waits(void **state)
{
    struct client *c = client_open(*state);
    struct reply reply;
    client_send(c, expecting);
    client_reply(c, false, &reply);
    assert_string_equal(reply.head, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(c, "hel");
    settle(*state);
    assert_string_equal(client_ask(c, "lo")->body, "hello");
    client_close(c);
}

static void says_no_continue_without_need(void **state)
{
    struct rig *r = *state;
    struct client *c = client_open(r);
    struct reply reply;
    char text[256];
    snprintf(text, sizeof(text), "%sh", expecting); /* the body has begun */
    client_send(c, text);
    settle(r);
    assert_int_equal(client_ask(c, "ello")->status, 200);
    client_send(c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"); /* no body */
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 200);
    client_send(c, "POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 5\r\n\r\n"); /* not acceptable */
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 404);
    assert_closed(c);
    client_close(c);
    c = client_open(r);
    client_send(c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 5000\r\n\r\n");
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 413);
    assert_closed(c);
    client_close(c);
}

static void continue_waits_for_earlier_answers(void **state)
{
    struct rig *r = *state;
    struct client *c = client_open(r);
    struct reply reply;
    client_send(c, GET("/hold"));
    client_send(c, expecting);
    WAIT_FOR(r, r->held_count == 1);
    settle(r);
    client_read(c);
    assert_int_equal(c->n, 0);
    answer_text(r->held[0], 200, STR("held"));
    client_reply(c, false, &reply);
    assert_string_equal(reply.body, "held");
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 100);
    assert_string_equal(client_ask(c, "hello")->body, "hello");
    client_close(c);
}

static void writes_what_the_answer_says(void **state)
{
    struct rig *r = *state;
    struct client *c = client_open(r);
    struct reply reply;
    client_send(c, GET("/hold") GET("/hold") GET("/hold"));
    WAIT_FOR(r, r->held_count == 3);
    assert_null(r->held[0]->head);
    r->held[0]->replayed = true;
    exchange_answer(r->held[0], &(struct answer){.status = 201,
                                                 .content_type = "application/json",
                                                 .headers = STR("Location: /x\r\nA: b\r\n"),
                                                 .body = STR("{}")});
    exchange_answer(r->held[1], &(struct answer){.status = 304, .headers = STR("ETag: \"x\"\r\n")});
    exchange_answer(r->held[2], &(struct answer){.status = 299});
    client_reply(c, false, &reply);
    assert_int_equal(strncmp(reply.head, "HTTP/1.1 201 Created\r\n", 22), 0);
    assert_non_null(strstr(reply.head, "\r\nIdempotent-Replayed: true\r\n"));
    assert_non_null(strstr(reply.head, "\r\nLocation: /x\r\nA: b\r\n\r\n"));
    assert_string_equal(reply.body, "{}");
    client_reply(c, false, &reply);
    assert_int_equal(reply.status, 304);
    assert_null(strstr(reply.head, "Content-Length"));
    assert_null(strstr(reply.head, "Content-Type"));
    client_reply(c, false, &reply);
    assert_int_equal(strncmp(reply.head, "HTTP/1.1 299 \r\n", 15), 0);
    assert_non_null(strstr(reply.head, "\r\nContent-Length: 0\r\n"));
    client_close(c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_with_its_headers),
        TEST(names_requests),
        TEST(answers_head_without_a_body),
        TEST(keeps_or_closes_as_asked),
        TEST(nothing_follows_a_close),
        TEST(refuses_what_has_no_route),
        TEST(refuses_and_closes),
        TEST(answers_pipelined_requests_in_order),
        TEST(reads_requests_cut_anywhere),
        TEST(reads_requests_byte_by_byte),
        TEST(reads_large_bodies),
        TEST(says_continue_when_the_body_waits),
        TEST(says_no_continue_without_need),
        TEST(continue_waits_for_earlier_answers),
        TEST(writes_what_the_answer_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
