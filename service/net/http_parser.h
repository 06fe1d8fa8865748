/* http_parser.h - strict HTTP/1.1 request heads and chunked bodies, as pure functions over bytes.
 *
 * One meaning or none: whatever RFC 9112 leaves ambiguous is refused and the connection closed
 * (research/reliability-ops.md, Smuggling): both Transfer-Encoding and Content-Length, any coding
 * but `chunked`, repeated or list-valued or signed Content-Length, repeated Host/Transfer-Encoding/
 * Authorization and other single-valued headers we read, obs-fold, white space before the colon,
 * bare LF, bare CR, NUL or other control characters, no or several Host in 1.1, an absolute-form
 * whose authority differs from Host. Knows bytes only: no sockets, no allocation, no time.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHOD_OTHER /* a valid token we do not serve (405) */
};

/* Headers that we read; all are single-valued and refused when repeated, but Connection (every line
 * is heard), Prefer, If-None-Match and Accept, which keep the first (they only relax). X(id, lower-case
 * name) */
#define HTTP_HEADER_TABLE(X)                  \
    X(HOST, "host")                           \
    X(AUTHORIZATION, "authorization")         \
    X(CONTENT_LENGTH, "content-length")       \
    X(CONTENT_TYPE, "content-type")           \
    X(TRANSFER_ENCODING, "transfer-encoding") \
    X(CONNECTION, "connection")               \
    X(EXPECT, "expect")                       \
    X(PREFER, "prefer")                       \
    X(IDEMPOTENCY_KEY, "idempotency-key")     \
    X(REQUEST_ID, "x-request-id")             \
    X(SHOPPER, "snapup-shopper")              \
    X(SIGNATURE, "stripe-signature")          \
    X(IF_NONE_MATCH, "if-none-match")         \
    X(LAST_EVENT_ID, "last-event-id")         \
    X(ACCEPT, "accept")

enum http_header {
#define X(id, name) HH_##id,
    HTTP_HEADER_TABLE(X)
#undef X
        HH_COUNT
};

struct http_head {
    enum http_method method;
    struct str method_text;
    struct str path;  /* starts with '/', still percent-encoded; of an absolute-form, its path */
    struct str query; /* after '?', may be empty */
    uint8_t minor;    /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;  /* after Connection and version */
    bool expect_continue;
    bool chunked;
    uint64_t content_length;     /* 0 when there is none */
    struct str header[HH_COUNT]; /* value without surrounding white space; p == NULL: absent */
};

struct http_limits {
    uint32_t request_line_max; /* bytes */
    uint32_t head_max;         /* request line and headers, bytes */
    uint32_t headers_max;      /* count */
};

enum http_progress { HTTP_DONE, HTTP_MORE, HTTP_BAD };

/* Reads one request head from data[0..n). HTTP_DONE: *head filled (pointing into data), *used bytes
 * consumed including the blank line. HTTP_MORE: needs bytes; *scanned remembers progress (start
 * with 0, pass it again with the longer data) so slow heads cost linear time. HTTP_BAD: *st and
 * *why say what; the connection must be closed after the answer. Leading CRLFs (at most 2) are
 * skipped. */
enum http_progress http_parse_head(const char *data, size_t n, const struct http_limits *limits,
                                   size_t *scanned, struct http_head *head, size_t *used,
                                   enum status *st, const char **why);

/* Chunked decoding in place: body bytes are moved together at the front of data. */
struct http_chunks {
    size_t in;        /* next undecoded byte */
    size_t out;       /* decoded bytes at the front of data */
    uint32_t state;   /* private */
    uint64_t left;    /* private: bytes left of the current chunk */
    uint32_t trailer; /* private: trailer bytes seen */
};

/* Decodes what has arrived; call again with more bytes and the same c (zeroed at first). HTTP_DONE:
 * the body is data[0..c->out), the next request begins at data[c->in]. HTTP_BAD: malformed, or
 * decoded length over body_max (*st ST_BODY_TOO_LARGE). Chunk extensions (<= 256 bytes) and
 * trailers (<= 1 KiB) are skipped, trailers that frame or authenticate refused. */
enum http_progress http_parse_chunks(char *data, size_t n, uint64_t body_max, struct http_chunks *c,
                                     enum status *st, const char **why);

const char *http_header_name(enum http_header h);
/* Whether a comma-separated header value holds token, compared without case; an element's
 * parameters after ';' do not count. */
bool http_list_has(struct str value, const char *token);
