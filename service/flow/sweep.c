#include "flow/sweep.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/complete.h"
#include "flow/engine.h"
#include "flow/recover.h"

#include <stdlib.h>

enum {
    OWNERS_MAX = 16, /* whose leases are remembered during one look */
    PAGES_MAX = 1000,
    /* A call can be executed as long after its link was given up as Redis was busy before it. */
    DOUBT_US = 15 * 1000 * 1000
};

/* Leases as far as this look asked for them. */
struct owners {
    unsigned n;
    struct {
        struct uid id;
        bool alive;
    } of[OWNERS_MAX];
};

struct sweep {
    struct session *s;
    struct owners *owners;
    const struct sale *sale;
    unsigned shard;
    bool doubt;          /* our own entries may have been lost sight of */
    struct log_mark own; /* the newest entry of ours in this look */
    struct completion *completion;
};

void sweep_doubt(struct live_shard *live)
{
    atomic_store(&live->doubt_until_us, clock_mono_us() + DOUBT_US);
}

static bool on_lease(void *arg, const struct sql_val *c, unsigned n)
{
    *(bool *)arg = true;
    return true;
}

static enum status is_alive(struct session *s, struct owners *known, struct str owner, bool *alive)
{
    for (unsigned i = 0; i < known->n; i++) {
        if (str_equal(owner, (struct str){(const char *)known->of[i].id.b, UID_LEN})) {
            *alive = known->of[i].alive;
            return ST_OK;
        }
    }
    const struct sql_val key[] = {SQL_STR(owner)};
    *alive = false;
    enum status st =
        sql_run(s->sql, "SELECT 1 FROM leases WHERE name = ? AND until_ms > " SQL_NOW_MS, key, 1,
                on_lease, alive, NULL);
    if (st == ST_OK && known->n < OWNERS_MAX && owner.n == UID_LEN) {
        memcpy(known->of[known->n].id.b, owner.p, UID_LEN);
        known->of[known->n++].alive = *alive;
    }
    return st;
}

/* --- one entry -------------------------------------------------------------------------------- */

/* Ours is left to the batch that knows it, unless one may not: then what was there a look ago, and
 * still is, is completed, whether a batch knows it or not. */
static bool own_is_left(struct sweep *w, const char *id)
{
    struct log_mark at = log_mark_of(id);
    if (log_mark_after(at, w->own))
        w->own = at;
    return w->doubt && !log_mark_after(at, w->sale->shard[w->shard].live->swept);
}

static enum status is_left(struct sweep *w, const struct intent_entry *e, bool *left)
{
    const struct uid *me = &w->s->engine->instance;
    bool alive = true;
    if (str_equal(e->owner, (struct str){(const char *)me->b, UID_LEN})) {
        *left = own_is_left(w, e->id);
        return ST_OK;
    }
    enum status st = is_alive(w->s, w->owners, e->owner, &alive);
    *left = !alive;
    return st;
}

static enum status complete(struct sweep *w, const struct intent_entry *e)
{
    enum status st = ST_OK;
    if (!w->completion) {
        CRASH_POINT(sweep_before_complete);
        LOG(w->s->engine->log, LOG_WARN, "completing_batches", LF_STR("sale", w->sale->id),
            LF_INT("shard", w->shard));
        st = completion_create(w->s, w->sale, w->shard, &w->completion);
    }
    return st == ST_OK ? completion_add(w->completion, e) : st;
}

static enum status sweep_page(struct sweep *w, const struct intent_page *page)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < page->n && st == ST_OK; i++) {
        struct intent_entry e;
        bool left = false;
        /* Under another epoch it is a rebuild's business. */
        if (!intent_entry(page, i, &e) || e.epoch != w->sale->shard[w->shard].epoch)
            continue;
        st = is_left(w, &e, &left);
        if (st == ST_OK && left)
            st = complete(w, &e);
    }
    return st == ST_OK && w->completion ? completion_flush(w->completion) : st;
}

/* --- one shard -------------------------------------------------------------------------------- */

/* Time alone ends no doubt: this process may have been stopped through it. Two sweeps after it do,
 * as the second completes what the first saw. */
static void end_doubt(struct live_shard *live, int64_t until_us, bool swept_late)
{
    live->swept_late = swept_late && until_us != 0 ? live->swept_late + 1 : 0;
    if (live->swept_late < 2)
        return;
    live->swept_late = 0;
    atomic_compare_exchange_strong(&live->doubt_until_us, &until_us, 0);
}

static enum status sweep_shard(struct session *s, struct owners *owners, const struct sale *sale,
                               unsigned shard)
{
    const struct sale_shard *at = &sale->shard[shard];
    struct intent_page page = {0};
    int64_t doubt_until_us = atomic_load(&at->live->doubt_until_us);
    bool late = clock_mono_us() >= doubt_until_us;
    struct sweep w = {
        .s = s, .owners = owners, .sale = sale, .shard = shard, .doubt = doubt_until_us != 0};
    enum status st;
    unsigned pages = 0;
    do {
        st = intent_next(s, at, &page);
        if (st == ST_OK && page.n > 0)
            st = sweep_page(&w, &page);
    } while (st == ST_OK && page.n > 0 && ++pages < PAGES_MAX);
    intent_end(&page);
    completion_destroy(&w.completion);
    at->live->swept = w.own;
    end_doubt(at->live, doubt_until_us, st == ST_OK && late);
    if (st == ST_FENCED || st == ST_INTERNAL) {
        recover_request(s->engine, at->live, at->epoch);
        return ST_OK;
    }
    return st;
}

enum status sweep_logs(struct session *s)
{
    const struct snapshot *snap;
    struct owners owners = {0};
    enum status st = session_catalog(s, &snap);
    for (unsigned i = 0; st == ST_OK && i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        for (unsigned k = 0; sale->allocated && k < sale->shards && st == ST_OK; k++) {
            /* Only where the last look saw entries: a quiet shard costs nothing. */
            if (sale->shard[k].ready && atomic_load(&sale->shard[k].live->log) > 0)
                st = sweep_shard(s, &owners, sale, k);
        }
    }
    return st;
}
