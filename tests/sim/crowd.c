/* Shoppers. Each wants a few things, one after the other, and does what a storefront does when an
 * answer does not come: asks again under the same key, here or elsewhere. */
#include "base/clock.h"
#include "flow/orders.h"
#include "sim.h"
#include "vmem.h"
#include "vredis.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

enum { SHOPPERS_MAX = 5, INTENTS_MAX = 4, TRIES_MAX = 7, HASH_BITS = 256, LOOK_US = 100000 };

enum wish { WISH_BUY, WISH_CANCEL, WISH_PAY, WISH_OVER };

/* One thing a shopper wants. */
struct intent {
    enum wish wish;
    uint32_t item, qty;
    uint8_t key[KEY_LEN];
    bool explicit_key, async;
    bool then_cancel, then_pay, ask_twice;
    unsigned tries;
    bool durable, queued, cancelled, paid;
    struct uid order;          /* of the 201, or of the last 202 */
    struct uid promised[4];    /* every 202 */
    struct instance *owner[4]; /* who gave it */
    unsigned promises;
};

struct shopper {
    char name[12];
    uint32_t hash;
    struct intent intent[INTENTS_MAX];
    unsigned at, intents;
    unsigned asked; /* number of the request that is waited for */
};

static struct {
    const struct world_conf *conf;
    struct shopper shopper[SHOPPERS_MAX];
} crowd;

/* A request on its way, and its answer. */
struct ask {
    struct job job; /* where it needs a thread */
    struct instance *in;
    struct shopper *shopper;
    struct intent *intent;
    int64_t until_us; /* he waits */
    unsigned number;  /* of the request; older ones are not waited for any more */
    enum status st, otherwise;
    bool queued; /* 202 */
    struct uid order;
    struct order found;
};

static void shopper_go(void *arg);

/* --- names ------------------------------------------------------------------------------------- */

/* Names whose bits in the filter of shoppers are low, so that a bitmap is short. */
static const char *draw_name(char out[12])
{
    static unsigned found[64], n;
    for (unsigned i = 0; n < 64; i++) {
        snprintf(out, 12, "s%u", i);
        if ((shopper_hash(str_from(out)) & 0xffff) < HASH_BITS)
            found[n++] = i;
    }
    snprintf(out, 12, "s%u", found[sim_below(64)]);
    return out;
}

/* --- answers ----------------------------------------------------------------------------------- */

static void go_later(struct shopper *s, int64_t in_us)
{
    sched_at(sched_now() + in_us, shopper_go, s);
}

static void next_wish(struct shopper *s)
{
    struct intent *i = &s->intent[s->at];
    if (i->wish == WISH_BUY && i->durable && i->then_cancel)
        i->wish = WISH_CANCEL;
    else if (i->wish == WISH_BUY && i->durable && i->then_pay)
        i->wish = WISH_PAY;
    else
        i->wish = WISH_OVER;
    i->tries = 0;
    if (i->wish == WISH_OVER)
        s->at++;
    go_later(s, 1 + sim_below(sim_chance(200) ? 900000 : 3000));
}

static void try_again(struct shopper *s)
{
    if (++s->intent[s->at].tries >= TRIES_MAX)
        next_wish(s);
    else
        go_later(s, 1000 + sim_below(150000u << (s->intent[s->at].tries / 2)));
}

static void bought(struct shopper *s, struct intent *i, const struct ask *a)
{
    if (a->st != ST_OK) {
        sim_count[world_passing(a->st) ? SIM_TURNED_AWAY : SIM_REFUSED]++;
        if (world_passing(a->st))
            try_again(s);
        else
            next_wish(s);
        return;
    }
    if (a->queued) {
        sim_count[SIM_QUEUED]++;
        if (i->promises < 4) {
            i->owner[i->promises] = a->in;
            i->promised[i->promises++] = a->order;
        }
        i->queued = true;
        i->order = a->order;
        if (i->ask_twice)
            try_again(s);
        else
            next_wish(s);
        return;
    }
    sim_count[SIM_DURABLE]++;
    if (i->durable && !uid_equal(&i->order, &a->order))
        sim_fail("P3: %s was told of two orders under one key", s->name);
    i->durable = true;
    i->order = a->order;
    if (i->ask_twice && i->explicit_key && sim_chance(500)) {
        i->ask_twice = false;
        try_again(s);
    } else {
        next_wish(s);
    }
}

static void changed(struct shopper *s, struct intent *i, const struct ask *a)
{
    bool cancels = i->wish == WISH_CANCEL;
    if (a->st != ST_OK && world_passing(a->st)) {
        try_again(s);
        return;
    }
    if (a->st == ST_OK) {
        *(cancels ? &i->cancelled : &i->paid) = true;
        sim_count[cancels ? SIM_CANCELLED : SIM_PAID]++;
    }
    next_wish(s);
}

