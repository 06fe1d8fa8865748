#include "flow/patrol.h"

#include "base/clock.h"
#include "flow/gate.h"
#include "flow/intent.h"
#include "flow/outbox.h"
#include "flow/patrol_priv.h"
#include "flow/recover.h"
#include "flow/refresh.h"
#include "flow/sales.h"
#include "flow/sweep.h"
#include "rules/balance.h"

#include <stdlib.h>

const struct patrol_pace patrol_pace = {
    .heal_after_ms = 10000,
    .stuck_after_ms = 30000,
    .rest_ms = 5000,
    .rest_times = 50,
    .rush_per_s = 1000,
    .rush_ms = 60000,
};

/* One item of a watched shard. */
struct watch_item {
    struct balance b;              /* of this look */
    struct balance_gate candidate; /* an earlier look's gate, see choose_settled */
    enum balance_verdict verdict;
    int64_t since_us; /* first look of this verdict */
};

/* What is remembered of a shard from look to look. */
struct watch {
    bool looked; /* the gate was read before the ledger, in this look */
    bool has_candidate;
    int64_t epoch;        /* of the candidate */
    struct log_mark upto; /* newest log entry at the candidate's look; 0: there was none */
    int64_t since_us;     /* of the candidate's look, or of the last doubt about it */
    unsigned items;
    struct watch_item item[];
};

struct look {
    struct patrol *p;
    struct session *s;
    const struct snapshot *snap;
    int64_t now_ms; /* of the wall clock */
    struct redis_identity redis;
    struct gate_view view;
    unsigned wrong; /* items of shards */
};

enum status patrol_create(const struct engine *engine, const struct patrol_pace *pace,
                          struct patrol **out)
{
    struct patrol *p = calloc(1, sizeof(*p));
    if (!p)
        return ST_UNAVAILABLE;
    p->engine = engine;
    p->pace = *pace;
    patrol_show(p);
    *out = p;
    return ST_OK;
}

void patrol_destroy(struct patrol **patrol)
{
    struct patrol *p = *patrol;
    if (!p)
        return;
    for (unsigned i = 0; i < p->watches; i++)
        free(p->watch[i]);
    free(p->watch);
    free(p->sale);
    free(p);
    *patrol = NULL;
}

void patrol_show(const struct patrol *p)
{
    bool ok = atomic_load(&p->unbalanced) == 0 && atomic_load(&p->broken) == 0;
    metrics_gauge_set(p->engine->metrics, MG_AUDIT_OK, ok);
}

void patrol_broken(struct session *s, const struct sale *sale, const char *promise,
                   const char *check, int64_t expected, int64_t found)
{
    metrics_add(s->metrics, M_AUDIT_BROKEN, 1);
    LOG(s->engine->log, LOG_ERROR, "audit_broken", LF_STR("sale", sale->id),
        LF_Z("promise", promise), LF_Z("check", check), LF_INT("expected", expected),
        LF_INT("found", found));
}

void patrol_heal(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                 const char *what, struct str sku, int64_t expected, int64_t found,
                 int64_t since_us)
{
    metrics_add(s->metrics, M_HEALS, 1);
    LOG(s->engine->log, LOG_ERROR, "shard_healed", LF_STR("sale", sale->id), LF_INT("shard", shard),
        LF_INT("epoch", epoch), LF_Z("what", what), LF_STR("sku", sku),
        LF_INT("expected", expected), LF_INT("found", found),
        LF_INT("wrong_ms", (clock_mono_us() - since_us) / 1000));
    recover_request(s->engine, sale->shard[shard].live, epoch);
}

/* The shard's memory; NULL without. */
static struct watch *watch_of(struct patrol *p, const struct sale *sale, unsigned shard)
{
    enum { STEP = 64 };
    const unsigned at = sale->shard[shard].live->index;
    if (at >= p->watches) {
        struct watch **more = realloc(p->watch, (at + STEP) * sizeof(struct watch *));
        if (!more)
            return NULL;
        memset(more + p->watches, 0, (at + STEP - p->watches) * sizeof(struct watch *));
        p->watch = more;
        p->watches = at + STEP;
    }
    struct watch *w = p->watch[at];
    if (w && w->items == sale->items)
        return w;
    free(w);
    w = p->watch[at] = calloc(1, sizeof(*w) + sale->items * sizeof(struct watch_item));
    if (w)
        w->items = sale->items;
    return w;
}

