#include "net/http_parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static const struct http_limits limits = {256, 1024, 12};

struct outcome {
    enum http_progress progress;
    struct http_head head;
    size_t used;
    enum status st;
    const char *why;
};

static struct outcome parse(const char *data, size_t n)
{
    struct outcome o = {0};
    size_t scanned = 0;
    o.progress = http_parse_head(data, n, &limits, &scanned, &o.head, &o.used, &o.st, &o.why);
    return o;
}

static struct outcome parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static void assert_str(struct str got, const char *wanted)
{
    assert_int_equal(got.n, strlen(wanted));
    assert_memory_equal(got.p, wanted, got.n);
}

/* As the bytes of a slow client would arrive: one more with each call. */
static struct outcome parse_slowly(const char *data, size_t n)
{
    struct outcome o = {.progress = HTTP_MORE};
    size_t scanned = 0;
    for (size_t i = 0; i <= n && o.progress == HTTP_MORE; i++)
        o.progress = http_parse_head(data, i, &limits, &scanned, &o.head, &o.used, &o.st, &o.why);
    return o;
}

#define HEAD(rest) "GET / HTTP/1.1\r\nHost: a\r\n" rest "\r\n"
#define X64        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256       X64 X64 X64 X64

struct refused {
    const char *what;
    const char *text;
    enum status st;
};

