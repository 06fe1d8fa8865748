#include "flow/refresh.h"

#include "base/clock.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/recover.h"

#include <stdlib.h>

/* A sale is looked at from a minute before it opens until an hour after it ended. */
enum { EARLY_MS = 60 * 1000, LATE_MS = 3600 * 1000 };
/* An ended sale's filter stays for so long after its end and after whoever asks. */
enum { KEEP_US = 10 * 1000 * 1000 };

bool refresh_wants(const struct sale *sale, int64_t now)
{
    return sale->allocated && now >= sale->starts_ms - EARLY_MS && now < sale->ends_ms + LATE_MS;
}

static void forget_filter(const struct sale *sale, unsigned shard)
{
    for (unsigned i = 0; i < sale->items; i++)
        atomic_store(&sale->item[i].live[shard].refuse, false);
    live_filter_forget(sale->shard[shard].live);
}

/* Recoveries and orders in flight fill filters of ended sales, too: each is looked at every time,
 * and without Redis. */
static void keep_filters(const struct sale *sale, int64_t now, struct gate_count *count)
{
    const int64_t now_us = clock_mono_us();
    const bool ended = sale_phase(sale->state, sale->starts_ms, sale->ends_ms, now) == PHASE_ENDED;
    for (unsigned k = 0; k < sale->shards; k++) {
        struct live_shard *live = sale->shard[k].live;
        if (!ended || (atomic_load(&live->asked) && atomic_exchange(&live->asked, false)))
            live->wanted_until_us = now_us + KEEP_US;
        if (now_us >= live->wanted_until_us && atomic_load(&live->filter_used))
            forget_filter(sale, k);
        if (atomic_load(&live->filter_used))
            count->filter_bytes += live->filter_bits / 8;
    }
}

/* What came before the peek is in the filter, and nobody can have won since an item had none left.
 */
static void note_items(const struct sale *sale, unsigned shard, const struct gate_view *view,
                       bool filter_current)
{
    for (unsigned i = 0; i < sale->items; i++) {
        struct live_item *live = &sale->item[i].live[shard];
        int64_t left = view->units[i].left;
        atomic_store(&live->left, left);
        atomic_store(&live->refuse, left == 0 && filter_current);
    }
}

static bool sold_out_somewhere(const struct sale *sale, const struct gate_view *view)
{
    for (unsigned i = 0; i < sale->items; i++)
        if (view->units[i].left == 0)
            return true;
    return false;
}

static enum status refresh_shard(struct session *s, const struct redis_identity *redis,
                                 const struct sale *sale, unsigned shard, struct gate_view *view,
                                 struct gate_count *count)
{
    const struct sale_shard *at = &sale->shard[shard];
    struct live_shard *live = at->live;
    const bool idle = atomic_load(&live->idle);
    count->seen += !idle;
    enum status st = ST_FENCED;
    if (at->ready && redis_identity_equal(redis, &at->loaded_in))
        st = gate_peek(s, sale, shard, view);
    if (st == ST_FENCED || (st == ST_OK && view->epoch != at->epoch)) {
        recover_request(s->engine, live, 0);
        return ST_OK;
    }
    if (st != ST_OK)
        return st;
    bool over = sale->state == SALE_OVER || sale->state == SALE_PAUSED ||
                clock_wall_ms() >= sale->ends_ms || sold_out_somewhere(sale, view);
    /* Wins count from 0 in each epoch, so the mark names both. */
    int64_t mark = (int64_t)((uint64_t)at->epoch << 40 | (uint64_t)view->wins);
    bool current = mark == atomic_load(&live->wins);
    bool wanted = clock_mono_us() < live->wanted_until_us;
    if (!current && over && wanted) {
        st = gate_filter(s, sale, shard);
        if (st != ST_OK)
            return st;
        atomic_store(&live->wins, mark);
        current = true;
    }
    if (atomic_load(&live->suspect_epoch) >= at->epoch)
        recover_request(s->engine, live, at->epoch);
    atomic_store(&live->filter_current, current);
    atomic_store(&live->log, view->log);
    note_items(sale, shard, view, current);
    count->open += !idle;
    return ST_OK;
}

static enum status refresh_sale(struct session *s, const struct redis_identity *redis,
                                const struct sale *sale, int64_t now, struct gate_count *count)
{
    enum status st = ST_OK;
    const enum sale_phase phase = sale_phase(sale->state, sale->starts_ms, sale->ends_ms, now);
    const bool idle = phase != PHASE_OPEN && phase != PHASE_SCHEDULED;
    struct gate_view view = {.units = calloc(sale->items, sizeof(*view.units))};
    if (!view.units)
        return ST_UNAVAILABLE;
    for (unsigned k = 0; k < sale->shards && st == ST_OK; k++) {
        atomic_store(&sale->shard[k].live->idle, idle);
        st = refresh_shard(s, redis, sale, k, &view, count);
    }
    free(view.units);
    return st;
}

enum status refresh_gates(struct session *s, struct gate_count *count)
{
    const struct snapshot *snap;
    struct redis_identity id; /* asked even when no sale is on: it is how readiness is known */
    enum status st = redis_session_identity(s->redis, &id);
    enum status known = session_refresh(s, &snap);
    int64_t now = clock_wall_ms();
    *count = (struct gate_count){0};
    for (unsigned i = 0; known == ST_OK && i < snapshot_sales(snap); i++)
        keep_filters(snapshot_sale_at(snap, i), now, count);
    if (st == ST_OK)
        st = known;
    for (unsigned i = 0; st == ST_OK && i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        if (refresh_wants(sale, now))
            st = refresh_sale(s, &id, sale, now, count);
    }
    return st;
}
