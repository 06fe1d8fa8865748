#include "pages.h"
#include "sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/websign.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { BODY_BYTES_MAX = 16 * 1024, HEADER_BYTES_MAX = 16 * 1024, IDLE_TIMEOUT_S = 15 };

static struct str body_of(struct evhttp_request *rq)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(rq);
    return (struct str){(const char *)evbuffer_pullup(in, -1), evbuffer_get_length(in)};
}

static const char *header_of(struct evhttp_request *rq, const char *name)
{
    const char *v = evhttp_find_header(evhttp_request_get_input_headers(rq), name);
    return v ? v : "";
}

/* A person with a browser, not a program. */
static bool is_browser(struct evhttp_request *rq)
{
    return strstr(header_of(rq, "Accept"), "text/html") != NULL;
}

static void add_header(struct evhttp_request *rq, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(rq), name, value);
}

/* Sends and frees what is in b. */
static void answer(struct evhttp_request *rq, int http, const char *type, struct buf *b)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(rq);
    if (b->overflow || evbuffer_add(out, b->data, b->len) != 0) {
        http = 500;
        evbuffer_drain(out, evbuffer_get_length(out));
    }
    buf_fini(b);
    add_header(rq, "Content-Type", type);
    add_header(rq, "Cache-Control", "no-store");
    add_header(rq, "X-Content-Type-Options", "nosniff");
    add_header(rq, "Referrer-Policy", "no-referrer");
    /* No form-action: browsers would apply it to the way back to the shop as well. */
    add_header(rq, "Content-Security-Policy",
               "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
               "frame-ancestors 'none'");
    evhttp_send_reply(rq, http, NULL, NULL);
}

static void answer_problem(struct evhttp_request *rq, enum status st, const char *detail)
{
    const struct status_info *row = status_info(st);
    struct buf b;
    buf_init(&b, PAGE_MAX);
    if (is_browser(rq)) {
        page_problem(&b, row->title);
        answer(rq, row->http, "text/html; charset=utf-8", &b);
        return;
    }
    buf_printf(&b, "{\"status\":%d,\"code\":\"%s\",\"title\":", row->http, row->code);
    buf_json(&b, str_from(row->title));
    BUF_LIT(&b, ",\"detail\":");
    buf_json(&b, str_from(detail));
    BUF_LIT(&b, "}\n");
    answer(rq, row->http, "application/problem+json", &b);
}

static void answer_page(struct evhttp_request *rq, const struct trade *t)
{
    struct buf b;
    buf_init(&b, PAGE_MAX);
    page_trade(&b, t);
    answer(rq, 200, "text/html; charset=utf-8", &b);
}

static bool is_prefixed_id(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0 && id_valid(str_from(text));
}