static void on_answer(void *arg)
{
    struct ask *a = arg;
    struct shopper *s = a->shopper;
    if (a->number != s->asked)
        return;
    s->asked++;
    TRACE("%s is told %s%s", s->name, status_info(a->st)->name, a->queued ? ", 202" : "");
    if (a->intent->wish == WISH_BUY)
        bought(s, a->intent, a);
    else
        changed(s, a->intent, a);
}

static const struct order_row *row_of(const struct uid *id)
{
    for (unsigned i = 0; i < row_places(T_order); i++)
        if (vsql_db.order[i].on && uid_equal(&vsql_db.order[i].id, id))
            return &vsql_db.order[i];
    return NULL;
}

/* The answer leaves the instance. */
static void answer(struct ask *a, enum status st)
{
    a->st = st;
    if (st == ST_OK && a->intent->wish == WISH_BUY && !a->queued && !row_of(&a->order))
        sim_fail("P2: 201 for an order of %s that is not committed", a->shopper->name);
    if (sim_chance(20)) {
        sim_count[SIM_HTTP_LOST]++;
        TRACE("the answer to %s is lost", a->shopper->name);
        return;
    }
    sched_at(sched_now() + 100 + sim_below(400), on_answer, a);
}

/* --- at the instance --------------------------------------------------------------------------- */

static void on_job_done(struct task *task)
{
    struct ask *a = CONTAINER_OF(task, struct ask, job.task);
    answer(a, world_outward(a->st));
}

static void submit(struct ask *a, void (*work)(struct job *, struct session *))
{
    a->job = (struct job){.work = work, .done = on_job_done, .reply_to = a->in->replies};
    enum status st = jobs_submit(a->in->engine.queries, &a->job);
    if (st != ST_OK)
        answer(a, st);
}

/* api/orders.c: the key may have been used. */
static void look_up_work(struct job *job, struct session *s)
{
    struct ask *a = CONTAINER_OF(job, struct ask, job);
    const struct intent *i = a->intent;
    a->st = order_by_key(s, STOREFRONT_NO, str_from(a->shopper->name), i->key, &a->found);
    if (a->st == ST_ORDER_NOT_FOUND)
        a->st = a->otherwise;
    else if (a->st == ST_OK && (a->found.item != i->item || a->found.qty != i->qty))
        a->st = ST_IDEMPOTENCY_MISMATCH;
    a->order = a->found.id;
}

static void on_bought(struct purchase *p, enum buy buy, enum status st)
{
    struct ask *a = p->arg;
    a->order = p->row.id;
    switch (buy) {
    case BUY_DURABLE: answer(a, ST_OK); break;
    case BUY_QUEUED:
        a->queued = true;
        answer(a, ST_OK);
        break;
    case BUY_REFUSED: answer(a, st); break;
    case BUY_LOOKUP:
        a->otherwise = st;
        submit(a, look_up_work);
        break;
    }
}

static void fill_row(struct ask *a, struct row *row, const struct sale *sale,
                     const struct sale_item *item)
{
    int64_t now = clock_wall_ms();
    *row = (struct row){.kind = ROW_ORDER,
                        .qty = a->intent->qty,
                        .limit = item->limit,
                        .storefront = sale->storefront,
                        .item = item->no,
                        .amount = item->price * a->intent->qty,
                        .sku = item->sku,
                        .hash = a->shopper->hash,
                        .shopper = str_from(a->shopper->name)};
    row->id = uid_make_routed(a->in->ids, now > sale->starts_ms ? now : sale->starts_ms, sale->no,
                              (uint8_t)(row->hash % sale->shards));
}

/* POST /v1/orders, as api/orders.c does it. */
static void on_buy(void *arg)
{
    struct ask *a = arg;
    const struct snapshot *snap = catalog_read(&a->in->reader);
    const struct sale_item *item;
    const struct sale *sale = snapshot_item(snap, a->intent->item, &item);
    struct purchase *p = purchase_new(a->in->reserve);
    p->done = on_bought;
    p->arg = a;
    p->async = a->intent->async;
    p->explicit_key = a->intent->explicit_key;
    fill_row(a, &p->row, sale, item);
    memcpy(p->row.key, a->intent->key, KEY_LEN);
    p->row.flags = p->async ? ROW_ASYNC : 0;
    purchase_seal(p);
    reserve_submit(a->in->reserve, sale, item, p);
}

static void cancel_work(struct job *job, struct session *s)
{
    struct ask *a = CONTAINER_OF(job, struct ask, job);
    const struct order_scope scope = {STOREFRONT_NO, str_from(a->shopper->name)};
    a->st = order_cancel(s, &a->intent->order, &scope, &a->found);
}

static void on_cancel(void *arg)
{
    submit(arg, cancel_work);
}

/* What a channel's notification does to the order. */
static enum status pay_once(struct session *s, struct ask *a)
{
    enum status st = sql_begin(s->sql);
    if (st == ST_OK)
        st = order_lock(s, &a->intent->order, &a->found);
    struct order_step step = order_step(a->found.state, ORDER_PAY);
    if (st == ST_OK)
        st = step.st;
    if (st == ST_OK && step.to != a->found.state)
        st = order_move(s, &a->found, step.to);
    if (st == ST_OK)
        return sql_commit(s->sql);
    sql_rollback(s->sql);
    return st;
}

