#include "net/http_priv.h"

#include "base/ids.h"

#include <assert.h>

bool conn_may_take(const struct conn *c)
{
    const struct http_conf *conf = &c->server->conf;
    return !c->stopped && !c->broken && c->queued < conf->pipeline_max &&
           conn_unsent(c) + c->waiting < conf->output_max;
}

static void name_own(struct http_server *s, char *out)
{
    static const char base32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t v = s->id_counter++;
    memcpy(out, s->id_prefix, ID_PREFIX_LEN);
    for (unsigned i = ID_COUNTER_LEN; i-- > 0; v >>= 5)
        out[ID_PREFIX_LEN + i] = base32[v & 31];
    out[ID_PREFIX_LEN + ID_COUNTER_LEN] = '\0';
}

static void name_exchange(struct exchange *x)
{
    struct str wish = x->head ? x->head->header[HH_REQUEST_ID] : (struct str){0};
    if (wish.p && id_valid(wish)) {
        memcpy(x->request_id, wish.p, wish.n);
        x->request_id[wish.n] = '\0';
        x->request_id_len = (uint8_t)wish.n;
        return;
    }
    name_own(x->server, x->request_id);
    x->request_id_len = ID_PREFIX_LEN + ID_COUNTER_LEN;
}

/* Until the answer of a handler that has returned, the bytes of its request are gone. */
static void forget_bytes(struct http_server *s)
{
    if (s->current) {
        s->current->head = NULL;
        s->current->body = (struct str){0};
    }
    s->current = NULL;
}

static void refuse(struct conn *c, struct exchange *x, enum status st, const char *why,
                   struct str extra)
{
    struct http_server *s = c->server;
    exchange_enqueue(c, x);
    deadline_set(s, &c->in_due, DL_IDLE);
    s->current = x;
    s->app.on_refusal(s->app.ctx, x, st, why, extra);
    forget_bytes(s);
}

void conn_refuse(struct conn *c, struct exchange *x, enum status st, const char *why)
{
    if (!x)
        x = exchange_borrow(c);
    if (!x) {
        conn_break(c);
        return;
    }
    if (x->request_id_len == 0)
        name_exchange(x);
    c->continue_due = false;
    c->linger = x->close_after = true;
    refuse(c, x, st, why, (struct str){0});
}

enum { ALLOW_LINE_MAX = 80 };

static struct str allow_line(uint32_t allowed, char line[ALLOW_LINE_MAX])
{
    static const char *const names[HTTP_METHOD_OTHER] = {"GET",   "HEAD",   "POST",   "PUT",
                                                         "PATCH", "DELETE", "OPTIONS"};
    size_t n = 0;
    for (unsigned m = 0; m < HTTP_METHOD_OTHER; m++) {
        if (!(allowed & 1u << m))
            continue;
        const char *lead = n == 0 ? "Allow: " : ", ";
        n = (size_t)(stpcpy(stpcpy(line + n, lead), names[m]) - line);
    }
    return (struct str){line, (size_t)(stpcpy(line + n, "\r\n") - line)};
}

/* A request whose framing is sound, but which nobody serves. Without a body the next one may
 * follow. */
static bool refuse_route(struct conn *c, struct exchange *x, enum status st, bool has_body)
{
    char line[ALLOW_LINE_MAX];
    if (has_body || st == ST_INVALID_REQUEST) {
        c->linger = true;
        x->close_after = true;
    }
    if (st == ST_METHOD)
        refuse(c, x, st, "the path exists, but not with this method",
               allow_line(x->match.allowed, line));
    else
        refuse(c, x, st,
               st == ST_NOT_FOUND ? "no resource has this path" : "the path is badly encoded",
               (struct str){0});
    return false;
}

/* Whether the request may be served as far as its head tells; otherwise it has been refused. */
static bool head_acceptable(struct conn *c, struct exchange *x)
{
    struct http_server *s = c->server;
    const struct http_head *head = x->head;
    if (head->header[HH_EXPECT].p && !head->expect_continue && head->minor == 1) {
        conn_refuse(c, x, ST_EXPECTATION, "the only expectation is 100-continue");
        return false;
    }
    bool has_body = head->chunked || head->content_length > 0;
    enum status st = router_match(s->router, head->method, head->path, &x->match);
    if (st != ST_OK)
        return refuse_route(c, x, st, has_body);
    uint32_t max = x->match.route->body_max;
    if (has_body && (max == 0 || head->content_length > max)) {
        conn_refuse(c, x, ST_BODY_TOO_LARGE,
                    max == 0 ? "this resource takes no body"
                             : "the body is larger than this resource takes");
        return false;
    }
    return true;
}

static bool only_newlines(const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && (data[i] == '\r' || data[i] == '\n'))
        i++;
    return i == n;
}

/* Reads a head. HTTP_DONE: c->partial waits for its body, or (stopped or not) was refused and is
 * NULL; c->head_len bytes are used. */
