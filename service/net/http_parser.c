#include "net/http_parser.h"

#include "net/http_chars.h"

#include <assert.h>

/* The lists among the headers we read: repeating one is legal, and forgetting the repetition only
 * makes us answer in the plainer way. Everything else is refused when repeated. */
static bool header_is_list(enum http_header h)
{
    return h == HH_CONNECTION || h == HH_PREFER || h == HH_IF_NONE_MATCH || h == HH_ACCEPT;
}

/* One head while it is read: the cursor, and what went wrong. */
struct parse {
    const char *p;   /* next byte */
    const char *end; /* just past the blank line, so every line inside ends in CRLF */
    const struct http_limits *limits;
    struct http_head *head;
    struct str authority; /* of an absolute-form target; p == NULL: none */
    bool close, keep;     /* options seen in Connection */
    enum status st;
    const char *why;
};

static bool fail(struct parse *ps, enum status st, const char *why)
{
    ps->st = st;
    ps->why = why;
    return false;
}

static enum http_method method_find(struct str text)
{
    static const struct str names[HTTP_METHOD_OTHER] = {
        [HTTP_GET] = STR("GET"),         [HTTP_HEAD] = STR("HEAD"),   [HTTP_POST] = STR("POST"),
        [HTTP_PUT] = STR("PUT"),         [HTTP_PATCH] = STR("PATCH"), [HTTP_DELETE] = STR("DELETE"),
        [HTTP_OPTIONS] = STR("OPTIONS"),
    };
    for (enum http_method m = 0; m < HTTP_METHOD_OTHER; m++) {
        if (str_equal(names[m], text))
            return m;
    }
    return HTTP_METHOD_OTHER;
}

/* Takes "http://authority" off an absolute-form target. */
static bool target_authority(struct parse *ps, struct str *target)
{
    size_t scheme = 0;
    if (target->n >= 7 && http_equal_nocase((struct str){target->p, 7}, "http://"))
        scheme = 7;
    else if (target->n >= 8 && http_equal_nocase((struct str){target->p, 8}, "https://"))
        scheme = 8;
    else
        return fail(ps, ST_INVALID_REQUEST, "the request target is neither a path nor a URL");
    size_t i = scheme;
    while (i < target->n && target->p[i] != '/' && target->p[i] != '?')
        i++;
    ps->authority = (struct str){target->p + scheme, i - scheme};
    *target = (struct str){target->p + i, target->n - i};
    return true;
}

static bool parse_target(struct parse *ps, struct str target)
{
    if (target.p[0] != '/' && !target_authority(ps, &target))
        return false;
    const char *mark = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
    size_t n = mark ? (size_t)(mark - target.p) : target.n;
    ps->head->path = n > 0 ? (struct str){target.p, n} : STR("/");
    ps->head->query = mark ? (struct str){mark + 1, target.n - n - 1} : (struct str){0};
    return true;
}

