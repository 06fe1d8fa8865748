#include "notify.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/websign.h"

#include <event2/buffer.h>
#include <event2/http.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = 256, NOTIFY_TRIES_MAX = 10, TRY_TIMEOUT_S = 10, BODY_MAX = 4096 };

/* Pause after the first, second, ... failed try; the last one repeats. */
static const int pauses_ms[] = {200, 500, 1000, 2000, 5000, 10000};

enum { PAUSES = sizeof(pauses_ms) / sizeof(pauses_ms[0]) };

struct lane {
    struct notifier *notifier;
    struct evhttp_connection *connection;
    struct trade *trade;    /* being notified; NULL: free */
    SLIST_ENTRY(lane) next; /* among the free */
};

struct notifier {
    struct event_base *base;
    const struct hmac_key *key;
    struct trades *trades;
    char *host;         /* value of the Host header */
    char *target;       /* path and query */
    struct event *pump; /* gives waiting trades to free lanes, never from inside evhttp */
    struct lane lanes[LANES];
    SLIST_HEAD(, lane) free; /* the last used first, so that few connections carry a trickle */
    STAILQ_HEAD(, trade) waiting;
};

/* Stripe's event shape, so that a real receiver of such events reads it. */
static void write_body(const struct trade *t, struct buf *b)
{
    const char *type = t->state == TRADE_PAID ? "payment.succeeded" : "payment.failed";
    BUF_LIT(b, "{\"id\":");
    buf_json(b, str_from(t->event));
    buf_printf(b, ",\"object\":\"event\",\"type\":\"%s\",\"created\":%" PRId64, type, t->settled_s);
    BUF_LIT(b, ",\"data\":{\"object\":{\"id\":");
    buf_json(b, str_from(t->reference));
    BUF_LIT(b, ",\"payment\":");
    buf_json(b, str_from(t->payment));
    BUF_LIT(b, ",\"order\":");
    buf_json(b, str_from(t->order));
    buf_printf(b, ",\"amount\":%" PRId64 ",\"currency\":", t->amount);
    buf_json(b, str_from(t->currency));
    BUF_LIT(b, "}}}");
}

static void notify_again(evutil_socket_t fd, short what, void *arg)
{
    struct trade *t = arg;
    notifier_send(t->timer_for, t);
}

static void notify_give_up(struct notifier *n, struct trade *t)
{
    fprintf(stderr, "snapup-sandbox: %s of %s given up after %u tries\n", t->event, t->payment,
            t->tries);
    trades_over(n->trades, t);
}

/* A try ended with this HTTP status; 0 when there was no answer. */
static void notify_ended(struct notifier *n, struct trade *t, int http)
{
    assert(t->tries > 0);
    if (http / 100 == 2) {
        t->delivered = true;
        trades_over(n->trades, t);
        return;
    }
    int pause_ms = pauses_ms[t->tries <= PAUSES ? t->tries - 1 : PAUSES - 1];
    if (t->tries >= NOTIFY_TRIES_MAX || !trade_set_timer(t, n->base, pause_ms, notify_again, n)) {
        notify_give_up(n, t);
    }
}

static void lane_ended(struct lane *lane, int http)
{
    struct trade *t = lane->trade;
    if (!t) {
        return;
    }
    lane->trade = NULL;
    SLIST_INSERT_HEAD(&lane->notifier->free, lane, next);
    notify_ended(lane->notifier, t, http);
    event_active(lane->notifier->pump, EV_TIMEOUT, 0);
}

/* evhttp calls with NULL after a time-out and with status 0 when the connection failed. */
static void on_answer(struct evhttp_request *rq, void *arg)
{
    lane_ended(arg, rq ? evhttp_request_get_response_code(rq) : 0);
}

/* NULL without memory. */
static struct evhttp_request *write_request(struct lane *lane, const struct trade *t)
{
    struct notifier *n = lane->notifier;
    struct buf body;
    char signature[96];
    struct evhttp_request *rq = evhttp_request_new(on_answer, lane);
    if (!rq) {
        return NULL;
    }
    buf_init(&body, BODY_MAX);
    write_body(t, &body);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(rq);
    websign_make(n->key, (struct str){body.data, body.len}, clock_wall_ms() / 1000, signature);
    bool ok = !body.overflow && evhttp_add_header(headers, "Host", n->host) == 0 &&
              evhttp_add_header(headers, "Content-Type", "application/json") == 0 &&
              evhttp_add_header(headers, "Stripe-Signature", signature) == 0 &&
              evbuffer_add(evhttp_request_get_output_buffer(rq), body.data, body.len) == 0;
    buf_fini(&body);
    if (!ok) {
        evhttp_request_free(rq);
        return NULL;
    }
    return rq;
}

