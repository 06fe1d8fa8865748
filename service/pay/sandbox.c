#include "pay/sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/websign.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { BODY_MAX = 4096 };

struct channel_state {
    struct http_calls *calls;
    char *trades, *pages; /* URLs: where trades are opened, and what is before a page's payment */
    struct hmac_key *secret;
};

static void sandbox_close(struct channel_state **state)
{
    hmac_key_destroy(&(*state)->secret);
    free((*state)->trades);
    free((*state)->pages);
    free(*state);
    *state = NULL;
}

static enum status sandbox_open(const struct config *conf, struct http_calls *calls,
                                struct channel_state **out)
{
    if (conf->sandbox_url[0] == '\0' || conf->production)
        return ST_NOT_FOUND;
    struct channel_state *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_UNAVAILABLE;
    s->calls = calls;
    int n = (int)strlen(conf->sandbox_url);
    n -= conf->sandbox_url[n - 1] == '/';
    if (asprintf(&s->trades, "%.*s/v1/trades", n, conf->sandbox_url) < 0)
        s->trades = NULL;
    if (asprintf(&s->pages, "%.*s/pay/", n, conf->sandbox_url) < 0)
        s->pages = NULL;
    if (!s->trades || !s->pages ||
        hmac_key_create(str_from(conf->sandbox_secret), &s->secret) != ST_OK) {
        sandbox_close(&s);
        return ST_UNAVAILABLE;
    }
    *out = s;
    return ST_OK;
}

/* --- the page --------------------------------------------------------------------------------- */

/* A query's value (RFC 3986, section 2.3). */
static void add_percent(struct buf *b, struct str v)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != '\0' && strchr(plain, v.p[i]))
            buf_char(b, v.p[i]);
        else
            buf_printf(b, "%%%02X", (unsigned char)v.p[i]);
    }
}

static bool sandbox_page(const struct channel_state *s, const struct channel_trade *trade,
                         struct channel_answer *out)
{
    char payment[40], order[40], sign[WEBSIGN_LINK_LEN + 1];
    struct buf b;
    if (trade->action != PAYMENT_BY_REDIRECT)
        return false;
    size_t id = uid_format("pay_", &trade->payment, payment);
    uid_format("ord_", &trade->order, order);
    buf_init(&b, CHANNEL_URL_MAX);
    buf_printf(&b, "%s%s?", s->pages, payment);
    size_t query = b.len;
    buf_printf(&b, "order=%s&amount=%" PRId64 "&currency=%s", order, trade->amount,
               trade->currency);
    if (trade->return_url.n > 0) {
        BUF_LIT(&b, "&return_url=");
        add_percent(&b, trade->return_url);
    }
    bool fits = !b.overflow;
    if (fits) {
        websign_link(s->secret, (struct str){payment, id},
                     (struct str){b.data + query, b.len - query}, sign);
        BUF_LIT(&b, "&sign=");
        buf_append(&b, sign, WEBSIGN_LINK_LEN);
        fits = !b.overflow;
    }
    if (fits) {
        memcpy(out->url, b.data, b.len);
        out->url[b.len] = '\0';
        /* The sandbox's number is ours under its own prefix. */
        uid_format("sbx_", &trade->payment, out->ref);
    }
    buf_fini(&b);
    return fits;
}

/* --- telling it ------------------------------------------------------------------------------- */

static void trade_json(struct buf *b, const struct channel_trade *trade)
{
    char id[40];
    BUF_LIT(b, "{\"payment\":\"");
    buf_append(b, id, uid_format("pay_", &trade->payment, id));
    BUF_LIT(b, "\",\"order\":\"");
    buf_append(b, id, uid_format("ord_", &trade->order, id));
    BUF_LIT(b, "\",\"amount\":");
    buf_int(b, trade->amount);
    BUF_LIT(b, ",\"currency\":");
    buf_json(b, str_from(trade->currency));
    if (trade->return_url.n > 0) {
        BUF_LIT(b, ",\"return_url\":");
        buf_json(b, trade->return_url);
    }
    buf_char(b, '}');
}

static bool copy_text(const json_t *v, char *out, size_t size)
{
    size_t n = json_string_length(v);
    if (!json_is_string(v) || n >= size)
        return false;
    memcpy(out, json_string_value(v), n + 1);
    return true;
}

