#include "flow/recover.h"

#include "base/clock.h"
#include "flow/gate.h"
#include "flow/rebuild.h"

#include <stdlib.h>

/* After a failure, so that a closed gate is not rebuilt at the rate of its purchases. */
enum { BACK_OFF_US = 200000 };

struct recover_job {
    struct job job;
    struct live_shard *live;
    bool idle; /* in the pool of those that can wait */
};

static void recover_work(struct job *job, struct session *s)
{
    struct recover_job *r = CONTAINER_OF(job, struct recover_job, job);
    struct live_shard *live = r->live;
    /* A stop waits for what is queued. A gate that nobody needs now is as well loaded at the next
     * start; a doubt is settled while it is known. */
    const bool leave =
        r->idle && atomic_load(&s->engine->stopping) && atomic_load(&live->suspect_epoch) == 0;
    enum status st = leave ? ST_UNAVAILABLE : recover_shard(s, live->sale_no, live->shard, false);
    if (st != ST_OK)
        atomic_store(&live->retry_at_us, clock_mono_us() + BACK_OFF_US);
    atomic_store(&live->recovering[r->idle], false);
    free(r);
}

void recover_request(const struct engine *engine, struct live_shard *live, int64_t suspect)
{
    int64_t known = atomic_load(&live->suspect_epoch);
    while (suspect > known && !atomic_compare_exchange_weak(&live->suspect_epoch, &known, suspect))
        ;
    /* After a restart of Redis every gate is to be rebuilt. Those that sell do not queue behind those
     * of sales that are over; a shard that is in both queues is rebuilt by whichever comes first. */
    const bool idle = atomic_load(&live->idle);
    _Atomic bool *recovering = &live->recovering[idle];
    if (clock_mono_us() < atomic_load(&live->retry_at_us) || atomic_exchange(recovering, true))
        return; /* the refresh asks again */
    struct recover_job *r = calloc(1, sizeof(*r));
    if (!r) {
        atomic_store(recovering, false);
        return;
    }
    *r = (struct recover_job){.job = {.work = recover_work}, .live = live, .idle = idle};
    if (jobs_submit(idle ? engine->idle_rebuilds : engine->rebuilds, &r->job) != ST_OK) {
        atomic_store(recovering, false);
        free(r);
    }
}

/* Redis is there, is ours to use, and has our functions. */
static enum status redis_fit(struct session *s, struct redis_identity *id)
{
    enum status st = redis_session_identity(s->redis, id);
    if (st != ST_OK)
        return st;
    if (!id->noeviction) {
        LOG(s->engine->log, LOG_ERROR, "redis_may_evict",
            LF_Z("advice",
                 "set maxmemory-policy noeviction: evicted counters would be sold again"));
        return ST_UNAVAILABLE;
    }
    return redis_session_load_functions(s->redis, s->engine->conf->functions_file);
}

static enum status gate_in_order(struct session *s, const struct sale *sale, unsigned shard,
                                 const struct redis_identity *id, bool *in_order)
{
    const struct sale_shard *at = &sale->shard[shard];
    struct gate_view view = {.units = calloc(sale->items, sizeof(*view.units))};
    if (!view.units)
        return ST_UNAVAILABLE;
    enum status st = gate_peek(s, sale, shard, &view);
    *in_order = st == ST_OK && at->ready && at->epoch == view.epoch &&
                redis_identity_equal(id, &at->loaded_in);
    free(view.units);
    return st;
}

/* Under the shard's lock. */
static enum status recover_locked(struct session *s, const struct sale *sale, unsigned shard,
                                  const struct redis_identity *id, bool force)
{
    bool in_order = false;
    /* Any load after the suspect epoch has settled it. */
    const struct sale_shard *at = &sale->shard[shard];
    force = force || atomic_load(&at->live->suspect_epoch) >= at->epoch;
    enum status st = gate_in_order(s, sale, shard, id, &in_order);
    if (st != ST_OK || (in_order && !force))
        return st;
    st = rebuild_shard(s, sale, shard, id);
    LOG(s->engine->log, st == ST_OK ? LOG_INFO : LOG_WARN, "shard_rebuilt",
        LF_STR("sale", sale->id), LF_INT("shard", shard), LF_Z("status", status_info(st)->name));
    return st == ST_OK ? catalog_reload(s->engine->catalog, s->sql) : st;
}

/* Newest catalogue and the shard's sale in it. */
static enum status find_sale(struct session *s, uint32_t sale_no, unsigned shard,
                             const struct sale **sale)
{
    const struct snapshot *snap;
    enum status st = catalog_reload(s->engine->catalog, s->sql);
    if (st == ST_OK)
        st = session_refresh(s, &snap);
    if (st != ST_OK)
        return st;
    *sale = snapshot_sale_by_no(snap, sale_no);
    return *sale && (*sale)->allocated && shard < (*sale)->shards ? ST_OK : ST_SALE_NOT_FOUND;
}

enum status recover_shard(struct session *s, uint32_t sale_no, unsigned shard, bool force)
{
    struct redis_identity id;
    const struct sale *sale;
    enum status st = redis_fit(s, &id);
    if (st == ST_OK)
        st = find_sale(s, sale_no, shard, &sale);
    if (st != ST_OK)
        return st;
    struct live_shard *live = sale->shard[shard].live;
    pthread_mutex_lock(&live->rebuild);
    st = find_sale(s, sale_no, shard, &sale); /* whoever had the lock may have done it */
    if (st == ST_OK)
        st = recover_locked(s, sale, shard, &id, force);
    pthread_mutex_unlock(&live->rebuild);
    return st;
}

enum status recover_sale(struct session *s, uint32_t sale_no)
{
    const struct snapshot *snap;
    enum status st = session_refresh(s, &snap);
    if (st != ST_OK)
        return st;
    const struct sale *sale = snapshot_sale_by_no(snap, sale_no);
    unsigned shards = sale ? sale->shards : 0;
    for (unsigned i = 0; i < shards && st == ST_OK; i++)
        st = recover_shard(s, sale_no, i, false);
    return st;
}
