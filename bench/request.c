#include "load_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { SERVICE, STREAMS }; /* pools that are always there */

/* What the names of a template stand for, for one shopper. */
struct filling {
    struct str values[TEMPLATE_NAMES];
    char sku[CROWD_SKU_LEN + 1];
    char id[CROWD_SHOPPER_LEN + 1];
    char qty[12];
};

static void fill(const struct worker *w, uint32_t shopper, struct filling *f)
{
    const struct crowd *crowd = w->conf->crowd;
    const struct kept *kept = w->visits[shopper].kept;
    uint32_t who = worker_global(w, shopper);
    crowd_sku(crowd_item(crowd, who), f->sku);
    crowd_id(crowd, who, f->id);
    int digits = snprintf(f->qty, sizeof(f->qty), "%u", w->conf->scenario->qty);
    f->values[NAME_SALE] = str_from(crowd->sale);
    f->values[NAME_SKU] = (struct str){f->sku, CROWD_SKU_LEN};
    f->values[NAME_QTY] = (struct str){f->qty, (size_t)digits};
    f->values[NAME_SHOPPER] = (struct str){f->id, CROWD_SHOPPER_LEN};
    for (unsigned i = 0; i < SCENARIO_KEPT_MAX; i++) {
        f->values[NAME_KEPT + i] = kept ? (struct str){kept->text[i], kept->n[i]} : (struct str){0};
    }
}

/* "http://host:port/path" -> its two parts; false: something else. */
static bool cut_url(struct str url, struct str *host, struct str *path)
{
    if (url.n < 8 || memcmp(url.p, "http://", 7) != 0) {
        return false;
    }
    const char *from = url.p + 7;
    const char *slash = memchr(from, '/', url.n - 7);
    host->p = from;
    host->n = slash ? (size_t)(slash - from) : url.n - 7;
    *path = slash ? (struct str){slash, url.n - 7 - host->n} : STR("/");
    return host->n > 0;
}

static struct pool *open_pool(struct worker *w, struct str host)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct pool *p = &w->pools[w->pools_n];
    char name[300];
    if (w->pools_n == POOLS_MAX || host.n >= sizeof(name)) {
        return NULL;
    }
    snprintf(p->host, sizeof(p->host), "%.*s", (int)host.n, host.p);
    snprintf(name, sizeof(name), "%s", p->host);
    char *colon = strrchr(name, ':');
    bool has_port = colon && !strchr(colon, ']');
    if (has_port) {
        *colon = '\0';
    }
    size_t n = strlen(name);
    char *bare = name;
    if (n > 2 && name[0] == '[') {
        name[n - 1] = '\0';
        bare = name + 1;
    }
    /* Blocks for a name, once; what answers lead to is mostly an address. */
    if (getaddrinfo(bare, has_port ? colon + 1 : "80", &hints, &p->addresses[0]) != 0) {
        return NULL;
    }
    p->hosts_n = 1;
    w->pools_n++;
    return pool_init(p, w, w->pools[SERVICE].n, true) == ST_OK ? p : NULL;
}

struct pool *request_pool(struct worker *w, uint32_t shopper)
{
    const struct step *step = worker_step(w, shopper);
    struct filling f;
    struct str host, path;
    char url[TEMPLATE_MAX + KEPT_LEN_MAX];
    if (step->target.text[0] == '/') {
        return &w->pools[step->stream_us > 0 ? STREAMS : SERVICE];
    }
    fill(w, shopper, &f);
    size_t n = template_render(&step->target, f.values, url, sizeof(url));
    if (n == SIZE_MAX || !cut_url((struct str){url, n}, &host, &path)) {
        return NULL;
    }
    for (unsigned i = STREAMS + 1; i < w->pools_n; i++) {
        if (str_equal(str_from(w->pools[i].host), host)) {
            return &w->pools[i];
        }
    }
    return open_pool(w, host);
}

struct writer {
    char *at, *end;
    bool full;
};

static void put(struct writer *o, struct str s)
{
    if (s.n > (size_t)(o->end - o->at)) {
        o->full = true;
        return;
    }
    if (s.n > 0) {
        memcpy(o->at, s.p, s.n);
        o->at += s.n;
    }
}

static void put_template(struct writer *o, const struct template *t, const struct filling *f)
{
    size_t n = template_render(t, f->values, o->at, (size_t)(o->end - o->at));
    o->full |= n == SIZE_MAX;
    o->at += n == SIZE_MAX ? 0 : n;
}

static void put_target(struct writer *o, const struct step *step, const struct filling *f)
{
    struct str host, path;
    char *from = o->at;
    put_template(o, &step->target, f);
    if (step->target.text[0] != '/' &&
        cut_url((struct str){from, (size_t)(o->at - from)}, &host, &path)) {
        memmove(from, path.p, path.n);
        o->at = from + path.n;
    }
}

static void put_credential(struct writer *o, const struct worker *w, const struct step *step,
                           uint32_t shopper, const struct filling *f)
{
    switch (step->as) {
    case AS_SHOPPER:
        put(o, STR("Authorization: Bearer "));
        put(o, crowd_token(w->conf->crowd, worker_global(w, shopper)));
        put(o, STR("\r\n"));
        break;
    case AS_STOREFRONT:
        put(o, STR("Authorization: Bearer "));
        put(o, str_from(w->conf->options->key));
        put(o, STR("\r\nSnapup-Shopper: "));
        put(o, f->values[NAME_SHOPPER]);
        put(o, STR("\r\n"));
        break;
    case AS_NOBODY: break;
    }
}

static void put_body(struct writer *o, const struct step *step, const struct filling *f)
{
    char body[REQUEST_MAX / 2];
    char length[32];
    size_t n = template_render(&step->body, f->values, body, sizeof(body));
    if (n == SIZE_MAX) {
        o->full = true;
        return;
    }
    put(o, STR("Content-Type: "));
    put(o, body[0] == '{' ? STR("application/json\r\n")
                          : STR("application/x-www-form-urlencoded\r\n"));
    int digits = snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", n);
    put(o, (struct str){length, (size_t)digits});
    put(o, (struct str){body, n});
}

size_t request_write(struct worker *w, uint32_t shopper, const struct pool *pool)
{
    const struct step *step = worker_step(w, shopper);
    const struct scenario *s = w->conf->scenario;
    struct writer o = {w->request, w->request + sizeof(w->request), false};
    struct filling f;
    fill(w, shopper, &f);
    put(&o, str_from(step->method));
    put(&o, STR(" "));
    put_target(&o, step, &f);
    put(&o, STR(" HTTP/1.1\r\nHost: "));
    put(&o, str_from(pool->host));
    put(&o, STR("\r\n"));
    put_credential(&o, w, step, shopper, &f);
    if (template_given(&step->key)) {
        put(&o, STR("Idempotency-Key: "));
        put_template(&o, &step->key, &f);
        put(&o, STR("\r\n"));
    }
    if (step->orders && crowd_share(worker_global(w, shopper), CROWD_ASYNC, s->async_percent)) {
        put(&o, STR("Prefer: respond-async\r\n"));
    }
    if (template_given(&step->body)) {
        put_body(&o, step, &f);
    } else if (step->method[0] == 'P') {
        put(&o, STR("Content-Length: 0\r\n\r\n"));
    } else {
        put(&o, STR("\r\n"));
    }
    return o.full ? 0 : (size_t)(o.at - w->request);
}