static enum http_progress head_take(struct conn *c, const char *data, size_t n)
{
    struct http_server *s = c->server;
    enum status st;
    const char *why;
    enum http_progress progress =
        http_parse_head(data, n, &s->conf.limits, &c->scanned, &s->head, &c->head_len, &st, &why);
    if (progress == HTTP_MORE) {
        /* From the first byte on: later ones buy no more time. The empty line that some clients
         * send behind a body is no first byte. */
        if (c->in_due.kind != DL_HEADER)
            deadline_set(s, &c->in_due, only_newlines(data, n) ? DL_IDLE : DL_HEADER);
        return HTTP_MORE;
    }
    c->scanned = 0;
    if (progress == HTTP_BAD) {
        conn_refuse(c, NULL, st, why);
        return HTTP_BAD;
    }
    struct exchange *x = exchange_borrow(c);
    if (!x) {
        conn_break(c);
        return HTTP_BAD;
    }
    x->head = &s->head;
    x->http10 = s->head.minor == 0;
    x->head_only = s->head.method == HTTP_HEAD;
    x->close_after = !s->head.keep_alive || s->retired;
    c->asked = true;
    name_exchange(x);
    if (!head_acceptable(c, x))
        return c->stopped ? HTTP_BAD : HTTP_DONE;
    c->partial = x;
    c->chunked = s->head.chunked;
    c->body_len = s->head.content_length;
    if (c->chunked)
        memset(&c->chunks, 0, sizeof(c->chunks));
    return HTTP_DONE;
}

/* Looks whether the body is complete: then it is *body and *used bytes are the request. Chunked
 * bytes are decoded in place, which shortens *n. */
static enum http_progress body_take(struct conn *c, char *data, size_t *n, struct str *body,
                                    size_t *used)
{
    char *start = data + c->head_len;
    size_t have = *n - c->head_len;
    if (!c->chunked) {
        if (have < c->body_len)
            return HTTP_MORE;
        *body = (struct str){start, (size_t)c->body_len};
        *used = c->head_len + (size_t)c->body_len;
        return HTTP_DONE;
    }
    enum status st;
    const char *why;
    enum http_progress progress =
        http_parse_chunks(start, have, c->partial->match.route->body_max, &c->chunks, &st, &why);
    if (progress == HTTP_BAD) {
        struct exchange *x = c->partial;
        c->partial = NULL;
        conn_refuse(c, x, st, why);
        return HTTP_BAD;
    }
    size_t gap = c->chunks.in - c->chunks.out;
    if (progress == HTTP_MORE && gap > 0) {
        memmove(start + c->chunks.out, start + c->chunks.in, have - c->chunks.in);
        c->chunks.in = c->chunks.out;
        *n -= gap;
    }
    *body = (struct str){start, c->chunks.out};
    *used = c->head_len + c->chunks.in;
    return progress;
}

static void await_body(struct conn *c, bool fresh, bool none_arrived)
{
    struct exchange *x = c->partial;
    if (c->in_due.kind != DL_BODY)
        deadline_set(c->server, &c->in_due, DL_BODY);
    if (!fresh) {
        c->continue_due = false;
        return;
    }
    c->continue_due = x->head->expect_continue && none_arrived;
    x->head = NULL;
    conn_continue(c);
}

static void dispatch(struct conn *c, const char *data, bool fresh, struct str body)
{
    struct http_server *s = c->server;
    struct exchange *x = c->partial;
    c->partial = NULL;
    c->continue_due = false;
    if (!fresh) {
        /* The head was read from memory that has moved since; reading it again costs less than
         * keeping it. */
        size_t scanned = 0, used;
        enum status st;
        const char *why;
        enum http_progress progress = http_parse_head(data, c->head_len, &s->conf.limits, &scanned,
                                                      &s->head, &used, &st, &why);
        assert(progress == HTTP_DONE && used == c->head_len);
    }
    x->head = &s->head;
    x->body = body;
    x->close_after |= s->retired;
    exchange_enqueue(c, x);
    s->current = x;
    s->app.on_request(s->app.ctx, x);
    forget_bytes(s);
}

/* Takes one request off data[0..*n). */
static enum http_progress request_take(struct conn *c, char *data, size_t *n, size_t *used)
{
    bool fresh = !c->partial;
    if (fresh) {
        enum http_progress progress = head_take(c, data, *n);
        if (progress != HTTP_DONE)
            return progress;
        *used = c->head_len;
        if (!c->partial)
            return HTTP_DONE;
    }
    struct str body;
    bool none_arrived = *n == c->head_len;
    enum http_progress progress = body_take(c, data, n, &body, used);
    if (progress == HTTP_DONE)
        dispatch(c, data, fresh, body);
    else if (progress == HTTP_MORE)
        await_body(c, fresh, none_arrived);
    return progress;
}

/* Leaves data[at..n) in c->in, which holds no memory when it is empty. */
static void keep_rest(struct conn *c, char *data, size_t at, size_t n)
{
    if (c->stopped || at == n) {
        c->linger |= c->stopped && at < n;
        buf_fini(&c->in);
        return;
    }
    if (data == c->in.data) {
        memmove(c->in.data, c->in.data + at, n - at);
        c->in.len = n - at;
        return;
    }
    buf_append(&c->in, data + at, n - at);
    if (c->in.overflow)
        conn_break(c);
}

void conn_take(struct conn *c, char *data, size_t n)
{
    size_t at = 0;
    enum http_progress progress = HTTP_DONE;
    while (at < n && progress == HTTP_DONE && conn_may_take(c)) {
        size_t left = n - at, used = 0;
        progress = request_take(c, data + at, &left, &used);
        n = at + left;
        if (progress == HTTP_DONE) {
            at += used;
            deadline_set(c->server, &c->in_due, DL_IDLE);
        }
    }
    keep_rest(c, data, at, n);
    c->paused = progress == HTTP_DONE && !c->stopped && !conn_may_take(c);
    if (c->paused) /* the peer is not late: we do not read */
        deadline_set(c->server, &c->in_due, DL_IDLE);
}
