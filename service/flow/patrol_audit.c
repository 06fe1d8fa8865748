/* The patrol's second chore: full audits of open sales, in turn. */
#include "flow/patrol.h"

#include "base/clock.h"
#include "flow/lease.h"
#include "flow/patrol_priv.h"
#include "flow/refresh.h"
#include "flow/sales.h"

#include <stdlib.h>

/* Longer than the patient statements of an audit may take. */
enum { LEASE_MS = 180000, LEASE_MARGIN_MS = 10000 };

_Static_assert(AUDIT_CHECKS_MAX <= 32 && SALE_SHARDS_MAX <= 64, "bits of struct round_sale");

/* --- memory of sales -------------------------------------------------------------------------- */

/* NULL without memory. */
static struct round_sale *remember(struct patrol *p, uint32_t no)
{
    for (unsigned i = 0; i < p->sales; i++)
        if (p->sale[i].no == no)
            return &p->sale[i];
    struct round_sale *more = realloc(p->sale, (p->sales + 1) * sizeof(*more));
    if (!more)
        return NULL;
    p->sale = more;
    p->sale[p->sales] = (struct round_sale){.no = no};
    return &p->sale[p->sales++];
}

/* Forgets sales that are over; counts those that are broken. */
static void tidy(struct patrol *p, const struct snapshot *snap, int64_t now_ms)
{
    unsigned kept = 0, broken = 0;
    for (unsigned i = 0; i < p->sales; i++) {
        const struct sale *sale = snapshot_sale_by_no(snap, p->sale[i].no);
        if (!sale || !refresh_wants(sale, now_ms))
            continue;
        broken += p->sale[i].broken != 0;
        p->sale[kept++] = p->sale[i];
    }
    p->sales = kept;
    atomic_store(&p->broken, broken);
    patrol_show(p);
}

/* The same again if it is in doubt, else the next open one by number, from the first after the
 * last. */
static const struct sale *choose(const struct patrol *p, const struct snapshot *snap,
                                 int64_t now_ms)
{
    const struct sale *first = NULL, *next = NULL;
    for (unsigned i = 0; i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        if (!refresh_wants(sale, now_ms))
            continue;
        if (!first)
            first = sale;
        if (!next && (sale->no > p->last || (p->again && sale->no == p->last)))
            next = sale;
    }
    return next ? next : first;
}

/* Whether units go faster than an audit should disturb, by the hints of the last call and this one. An
 * audit of some 100,000 orders takes MariaDB a few hundred milliseconds, which orders would wait for. */
static bool is_rush(struct patrol *p, const struct snapshot *snap, int64_t now_ms, int64_t now_us)
{
    int64_t left = 0;
    for (unsigned i = 0; i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        for (unsigned k = 0; refresh_wants(sale, now_ms) && k < sale->items; k++)
            left += live_left(sale->item[k].live, sale->shards);
    }
    const int64_t gone = p->left - left, since_us = now_us - p->left_us;
    p->left = left;
    p->left_us = now_us;
    return gone * 1000000 > p->pace.rush_per_s * since_us;
}

/* --- judgement -------------------------------------------------------------------------------- */

static uint32_t failed(const struct audit *a, bool at_once)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < a->checks; i++) {
        const struct audit_check *c = &a->check[i];
        bool counts = at_once ? c->when == AUDIT_ALWAYS
                              : c->when == AUDIT_SETTLED || (c->when == AUDIT_QUIET && a->quiet);
        if (!c->ok && counts)
            bits |= UINT32_C(1) << i;
    }
    return bits;
}

static uint64_t shards_off(const struct audit *a)
{
    uint64_t bits = 0;
    for (unsigned i = 0; a->quiet && i < a->shards; i++)
        if (a->shard[i].holds_off)
            bits |= UINT64_C(1) << i;
    return bits;
}

static void heal_holds(struct session *s, const struct sale *sale, const struct audit *a,
                       uint64_t shards, int64_t since_us)
{
    for (unsigned i = 0; i < a->shards; i++)
        if (shards & UINT64_C(1) << i)
            patrol_heal(s, sale, i, a->shard[i].epoch, "holds", STR(""), a->shard[i].live,
                        a->shard[i].gate_held, since_us);
}

/* What fails at once is broken; the rest when it failed in the audit before, too, and for long
 * enough. */
static void judge(struct patrol *p, struct session *s, const struct sale *sale,
                  const struct audit *a, struct round_sale *of)
{
    const int64_t now_us = clock_mono_us();
    const uint32_t suspect = failed(a, false);
    const uint64_t off = shards_off(a);
    const bool goes_on = (suspect & of->suspect) != 0 || (off & of->shards_off) != 0;
    if (!goes_on)
        of->suspect_us = now_us;
    const bool proved = goes_on && now_us - of->suspect_us >= p->pace.heal_after_ms * 1000;
    const uint32_t known = of->broken & suspect; /* stays so until it is mended */
    const uint32_t broken = failed(a, true) | known | (proved ? suspect & of->suspect : 0);
    for (unsigned i = 0; i < a->checks; i++)
        if ((broken & ~of->broken) & UINT32_C(1) << i)
            patrol_broken(s, sale, a->check[i].promise, a->check[i].name, a->check[i].expected,
                          a->check[i].found);
    if (proved)
        heal_holds(s, sale, a, off & of->shards_off, of->suspect_us);
    *of =
        (struct round_sale){of->no, broken, proved ? 0 : suspect, proved ? 0 : off, of->suspect_us};
}

static enum status audit_next(struct patrol *p, struct session *s, const struct snapshot *snap,
                              int64_t now_ms)
{
    struct audit a;
    const struct sale *sale = choose(p, snap, now_ms);
    struct round_sale *of = sale ? remember(p, sale->no) : NULL;
    if (!of)
        return sale ? ST_UNAVAILABLE : ST_OK;
    enum status st = audit_sale(s, sale, 0, &a);
    if (st != ST_OK)
        return st;
    metrics_add(s->metrics, M_AUDITS, 1);
    judge(p, s, sale, &a, of);
    audit_free(&a);
    p->last = sale->no;
    p->again = of->suspect != 0 || of->shards_off != 0;
    return ST_OK;
}

enum status patrol_audit(struct patrol *p, struct session *s)
{
    const struct snapshot *snap;
    const int64_t started_us = clock_mono_us(), now_ms = clock_wall_ms();
    bool mine = false;
    enum status st = session_catalog(s, &snap);
    const bool rush = st == ST_OK && is_rush(p, snap, now_ms, started_us);
    const int64_t wait_us = rush && !p->again ? p->pace.rush_ms * 1000 : 0;
    if (started_us < p->next_us + wait_us)
        return ST_OK;
    if (st == ST_OK)
        st = lease_take(s, "audit", LEASE_MS, &mine);
    if (st == ST_OK && mine)
        st = audit_next(p, s, snap, now_ms);
    if (st == ST_OK && !mine)
        p->sales = 0; /* what is broken is another's to say */
    if (st == ST_OK)
        tidy(p, snap, now_ms);
    int64_t rest_ms = (clock_mono_us() - started_us) / 1000 * p->pace.rest_times;
    if (rest_ms < p->pace.rest_ms)
        rest_ms = p->pace.rest_ms;
    if (p->again && rest_ms < p->pace.heal_after_ms)
        rest_ms = p->pace.heal_after_ms;
    p->next_us = clock_mono_us() + rest_ms * 1000;
    return st == ST_OK && mine ? lease_take(s, "audit", rest_ms + LEASE_MARGIN_MS, &mine) : st;
}