static bool parse_version(struct parse *ps)
{
    const char *v = ps->p;
    if (ps->end - v < 10 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' || v[6] != '.' ||
        v[7] < '0' || v[7] > '9' || v[8] != '\r' || v[9] != '\n')
        return fail(ps, ST_INVALID_REQUEST, "the request line is malformed");
    if (v[5] != '1' || v[7] > '1')
        return fail(ps, ST_HTTP_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    ps->head->minor = (uint8_t)(v[7] - '0');
    ps->p = v + 10;
    return true;
}

static bool parse_request_line(struct parse *ps)
{
    const char *p = ps->p;
    while (http_is(*p, HC_TOKEN))
        p++;
    if (p == ps->p || *p != ' ')
        return fail(ps, ST_INVALID_REQUEST, "the request line is malformed");
    ps->head->method_text = (struct str){ps->p, (size_t)(p - ps->p)};
    ps->head->method = method_find(ps->head->method_text);
    const char *target = ++p;
    while (http_is(*p, HC_TARGET))
        p++;
    if (p == target || *p != ' ')
        return fail(ps, ST_INVALID_REQUEST, "the request target is malformed");
    ps->p = p + 1;
    return parse_target(ps, (struct str){target, (size_t)(p - target)}) && parse_version(ps);
}

static bool keep_header(struct parse *ps, enum http_header h, struct str value)
{
    struct str *slot = &ps->head->header[h];
    if (h == HH_CONNECTION) {
        /* Every line counts here: a second one that says close must be heard. */
        ps->close |= http_list_has(value, "close");
        ps->keep |= http_list_has(value, "keep-alive");
    }
    if (!slot->p)
        *slot = value;
    else if (!header_is_list(h))
        return fail(ps, ST_INVALID_REQUEST, "a header that may stand once is repeated");
    return true;
}

static bool parse_header(struct parse *ps)
{
    struct str name, value;
    const char *why = http_header_line(&ps->p, ps->end, &name, &value);
    if (why)
        return fail(ps, ST_INVALID_REQUEST, why);
    enum http_header h = http_header_find(name);
    return h == HH_COUNT || keep_header(ps, h, value);
}

static bool parse_headers(struct parse *ps)
{
    uint32_t count = 0;
    while (*ps->p != '\r') {
        if (++count > ps->limits->headers_max)
            return fail(ps, ST_HEADERS_TOO_LARGE, "there are too many headers");
        if (!parse_header(ps))
            return false;
    }
    /* The head ends at its first CRLF CRLF, so a line that begins with CR is the last or a bare CR.
     */
    if (ps->p + 2 != ps->end)
        return fail(ps, ST_INVALID_REQUEST, "a line is not ended by CR LF");
    return true;
}

/* name, name:port, [v6] or [v6]:port. */
static bool host_valid(struct str host)
{
    size_t i = 0;
    if (host.n > 0 && host.p[0] == '[') {
        for (i = 1;
             i < host.n && (http_hex(host.p[i]) >= 0 || host.p[i] == ':' || host.p[i] == '.');)
            i++;
        if (i < 4 || i == host.n || host.p[i++] != ']')
            return false;
    } else {
        while (i < host.n && http_is(host.p[i], HC_HOST))
            i++;
        if (i == 0)
            return false;
    }
    if (i == host.n)
        return true;
    if (host.p[i++] != ':' || host.n - i > 5)
        return false;
    while (i < host.n && host.p[i] >= '0' && host.p[i] <= '9')
        i++;
    return i == host.n;
}

static bool check_host(struct parse *ps)
{
    struct str host = ps->head->header[HH_HOST];
    if (!host.p && ps->head->minor == 1)
        return fail(ps, ST_INVALID_REQUEST, "there is no Host header");
    if (host.p && !host_valid(host))
        return fail(ps, ST_INVALID_REQUEST, "the Host header is malformed");
    if (!ps->authority.p)
        return true;
    if (!host_valid(ps->authority))
        return fail(ps, ST_INVALID_REQUEST, "the authority of the request target is malformed");
    if (host.p && !http_equal_nocase_n(ps->authority, host))
        return fail(ps, ST_INVALID_REQUEST, "the request target and Host differ");
    return true;
}

static bool parse_length(struct parse *ps, struct str text)
{
    /* 18 digits cannot overflow; a leading zero is legal, but an octal 8 to somebody in between. */
    if (text.n == 0 || text.n > 18 || (text.n > 1 && text.p[0] == '0'))
        return fail(ps, ST_INVALID_REQUEST, "the Content-Length is malformed");
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return fail(ps, ST_INVALID_REQUEST, "the Content-Length is malformed");
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    ps->head->content_length = v;
    return true;
}

static bool check_framing(struct parse *ps)
{
    struct str coding = ps->head->header[HH_TRANSFER_ENCODING];
    struct str length = ps->head->header[HH_CONTENT_LENGTH];
    if (!coding.p)
        return !length.p || parse_length(ps, length);
    if (length.p)
        return fail(ps, ST_INVALID_REQUEST, "Transfer-Encoding and Content-Length stand together");
    if (ps->head->minor == 0)
        return fail(ps, ST_INVALID_REQUEST, "HTTP/1.0 knows no Transfer-Encoding");
    if (!http_equal_nocase(coding, "chunked"))
        return fail(ps, ST_CODING, "the only transfer coding is chunked");
    ps->head->chunked = true;
    return true;
}

/* What the headers say together, once all are there. */
static bool conclude(struct parse *ps)
{
    struct http_head *h = ps->head;
    if (!check_host(ps) || !check_framing(ps))
        return false;
    h->keep_alive = !ps->close && (h->minor == 1 || ps->keep);
    /* HTTP/1.0 clients cannot wait for a 100, so theirs is ignored (RFC 9110 10.1.1). */
    h->expect_continue = h->minor == 1 && http_equal_nocase(h->header[HH_EXPECT], "100-continue");
    return true;
}

/* Skips what a sloppy client left behind its last body and looks at the first byte, so that a TLS
 * handshake or other noise is refused at once and not at the deadline. */
static enum http_progress find_start(const char *data, size_t n, size_t *start)
{
    size_t i = 0;
    while (i < 4 && i + 1 < n && data[i] == '\r' && data[i + 1] == '\n')
        i += 2;
    *start = i;
    if (i == n || (i < 4 && i + 1 == n && data[i] == '\r'))
        return HTTP_MORE;
    return http_is(data[i], HC_TOKEN) ? HTTP_DONE : HTTP_BAD;
}

/* Looks for the blank line, each byte once. Limits are judged by position alone, before anything
 * else about the line, so that bytes get the same verdict in whatever pieces they arrive. */
static enum http_progress find_end(struct parse *ps, const char *data, size_t n, size_t start,
                                   size_t *scanned)
{
    size_t line_max = ps->limits->request_line_max, head_max = ps->limits->head_max;
    size_t i = *scanned > start ? *scanned : start;
    if (line_max + 2 <= head_max && n - start >= line_max + 2 && i < start + line_max + 2 &&
        !memchr(data + start, '\n', line_max + 2)) {
        fail(ps, ST_URI_TOO_LONG, "the request line is too long");
        return HTTP_BAD;
    }
    const char *lf;
    while (i < n && (lf = memchr(data + i, '\n', n - i)) != NULL) {
        i = (size_t)(lf - data) + 1;
        if (i - start > head_max)
            break;
        if (i < start + 2 || lf[-1] != '\r') {
            fail(ps, ST_INVALID_REQUEST, "a line is not ended by CR LF");
            return HTTP_BAD;
        }
        if (i >= start + 4 && lf[-2] == '\n') {
            ps->end = lf + 1;
            return HTTP_DONE;
        }
    }
    *scanned = n;
    if (n - start < head_max)
        return HTTP_MORE;
    fail(ps, ST_HEADERS_TOO_LARGE, "the header section is too large");
    return HTTP_BAD;
}

enum http_progress http_parse_head(const char *data, size_t n, const struct http_limits *limits,
                                   size_t *scanned, struct http_head *head, size_t *used,
                                   enum status *st, const char **why)
{
    assert(*scanned <= n);
    struct parse ps = {.limits = limits, .head = head};
    size_t start;
    enum http_progress progress = find_start(data, n, &start);
    if (progress == HTTP_BAD)
        fail(&ps, ST_INVALID_REQUEST, "this is not HTTP");
    if (progress == HTTP_DONE)
        progress = find_end(&ps, data, n, start, scanned);
    if (progress == HTTP_DONE) {
        memset(head, 0, sizeof(*head));
        ps.p = data + start;
        if (!parse_request_line(&ps) || !parse_headers(&ps) || !conclude(&ps))
            progress = HTTP_BAD;
    }
    if (progress == HTTP_DONE)
        *used = (size_t)(ps.end - data);
    if (progress == HTTP_BAD) {
        *st = ps.st;
        *why = ps.why;
    }
    return progress;
}
