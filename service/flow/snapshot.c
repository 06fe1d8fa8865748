/* One consistent read of the catalogue. */
#include "base/hmac.h"
#include "flow/catalog_priv.h"
#include "redis/row.h"

#include <assert.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 64 * 1024 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

/* A list of things read row by row; doubles, moves into the arena's care at the end. */
struct loader {
    struct snapshot *s;
    const struct catalog_source *source;
    struct catalog_registry *registry;
    enum status st;
    unsigned cap; /* of the array being filled */
    unsigned at;  /* sale being filled */
};

static void *arena(struct loader *l, size_t n)
{
    struct snapshot *s = l->s;
    n = (n + 15) & ~(size_t)15;
    if (!s->chunks || s->chunks->size - s->chunks->used < n) {
        size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
        struct chunk *c = calloc(1, sizeof(*c) + size);
        if (!c) {
            l->st = ST_UNAVAILABLE;
            return NULL;
        }
        c->size = size;
        c->next = s->chunks;
        s->chunks = c;
    }
    void *p = s->chunks->bytes + s->chunks->used;
    s->chunks->used += n;
    return p;
}

static struct str arena_str(struct loader *l, struct str v)
{
    char *p = arena(l, v.n + 1);
    if (!p)
        return (struct str){0};
    if (v.n > 0)
        memcpy(p, v.p, v.n);
    return (struct str){p, v.n};
}

/* Makes room for one more element; the old array stays in the arena (growth is geometric). */
static void *grow(struct loader *l, void *array, unsigned n, size_t size)
{
    if (array && n < l->cap)
        return array;
    unsigned cap = array ? l->cap * 2 : 64;
    void *fresh = arena(l, cap * size);
    if (!fresh)
        return array;
    if (array)
        memcpy(fresh, array, n * size);
    l->cap = cap;
    return fresh;
}

static bool on_sale(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct snapshot *s = l->s;
    s->sale = grow(l, s->sale, s->sales, sizeof(*s->sale));
    if (l->st != ST_OK)
        return false;
    struct sale *v = &s->sale[s->sales++];
    *v = (struct sale){.no = (uint32_t)c[0].i,
                       .id = arena_str(l, c[1].s),
                       .storefront = (uint32_t)c[2].i,
                       .name = arena_str(l, c[3].s),
                       .starts_ms = c[6].i,
                       .ends_ms = c[7].i,
                       .pay_within_s = (uint32_t)c[8].i,
                       .shards = (unsigned)c[9].i,
                       .created_ms = c[10].i};
    memcpy(v->currency, c[4].s.p, c[4].s.n < 3 ? c[4].s.n : 3);
    if (sale_state_parse(c[5].s, &v->state) != ST_OK)
        l->st = ST_INTERNAL;
    v->shard = arena(l, v->shards * sizeof(*v->shard));
    for (unsigned i = 0; v->shard && i < v->shards; i++)
        shard_keys_make(v->id, i, &v->shard[i].keys);
    return l->st == ST_OK;
}

/* Rows come by sale and item number, so a sale's items stand together. */
static struct sale *advance(struct loader *l, uint32_t sale_no)
{
    struct snapshot *s = l->s;
    while (l->at < s->sales && s->sale[l->at].no < sale_no)
        l->at++;
    return l->at < s->sales && s->sale[l->at].no == sale_no ? &s->sale[l->at] : NULL;
}

static bool on_item_count(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct sale *v = advance(l, (uint32_t)c[0].i);
    if (v)
        v->item = arena(l, (size_t)c[1].i * sizeof(*v->item));
    return l->st == ST_OK;
}

static bool on_item(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct snapshot *s = l->s;
    struct sale *v = advance(l, (uint32_t)c[1].i);
    if (!v || !v->item)
        return true;
    s->item = grow(l, s->item, s->items, sizeof(*s->item));
    if (l->st != ST_OK)
        return false;
    s->item[s->items++] = (struct item_place){(uint32_t)c[0].i, l->at, v->items};
    v->item[v->items++] = (struct sale_item){.no = (uint32_t)c[0].i,
                                             .sku = arena_str(l, c[2].s),
                                             .name = arena_str(l, c[3].s),
                                             .price = c[4].i,
                                             .list_price = c[5].type == SQL_T_NULL ? -1 : c[5].i,
                                             .limit = (uint32_t)c[6].i,
                                             .stock = c[7].i};
    return l->st == ST_OK;
}

static void copy_id(char out[REDIS_ID_LEN + 1], struct str v)
{
    size_t n = v.n < REDIS_ID_LEN ? v.n : REDIS_ID_LEN;
    memcpy(out, v.p, n);
    out[n] = '\0';
}

