#include "base/clock.h"
#include "net/http_priv.h"

enum {
    STATUS_LINES = 600,
    FIXED_BYTES_MAX = 384, /* all that we add but content type, headers and body */
};

/* The reasons of RFC 9110 for what we answer; anything else goes out with an empty one. */
#define STATUS_LINES_TABLE(X)                 \
    X(200, "OK")                              \
    X(201, "Created")                         \
    X(202, "Accepted")                        \
    X(204, "No Content")                      \
    X(303, "See Other")                       \
    X(304, "Not Modified")                    \
    X(400, "Bad Request")                     \
    X(401, "Unauthorized")                    \
    X(403, "Forbidden")                       \
    X(404, "Not Found")                       \
    X(405, "Method Not Allowed")              \
    X(408, "Request Timeout")                 \
    X(409, "Conflict")                        \
    X(413, "Content Too Large")               \
    X(414, "URI Too Long")                    \
    X(415, "Unsupported Media Type")          \
    X(417, "Expectation Failed")              \
    X(422, "Unprocessable Content")           \
    X(429, "Too Many Requests")               \
    X(431, "Request Header Fields Too Large") \
    X(500, "Internal Server Error")           \
    X(501, "Not Implemented")                 \
    X(503, "Service Unavailable")             \
    X(505, "HTTP Version Not Supported")

static const struct str status_lines[STATUS_LINES] = {
#define X(code, reason) [code] = STR("HTTP/1.1 " #code " " reason "\r\n"),
    STATUS_LINES_TABLE(X)
#undef X
};

static inline char *put(char *p, const char *text, size_t n)
{
    memcpy(p, text, n);
    return p + n;
}

#define PUT_LIT(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_size(char *p, size_t v)
{
    char digits[20];
    size_t n = 0;
    do
        digits[sizeof(digits) - ++n] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    return put(p, digits + sizeof(digits) - n, n);
}

static char *put_status(char *p, uint16_t status)
{
    if (status < STATUS_LINES && status_lines[status].p)
        return put(p, status_lines[status].p, status_lines[status].n);
    p = put_size(PUT_LIT(p, "HTTP/1.1 "), status);
    return PUT_LIT(p, " \r\n");
}

/* Server-Timing (W3C): milliseconds from the end of the request's head to its answer. */
static char *put_timing(char *p, const struct exchange *x)
{
    int64_t us = clock_mono_us() - x->started_us;
    size_t tenths = us > 0 ? (size_t)us / 100 : 0;
    p = put_size(PUT_LIT(p, "Server-Timing: total;dur="), tenths / 10);
    p = put_size(PUT_LIT(p, "."), tenths % 10);
    return PUT_LIT(p, "\r\n");
}

static char *put_common(char *p, const struct exchange *x, bool close)
{
    p = put(p, x->server->date_line, DATE_LINE_LEN);
    p = PUT_LIT(p, "X-Request-Id: ");
    p = put(p, x->request_id, x->request_id_len);
    p = PUT_LIT(p, "\r\n");
    if (close)
        p = PUT_LIT(p, "Connection: close\r\n");
    else if (x->http10)
        p = PUT_LIT(p, "Connection: keep-alive\r\n");
    if (x->replayed)
        p = PUT_LIT(p, "Idempotent-Replayed: true\r\n");
    return x->server->conf.server_timing ? put_timing(p, x) : p;
}

static bool has_no_content(uint16_t status)
{
    return status == 204 || status == 304;
}

void answer_write(struct buf *out, const struct exchange *x, const struct answer *a, bool close)
{
    size_t type_len = a->content_type ? strlen(a->content_type) : 0;
    size_t body_len = a->content_type ? a->body.n : 0;
    char *start = buf_reserve(out, FIXED_BYTES_MAX + type_len + a->headers.n + body_len);
    if (!start)
        return;
    char *p = put_common(put_status(start, a->status), x, close);
    if (a->content_type) {
        p = PUT_LIT(p, "Content-Type: ");
        p = put(p, a->content_type, type_len);
        p = PUT_LIT(p, "\r\n");
    }
    if (!has_no_content(a->status)) {
        p = put_size(PUT_LIT(p, "Content-Length: "), body_len);
        p = PUT_LIT(p, "\r\n");
    }
    if (a->headers.n > 0)
        p = put(p, a->headers.p, a->headers.n);
    p = PUT_LIT(p, "\r\n");
    if (body_len > 0 && !x->head_only && !has_no_content(a->status))
        p = put(p, a->body.p, body_len);
    out->len += (size_t)(p - start);
}

void answer_write_stream(struct buf *out, const struct exchange *x, struct str headers)
{
    char *start = buf_reserve(out, FIXED_BYTES_MAX + headers.n);
    if (!start)
        return;
    /* Without a length, the end of the connection is the end of the stream. */
    char *p = put_common(put_status(start, 200), x, true);
    if (headers.n > 0)
        p = put(p, headers.p, headers.n);
    p = PUT_LIT(p, "\r\n");
    out->len += (size_t)(p - start);
}