/* Runs step for every shard of the open sales, until one fails; l->redis says who answers. */
static enum status each_shard(struct look *l,
                              enum status (*step)(struct look *l, const struct sale *sale,
                                                  unsigned shard, struct watch *w))
{
    enum status st = redis_session_identity(l->s->redis, &l->redis);
    for (unsigned i = 0; i < snapshot_sales(l->snap) && st == ST_OK; i++) {
        const struct sale *sale = snapshot_sale_at(l->snap, i);
        for (unsigned k = 0; refresh_wants(sale, l->now_ms) && k < sale->shards && st == ST_OK;
             k++) {
            struct watch *w = watch_of(l->p, sale, k);
            st = w ? step(l, sale, k, w) : ST_UNAVAILABLE;
        }
    }
    return st;
}

/* --- the gate before -------------------------------------------------------------------------- */

/* ST_FENCED: not the Redis that was loaded; the refresh sees to that. */
static enum status read_gate(struct look *l, const struct sale *sale, unsigned shard)
{
    const struct sale_shard *at = &sale->shard[shard];
    if (!at->ready || !redis_identity_equal(&l->redis, &at->loaded_in))
        return ST_FENCED;
    return gate_peek(l->s, sale, shard, &l->view);
}

static struct balance_gate figures(const struct gate_view *view, unsigned item)
{
    return (struct balance_gate){view->epoch, view->units[item].left, view->units[item].added,
                                 view->back};
}

static bool is_none(struct log_mark mark)
{
    return mark.ms == 0 && mark.seq == 0;
}

/* Whether every entry that was in the log at the candidate's look is gone. */
static enum status is_settled(struct look *l, const struct sale *sale, unsigned shard,
                              const struct watch *w, bool *settled)
{
    struct log_mark oldest;
    *settled = w->has_candidate && is_none(w->upto);
    if (*settled || !w->has_candidate)
        return ST_OK;
    enum status st = intent_edge(l->s, &sale->shard[shard], false, &oldest);
    *settled = is_none(oldest) || log_mark_after(oldest, w->upto);
    return st;
}

/* Entries of the candidate's look are still in the log. Whoever owns them, and looks like us, raises
 * the doubt about its own. */
static void note_stuck(struct look *l, const struct sale *sale, unsigned shard, struct watch *w)
{
    const int64_t now_us = clock_mono_us(), stuck_ms = (now_us - w->since_us) / 1000;
    if (stuck_ms < l->p->pace.stuck_after_ms)
        return;
    LOG(l->s->engine->log, LOG_WARN, "entries_stuck", LF_STR("sale", sale->id),
        LF_INT("shard", shard), LF_INT("stuck_ms", stuck_ms));
    w->since_us = now_us;
    sweep_doubt(sale->shard[shard].live);
}

/* Chooses the look that the ledger is held against for too few units: this one if its log was
 * empty, else the candidate once it is settled. Then this one is the next candidate. */
static enum status choose_settled(struct look *l, const struct sale *sale, unsigned shard,
                                  struct watch *w)
{
    const bool empty = l->view.log == 0;
    bool settled = false;
    enum status st = empty ? ST_OK : is_settled(l, sale, shard, w, &settled);
    for (unsigned i = 0; i < w->items; i++) {
        struct watch_item *item = &w->item[i];
        item->b.has_settled = empty || settled;
        item->b.settled = empty ? item->b.before : item->candidate;
    }
    const bool waits = st == ST_OK && w->has_candidate && !empty && !settled;
    if (waits)
        note_stuck(l, sale, shard, w);
    if (st != ST_OK || waits)
        return st;
    w->since_us = clock_mono_us();
    /* Asked after the look, so that it is no older than any entry of the look. */
    w->upto = (struct log_mark){0};
    if (!empty)
        st = intent_edge(l->s, &sale->shard[shard], true, &w->upto);
    w->has_candidate = st == ST_OK;
    w->epoch = l->view.epoch;
    for (unsigned i = 0; i < w->items; i++)
        w->item[i].candidate = w->item[i].b.before;
    return st;
}

static enum status look_before(struct look *l, const struct sale *sale, unsigned shard,
                               struct watch *w)
{
    w->looked = false;
    enum status st = read_gate(l, sale, shard);
    if (st != ST_OK)
        return st == ST_FENCED ? ST_OK : st;
    w->has_candidate = w->has_candidate && w->epoch == l->view.epoch;
    for (unsigned i = 0; i < w->items; i++)
        w->item[i].b = (struct balance){.before = figures(&l->view, i)};
    st = choose_settled(l, sale, shard, w);
    w->looked = st == ST_OK;
    return st;
}

/* --- the ledger ------------------------------------------------------------------------------- */

static struct watch_item *item_of(struct look *l, int64_t item_no, int64_t shard)
{
    const struct sale_item *item;
    const struct sale *sale = snapshot_item(l->snap, (uint32_t)item_no, &item);
    if (!sale || shard < 0 || shard >= sale->shards || !refresh_wants(sale, l->now_ms))
        return NULL;
    struct watch *w = watch_of(l->p, sale, (unsigned)shard);
    return w ? &w->item[item - sale->item] : NULL;
}

