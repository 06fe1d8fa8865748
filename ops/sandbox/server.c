#include "pages.h"
#include "sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/websign.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { BODY_BYTES_MAX = 16 * 1024, ERROR_MAX = 256 };

static const struct http_conf http_conf = {.limits = {8192, 16 * 1024, 100},
                                           .conns_max = 20000,
                                           .conns_per_addr = 20000,
                                           .pipeline_max = 64,
                                           .output_max = 1024 * 1024,
                                           .header_timeout_ms = 15000,
                                           .body_timeout_ms = 15000,
                                           .idle_timeout_ms = 60000,
                                           .write_timeout_ms = 15000};

/* No form-action: browsers would apply it to the way back to the shop as well. */
#define PAGE_HEADERS                                                                            \
    "X-Content-Type-Options: nosniff\r\n"                                                       \
    "Referrer-Policy: no-referrer\r\n"                                                          \
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; " \
    "frame-ancestors 'none'\r\n"

static struct str header_of(const struct exchange *x, enum http_header h)
{
    struct str v = x->head ? x->head->header[h] : (struct str){0};
    return v.p ? v : STR("");
}

/* A person with a browser, not a program. */
static bool is_browser(const struct exchange *x)
{
    struct str accept = header_of(x, HH_ACCEPT);
    return memmem(accept.p, accept.n, "text/html", 9) != NULL;
}

/* Sends what is in the sandbox's buffer. headers: further complete lines. */
static void answer(struct sandbox *sb, struct exchange *x, enum status st, uint16_t http,
                   const char *type, struct str headers)
{
    struct buf *b = &sb->body, *h = &sb->headers;
    buf_reset(h);
    BUF_LIT(h, "Cache-Control: no-store\r\n" PAGE_HEADERS);
    buf_add(h, headers);
    bool fits = !b->overflow && !h->overflow;
    const struct answer a = {.status = fits ? http : 500,
                             .content_type = type,
                             .headers = {h->data, h->len},
                             .body = {b->data, fits ? b->len : 0},
                             .st = st};
    exchange_answer(x, &a);
}

static struct buf *fresh(struct sandbox *sb)
{
    buf_reset(&sb->body);
    return &sb->body;
}

static void answer_json(struct sandbox *sb, struct exchange *x)
{
    answer(sb, x, ST_OK, 200, "application/json", STR(""));
}

static void answer_problem_with(struct sandbox *sb, struct exchange *x, enum status st,
                                const char *detail, struct str headers)
{
    const struct status_info *row = status_info(st);
    struct buf *b = fresh(sb);
    if (is_browser(x)) {
        page_problem(b, row->title);
        answer(sb, x, st, row->http, "text/html; charset=utf-8", headers);
        return;
    }
    buf_printf(b, "{\"status\":%d,\"code\":\"%s\",\"title\":", row->http, row->code);
    buf_json(b, str_from(row->title));
    BUF_LIT(b, ",\"detail\":");
    buf_json(b, str_from(detail));
    BUF_LIT(b, "}\n");
    answer(sb, x, st, row->http, "application/problem+json", headers);
}

static void answer_problem(struct sandbox *sb, struct exchange *x, enum status st,
                           const char *detail)
{
    answer_problem_with(sb, x, st, detail, STR(""));
}