static bool on_shard(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct sale *v = advance(l, (uint32_t)c[0].i);
    if (!v || (unsigned)c[1].i >= v->shards)
        return true;
    struct sale_shard *shard = &v->shard[c[1].i];
    v->allocated = true;
    shard->epoch = c[2].i;
    shard->ready = c[3].i != 0;
    copy_id(shard->loaded_in.run_id, c[4].s);
    copy_id(shard->loaded_in.repl_id, c[5].s);
    return true;
}

static bool on_api_key(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct snapshot *s = l->s;
    if (l->source->production && c[3].i) {
        LOG(l->source->log, LOG_WARN, "demo_key_refused", LF_Z("kind", "api_key"));
        return true;
    }
    s->key = grow(l, s->key, s->keys, sizeof(*s->key));
    if (l->st != ST_OK || c[0].s.n != SHA256_LEN)
        return l->st == ST_OK;
    struct api_key *k = &s->key[s->keys++];
    memcpy(k->hash, c[0].s.p, SHA256_LEN);
    k->storefront = (uint32_t)c[1].i;
    k->role = str_equal(c[2].s, STR("operator")) ? ROLE_OPERATOR : ROLE_STOREFRONT;
    return true;
}

static bool on_signing_key(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct snapshot *s = l->s;
    uint8_t secret[512];
    struct str kid = c[0].s, sealed = c[2].s;
    if (l->source->production && c[3].i) {
        LOG(l->source->log, LOG_WARN, "demo_key_refused", LF_STR("kid", kid));
        return true;
    }
    if (kid.n > ID_MAX || sealed.n > sizeof(secret) || sealed.n < SEAL_OVERHEAD ||
        unseal(l->source->master_key, kid, sealed, secret) != ST_OK) {
        LOG(l->source->log, LOG_ERROR, "signing_key_unreadable", LF_STR("kid", kid),
            LF_Z("advice", "was it sealed with another master_key?"));
        return true;
    }
    s->signer = grow(l, s->signer, s->signers, sizeof(*s->signer));
    if (l->st != ST_OK)
        return false;
    struct token_key *k = &s->signer[s->signers];
    *k = (struct token_key){.storefront_no = (uint32_t)c[1].i};
    memcpy(k->kid, kid.p, kid.n);
    struct str plain = {(char *)secret, sealed.n - SEAL_OVERHEAD};
    if (hmac_key_create(plain, &k->secret) == ST_OK)
        s->signers++;
    else
        l->st = ST_UNAVAILABLE;
    explicit_bzero(secret, sizeof(secret));
    return l->st == ST_OK;
}

static bool on_storefront(void *arg, const struct sql_val *c, unsigned n)
{
    struct loader *l = arg;
    struct snapshot *s = l->s;
    s->storefront = grow(l, s->storefront, s->storefronts, sizeof(*s->storefront));
    if (l->st != ST_OK)
        return false;
    s->storefront[s->storefronts++] = (struct storefront){(uint32_t)c[0].i, arena_str(l, c[1].s)};
    return true;
}

/* One statement each; a sale comes before what belongs to it. */
static const struct {
    const char *text;
    sql_row_fn row;
} reads[] = {
    {"SELECT no, id, storefront, name, currency, state, starts_ms, ends_ms, pay_within_s, shards, "
     "created_ms FROM sales ORDER BY no",
     on_sale},
    {"SELECT sale, COUNT(*) FROM items GROUP BY sale ORDER BY sale", on_item_count},
    {"SELECT no, sale, sku, name, price, list_price, per_shopper, stock FROM items "
     "ORDER BY sale, no",
     on_item},
    {"SELECT sale, shard, epoch, ready, run_id, repl_id FROM shards ORDER BY sale, shard",
     on_shard},
    {"SELECT hash, storefront, role, demo FROM api_keys ORDER BY hash", on_api_key},
    {"SELECT kid, storefront, sealed, demo FROM signing_keys ORDER BY kid", on_signing_key},
    {"SELECT no, id FROM storefronts ORDER BY no", on_storefront},
};

