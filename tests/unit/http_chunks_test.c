#include "net/http_parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

enum { BODY_MAX = 64 };

struct outcome {
    enum http_progress progress;
    struct http_chunks c;
    enum status st;
    const char *why;
};

/* Feeds the bytes in two pieces, cut at `cut`. */
static struct outcome feed(char *data, size_t n, size_t cut)
{
    struct outcome o = {0};
    o.progress = http_parse_chunks(data, cut, BODY_MAX, &o.c, &o.st, &o.why);
    if (o.progress == HTTP_MORE)
        o.progress = http_parse_chunks(data, n, BODY_MAX, &o.c, &o.st, &o.why);
    return o;
}

static struct outcome feed_slowly(char *data, size_t n)
{
    struct outcome o = {.progress = HTTP_MORE};
    for (size_t i = 0; i <= n && o.progress == HTTP_MORE; i++)
        o.progress = http_parse_chunks(data, i, BODY_MAX, &o.c, &o.st, &o.why);
    return o;
}

#define E64 "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define T64 "X: tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt\r\n"
#define T1K T64 T64 T64 T64 T64 T64 T64 T64 T64 T64 T64 T64 T64 T64 T64

struct row {
    const char *text, *body;
    size_t rest; /* bytes after the body */
};

static const struct row good[] = {
    {"0\r\n\r\n", "", 0},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", 5},
    {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
    {"a;n=\"v\"\r\n0123456789\r\n000\r\n\r\n", "0123456789", 0},
    {"0000000000000002\r\nok\r\n0\r\n\r\n", "ok", 0},
    {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0},
    {"2;" E64 E64 E64 E64 "\r\nok\r\n0\r\n\r\n", "ok", 0},
    {"2\r\nok\r\n0\r\nDigest: x\r\nX-Time:1\r\n\r\nG", "ok", 1},
    {"1\r\nx\r\n0\r\n" T1K "\r\n", "x", 0},
    {"40\r\n" E64 "\r\n0\r\n\r\n", E64, 0},
};

static void decodes_at_every_cut(void **state)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        const struct row *r = &good[i];
        size_t n = strlen(r->text);
        for (size_t cut = 0; cut <= n + 1; cut++) {
            char *data = strdup(r->text);
            struct outcome o = cut <= n ? feed(data, n, cut) : feed_slowly(data, n);
            if (o.progress != HTTP_DONE)
                fail_msg("row %zu cut at %zu: %s", i, cut, o.why ? o.why : "wants more");
            assert_int_equal(o.c.out, strlen(r->body));
            assert_memory_equal(data, r->body, o.c.out);
            assert_int_equal(n - o.c.in, r->rest);
            free(data);
        }
    }
}

