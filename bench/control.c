#include "control.h"

#include "crowd.h"

#include "base/buf.h"
#include "base/clock.h"

#include <curl/curl.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    ANSWER_BYTES_MAX = 1 << 20,
    SALE_BYTES_MAX = 1 << 18,
    CALL_TIMEOUT_MS = 30000,
    OPEN_WITHIN_MS = 15000,
    OPEN_POLL_MS = 20,
    STARTS_IN_MS = 500, /* from now: published before it opens, as sales are */
    LASTS_MS = 4 * 3600 * 1000,
    PAY_WITHIN_S = 4 * 3600, /* nothing expires while we compare, even if a clock is wrong */
    AUDIT_ROUNDS = 12,       /* of 5 s */
};

struct control {
    const struct options *options;
    CURL *curl;
    struct curl_slist *headers;
    struct buf answer;
    char error[512];
};

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct buf *b = arg;
    buf_append(b, bytes, size * n);
    return b->overflow ? 0 : size * n;
}

enum status control_create(const struct options *o, struct control **out)
{
    char line[512];
    struct control *c = calloc(1, sizeof(*c));
    if (!c) {
        return ST_INTERNAL;
    }
    c->options = o;
    c->curl = curl_easy_init();
    buf_init(&c->answer, ANSWER_BYTES_MAX);
    snprintf(line, sizeof(line), "Authorization: Bearer %s", o->key);
    c->headers = curl_slist_append(NULL, line);
    struct curl_slist *more = curl_slist_append(c->headers, "Content-Type: application/json");
    if (!c->curl || !c->headers || !more) {
        control_destroy(&c);
        return ST_INTERNAL;
    }
    *out = c;
    return ST_OK;
}

void control_destroy(struct control **c)
{
    if (!*c) {
        return;
    }
    curl_slist_free_all((*c)->headers);
    curl_easy_cleanup((*c)->curl);
    buf_fini(&(*c)->answer);
    free(*c);
    *c = NULL;
}

const char *control_error(const struct control *c)
{
    return c->error;
}

/* POSTs body, or GETs when it is NULL. *http is set when there was an answer; then c->answer has
 * its bytes. */
static bool control_send(struct control *c, const char *path, const char *body, long timeout_ms,
                         long *http)
{
    char url[512];
    const struct bench_host *host = &c->options->hosts[0];
    bool bracket = strchr(host->name, ':') != NULL;
    snprintf(url, sizeof(url), "http://%s%s%s:%s%s", bracket ? "[" : "", host->name,
             bracket ? "]" : "", host->port, path);
    curl_easy_reset(c->curl);
    buf_reset(&c->answer);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &c->answer);
    if (body) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode rc = curl_easy_perform(c->curl);
    if (rc != CURLE_OK) {
        snprintf(c->error, sizeof(c->error), "%s (%s)", curl_easy_strerror(rc), path);
        return false;
    }
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, http);
    return true;
}

/* One call whose answer must be 2xx and JSON. The caller owns what is returned; NULL: see error. */
static json_t *control_call(struct control *c, const char *path, const char *body)
{
    long http = 0;
    if (!control_send(c, path, body, CALL_TIMEOUT_MS, &http)) {
        return NULL;
    }
    json_t *j = c->answer.len ? json_loadb(c->answer.data, c->answer.len, 0, NULL) : NULL;
    if (http / 100 != 2 || !j) {
        json_decref(j);
        snprintf(c->error, sizeof(c->error), "%s answered %ld: %.*s", path, http,
                 (int)(c->answer.len < 300 ? c->answer.len : 300),
                 c->answer.len ? c->answer.data : "");
        return NULL;
    }
    return j;
}

static enum status control_post(struct control *c, const char *path, const char *body)
{
    json_t *j = control_call(c, path, body);
    json_decref(j);
    return j ? ST_OK : ST_UNAVAILABLE;
}

bool control_get(struct control *c, const char *path, long timeout_ms, struct str *body)
{
    long http = 0;
    if (!control_send(c, path, NULL, timeout_ms, &http) || http != 200) {
        return false;
    }
    *body = (struct str){c->answer.data, c->answer.len};
    return body->n > 0;
}