static struct live_sale *live_of(struct loader *l, const struct sale *v)
{
    struct catalog_registry *r = l->registry;
    for (unsigned lo = 0, hi = r->n; lo < hi;) {
        unsigned mid = (lo + hi) / 2;
        if (r->sale[mid]->no == v->no)
            return r->sale[mid];
        if (r->sale[mid]->no < v->no)
            lo = mid + 1;
        else
            hi = mid;
    }
    int64_t units = 0;
    for (unsigned i = 0; i < v->items; i++)
        units += v->item[i].stock;
    if (r->n == r->cap) {
        unsigned cap = r->cap ? r->cap * 2 : 64;
        void *grown = realloc(r->sale, cap * sizeof(struct live_sale *));
        if (!grown)
            return NULL;
        r->sale = grown;
        r->cap = cap;
    }
    struct live_sale *fresh = NULL;
    if (live_sale_create(v->no, v->shards, v->items, units, &r->next_index, &fresh) != ST_OK)
        return NULL;
    /* Numbers are taken in order but may commit out of it. */
    unsigned at = r->n++;
    for (; at > 0 && r->sale[at - 1]->no > v->no; at--)
        r->sale[at] = r->sale[at - 1];
    r->sale[at] = fresh;
    return fresh;
}

static void attach_live(struct loader *l)
{
    struct snapshot *s = l->s;
    for (unsigned i = 0; i < s->sales && l->st == ST_OK; i++) {
        struct sale *v = &s->sale[i];
        struct live_sale *live = live_of(l, v);
        if (!live || live->items != v->items || live->shards != v->shards) {
            l->st = live ? ST_INTERNAL : ST_UNAVAILABLE;
            return;
        }
        for (unsigned k = 0; k < v->shards; k++)
            v->shard[k].live = &live->shard[k];
        for (unsigned k = 0; k < v->items; k++)
            v->item[k].live = live->item[k];
    }
}

static int item_order(const void *a, const void *b)
{
    const struct item_place *x = a, *y = b;
    return x->no < y->no ? -1 : x->no > y->no;
}

/* Places of a table of n: a power of two, at most half of them taken. */
static unsigned places_for(unsigned n)
{
    unsigned places = 2;
    while (places < n * 2)
        places *= 2;
    return places;
}

static void index_items(struct loader *l, struct sale *sale)
{
    unsigned places = places_for(sale->items);
    sale->by_sku = arena(l, places * sizeof(const struct sale_item *));
    if (!sale->by_sku)
        return;
    sale->by_sku_mask = places - 1;
    for (unsigned i = 0; i < sale->items; i++) {
        unsigned at = shopper_hash(sale->item[i].sku) & sale->by_sku_mask;
        while (sale->by_sku[at])
            at = (at + 1) & sale->by_sku_mask;
        sale->by_sku[at] = &sale->item[i];
    }
}

static void index_sales(struct loader *l)
{
    struct snapshot *s = l->s;
    unsigned places = places_for(s->sales);
    s->by_id = arena(l, places * sizeof(const struct sale *));
    if (!s->by_id)
        return;
    s->by_id_mask = places - 1;
    for (unsigned i = 0; i < s->sales; i++) {
        unsigned at = shopper_hash(s->sale[i].id) & s->by_id_mask;
        while (s->by_id[at])
            at = (at + 1) & s->by_id_mask;
        s->by_id[at] = &s->sale[i];
        index_items(l, &s->sale[i]);
    }
    if (s->items > 0)
        qsort(s->item, s->items, sizeof(*s->item), item_order);
}

enum status snapshot_load(struct sql *sql, const struct catalog_source *source,
                          struct catalog_registry *registry, uint64_t version,
                          struct snapshot **out)
{
    struct loader l = {.source = source, .registry = registry, .s = calloc(1, sizeof(*l.s))};
    if (!l.s)
        return ST_UNAVAILABLE;
    l.s->version = version;
    enum status st = ST_OK;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]) && st == ST_OK; i++) {
        l.cap = 0;
        l.at = 0;
        st = sql_run(sql, reads[i].text, NULL, 0, reads[i].row, &l, NULL);
        if (st == ST_OK)
            st = l.st;
    }
    if (st == ST_OK) {
        attach_live(&l);
        index_sales(&l);
        st = l.st;
    }
    if (st == ST_OK)
        *out = l.s;
    else
        snapshot_free(l.s);
    return st;
}

void snapshot_free(struct snapshot *s)
{
    for (unsigned i = 0; i < s->signers; i++)
        hmac_key_destroy(&s->signer[i].secret);
    for (struct chunk *c = s->chunks; c;) {
        struct chunk *next = c->next;
        free(c);
        c = next;
    }
    free(s);
}

void catalog_registry_fini(struct catalog_registry *r)
{
    for (unsigned i = 0; i < r->n; i++)
        live_sale_destroy(&r->sale[i]);
    free(r->sale);
    *r = (struct catalog_registry){0};
}