static bool on_stock(void *arg, const struct sql_val *c, unsigned n)
{
    struct watch_item *item = item_of(arg, c[0].i, c[1].i);
    if (item) {
        item->b.epoch = c[2].i;
        item->b.allocated = c[3].i;
        item->b.held = c[4].i;
        item->b.added = c[5].i;
    }
    return true;
}

static bool on_untold(void *arg, const struct sql_val *c, unsigned n)
{
    struct watch_item *item = item_of(arg, c[0].i, c[1].i);
    if (item)
        item->b.untold = c[2].i;
    return true;
}

/* All of it in one snapshot. */
static enum status read_ledger(struct look *l)
{
    const struct sql_val release[] = {SQL_INT(OUTBOX_RELEASE)};
    enum status st = sql_begin_snapshot(l->s->sql);
    if (st != ST_OK)
        return st;
    for (unsigned i = 0; i < snapshot_sales(l->snap) && st == ST_OK; i++) {
        const struct sale *sale = snapshot_sale_at(l->snap, i);
        const struct sql_val of[] = {SQL_INT(sale->no)};
        if (refresh_wants(sale, l->now_ms))
            st = sql_run(l->s->sql,
                         "SELECT k.item, k.shard, k.epoch, k.allocated, k.held, k.added "
                         "FROM items i JOIN shard_stock k ON k.item = i.no WHERE i.sale = ?",
                         of, 1, on_stock, l, NULL);
    }
    if (st == ST_OK)
        st = sql_run(l->s->sql,
                     "SELECT item, shard, CAST(SUM(n) AS INTEGER) FROM outbox WHERE kind = ? "
                     "GROUP BY item, shard",
                     release, 1, on_untold, l, NULL);
    sql_rollback(l->s->sql);
    return st;
}

/* --- the gate after, and the judgement -------------------------------------------------------- */

/* Notes the verdict; true when it is time to heal. */
static bool judge_item(struct look *l, const struct sale *sale, struct watch_item *item)
{
    int64_t off = 0, now_us = clock_mono_us();
    const struct balance *b = &item->b;
    enum balance_verdict verdict = balance_judge(b, &off);
    bool wrong = verdict == BALANCE_TOO_MANY || verdict == BALANCE_TOO_FEW;
    if (verdict != item->verdict) {
        item->verdict = verdict;
        item->since_us = now_us;
        if (wrong)
            patrol_broken(l->s, sale, "P4", "gate_left_is_ledger_left", b->allocated - b->held,
                          b->after.left);
    }
    l->wrong += wrong;
    return wrong && now_us - item->since_us >= l->p->pace.heal_after_ms * 1000;
}

static enum status look_after(struct look *l, const struct sale *sale, unsigned shard,
                              struct watch *w)
{
    enum status st = w->looked ? read_gate(l, sale, shard) : ST_FENCED;
    if (st != ST_OK && st != ST_FENCED)
        return st;
    const struct watch_item *worst = NULL;
    for (unsigned i = 0; i < w->items; i++) {
        struct watch_item *item = &w->item[i];
        item->b.after = st == ST_OK ? figures(&l->view, i) : (struct balance_gate){0};
        if (judge_item(l, sale, item))
            worst = item;
    }
    if (!worst)
        return ST_OK;
    const struct balance *b = &worst->b;
    patrol_heal(l->s, sale, shard, b->epoch,
                worst->verdict == BALANCE_TOO_MANY ? "too many left" : "too few left",
                sale->item[worst - w->item].sku, b->allocated - b->held, b->after.left,
                worst->since_us);
    for (unsigned i = 0; i < w->items; i++)
        w->item[i].since_us = clock_mono_us(); /* the rebuild gets its time */
    return ST_OK;
}

enum status patrol_look(struct patrol *p, struct session *s)
{
    struct look l = {.p = p, .s = s, .now_ms = clock_wall_ms()};
    enum status st = session_catalog(s, &l.snap);
    if (st != ST_OK)
        return st;
    l.view.units = calloc(SALE_ITEMS_MAX, sizeof(*l.view.units));
    if (!l.view.units)
        return ST_UNAVAILABLE;
    st = each_shard(&l, look_before);
    if (st == ST_OK)
        st = read_ledger(&l);
    if (st == ST_OK)
        st = each_shard(&l, look_after);
    free(l.view.units);
    if (st != ST_OK)
        return st;
    atomic_store(&p->unbalanced, l.wrong);
    metrics_gauge_set(p->engine->metrics, MG_AUDIT_TIME, clock_wall_ms() / 1000);
    patrol_show(p);
    return ST_OK;
}
