#include "app.h"

#include "api/routes.h"
#include "base/clock.h"
#include "flow/lease.h"
#include "flow/order_reads.h"
#include "flow/payments.h"
#include "pay/channel.h"
#include "settings.h"
#include "sql/migrate.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    OPENAPI_MAX = 1024 * 1024,
    REBUILD_THREADS = 2,
    AUDIT_THREADS = 2, /* the keeper's, which goes on and on, and one that somebody asked for */
    PATIENCE_MS = 120000,
    STORE_WAIT_MS = 20000,
    STORE_POLL_MS = 100
};

static enum status read_openapi(struct app *app)
{
    buf_init(&app->openapi, OPENAPI_MAX);
    FILE *f = fopen(app->conf.openapi_file, "re");
    char *p = f ? buf_reserve(&app->openapi, OPENAPI_MAX) : NULL;
    if (p)
        app->openapi.len = fread(p, 1, OPENAPI_MAX, f);
    if (f)
        fclose(f);
    app->health.openapi = (struct str){app->openapi.data, app->openapi.len};
    return p && app->openapi.len > 0 ? ST_OK : ST_NOT_FOUND;
}

/* As many descriptors as the system allows: a connection needs one. */
static void raise_descriptors(struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG(log, LOG_WARN, "descriptor_limit_not_raised", LF_INT("limit", (int64_t)limit.rlim_cur));
}

static void fill_stores(struct app *app)
{
    const struct config *c = &app->conf;
    app->engine.conf = c;
    app->engine.sql =
        (struct sql_conf){c->sql, c->sql_user, c->sql_password, c->sql_database, c->sql_timeout_ms};
    app->engine.patient_sql = app->engine.sql;
    app->engine.patient_sql.timeout_ms = PATIENCE_MS;
    app->engine.redis = (struct redis_conf){c->redis, c->redis_password, c->redis_timeout_ms};
}

enum status app_init(struct app *app, char *error, size_t size)
{
    struct engine *e = &app->engine;
    enum log_level level = LOG_INFO;
    fill_stores(app);
    snprintf(error, size, "out of memory");
    if (!log_level_parse(app->conf.log_level, &level) ||
        log_create(STDERR_FILENO, level, &e->log) != ST_OK ||
        metrics_create(route_names(), routes_n + 1, &e->metrics) != ST_OK)
        return ST_UNAVAILABLE;
    if (!hex_decode(str_from(app->conf.master_key), app->master_key, SEAL_KEY_LEN)) {
        snprintf(error, size, "master_key is required: 64 hex digits that seal signing secrets");
        return ST_INVALID_REQUEST;
    }
    struct uid_source *ids = uid_source_create();
    if (!ids)
        return ST_UNAVAILABLE;
    e->instance = uid_make(ids, clock_wall_ms());
    uid_source_destroy(&ids);
    enum status st = channel_set_create(&app->conf, &e->channels);
    if (st != ST_OK)
        snprintf(error, size, "a payment channel could not be set up (sandbox_secret empty?)");
    return st == ST_OK ? catalog_create(app->master_key, app->conf.production, e->log, &e->catalog)
                       : st;
}

void app_fini(struct app *app)
{
    struct engine *e = &app->engine;
    catalog_destroy(&e->catalog);
    channel_set_destroy(&e->channels);
    if (e->metrics)
        metrics_destroy(&e->metrics);
    if (e->log)
        log_destroy(&e->log);
    buf_fini(&app->openapi);
    explicit_bzero(app->master_key, sizeof(app->master_key));
    config_fini(&app->conf);
}

/* Signals are blocked and nobody waits for them before all has started. */
static bool told_to_end(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

/* MariaDB may be starting beside us. */
static enum status wait_for_sql(struct session *s)
{
    int64_t until_us = clock_mono_us() + STORE_WAIT_MS * 1000;
    enum status st;
    while ((st = sql_connect(s->sql)) != ST_OK && clock_mono_us() < until_us && !told_to_end())
        usleep(STORE_POLL_MS * 1000);
    return st;
}

static enum status prepare_schema(struct app *app, char *error, size_t size)
{
    struct session *s = NULL;
    enum status st = session_create(&app->engine, &s);
    if (st == ST_OK)
        st = wait_for_sql(s);
    if (st != ST_OK) {
        snprintf(error, size, "MariaDB at %s does not answer", app->conf.sql);
        goto cleanup;
    }
    st = migrate_run(s->sql, app->conf.schema_dir, app->engine.log, NULL, error, size);
    if (st == ST_OK) {
        st = catalog_reload(app->engine.catalog, s->sql);
        if (st != ST_OK)
            snprintf(error, size, "the catalogue cannot be read: %s", sql_error(s->sql));
    }
    /* Others take an owner without a lease for dead. */
    if (st == ST_OK)
        st = lease_follow_clock(s);
    if (st == ST_OK)
        st = lease_renew(s);
cleanup:
    session_destroy(&s);
    return st;
}

/* One that cannot be asked now is looked at before a sale is loaded into it. */
static enum status check_redis(struct app *app, char *error, size_t size)
{
    struct redis_session *s = NULL;
    struct redis_identity id;
    enum status st = redis_session_create(&app->engine.redis, app->engine.log, &s);
    if (st == ST_OK && redis_session_identity(s, &id) == ST_OK && !id.noeviction) {
        snprintf(error, size,
                 "Redis at %s may evict counters, which would then be sold again. Set "
                 "maxmemory-policy noeviction in its configuration, and now: redis-cli CONFIG SET "
                 "maxmemory-policy noeviction",
                 app->conf.redis);
        st = ST_INVALID_STATE;
    }
    redis_session_destroy(&s);
    return st;
}

static enum status start_threads(struct app *app)
{
    struct engine *e = &app->engine;
    const struct config *c = &app->conf;
    const struct {
        struct jobs **pool;
        unsigned threads;
    } pools[] = {{&e->queries, (unsigned)c->query_threads},
                 {&e->chores, KEEPER_CHORES},
                 {&e->rebuilds, REBUILD_THREADS},
                 {&e->idle_rebuilds, 1}};
    const struct {
        struct jobs **pool;
        const struct jobs_group *group;
    } grouped[] = {{&e->payments, &payments_group},
                   {&e->webhooks, &webhooks_group},
                   {&e->reads, &order_reads_group}};
    enum status st =
        committers_create(&e->sql, (unsigned)c->committers, (unsigned)c->commit_group_max,
                          (unsigned)c->commit_depth_max, e->log, e->metrics, &e->committers);
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]) && st == ST_OK; i++)
        st = jobs_create(e, pools[i].threads, (unsigned)c->query_depth_max, pools[i].pool);
    for (size_t i = 0; i < sizeof(grouped) / sizeof(grouped[0]) && st == ST_OK; i++)
        st =
            jobs_create_grouped(e, grouped[i].group, (unsigned)c->query_depth_max, grouped[i].pool);
    if (st == ST_OK)
        st = channel_set_start(e->channels);
    if (st == ST_OK)
        st = jobs_create_patient(e, AUDIT_THREADS, (unsigned)c->query_depth_max, &e->audits);
    return st == ST_OK ? keeper_start(e, &app->health.stores, &app->keeper) : st;
}