static enum status read_reply(const struct http_call *http, struct channel_answer *out)
{
    if (http->st != ST_OK)
        return http->st;
    if (http->http != 200)
        return http->http >= 500 ? ST_UNKNOWN : ST_INTERNAL;
    const char *text = http->reply.data ? http->reply.data : "";
    json_t *root = json_loadb(text, http->reply.len, JSON_REJECT_DUPLICATES, NULL);
    bool read = copy_text(json_object_get(root, "url"), out->url, sizeof(out->url)) &&
                copy_text(json_object_get(root, "reference"), out->ref, sizeof(out->ref));
    json_decref(root);
    return read ? ST_OK : ST_UNKNOWN;
}

static void on_called(struct http_call *http)
{
    struct channel_call *call = CONTAINER_OF(http, struct channel_call, http);
    buf_fini(&call->body);
    call->st = read_reply(http, &call->answer);
    call->ended(call);
}

static void sandbox_create(struct channel_state *s, struct channel_call *call)
{
    static const char name[] = "Stripe-Signature: ";
    buf_init(&call->body, BODY_MAX);
    trade_json(&call->body, &call->trade);
    const struct str body = {call->body.data, call->body.len};
    if (call->body.overflow) {
        buf_fini(&call->body);
        call->st = ST_INTERNAL;
        call->ended(call);
        return;
    }
    memcpy(call->header, name, sizeof(name));
    websign_make(s->secret, body, clock_wall_ms() / 1000, call->header + sizeof(name) - 1);
    call->http = (struct http_call){
        .url = s->trades, .header = call->header, .body = body, .ended = on_called};
    http_calls_post(s->calls, &call->http);
}

/* --- its notifications ------------------------------------------------------------------------ */

/* Ids of ours inside a notification; what is not one reads as zero and matches nothing. */
static void read_id(const json_t *v, const char *prefix, struct uid *out)
{
    memset(out, 0, sizeof(*out));
    if (json_is_string(v) &&
        !uid_parse(prefix, (struct str){json_string_value(v), json_string_length(v)}, out))
        memset(out, 0, sizeof(*out));
}

static enum status read_event(struct str body, struct channel_event *e, const char **why)
{
    static const struct {
        const char *type;
        enum channel_event_kind kind;
    } kinds[] = {{"payment.succeeded", CHANNEL_CAPTURED}, {"payment.failed", CHANNEL_DECLINED}};
    enum status st = ST_INVALID_REQUEST;
    *why = "the notification is not an event of this channel";
    json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *object = json_object_get(json_object_get(root, "data"), "object");
    const json_t *amount = json_object_get(object, "amount");
    memset(e, 0, sizeof(*e));
    if (!copy_text(json_object_get(root, "id"), e->id, sizeof(e->id)) || e->id[0] == '\0' ||
        !copy_text(json_object_get(root, "type"), e->type, sizeof(e->type)) ||
        !copy_text(json_object_get(object, "id"), e->ref, sizeof(e->ref)) ||
        !copy_text(json_object_get(object, "currency"), e->currency, sizeof(e->currency)) ||
        strlen(e->currency) != 3 || !json_is_integer(amount))
        goto cleanup;
    e->amount = json_integer_value(amount);
    read_id(json_object_get(object, "payment"), "pay_", &e->payment);
    read_id(json_object_get(object, "order"), "ord_", &e->order);
    e->kind = CHANNEL_OTHER;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(e->type, kinds[i].type) == 0)
            e->kind = kinds[i].kind;
    st = ST_OK;
cleanup:
    json_decref(root);
    return st;
}

static enum status sandbox_verify(struct channel_state *s, struct str signature, struct str body,
                                  int64_t now_s, struct channel_event *out, const char **why)
{
    enum status st = websign_verify(s->secret, signature, body, now_s, why);
    return st == ST_OK ? read_event(body, out, why) : st;
}

const struct channel channel_sandbox = {
    .name = "sandbox",
    .open = sandbox_open,
    .close = sandbox_close,
    .page = sandbox_page,
    .create = sandbox_create,
    .verify = sandbox_verify,
};
