#include "flow/catalog.h"

#include "flow/catalog_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct catalog {
    pthread_mutex_t lock;     /* guards current and the snapshots' counts */
    pthread_mutex_t building; /* one reload at a time; guards the registry */
    struct snapshot *current;
    _Atomic uint64_t version; /* of current; 0 before the first load */
    struct catalog_registry registry;
    struct catalog_source source;
};

enum status catalog_create(const uint8_t master_key[SEAL_KEY_LEN], bool production, struct log *log,
                           struct catalog **out)
{
    struct catalog *c = calloc(1, sizeof(*c));
    if (!c)
        return ST_UNAVAILABLE;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->building, NULL);
    memcpy(c->source.master_key, master_key, SEAL_KEY_LEN);
    c->source.production = production;
    c->source.log = log;
    *out = c;
    return ST_OK;
}

static void snapshot_release(struct catalog *c, struct snapshot *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&c->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last)
        snapshot_free(s);
}

void catalog_destroy(struct catalog **catalog)
{
    struct catalog *c = *catalog;
    if (!c)
        return;
    snapshot_release(c, c->current);
    catalog_registry_fini(&c->registry);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->building);
    free(c);
    *catalog = NULL;
}

static void publish(struct catalog *c, struct snapshot *fresh)
{
    pthread_mutex_lock(&c->lock);
    struct snapshot *old = c->current;
    fresh->refs = 1;
    c->current = fresh;
    atomic_store(&c->version, fresh->version);
    pthread_mutex_unlock(&c->lock);
    snapshot_release(c, old);
}

static bool on_version(void *arg, const struct sql_val *cols, unsigned n)
{
    *(uint64_t *)arg = (uint64_t)cols[0].i;
    return true;
}

enum status catalog_reload(struct catalog *c, struct sql *sql)
{
    pthread_mutex_lock(&c->building);
    uint64_t version = 0;
    struct snapshot *fresh = NULL;
    enum status st = sql_run(sql, "SELECT n FROM counters WHERE name = 'catalog'", NULL, 0,
                             on_version, &version, NULL);
    if (st != ST_OK || version == atomic_load(&c->version))
        goto cleanup;
    st = sql_begin_snapshot(sql);
    if (st == ST_OK)
        st = sql_run(sql, "SELECT n FROM counters WHERE name = 'catalog'", NULL, 0, on_version,
                     &version, NULL);
    if (st == ST_OK)
        st = snapshot_load(sql, &c->source, &c->registry, version, &fresh);
    sql_rollback(sql);
    if (st == ST_OK)
        publish(c, fresh);
cleanup:
    pthread_mutex_unlock(&c->building);
    return st;
}

enum status catalog_touch(struct sql *sql)
{
    return sql_run(sql, "UPDATE counters SET n = n + 1 WHERE name = 'catalog'", NULL, 0, NULL, NULL,
                   NULL);
}

void catalog_reader_init(struct catalog_reader *r, struct catalog *c)
{
    *r = (struct catalog_reader){.c = c};
}

void catalog_reader_fini(struct catalog_reader *r)
{
    if (r->c)
        snapshot_release(r->c, r->snap);
    *r = (struct catalog_reader){0};
}

const struct snapshot *catalog_read(struct catalog_reader *r)
{
    uint64_t version = atomic_load_explicit(&r->c->version, memory_order_acquire);
    if (r->snap ? r->snap->version == version : version == 0)
        return r->snap;
    struct snapshot *old = r->snap;
    pthread_mutex_lock(&r->c->lock);
    r->snap = r->c->current;
    r->snap->refs++;
    pthread_mutex_unlock(&r->c->lock);
    snapshot_release(r->c, old);
    return r->snap;
}