static void lane_start(struct lane *lane, struct trade *t)
{
    lane->trade = t;
    t->tries++;
    struct evhttp_request *rq = write_request(lane, t);
    /* evhttp frees the request when it cannot even begin, and may already have called back. */
    if (!rq ||
        evhttp_make_request(lane->connection, rq, EVHTTP_REQ_POST, lane->notifier->target) != 0) {
        lane_ended(lane, 0);
    }
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
    struct notifier *n = arg;
    while (!SLIST_EMPTY(&n->free) && !STAILQ_EMPTY(&n->waiting)) {
        struct trade *t = STAILQ_FIRST(&n->waiting);
        struct lane *lane = SLIST_FIRST(&n->free);
        STAILQ_REMOVE_HEAD(&n->waiting, in_queue);
        SLIST_REMOVE_HEAD(&n->free, next);
        lane_start(lane, t);
    }
}

void notifier_send(struct notifier *n, struct trade *trade)
{
    assert(trade->state != TRADE_OPEN && !trade->over);
    STAILQ_INSERT_TAIL(&n->waiting, trade, in_queue);
    event_active(n->pump, EV_TIMEOUT, 0);
}

/* Fills host and target, and opens the lanes, which connect at their first use. */
static enum status read_url(struct notifier *n, const char *url)
{
    enum status st = ST_INVALID_REQUEST;
    struct evhttp_uri *u = evhttp_uri_parse(url);
    const char *scheme = u ? evhttp_uri_get_scheme(u) : NULL;
    const char *host = u ? evhttp_uri_get_host(u) : NULL;
    if (!scheme || strcmp(scheme, "http") != 0 || !host || !*host) {
        goto cleanup;
    }
    st = ST_INTERNAL;
    int port = evhttp_uri_get_port(u) > 0 ? evhttp_uri_get_port(u) : 80;
    const char *path = evhttp_uri_get_path(u);
    const char *query = evhttp_uri_get_query(u);
    if (asprintf(&n->host, "%s:%d", host, port) < 0) {
        n->host = NULL;
        goto cleanup;
    }
    if (asprintf(&n->target, "%s%s%s", path && *path ? path : "/", query ? "?" : "",
                 query ? query : "") < 0) {
        n->target = NULL;
        goto cleanup;
    }
    char plain[256];
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(host + (*host == '['), "]"),
             host + (*host == '['));
    for (int i = 0; i < LANES; i++) {
        n->lanes[i].notifier = n;
        n->lanes[i].connection =
            evhttp_connection_base_new(n->base, NULL, plain, (unsigned short)port);
        if (!n->lanes[i].connection) {
            goto cleanup;
        }
        evhttp_connection_set_timeout(n->lanes[i].connection, TRY_TIMEOUT_S);
        SLIST_INSERT_HEAD(&n->free, &n->lanes[i], next);
    }
    st = ST_OK;
cleanup:
    if (u) {
        evhttp_uri_free(u);
    }
    return st;
}

enum status notifier_create(struct event_base *base, const char *url, const struct hmac_key *key,
                            struct trades *trades, struct notifier **out)
{
    struct notifier *n = calloc(1, sizeof(*n));
    if (!n) {
        return ST_INTERNAL;
    }
    n->base = base;
    n->key = key;
    n->trades = trades;
    STAILQ_INIT(&n->waiting);
    SLIST_INIT(&n->free);
    n->pump = event_new(base, -1, 0, on_pump, n);
    enum status st = n->pump ? read_url(n, url) : ST_INTERNAL;
    if (st != ST_OK) {
        notifier_destroy(&n);
        return st;
    }
    *out = n;
    return ST_OK;
}

void notifier_destroy(struct notifier **np)
{
    struct notifier *n = *np;
    if (!n) {
        return;
    }
    for (int i = 0; i < LANES; i++) {
        /* Ending a connection calls back for its request; nobody is to start over then. */
        n->lanes[i].trade = NULL;
        if (n->lanes[i].connection) {
            evhttp_connection_free(n->lanes[i].connection);
        }
    }
    if (n->pump) {
        event_free(n->pump);
    }
    free(n->host);
    free(n->target);
    free(n);
    *np = NULL;
}