static const struct {
    const char *what, *text;
    enum status st;
} bad[] = {
    {"no size", "\r\nhello\r\n0\r\n\r\n", ST_INVALID_REQUEST},
    {"no digit", "g\r\n", ST_INVALID_REQUEST},
    {"prefix", "0x5\r\nhello\r\n", ST_INVALID_REQUEST},
    {"sign", "+5\r\nhello\r\n", ST_INVALID_REQUEST},
    {"minus", "-1\r\n", ST_INVALID_REQUEST},
    {"space before", " 5\r\nhello\r\n", ST_INVALID_REQUEST},
    {"space after", "5 \r\nhello\r\n", ST_INVALID_REQUEST},
    {"17 digits", "00000000000000005\r\nhello\r\n", ST_INVALID_REQUEST},
    {"bare LF after size", "5\nhello\r\n", ST_INVALID_REQUEST},
    {"bare CR after size", "5\rhello\r\n", ST_INVALID_REQUEST},
    {"bare LF after extension", "5;a\nhello\r\n", ST_INVALID_REQUEST},
    {"control in extension", "5;a\x01\r\nhello\r\n", ST_INVALID_REQUEST},
    {"long extension", "2;" E64 E64 E64 E64 "e\r\nok\r\n", ST_INVALID_REQUEST},
    {"long extensions", "1;" E64 E64 E64 E64 "\r\nx\r\n1;e\r\ny\r\n", ST_INVALID_REQUEST},
    {"data too long", "5\r\nhello!\r\n", ST_INVALID_REQUEST},
    {"bare LF after data", "5\r\nhello\n0\r\n\r\n", ST_INVALID_REQUEST},
    {"bare CR after data", "5\r\nhello\r0\r\n\r\n", ST_INVALID_REQUEST},
    {"bare LF after trailer", "0\r\nX: a\n\r\n", ST_INVALID_REQUEST},
    {"bare LF at the end", "0\r\n\n", ST_INVALID_REQUEST},
    {"folded trailer", "0\r\nX: a\r\n b\r\n\r\n", ST_INVALID_REQUEST},
    {"space before colon", "0\r\nX : a\r\n\r\n", ST_INVALID_REQUEST},
    {"bare CR in trailer", "0\r\nX: a\rb\r\n\r\n", ST_INVALID_REQUEST},
    {"no colon in trailer", "0\r\nGET / HTTP/1.1\r\n\r\n", ST_INVALID_REQUEST},
    {"framing trailer", "0\r\nContent-Length: 5\r\n\r\n", ST_INVALID_REQUEST},
    {"coding trailer", "0\r\nTRANSFER-ENCODING: chunked\r\n\r\n", ST_INVALID_REQUEST},
    {"credential trailer", "0\r\nAuthorization: Bearer x\r\n\r\n", ST_INVALID_REQUEST},
    {"large trailer", "0\r\n" T1K T64 T64 "\r\n", ST_INVALID_REQUEST},
    {"over the cap", "41\r\n", ST_BODY_TOO_LARGE},
    {"over the cap together", "40\r\n" E64 "\r\n1\r\nx\r\n0\r\n\r\n", ST_BODY_TOO_LARGE},
    {"2^64 - 1", "ffffffffffffffff\r\n", ST_BODY_TOO_LARGE},
    {"over 2^64", "1ffffffffffffffff\r\n", ST_BODY_TOO_LARGE},
};

static void refuses_at_every_cut(void **state)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        size_t n = strlen(bad[i].text);
        for (size_t cut = 0; cut <= n + 1; cut++) {
            char *data = strdup(bad[i].text);
            struct outcome o = cut <= n ? feed(data, n, cut) : feed_slowly(data, n);
            if (o.progress != HTTP_BAD || o.st != bad[i].st)
                fail_msg("%s, cut at %zu: progress %d", bad[i].what, cut, (int)o.progress);
            free(data);
        }
    }
}

/* Dropping the gap between the decoded and the undecoded bytes, as a connection does to keep its
 * buffer small, changes nothing. */
static void may_be_compacted_between_calls(void **state)
{
    static const char text[] = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX: trailer\r\n\r\n";
    char data[sizeof(text)];
    size_t n = 0;
    struct outcome o = {.progress = HTTP_MORE};
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        assert_int_equal(o.progress, HTTP_MORE);
        data[n++] = text[i];
        o.progress = http_parse_chunks(data, n, BODY_MAX, &o.c, &o.st, &o.why);
        memmove(data + o.c.out, data + o.c.in, n - o.c.in);
        n -= o.c.in - o.c.out;
        o.c.in = o.c.out;
    }
    assert_int_equal(o.progress, HTTP_DONE);
    assert_int_equal(n, 11);
    assert_memory_equal(data, "hello world", 11);
}

static void an_empty_allowance_takes_only_an_empty_body(void **state)
{
    char none[] = "0\r\n\r\n", one[] = "1\r\nx\r\n0\r\n\r\n";
    struct outcome o = {0};
    assert_int_equal(http_parse_chunks(none, 5, 0, &o.c, &o.st, &o.why), HTTP_DONE);
    o = (struct outcome){0};
    assert_int_equal(http_parse_chunks(one, 11, 0, &o.c, &o.st, &o.why), HTTP_BAD);
    assert_int_equal(o.st, ST_BODY_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_at_every_cut),
        cmocka_unit_test(refuses_at_every_cut),
        cmocka_unit_test(may_be_compacted_between_calls),
        cmocka_unit_test(an_empty_allowance_takes_only_an_empty_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
