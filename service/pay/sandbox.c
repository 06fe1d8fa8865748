#include "pay/sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/websign.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 3000, REPLY_MAX = 16384 };

struct channel_state {
    char *base; /* URL without a trailing slash */
    struct hmac_key *secret;
};

static enum status sandbox_open(const struct config *conf, struct channel_state **out)
{
    if (conf->sandbox_url[0] == '\0' || conf->production)
        return ST_NOT_FOUND;
    struct channel_state *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_UNAVAILABLE;
    s->base = strdup(conf->sandbox_url);
    if (!s->base || hmac_key_create(str_from(conf->sandbox_secret), &s->secret) != ST_OK) {
        free(s->base);
        free(s);
        return ST_UNAVAILABLE;
    }
    *out = s;
    return ST_OK;
}

static void sandbox_close(struct channel_state **state)
{
    hmac_key_destroy(&(*state)->secret);
    free((*state)->base);
    free(*state);
    *state = NULL;
}

static size_t on_reply(char *p, size_t size, size_t n, void *arg)
{
    struct buf *reply = arg;
    buf_append(reply, p, size * n);
    return reply->overflow ? 0 : size * n;
}

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

/* POSTs body to the sandbox; the reply's bytes come back in reply. */
static enum status post(struct channel_state *s, struct str body, struct buf *reply)
{
    char url[300], header[32 + 96] = "Stripe-Signature: ";
    long code = 0;
    enum status st = ST_UNAVAILABLE;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    websign_make(s->secret, body, clock_wall_ms() / 1000, header + strlen(header));
    headers = curl_slist_append(NULL, header);
    if (!curl || !headers)
        goto cleanup;
    snprintf(url, sizeof(url), "%s/v1/trades", s->base);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.p);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.n);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    if (rc == CURLE_OK && code == 200)
        st = ST_OK;
    else if (rc == CURLE_OK)
        st = code >= 500 ? ST_UNKNOWN : ST_INTERNAL;
    else if (rc != CURLE_COULDNT_CONNECT)
        st = ST_UNKNOWN;
cleanup:
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return st;
}

static bool copy_text(const json_t *v, char *out, size_t size)
{
    size_t n = json_string_length(v);
    if (!json_is_string(v) || n >= size)
        return false;
    memcpy(out, json_string_value(v), n + 1);
    return true;
}

static enum status sandbox_create(struct channel_state *s, const struct channel_trade *trade,
                                  struct channel_answer *out)
{
    struct buf body, reply;
    json_t *root = NULL;
    buf_init(&body, 4096);
    buf_init(&reply, REPLY_MAX);
    trade_json(&body, trade);
    enum status st =
        body.overflow ? ST_INTERNAL : post(s, (struct str){body.data, body.len}, &reply);
    if (st != ST_OK)
        goto cleanup;
    root = json_loadb(reply.data ? reply.data : "", reply.len, JSON_REJECT_DUPLICATES, NULL);
    if (!copy_text(json_object_get(root, "url"), out->url, sizeof(out->url)) ||
        !copy_text(json_object_get(root, "reference"), out->ref, sizeof(out->ref)))
        st = ST_UNKNOWN;
cleanup:
    json_decref(root);
    buf_fini(&body);
    buf_fini(&reply);
    return st;
}

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
    .create = sandbox_create,
    .verify = sandbox_verify,
};