static void pay_work(struct job *job, struct session *s)
{
    struct ask *a = CONTAINER_OF(job, struct ask, job);
    a->st = pay_once(s, a);
    if (a->st == ST_INVALID_STATE && a->found.state == ORDER_PAID)
        a->st = ST_OK;
}

static void on_pay(void *arg)
{
    submit(arg, pay_work);
}

/* --- the shopper ------------------------------------------------------------------------------- */

/* Too long, or the connection broke. */
static void on_patience(void *arg)
{
    struct ask *a = arg;
    struct shopper *s = a->shopper;
    if (a->number != s->asked)
        return;
    if (!a->in->owner.dead && sched_now() < a->until_us) {
        sched_at(sched_now() + LOOK_US, on_patience, a);
        return;
    }
    s->asked++;
    sim_count[SIM_UNANSWERED]++;
    TRACE("%s waits no longer", s->name);
    if (a->intent->explicit_key || a->intent->wish != WISH_BUY)
        try_again(s);
    else
        next_wish(s); /* without a key of one's own one does not ask twice */
}

static void shopper_go(void *arg)
{
    static void (*const doors[])(void *) = {on_buy, on_cancel, on_pay};
    struct shopper *s = arg;
    if (s->at == s->intents)
        return;
    struct intent *i = &s->intent[s->at];
    struct ask *a = vmem_new(sizeof(*a));
    a->in = instance_at(sim_below(crowd.conf->instances));
    a->shopper = s;
    a->intent = i;
    a->number = s->asked;
    if (!instance_ask(a->in, doors[i->wish], a)) {
        try_again(s);
        return;
    }
    TRACE("%s asks instance %u: %s %s x%u%s, key %02x%02x, try %u", s->name, a->in->place,
          i->wish == WISH_BUY      ? "buy"
          : i->wish == WISH_CANCEL ? "cancel"
                                   : "pay",
          vsql_sku(i->item - 1), i->qty, i->async ? ", 202 will do" : "", i->key[0], i->key[1],
          i->tries + 1);
    a->until_us = sched_now() + (sim_chance(300) ? 300000 : 3000000);
    sched_at(sched_now() + LOOK_US, on_patience, a);
}

/* --- the whole crowd --------------------------------------------------------------------------- */

static void draw_intent(struct intent *i)
{
    *i = (struct intent){.item = 1 + sim_below(crowd.conf->sale.items),
                         .qty = 1 + sim_chance(250),
                         .explicit_key = sim_chance(850),
                         .async = sim_chance(350),
                         .ask_twice = sim_chance(300),
                         .then_cancel = sim_chance(250),
                         .then_pay = sim_chance(300)};
    sim_bytes(i->key, KEY_LEN);
}

void crowd_reset(const struct world_conf *conf)
{
    memset(&crowd, 0, sizeof(crowd));
    crowd.conf = conf;
    for (unsigned k = 0; k < conf->shoppers; k++) {
        struct shopper *s = &crowd.shopper[k];
        s->hash = shopper_hash(str_from(draw_name(s->name)));
        s->intents = 1 + sim_below(conf->intents);
        for (unsigned i = 0; i < s->intents; i++)
            draw_intent(&s->intent[i]);
        sched_at(20000 + sim_below(sim_chance(300) ? 600000 : 40000), shopper_go, s);
    }
}

bool crowd_done(void)
{
    for (unsigned k = 0; k < crowd.conf->shoppers; k++)
        if (crowd.shopper[k].at < crowd.shopper[k].intents)
            return false;
    return true;
}

static void check_intent(const struct shopper *s, const struct intent *i)
{
    const struct order_row *o = i->durable ? row_of(&i->order) : NULL;
    if (i->durable && !o)
        sim_fail("P2: the order that %s was told of with 201 is gone", s->name);
    if (o && i->cancelled && o->state != ORDER_CANCELLED)
        sim_fail("an order of %s that was cancelled is %u", s->name, o->state);
    if (o && i->paid && o->state != ORDER_PAID)
        sim_fail("an order of %s that was paid is %u", s->name, o->state);
    if (o && !i->then_cancel && o->state == ORDER_CANCELLED)
        sim_fail("P2: an order of %s was cancelled by nobody", s->name);
    for (unsigned k = 0; k < i->promises; k++) {
        bool excused = vredis_lost_data() && (i->owner[k]->owner.dead || sim_unnoticed);
        if (!row_of(&i->promised[k]) && !excused)
            sim_fail("P2: an order that %s was told of with 202 is gone", s->name);
    }
}

void crowd_check(void)
{
    for (unsigned k = 0; k < crowd.conf->shoppers; k++)
        for (unsigned i = 0; i < crowd.shopper[k].intents; i++)
            check_intent(&crowd.shopper[k], &crowd.shopper[k].intent[i]);
}