static const struct refused refusals[] = {
    /* framing: the ways to smuggle */
    {"TE and CL", HEAD("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), ST_INVALID_REQUEST},
    {"CL and TE", HEAD("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ST_INVALID_REQUEST},
    {"coding before chunked", HEAD("Transfer-Encoding: gzip, chunked\r\n"), ST_CODING},
    {"coding after chunked", HEAD("Transfer-Encoding: chunked, gzip\r\n"), ST_CODING},
    {"chunked twice", HEAD("Transfer-Encoding: chunked, chunked\r\n"), ST_CODING},
    {"TE identity", HEAD("Transfer-Encoding: identity\r\n"), ST_CODING},
    {"TE with parameter", HEAD("Transfer-Encoding: chunked;q=1\r\n"), ST_CODING},
    {"TE look-alike", HEAD("Transfer-Encoding: xchunked\r\n"), ST_CODING},
    {"TE empty", HEAD("Transfer-Encoding:\r\n"), ST_CODING},
    {"TE vertical tab",
     HEAD("Transfer-Encoding: \x0b"
          "chunked\r\n"),
     ST_INVALID_REQUEST},
    {"TE repeated", HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     ST_INVALID_REQUEST},
    {"TE in 1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ST_INVALID_REQUEST},
    {"CL repeated", HEAD("Content-Length: 5\r\nContent-Length: 5\r\n"), ST_INVALID_REQUEST},
    {"CL differing", HEAD("Content-Length: 5\r\nContent-Length: 6\r\n"), ST_INVALID_REQUEST},
    {"CL list", HEAD("Content-Length: 5, 5\r\n"), ST_INVALID_REQUEST},
    {"CL plus", HEAD("Content-Length: +5\r\n"), ST_INVALID_REQUEST},
    {"CL minus", HEAD("Content-Length: -5\r\n"), ST_INVALID_REQUEST},
    {"CL hex", HEAD("Content-Length: 0x5\r\n"), ST_INVALID_REQUEST},
    {"CL fraction", HEAD("Content-Length: 5.0\r\n"), ST_INVALID_REQUEST},
    {"CL octal look", HEAD("Content-Length: 010\r\n"), ST_INVALID_REQUEST},
    {"CL inner space", HEAD("Content-Length: 5 5\r\n"), ST_INVALID_REQUEST},
    {"CL empty", HEAD("Content-Length:\r\n"), ST_INVALID_REQUEST},
    {"CL over 2^64", HEAD("Content-Length: 18446744073709551621\r\n"), ST_INVALID_REQUEST},
    {"obs-fold", HEAD("X: a\r\n b\r\n"), ST_INVALID_REQUEST},
    {"obs-fold of CL", HEAD("Content-Length: 1\r\n\t0\r\n"), ST_INVALID_REQUEST},
    {"fold first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", ST_INVALID_REQUEST},
    {"space before colon", HEAD("Content-Length : 5\r\n"), ST_INVALID_REQUEST},
    {"tab before colon", HEAD("Transfer-Encoding\t: chunked\r\n"), ST_INVALID_REQUEST},
    {"no colon", HEAD("Content-Length\r\n"), ST_INVALID_REQUEST},
    {"no name", HEAD(": 5\r\n"), ST_INVALID_REQUEST},
    {"odd byte in name", HEAD("Content\x01-Length: 5\r\n"), ST_INVALID_REQUEST},
    {"high byte in name", HEAD("Content-Length\xc2\xa0: 5\r\n"), ST_INVALID_REQUEST},
    {"bare LF after line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"bare LF after header", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", ST_INVALID_REQUEST},
    {"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", ST_INVALID_REQUEST},
    {"bare CR in value", HEAD("X: a\rContent-Length: 5\r\n"), ST_INVALID_REQUEST},
    {"bare CR starts a line", HEAD("\rX: a\r\n"), ST_INVALID_REQUEST},
    {"CR CR LF", HEAD("X: a\r\r\n"), ST_INVALID_REQUEST},
    {"bare CR in request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"DEL in value",
     HEAD("X: a\x7f"
          "b\r\n"),
     ST_INVALID_REQUEST},
    {"control in long value", HEAD("X: 0123456789abcdef\x02xyz\r\n"), ST_INVALID_REQUEST},
    {"Host repeated", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"Host missing", "GET / HTTP/1.1\r\nX: a\r\n\r\n", ST_INVALID_REQUEST},
    {"Host empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", ST_INVALID_REQUEST},
    {"Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", ST_INVALID_REQUEST},
    {"Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ST_INVALID_REQUEST},
    {"Host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ST_INVALID_REQUEST},
    {"Host with odd port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", ST_INVALID_REQUEST},
    {"Host with half an address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ST_INVALID_REQUEST},
    {"another authority", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"authority with user", "GET http://a@a/ HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"authority empty", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"Authorization repeated", HEAD("Authorization: a\r\nauthorization: b\r\n"),
     ST_INVALID_REQUEST},
    {"key repeated", HEAD("Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), ST_INVALID_REQUEST},
    {"shopper repeated", HEAD("Snapup-Shopper: a\r\nSnapup-Shopper: b\r\n"), ST_INVALID_REQUEST},
    {"Expect repeated", HEAD("Expect: 100-continue\r\nExpect: x\r\n"), ST_INVALID_REQUEST},
    /* request line */
    {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"tab for space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"no version", "GET /\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"version cut", "GET / HTTP/1\r\n\r\n", ST_INVALID_REQUEST},
    {"version long", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"0.9 in dress", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", ST_HTTP_VERSION},
    {"1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", ST_HTTP_VERSION},
    {"2.0 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ST_INVALID_REQUEST},
    {"2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", ST_HTTP_VERSION},
    {"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"high byte in target", "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"authority form", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"relative", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"method with separator", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"three blank lines first", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
     ST_INVALID_REQUEST},
    {"bare CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ST_INVALID_REQUEST},
    {"TLS", "\x16\x03\x01\x02", ST_INVALID_REQUEST},
    /* limits */
    {"long line", "GET /" X256 " HTTP/1.1\r\nHost: a\r\n\r\n", ST_URI_TOO_LONG},
    {"endless line", "GET /" X256, ST_URI_TOO_LONG},
    {"large head", HEAD("X: " X256 X256 X256 X256 "\r\n"), ST_HEADERS_TOO_LARGE},
    {"endless head", "GET / HTTP/1.1\r\nX: " X256 X256 X256 X256, ST_HEADERS_TOO_LARGE},
    {"13 headers",
     HEAD("a:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\n"
          "a:b\r\n"),
     ST_HEADERS_TOO_LARGE},
};

static void refuses_what_has_no_single_meaning(void **state)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const struct refused *r = &refusals[i];
        struct outcome o = parse_text(r->text), slow = parse_slowly(r->text, strlen(r->text));
        if (o.progress != HTTP_BAD || o.st != r->st)
            fail_msg("%s: progress %d, status %s", r->what, (int)o.progress,
                     status_info(o.st)->name);
        if (slow.progress != HTTP_BAD || slow.st != o.st || slow.why != o.why)
            fail_msg("%s: byte by byte it is %d, status %s", r->what, (int)slow.progress,
                     status_info(slow.st)->name);
        assert_non_null(o.why);
    }
}

static void refuses_nul_anywhere(void **state)
{
    static const char text[] = HEAD("Content-Length: 5\r\nX: y\r\n");
    size_t n = sizeof(text) - 1;
    for (size_t i = 0; i < n; i++) {
        char data[sizeof(text)];
        memcpy(data, text, n);
        data[i] = '\0';
        struct outcome o = parse(data, n);
        /* Inside the last line ends it, it leaves the head without end and so unaccepted. */
        assert_true(o.progress == HTTP_BAD || (i >= n - 4 && o.progress == HTTP_MORE));
    }
}

static void reads_a_request(void **state)
{
    struct outcome o = parse_text("POST /v1/orders?a=1&b=%20 HTTP/1.1\r\n"
                                  "HOST: Shop.example:8080\r\n"
                                  "content-length: 42\r\n"
                                  "X-Unknown: one\r\nX-Unknown: two\r\n"
                                  "Idempotency-Key: \t k e y \xe4 \t \r\n"
                                  "Prefer:\r\n"
                                  "Authorization:Bearer a.b.c\r\n\r\nrest");
    assert_int_equal(o.progress, HTTP_DONE);
    assert_int_equal(o.head.method, HTTP_POST);
    assert_str(o.head.method_text, "POST");
    assert_str(o.head.path, "/v1/orders");
    assert_str(o.head.query, "a=1&b=%20");
    assert_int_equal(o.head.minor, 1);
    assert_true(o.head.keep_alive);
    assert_false(o.head.chunked);
    assert_false(o.head.expect_continue);
    assert_int_equal(o.head.content_length, 42);
    assert_str(o.head.header[HH_HOST], "Shop.example:8080");
    assert_str(o.head.header[HH_IDEMPOTENCY_KEY], "k e y \xe4");
    assert_str(o.head.header[HH_AUTHORIZATION], "Bearer a.b.c");
    assert_non_null(o.head.header[HH_PREFER].p);
    assert_int_equal(o.head.header[HH_PREFER].n, 0);
    assert_null(o.head.header[HH_EXPECT].p);
}

static void counts_the_bytes_of_a_head(void **state)
{
    const char *text = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n";
    struct outcome o = parse_text(text);
    assert_int_equal(o.progress, HTTP_DONE);
    assert_memory_equal(text + o.used, "GET /2", 6);
}

static void waits_at_every_cut(void **state)
{
    const char *text = "\r\nGET /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    size_t n = strlen(text);
    for (size_t cut = 0; cut < n; cut++) {
        struct outcome o = {0};
        size_t scanned = 0;
        assert_int_equal(
            http_parse_head(text, cut, &limits, &scanned, &o.head, &o.used, &o.st, &o.why),
            HTTP_MORE);
        assert_int_equal(
            http_parse_head(text, n, &limits, &scanned, &o.head, &o.used, &o.st, &o.why),
            HTTP_DONE);
        assert_int_equal(o.used, n);
        assert_int_equal(o.head.content_length, 3);
    }
}

static void knows_the_methods(void **state)
{
    static const struct {
        const char *text;
        enum http_method method;
    } rows[] = {
        {"GET", HTTP_GET},
        {"HEAD", HTTP_HEAD},
        {"POST", HTTP_POST},
        {"PUT", HTTP_PUT},
        {"PATCH", HTTP_PATCH},
        {"DELETE", HTTP_DELETE},
        {"OPTIONS", HTTP_OPTIONS},
        {"get", HTTP_METHOD_OTHER},
        {"TRACE", HTTP_METHOD_OTHER},
        {"M-SEARCH", HTTP_METHOD_OTHER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].text);
        struct outcome o = parse_text(text);
        assert_int_equal(o.progress, HTTP_DONE);
        assert_int_equal(o.head.method, rows[i].method);
    }
}

static void reads_targets(void **state)
{
    static const struct {
        const char *target, *host, *path, *query;
    } rows[] = {
        {"/", "a", "/", ""},
        {"/a/b?", "a", "/a/b", ""},
        {"/?a?b", "a", "/", "a?b"},
        {"//a/../b", "a", "//a/../b", ""},
        {"/%00", "a", "/%00", ""},
        {"/[x]?y[]=1", "a", "/[x]", "y[]=1"},
        {"http://a", "a", "/", ""},
        {"HTTP://A/p", "a", "/p", ""},
        {"https://a:443?q", "A:443", "/", "q"},
        {"http://[::1]:80/x?y", "[::1]:80", "/x", "y"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[128];
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", rows[i].target,
                 rows[i].host);
        struct outcome o = parse_text(text);
        assert_int_equal(o.progress, HTTP_DONE);
        assert_str(o.head.path, rows[i].path);
        assert_str(o.head.query, rows[i].query);
    }
}

static void decides_whether_to_keep_the_connection(void **state)
{
    static const struct {
        int minor;
        const char *headers;
        bool keep;
    } rows[] = {
        {1, "", true},
        {1, "Connection: close\r\n", false},
        {1, "Connection: Upgrade, CLOSE\r\n", false},
        {1, "Connection: keep-alive\r\nConnection: close\r\n", false},
        {1, "Connection: closed\r\n", true},
        {0, "", false},
        {0, "Connection: Keep-Alive\r\n", true},
        {0, "Connection: keep-alive, close\r\n", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[128];
        snprintf(text, sizeof(text), "GET / HTTP/1.%d\r\nHost: a\r\n%s\r\n", rows[i].minor,
                 rows[i].headers);
        struct outcome o = parse_text(text);
        assert_int_equal(o.progress, HTTP_DONE);
        assert_int_equal(o.head.keep_alive, rows[i].keep);
    }
}

static void reads_expectations(void **state)
{
    assert_true(parse_text(HEAD("Expect: 100-Continue\r\n")).head.expect_continue);
    struct outcome other = parse_text(HEAD("Expect: tea\r\n"));
    assert_int_equal(other.progress, HTTP_DONE);
    assert_false(other.head.expect_continue);
    assert_str(other.head.header[HH_EXPECT], "tea");
    assert_false(parse_text("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").head.expect_continue);
}

static void accepts_what_is_just_within_the_limits(void **state)
{
    char text[1400];
    int pad = 256 - (int)strlen("GET / HTTP/1.1");
    snprintf(text, sizeof(text), "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n", pad, X256);
    assert_int_equal(parse_text(text).progress, HTTP_DONE);
    snprintf(text, sizeof(text), "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n", pad + 1, X256);
    assert_int_equal(parse_text(text).st, ST_URI_TOO_LONG);

    pad = 1024 - (int)strlen(HEAD("X: \r\n"));
    snprintf(text, sizeof(text), HEAD("X: %.*s\r\n"), pad, X256 X256 X256 X256);
    assert_int_equal(parse_text(text).progress, HTTP_DONE);
    snprintf(text, sizeof(text), HEAD("X: %.*s\r\n"), pad + 1, X256 X256 X256 X256);
    assert_int_equal(parse_text(text).st, ST_HEADERS_TOO_LARGE);

    assert_int_equal(
        parse_text(
            HEAD("a:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\n"))
            .progress,
        HTTP_DONE);
    assert_int_equal(parse_text(HEAD("Content-Length: 999999999999999999\r\n")).progress,
                     HTTP_DONE);
}

static void repeated_lists_keep_the_first(void **state)
{
    struct outcome o = parse_text(HEAD("Prefer: respond-async\r\nPrefer: wait=1\r\n"
                                       "If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n"));
    assert_int_equal(o.progress, HTTP_DONE);
    assert_str(o.head.header[HH_PREFER], "respond-async");
    assert_str(o.head.header[HH_IF_NONE_MATCH], "\"a\"");
}

static void finds_every_header_of_the_table(void **state)
{
    for (enum http_header h = 0; h < HH_COUNT; h++) {
        if (h == HH_HOST || h == HH_TRANSFER_ENCODING)
            continue;
        char text[128];
        snprintf(text, sizeof(text), HEAD("%s: 7\r\n"), http_header_name(h));
        struct outcome o = parse_text(text);
        assert_int_equal(o.progress, HTTP_DONE);
        assert_str(o.head.header[h], "7");
        /* A neighbour of the name is another header. */
        text[strlen("GET / HTTP/1.1\r\nHost: a\r\n")] = '_';
        o = parse_text(text);
        assert_int_equal(o.progress, HTTP_DONE);
        assert_null(o.head.header[h].p);
    }
    assert_true(parse_text(HEAD("Transfer-Encoding: Chunked\r\n")).head.chunked);
}

static void searches_lists(void **state)
{
    static const struct {
        const char *value;
        bool has;
    } rows[] = {
        {"respond-async", true},   {"wait=5, Respond-Async", true}, {" \trespond-async\t,", true},
        {"respond-async;x", true}, {",,respond-async", true},       {"", false},
        {"respond-asyn", false},   {"respond-asyncs", false},       {"a respond-async", false},
        {"respond, async", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        assert_int_equal(http_list_has(str_from(rows[i].value), "respond-async"), rows[i].has);
    assert_false(http_list_has((struct str){0}, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_has_no_single_meaning),
        cmocka_unit_test(refuses_nul_anywhere),
        cmocka_unit_test(reads_a_request),
        cmocka_unit_test(counts_the_bytes_of_a_head),
        cmocka_unit_test(waits_at_every_cut),
        cmocka_unit_test(knows_the_methods),
        cmocka_unit_test(reads_targets),
        cmocka_unit_test(decides_whether_to_keep_the_connection),
        cmocka_unit_test(reads_expectations),
        cmocka_unit_test(accepts_what_is_just_within_the_limits),
        cmocka_unit_test(repeated_lists_keep_the_first),
        cmocka_unit_test(finds_every_header_of_the_table),
        cmocka_unit_test(searches_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