static void write_sale(struct buf *b, const struct options *o, const struct scenario *s,
                       const char *sale)
{
    char sku[CROWD_SKU_LEN + 1];
    int64_t now_ms = clock_wall_ms();
    BUF_LIT(b, "{\"id\":");
    buf_json(b, str_from(sale));
    BUF_LIT(b, ",\"name\":\"Load\",\"kind\":\"flash\",\"currency\":\"CNY\",\"starts_at\":");
    buf_json_time(b, now_ms + STARTS_IN_MS - o->started_ago_us / 1000);
    BUF_LIT(b, ",\"ends_at\":");
    buf_json_time(b, now_ms + LASTS_MS);
    buf_printf(b, ",\"pay_within_s\":%u,\"shards\":%u,\"items\":[",
               s->pay_within_s ? s->pay_within_s : PAY_WITHIN_S, s->shards);
    for (uint32_t i = 0; i < s->items; i++) {
        crowd_sku(i, sku);
        buf_printf(b, "%s{\"sku\":\"%s\",\"name\":\"Unit\",\"price\":%u,\"stock\":%u,\"limit\":%u}",
                   i > 0 ? "," : "", sku, s->price, s->units, s->limit);
    }
    BUF_LIT(b, "]}");
    buf_append(b, "", 1);
}

static enum status create_sale(struct control *c, const struct scenario *s, const char *sale)
{
    struct buf body;
    buf_init(&body, SALE_BYTES_MAX);
    write_sale(&body, c->options, s, sale);
    enum status st = body.overflow ? ST_INTERNAL : control_post(c, "/v1/sales", body.data);
    buf_fini(&body);
    return st;
}

static bool sale_is_open(struct control *c, const char *sale)
{
    char path[128];
    snprintf(path, sizeof(path), "/v1/sales/%s", sale);
    json_t *j = control_call(c, path, NULL);
    const char *state = json_string_value(json_object_get(j, "state"));
    bool is_open = state && strcmp(state, "open") == 0;
    if (j && !is_open) {
        snprintf(c->error, sizeof(c->error), "the sale stays %s", state ? state : "unknown");
    }
    json_decref(j);
    return is_open;
}

enum status control_open_sale(struct control *c, const struct scenario *s, const char *sale)
{
    static const struct timespec poll = {0, OPEN_POLL_MS * 1000000L};
    char path[128];
    enum status st = create_sale(c, s, sale);
    if (st != ST_OK) {
        return st;
    }
    snprintf(path, sizeof(path), "/v1/sales/%s/publish", sale);
    st = control_post(c, path, "");
    if (st != ST_OK) {
        return st;
    }
    int64_t until_us = clock_mono_us() + OPEN_WITHIN_MS * INT64_C(1000);
    while (!sale_is_open(c, sale)) {
        if (clock_mono_us() > until_us) {
            return ST_UNAVAILABLE;
        }
        nanosleep(&poll, NULL);
    }
    return ST_OK;
}

void control_end_sale(struct control *c, const char *sale)
{
    char path[128];
    snprintf(path, sizeof(path), "/v1/sales/%s/end", sale);
    (void)control_post(c, path, "");
}

static bool is_quiet(const json_t *audit)
{
    const char *key;
    json_t *value;
    json_t *pending = json_object_get(audit, "pending");
    json_object_foreach(pending, key, value)
    {
        if (json_integer_value(value) != 0) {
            return false;
        }
    }
    return true;
}

enum status control_audit(struct control *c, const char *sale, json_t **audit)
{
    static const struct timespec pause = {1, 0}; /* a service that was hurt may need a moment */
    char path[128];
    snprintf(path, sizeof(path), "/v1/sales/%s/audit?wait=5", sale);
    for (int round = 1;; round++) {
        json_t *j = control_call(c, path, NULL);
        if (j && (round == AUDIT_ROUNDS || is_quiet(j))) {
            *audit = j;
            return ST_OK;
        }
        if (!j && round == AUDIT_ROUNDS) {
            return ST_UNAVAILABLE;
        }
        if (!j) {
            nanosleep(&pause, NULL);
        }
        json_decref(j);
    }
}