static enum status start_workers(struct app *app)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long n = app->conf.workers > 0 ? (long)app->conf.workers : cores > 0 ? cores : 1;
    enum status st = router_create(routes, routes_n, &app->router);
    if (st == ST_OK)
        st = conn_census_create(&app->census);
    settings_of(&app->conf, &app->settings);
    const struct worker_conf conf = {&app->engine, &app->health, &app->settings, app->router,
                                     app->census};
    for (; app->workers < n && app->workers < WORKERS_MAX && st == ST_OK; app->workers++) {
        st = worker_start(&conf, &app->worker[app->workers]);
        if (st != ST_OK)
            break;
    }
    return st;
}

static enum status open_sockets(struct app *app, const int *fds, unsigned n, char *error,
                                size_t size)
{
    if (n == 0)
        return listen_set_open(&app->sockets, app->conf.listen, app->workers, error, size);
    return listen_set_adopt(&app->sockets, fds, n, error, size);
}

enum status app_start(struct app *app, const int *fds, unsigned n, char *error, size_t size)
{
    raise_descriptors(app->engine.log);
    enum status st = read_openapi(app);
    if (st != ST_OK)
        snprintf(error, size, "%s cannot be read", app->conf.openapi_file);
    if (st == ST_OK && n == 0)
        st = http_address_unused(app->conf.listen, error, size);
    if (st == ST_OK)
        st = prepare_schema(app, error, size);
    if (st == ST_OK)
        st = check_redis(app, error, size);
    if (st != ST_OK)
        return st;
    snprintf(error, size, "out of memory, threads or descriptors");
    st = start_threads(app);
    if (st == ST_OK)
        st = start_workers(app);
    return st == ST_OK ? open_sockets(app, fds, n, error, size) : st;
}

void app_listen(struct app *app)
{
    unsigned places = listen_set_places(&app->sockets, app->workers);
    for (unsigned i = 0; i < places; i++) {
        int fd = listen_set_dup(&app->sockets, i);
        if (fd >= 0)
            worker_listen(app->worker[i % app->workers], fd);
        else
            LOG(app->engine.log, LOG_ERROR, "listen_failed", LF_INT("place", i));
    }
}

bool app_ready(const struct app *app)
{
    const struct keeper_view *v = &app->health.stores;
    bool ready = atomic_load(&v->sql) && atomic_load(&v->redis) && atomic_load(&v->gates);
    for (unsigned i = 0; i < app->workers; i++)
        ready = ready && worker_ready(app->worker[i]);
    return ready;
}

/* Nothing of ours is under way any more, so nobody needs to wait for the lease to lapse. */
static void leave(struct app *app)
{
    struct session *s = NULL;
    if (session_create(&app->engine, &s) == ST_OK)
        lease_leave(s);
    session_destroy(&s);
}

void app_stop(struct app *app, const struct worker_end *end)
{
    struct engine *e = &app->engine;
    struct jobs **const pools[] = {&e->audits,        &e->webhooks, &e->payments, &e->rebuilds,
                                   &e->idle_rebuilds, &e->chores,   &e->reads,    &e->queries};
    int64_t until_us = clock_mono_us() + (end->delay_ms + end->grace_ms) * 1000;
    atomic_store(&app->health.draining, true);
    atomic_store(&e->stopping, true);
    for (unsigned i = 0; i < app->workers; i++)
        worker_drain(app->worker[i], end);
    /* The workers' descriptors are the last ones, so that they can accept what is queued. */
    listen_set_close(&app->sockets);
    for (unsigned i = 0; i < app->workers; i++)
        worker_join(app->worker[i]);
    bool served = app->keeper != NULL;
    keeper_stop(&app->keeper);
    channel_set_stop(e->channels); /* its answers go to the payments' pool */
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
        if (*pools[i])
            jobs_stop(*pools[i]);
    if (e->committers)
        committers_stop(e->committers, (until_us - clock_mono_us()) / 1000);
    if (served && committers_depth(e->committers) == 0)
        leave(app);
    for (unsigned i = 0; i < app->workers; i++)
        worker_destroy(&app->worker[i]);
    app->workers = 0;
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
        jobs_destroy(pools[i]);
    committers_destroy(&e->committers);
    conn_census_destroy(&app->census);
    router_destroy(&app->router);
}