static void answer_page(struct sandbox *sb, struct exchange *x, const struct trade *t)
{
    page_trade(fresh(sb), t);
    answer(sb, x, ST_OK, 200, "text/html; charset=utf-8", STR(""));
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

/* Returns what is wrong, or NULL. */
static const char *check_trade(const struct trade_request *rq)
{
    if (!is_prefixed_id(rq->payment, "pay_")) {
        return "payment: want an id with pay_";
    }
    if (!is_prefixed_id(rq->order, "ord_")) {
        return "order: want an id with ord_";
    }
    if (rq->amount <= 0) {
        return "amount: want an integer above 0";
    }
    if (!is_currency(rq->currency)) {
        return "currency: want three capital letters";
    }
    if (rq->return_url && !is_return_url(rq->return_url)) {
        return "return_url: want an absolute http or https URL";
    }
    return NULL;
}

/* Strings of *out belong to j. Returns what is wrong, or NULL. */
static const char *read_trade(const json_t *j, struct trade_request *out)
{
    const json_t *url = json_object_get(j, "return_url");
    if (url && !json_is_null(url) && !json_is_string(url)) {
        return "return_url: want an absolute http or https URL";
    }
    *out = (struct trade_request){json_string_value(json_object_get(j, "payment")),
                                  json_string_value(json_object_get(j, "order")),
                                  json_string_value(json_object_get(j, "currency")),
                                  json_string_value(url),
                                  json_integer_value(json_object_get(j, "amount"))};
    return check_trade(out);
}

static void answer_trade(struct sandbox *sb, struct exchange *x, const struct trade_request *want)
{
    struct trade *t = NULL;
    enum status st = sandbox_trade(sb, want, &t);
    if (st == ST_IDEMPOTENCY_MISMATCH) {
        /* A channel's word for it is conflict. */
        BUF_LIT(fresh(sb),
                "{\"status\":409,\"code\":\"idempotency_mismatch\",\"detail\":\"this payment has "
                "a trade for another order or amount\"}\n");
        answer(sb, x, st, 409, "application/problem+json", STR(""));
        return;
    }
    if (st != ST_OK) {
        answer_problem(sb, x, st, "no room for another trade");
        return;
    }
    buf_printf(fresh(sb), "{\"reference\":\"%s\",\"url\":\"%s/pay/%s\"}\n", t->reference, sb->url,
               t->payment);
    answer_json(sb, x);
}

static void post_trades(void *ctx, struct exchange *x)
{
    struct sandbox *sb = ctx;
    const char *why = NULL;
    struct trade_request want;
    struct str body = x->body;
    enum status st =
        websign_verify(sb->key, header_of(x, HH_SIGNATURE), body, clock_wall_ms() / 1000, &why);
    if (st != ST_OK) {
        answer_problem(sb, x, st, why);
        return;
    }
    json_t *j = body.n ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    why = json_is_object(j) ? read_trade(j, &want) : "want a JSON object";
    if (why) {
        answer_problem(sb, x, ST_INVALID_REQUEST, why);
    } else {
        answer_trade(sb, x, &want);
    }
    json_decref(j);
}

/* A link's strings, which a trade_request points into. */
struct link_text {
    char order[ID_MAX + 1], currency[4], amount[20], return_url[RETURN_URL_MAX + 1];
};

/* Whoever brings the merchant's signature brings what was signed. Returns what is wrong, or NULL. */
static const char *read_link(struct str query, const char *payment, struct link_text *text,
                             struct trade_request *out)
{
    char *end = NULL;
    enum status url = query_get(query, "return_url", text->return_url, sizeof(text->return_url));
    if (query_get(query, "order", text->order, sizeof(text->order)) != ST_OK ||
        query_get(query, "amount", text->amount, sizeof(text->amount)) != ST_OK ||
        query_get(query, "currency", text->currency, sizeof(text->currency)) != ST_OK ||
        (url != ST_OK && url != ST_NOT_FOUND)) {
        return "want order, amount, currency and perhaps return_url";
    }
    *out = (struct trade_request){payment, text->order, text->currency,
                                  url == ST_OK ? text->return_url : NULL,
                                  strtoll(text->amount, &end, 10)};
    return *end == '\0' ? check_trade(out) : "amount: want an integer above 0";
}

/* Opens the trade that the page's signed query tells of. */
static struct trade *open_trade(struct sandbox *sb, struct exchange *x, const char *payment)
{
    struct link_text text;
    struct trade_request want;
    struct trade *t = NULL;
    struct str query = x->head->query;
    if (!websign_link_holds(sb->key, str_from(payment), query)) {
        answer_problem(sb, x, ST_BAD_SIGNATURE, "this page was not signed by the merchant");
        return NULL;
    }
    const char *why = read_link(query, payment, &text, &want);
    if (why) {
        answer_problem(sb, x, ST_INVALID_REQUEST, why);
    } else if (sandbox_trade(sb, &want, &t) != ST_OK) {
        answer_problem(sb, x, ST_OVERLOADED, "no room for another trade");
    }
    return t;
}

/* The trade of /pay/{payment}, opened if it is new; NULL: the problem is answered. */
static struct trade *find_trade(struct sandbox *sb, struct exchange *x)
{
    char payment[ID_MAX + 1];
    struct str id = x->match.param[0];
    bool is_id = id_valid(id) && id.n < sizeof(payment);
    if (is_id) {
        memcpy(payment, id.p, id.n);
        payment[id.n] = '\0';
    }
    struct trade *t = is_id ? trades_find(&sb->trades, payment) : NULL;
    if (!t && is_id && x->head->query.n > 0) {
        return open_trade(sb, x, payment);
    }
    if (!t) {
        answer_problem(sb, x, ST_PAYMENT_NOT_FOUND, "no trade for this payment");
    }
    return t;
}

static void get_pay(void *ctx, struct exchange *x)
{
    struct trade *t = find_trade(ctx, x);
    if (t) {
        answer_page(ctx, x, t);
    }
}

/* return_url with payment and result added to its query, before a fragment. */
static void answer_return(struct sandbox *sb, struct exchange *x, const struct trade *t)
{
    struct buf location;
    size_t n = strcspn(t->return_url, "#");
    buf_init(&location, RETURN_URL_MAX + 256);
    BUF_LIT(&location, "Location: ");
    buf_append(&location, t->return_url, n);
    buf_char(&location, memchr(t->return_url, '?', n) ? '&' : '?');
    buf_printf(&location, "payment=%s&result=%s%s\r\n", t->payment, trade_state_text(t->state),
               t->return_url + n);
    if (location.overflow) {
        answer_page(sb, x, t);
    } else {
        fresh(sb);
        answer(sb, x, ST_OK, 303, "text/html; charset=utf-8",
               (struct str){location.data, location.len});
    }
    buf_fini(&location);
}

/* "pay" or "decline" in the form's field `result`; false for anything else. */
static bool read_outcome(struct str form, enum trade_state *outcome)
{
    char result[16];
    if (query_get(form, "result", result, sizeof(result)) != ST_OK) {
        return false;
    }
    *outcome = strcmp(result, "pay") == 0 ? TRADE_PAID : TRADE_DECLINED;
    return *outcome == TRADE_PAID || strcmp(result, "decline") == 0;
}

static void post_pay(void *ctx, struct exchange *x)
{
    static const char form_type[] = "application/x-www-form-urlencoded";
    struct sandbox *sb = ctx;
    struct str type = header_of(x, HH_CONTENT_TYPE);
    enum trade_state outcome;
    struct trade *t = find_trade(sb, x);
    if (!t) {
        return;
    }
    if (type.n < sizeof(form_type) - 1 ||
        strncasecmp(type.p, form_type, sizeof(form_type) - 1) != 0) {
        answer_problem(sb, x, ST_MEDIA_TYPE, form_type);
        return;
    }
    if (!read_outcome(x->body, &outcome)) {
        answer_problem(sb, x, ST_INVALID_REQUEST, "result: want pay or decline");
        return;
    }
    sandbox_settle(sb, t, outcome);
    if (!is_browser(x)) {
        buf_printf(fresh(sb), "{\"payment\":\"%s\",\"state\":\"%s\"}\n", t->payment,
                   trade_state_text(t->state));
        answer_json(sb, x);
    } else if (t->return_url) {
        answer_return(sb, x, t);
    } else {
        answer_page(sb, x, t);
    }
}

static void get_list(void *ctx, struct exchange *x)
{
    struct sandbox *sb = ctx;
    page_list(fresh(sb), &sb->trades);
    answer(sb, x, ST_OK, 200, "text/html; charset=utf-8", STR(""));
}

static void get_health(void *ctx, struct exchange *x)
{
    struct sandbox *sb = ctx;
    BUF_LIT(fresh(sb), "{\"ok\":true}\n");
    answer_json(sb, x);
}

static const struct route routes[] = {
    {.method = HTTP_POST,
     .pattern = "/v1/trades",
     .handler = post_trades,
     .name = "trades",
     .body_max = BODY_BYTES_MAX},
    {.method = HTTP_POST,
     .pattern = "/pay/{payment}",
     .handler = post_pay,
     .name = "press",
     .body_max = BODY_BYTES_MAX},
    {.method = HTTP_GET, .pattern = "/pay/{payment}", .handler = get_pay, .name = "page"},
    {.method = HTTP_GET, .pattern = "/healthz", .handler = get_health, .name = "healthz"},
    {.method = HTTP_GET, .pattern = "/", .handler = get_list, .name = "list"},
};

static void on_request(void *ctx, struct exchange *x)
{
    x->match.route->handler(ctx, x);
}

static void on_refusal(void *ctx, struct exchange *x, enum status st, const char *why,
                       struct str extra)
{
    /* A well-formed request for something that cannot be a payment. */
    if (st == ST_INVALID_REQUEST && x->head && !x->match.route) {
        st = ST_NOT_FOUND;
    }
    answer_problem_with(ctx, x, st, why ? why : "", extra);
}

static void on_done(void *ctx, struct exchange *x, enum status st, int64_t duration_us)
{
}

enum status server_start(struct sandbox *sb)
{
    const struct http_app app = {sb, on_request, on_refusal, on_done};
    char bound[256], error[ERROR_MAX];
    int fd = -1;
    buf_init(&sb->body, PAGE_MAX);
    buf_init(&sb->headers, 4096);
    if (router_create(routes, sizeof(routes) / sizeof(routes[0]), &sb->router) != ST_OK ||
        conn_census_create(&sb->census) != ST_OK ||
        http_server_create(sb->base, &http_conf, &app, sb->router, sb->census, NULL, NULL, NULL,
                           &sb->http) != ST_OK ||
        http_address_unused(sb->conf->listen, error, sizeof(error)) != ST_OK ||
        http_listen_socket(sb->conf->listen, &fd, bound, sizeof(bound), error, sizeof(error)) !=
            ST_OK) {
        return ST_UNAVAILABLE;
    }
    const char *colon = strrchr(bound, ':');
    sb->port = colon ? (int)strtol(colon + 1, NULL, 10) : 0;
    snprintf(sb->url, sizeof(sb->url), "http://%s", bound);
    return http_server_listen(sb->http, fd);
}

void server_turn(struct sandbox *sb)
{
    http_server_flush(sb->http);
}

void server_stop(struct sandbox *sb)
{
    http_server_destroy(&sb->http);
    conn_census_destroy(&sb->census);
    router_destroy(&sb->router);
    buf_fini(&sb->body);
    buf_fini(&sb->headers);
}