static bool is_currency(const char *text)
{
    return text && strlen(text) == 3 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

/* It will be a header and a link: an absolute http URL of visible ASCII. */
static bool is_return_url(const char *text)
{
    size_t n = strlen(text);
    if (n > RETURN_URL_MAX ||
        (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Strings of *out belong to j. Returns what is wrong, or NULL. */
static const char *read_trade(const json_t *j, struct trade_request *out)
{
    const json_t *amount = json_object_get(j, "amount");
    const json_t *url = json_object_get(j, "return_url");
    const char *payment = json_string_value(json_object_get(j, "payment"));
    const char *order = json_string_value(json_object_get(j, "order"));
    const char *currency = json_string_value(json_object_get(j, "currency"));
    bool has_url = url && !json_is_null(url);
    if (!is_prefixed_id(payment, "pay_")) {
        return "payment: want an id with pay_";
    }
    if (!is_prefixed_id(order, "ord_")) {
        return "order: want an id with ord_";
    }
    if (!json_is_integer(amount) || json_integer_value(amount) <= 0) {
        return "amount: want an integer above 0";
    }
    if (!is_currency(currency)) {
        return "currency: want three capital letters";
    }
    if (has_url && (!json_is_string(url) || !is_return_url(json_string_value(url)))) {
        return "return_url: want an absolute http or https URL";
    }
    *out = (struct trade_request){payment, order, currency, has_url ? json_string_value(url) : NULL,
                                  json_integer_value(amount)};
    return NULL;
}

static void answer_trade(struct sandbox *sb, struct evhttp_request *rq,
                         const struct trade_request *want)
{
    struct trade *t = NULL;
    enum status st = sandbox_trade(sb, want, &t);
    if (st == ST_IDEMPOTENCY_MISMATCH) {
        /* A channel's word for it is conflict. */
        struct buf b;
        buf_init(&b, PAGE_MAX);
        BUF_LIT(&b,
                "{\"status\":409,\"code\":\"idempotency_mismatch\",\"detail\":\"this payment has "
                "a trade for another order or amount\"}\n");
        answer(rq, 409, "application/problem+json", &b);
        return;
    }
    if (st != ST_OK) {
        answer_problem(rq, st, "no room for another trade");
        return;
    }
    struct buf b;
    buf_init(&b, PAGE_MAX);
    buf_printf(&b, "{\"reference\":\"%s\",\"url\":\"%s/pay/%s\"}\n", t->reference, sb->url,
               t->payment);
    answer(rq, 200, "application/json", &b);
}

static void post_trades(struct sandbox *sb, struct evhttp_request *rq, const char *rest)
{
    const char *why = NULL;
    struct trade_request want;
    struct str body = body_of(rq);
    enum status st = websign_verify(sb->key, str_from(header_of(rq, "Stripe-Signature")), body,
                                    clock_wall_ms() / 1000, &why);
    if (st != ST_OK) {
        answer_problem(rq, st, why);
        return;
    }
    json_t *j = body.n ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    why = json_is_object(j) ? read_trade(j, &want) : "want a JSON object";
    if (why) {
        answer_problem(rq, ST_INVALID_REQUEST, why);
    } else {
        answer_trade(sb, rq, &want);
    }
    json_decref(j);
}

/* The trade of /pay/{payment}; answers 404 and returns NULL when there is none. */
static struct trade *find_trade(struct sandbox *sb, struct evhttp_request *rq, const char *payment)
{
    struct trade *t = id_valid(str_from(payment)) ? trades_find(&sb->trades, payment) : NULL;
    if (!t) {
        answer_problem(rq, ST_PAYMENT_NOT_FOUND, "no trade for this payment");
    }
    return t;
}

static void get_pay(struct sandbox *sb, struct evhttp_request *rq, const char *payment)
{
    struct trade *t = find_trade(sb, rq, payment);
    if (t) {
        answer_page(rq, t);
    }
}

/* return_url with payment and result added to its query, before a fragment. */
static void answer_return(struct evhttp_request *rq, const struct trade *t)
{
    struct buf location;
    struct buf nothing;
    size_t n = strcspn(t->return_url, "#");
    buf_init(&location, RETURN_URL_MAX + 256);
    buf_init(&nothing, 0);
    buf_append(&location, t->return_url, n);
    buf_char(&location, memchr(t->return_url, '?', n) ? '&' : '?');
    buf_printf(&location, "payment=%s&result=%s%s", t->payment, trade_state_text(t->state),
               t->return_url + n);
    buf_append(&location, "", 1);
    if (location.overflow) {
        answer_page(rq, t);
    } else {
        add_header(rq, "Location", location.data);
        answer(rq, 303, "text/html; charset=utf-8", &nothing);
    }
    buf_fini(&location);
}

/* "pay" or "decline" in the form's field `result`; false for anything else. */
static bool read_outcome(struct str body, enum trade_state *outcome)
{
    struct evkeyvalq form = {0};
    char text[BODY_BYTES_MAX + 1];
    if (body.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, body.p ? body.p : "", body.n);
    text[body.n] = '\0';
    if (evhttp_parse_query_str(text, &form) != 0) {
        return false;
    }
    const char *result = evhttp_find_header(&form, "result");
    bool pay = result && strcmp(result, "pay") == 0;
    bool known = pay || (result && strcmp(result, "decline") == 0);
    evhttp_clear_headers(&form);
    if (known) {
        *outcome = pay ? TRADE_PAID : TRADE_DECLINED;
    }
    return known;
}

static void post_pay(struct sandbox *sb, struct evhttp_request *rq, const char *payment)
{
    static const char form_type[] = "application/x-www-form-urlencoded";
    enum trade_state outcome;
    struct trade *t = find_trade(sb, rq, payment);
    if (!t) {
        return;
    }
    if (strncasecmp(header_of(rq, "Content-Type"), form_type, sizeof(form_type) - 1) != 0) {
        answer_problem(rq, ST_MEDIA_TYPE, form_type);
        return;
    }
    if (!read_outcome(body_of(rq), &outcome)) {
        answer_problem(rq, ST_INVALID_REQUEST, "result: want pay or decline");
        return;
    }
    sandbox_settle(sb, t, outcome);
    if (!is_browser(rq)) {
        struct buf b;
        buf_init(&b, PAGE_MAX);
        buf_printf(&b, "{\"payment\":\"%s\",\"state\":\"%s\"}\n", t->payment,
                   trade_state_text(t->state));
        answer(rq, 200, "application/json", &b);
    } else if (t->return_url) {
        answer_return(rq, t);
    } else {
        answer_page(rq, t);
    }
}

static void get_list(struct sandbox *sb, struct evhttp_request *rq, const char *rest)
{
    struct buf b;
    buf_init(&b, PAGE_MAX);
    page_list(&b, &sb->trades);
    answer(rq, 200, "text/html; charset=utf-8", &b);
}

static void get_health(struct sandbox *sb, struct evhttp_request *rq, const char *rest)
{
    struct buf b;
    buf_init(&b, PAGE_MAX);
    BUF_LIT(&b, "{\"ok\":true}\n");
    answer(rq, 200, "application/json", &b);
}

struct route {
    const char *path;
    bool takes_rest; /* path is a beginning, the handler gets what follows */
    enum evhttp_cmd_type method;
    void (*handle)(struct sandbox *sb, struct evhttp_request *rq, const char *rest);
};

static const struct route routes[] = {
    {"/", false, EVHTTP_REQ_GET, get_list},
    {"/healthz", false, EVHTTP_REQ_GET, get_health},
    {"/v1/trades", false, EVHTTP_REQ_POST, post_trades},
    {"/pay/", true, EVHTTP_REQ_GET, get_pay},
    {"/pay/", true, EVHTTP_REQ_POST, post_pay},
};

static void on_request(struct evhttp_request *rq, void *arg)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(rq);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    enum evhttp_cmd_type method = evhttp_request_get_command(rq);
    enum status st = ST_NOT_FOUND;
    method = method == EVHTTP_REQ_HEAD ? EVHTTP_REQ_GET : method;
    for (size_t i = 0; path && i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *r = &routes[i];
        size_t n = strlen(r->path);
        if (r->takes_rest ? strncmp(path, r->path, n) == 0 : strcmp(path, r->path) == 0) {
            st = ST_METHOD;
            if (r->method == method) {
                r->handle(arg, rq, path + n);
                return;
            }
        }
    }
    answer_problem(rq, st, "");
}

/* Splits host:port or [v6]:port; host may be empty for every address. */
static bool read_listen(struct sandbox *sb)
{
    const char *text = sb->conf->listen;
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon && colon[1] ? strtoul(colon + 1, &end, 10) : 65536;
    if (port > 65535 || *end != '\0') {
        return false;
    }
    size_t n = (size_t)(colon - text);
    bool bracketed = n > 2 && text[0] == '[' && text[n - 1] == ']';
    sb->port = (int)port;
    int len = snprintf(sb->host, sizeof(sb->host), "%.*s", (int)(bracketed ? n - 2 : n),
                       text + bracketed);
    return len > 0 && (size_t)len < sizeof(sb->host);
}

/* The port that the kernel chose, and the URL under which others find us. */
static void read_port(struct sandbox *sb, evutil_socket_t fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t size = sizeof(at);
    bool v6 = strchr(sb->host, ':') != NULL;
    memset(&at, 0, sizeof(at));
    if (getsockname(fd, &at.any, &size) == 0) {
        sb->port = ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
    }
    snprintf(sb->url, sizeof(sb->url), "http://%s%s%s:%d", v6 ? "[" : "", sb->host, v6 ? "]" : "",
             sb->port);
}

enum status server_start(struct sandbox *sb)
{
    sb->http = evhttp_new(sb->base);
    if (!sb->http || !read_listen(sb)) {
        return ST_UNAVAILABLE;
    }
    evhttp_set_max_body_size(sb->http, BODY_BYTES_MAX);
    evhttp_set_max_headers_size(sb->http, HEADER_BYTES_MAX);
    evhttp_set_timeout(sb->http, IDLE_TIMEOUT_S);
    evhttp_set_allowed_methods(sb->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_gencb(sb->http, on_request, sb);
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(sb->http, sb->host, (unsigned short)sb->port);
    if (!bound) {
        return ST_UNAVAILABLE;
    }
    read_port(sb, evhttp_bound_socket_get_fd(bound));
    return ST_OK;
}

void server_stop(struct sandbox *sb)
{
    if (sb->http) {
        evhttp_free(sb->http);
        sb->http = NULL;
    }
}
