#include "flow/reserve.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/gate.h"
#include "flow/recover.h"
#include "flow/reserve_priv.h"

#include <event2/event.h>
#include <stdlib.h>

/* FULL: with so many purchases a call's fixed cost is a small part of it. */
enum { TICK_MS = 100, FREE_MAX = 4096, FULL = 32 };

static void on_link(void *arg, const struct redis_identity *identity)
{
    struct reserve *r = arg;
    if (identity)
        r->identity = *identity;
    else
        metrics_add(r->metrics, M_REDIS_ERRORS, 1);
}

void list_push(struct purchase_list *list, struct purchase *p)
{
    if (!list->first)
        list->last = &list->first;
    p->next = NULL;
    *list->last = p;
    list->last = &p->next;
}

struct purchase *list_take(struct purchase_list *list)
{
    struct purchase *p = list->first;
    list->first = NULL;
    return p;
}

void purchase_free(struct reserve *r, struct purchase *p)
{
    if (r->free_n == FREE_MAX) {
        free(p);
        return;
    }
    p->next = r->free;
    r->free = p;
    r->free_n++;
}

struct purchase *purchase_new(struct reserve *r)
{
    struct purchase *p = r->free;
    if (p) {
        r->free = p->next;
        r->free_n--;
    } else {
        p = malloc(sizeof(*p));
        if (!p)
            return NULL;
    }
    p->next = NULL;
    p->left = 0;
    p->fenced_us = 0;
    p->explicit_key = p->async = p->told = false;
    return p;
}

void purchase_seal(struct purchase *p)
{
    p->n = row_encode(&p->row, p->bytes);
    p->row.sku.p = (const char *)p->bytes + ROW_FIXED;
    p->row.shopper.p = p->row.sku.p + p->row.sku.n + 1;
}

/* Answers a purchase that holds no room. */
static void finish(struct reserve *r, struct purchase *p, enum buy buy, enum status st)
{
    p->done(p, buy, st);
    purchase_free(r, p);
}

static void give_room(struct reserve *r)
{
    committers_give_room(r->engine->committers, 1);
    r->busy--;
}

void purchase_finish(struct reserve *r, struct purchase *p, enum buy buy, enum status st)
{
    give_room(r);
    finish(r, p, buy, st);
}

void purchase_end(struct reserve *r, struct purchase *p)
{
    give_room(r);
    purchase_free(r, p);
}

static struct lane *lane_of(struct reserve *r, struct live_shard *live)
{
    if (live->index >= r->lanes) {
        unsigned n = live->index + 64;
        void *grown = realloc(r->lane, n * sizeof(struct lane *));
        if (!grown)
            return NULL;
        r->lane = grown;
        memset(r->lane + r->lanes, 0, (n - r->lanes) * sizeof(struct lane *));
        r->lanes = n;
    }
    struct lane *lane = r->lane[live->index];
    if (!lane) {
        lane = calloc(1, sizeof(*lane));
        if (!lane)
            return NULL;
        lane->r = r;
        lane->live = live;
        r->lane[live->index] = lane;
    }
    return lane;
}

void lane_mark(struct lane *lane)
{
    if (lane->dirty)
        return;
    lane->dirty = true;
    lane->next_dirty = lane->r->dirty;
    lane->r->dirty = lane;
}

void lane_push(struct lane *lane, struct purchase *p)
{
    list_push(&lane->queue, p);
    lane->waiting++;
    lane->eager |= p->async;
    lane_mark(lane);
}

void lane_fence(struct lane *lane, struct purchase *p)
{
    if (p->fenced_us == 0)
        p->fenced_us = clock_mono_us();
    list_push(&lane->fenced, p);
}

void lane_acked(struct lane *lane)
{
    lane->acks -= lane->acking;
    memmove(lane->ack, lane->ack + lane->acking, lane->acks * sizeof(lane->ack[0]));
    lane->acking = 0;
}

/* Whether every shard has refused this item lately, and none is about to get more; units elsewhere
 * are drawn over. */
static bool known_sold_out(const struct sale *sale, const struct sale_item *item)
{
    for (unsigned i = 0; i < sale->shards; i++) {
        if (!atomic_load_explicit(&item->live[i].refuse, memory_order_acquire) ||
            atomic_load_explicit(&item->live[i].arriving, memory_order_relaxed) > 0)
            return false;
    }
    return true;
}

void reserve_submit(struct reserve *r, const struct sale *sale, const struct sale_item *item,
                    struct purchase *p)
{
    struct live_shard *live = sale->shard[p->row.hash % sale->shards].live;
    const unsigned forgets = atomic_load(&live->forgets);
    if (known_sold_out(sale, item) && live_filter_lacks(live, p->row.hash, forgets)) {
        metrics_add(r->metrics, M_REFUSED_LOCALLY, 1);
        finish(r, p, BUY_REFUSED, ST_SOLD_OUT);
        return;
    }
    /* A 202 may wait in the log; who wants a 201 is told early (promise P7). */
    if (!p->async && committers_stalled(r->engine->committers)) {
        finish(r, p, BUY_REFUSED, ST_UNAVAILABLE);
        return;
    }
    struct lane *lane = lane_of(r, live);
    if (!lane || !committers_take_room(r->engine->committers, 1)) {
        finish(r, p, BUY_REFUSED, ST_OVERLOADED);
        return;
    }
    r->busy++;
    p->draws = p->waits = 0;
    lane_push(lane, p);
}

/* Whether a shopper may hold something here, for all that memory knows. The filter may be given up
 * under our eyes (live_filter_lacks). */
static bool may_hold(struct live_shard *live, uint32_t hash)
{
    const unsigned forgets = atomic_load(&live->forgets);
    /* Stored only when it changes: a crowd on every core is refused here. */
    if (!atomic_load_explicit(&live->asked, memory_order_relaxed))
        atomic_store_explicit(&live->asked, true, memory_order_relaxed);
    return !atomic_load_explicit(&live->filter_current, memory_order_acquire) ||
           !live_filter_lacks(live, hash, forgets);
}

void reserve_refuse(struct reserve *r, const struct sale *sale, struct purchase *p, enum status st)
{
    struct live_shard *live = sale->shard[p->row.hash % sale->shards].live;
    if (st != ST_SALE_NOT_OPEN && p->explicit_key && may_hold(live, p->row.hash)) {
        finish(r, p, BUY_LOOKUP, st);
        return;
    }
    metrics_add(r->metrics, M_REFUSED_LOCALLY, 1);
    finish(r, p, BUY_REFUSED, st);
}

/* Who was told 202 has an order to come: it waits on. */
static void refuse_waiting(struct lane *lane, enum status st)
{
    struct purchase *p = list_take(&lane->queue), *next;
    lane->waiting = 0;
    lane->eager = false;
    for (; p; p = next) {
        next = p->next;
        if (p->told)
            lane_fence(lane, p);
        else
            purchase_finish(lane->r, p, BUY_REFUSED, st);
    }
}

static struct purchase *lane_pop(struct lane *lane)
{
    struct purchase *p = lane->queue.first;
    lane->queue.first = p->next;
    lane->waiting--;
    return p;
}

/* --- sending ---------------------------------------------------------------------------------- */

static struct batch *batch_take(struct lane *lane, const struct sale_shard *shard)
{
    unsigned n = lane->waiting, max = (unsigned)lane->r->engine->conf->reserve_batch_max;
    if (n > max)
        n = max;
    struct batch *b = malloc(sizeof(*b) + n * sizeof(struct purchase *));
    struct commit_row *rows = malloc((n ? n : 1) * sizeof(*rows));
    if (!b || !rows) {
        free(b);
        free(rows);
        return NULL;
    }
    b->lane = lane;
    b->rows = rows;
    b->epoch = shard->epoch;
    b->keys = shard->keys;
    b->n = n;
    for (unsigned i = 0; i < n; i++)
        b->p[i] = lane_pop(lane);
    lane->eager &= lane->waiting > 0;
    return b;
}

static void fill_args(struct reserve *r, struct lane *lane, const struct batch *b)
{
    if (lane->ack_epoch != b->epoch)
        lane->acks = 0;
    lane->acking = lane->acks;
    gate_reserve_args(&r->args, &b->keys, b->epoch, &r->engine->instance,
                      (const char(*)[LOG_ID_MAX])lane->ack, lane->acks);
    for (unsigned i = 0; i < b->n; i++)
        args_add(&r->args, b->p[i]->bytes, b->p[i]->n);
}

const struct sale_shard *lane_open_shard(struct lane *lane)
{
    struct reserve *r = lane->r;
    const struct snapshot *snap = catalog_read(r->reader);
    const struct sale *sale = snap ? snapshot_sale_by_no(snap, lane->live->sale_no) : NULL;
    const struct sale_shard *shard = sale ? &sale->shard[lane->live->shard] : NULL;
    if (!shard || !redis_link_ready(r->link) || !shard->ready)
        return NULL;
    if (!redis_identity_equal(&shard->loaded_in, &r->identity)) {
        /* It may be us who are behind: a Redis that was promoted keeps its connections. */
        redis_link_greet(r->link);
        return NULL;
    }
    return shard;
}

static void lane_send(struct lane *lane)
{
    struct reserve *r = lane->r;
    const struct sale_shard *shard = lane_open_shard(lane);
    if (!shard) {
        recover_request(r->engine, lane->live, 0);
        refuse_waiting(lane, ST_RECOVERING);
        return;
    }
    struct batch *b = batch_take(lane, shard);
    if (!b) {
        refuse_waiting(lane, ST_OVERLOADED);
        return;
    }
    fill_args(r, lane, b);
    b->sent_us = clock_mono_us();
    if (lane->acks > 0)
        CRASH_POINT(ack_before);
    if (b->n > 0)
        CRASH_POINT(reserve_before_call);
    if (redis_link_call(r->link, &r->args, batch_reserved, b) != ST_OK) {
        lane->acking = 0;
        batch_refuse(b, ST_UNAVAILABLE);
        if (lane->queue.first)
            lane_mark(lane);
        return;
    }
    lane->in_flight = true;
    metrics_add(r->metrics, M_RESERVE_CALLS, 1);
    metrics_add(r->metrics, M_RESERVE_REQUESTS, b->n);
    metrics_size(r->metrics, MS_BATCH, b->n);
}

/* Whether a few purchases had better wait for more. Reserved while their lane's last orders are
 * being written, they would wait for the committer next, in a small group; small calls and groups
 * are the dearest, and keep both stores from what would be served sooner. Who is told 202 waits for
 * no commit, and nobody for those of another lane: a rush has some at any time. */
static bool may_gather(const struct lane *lane)
{
    return lane->committing > 0 && lane->waiting < FULL && !lane->eager;
}

void reserve_turn(struct reserve *r)
{
    struct lane *lane = r->dirty, *next;
    r->dirty = NULL;
    for (; lane; lane = next) {
        next = lane->next_dirty;
        lane->dirty = false;
        if (lane->in_flight || lane->waiting == 0)
            continue;
        if (may_gather(lane))
            lane_mark(lane);
        else
            lane_send(lane);
    }
}

/* Also when a commit takes long, who will be refused is told soon: nobody gathers past a tick. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct reserve *r = arg;
    for (unsigned i = 0; i < r->lanes; i++) {
        struct lane *lane = r->lane[i];
        if (!lane)
            continue;
        lane_retry_fenced(lane);
        lane_unpark(lane);
        if (!lane->in_flight && (lane->waiting > 0 || lane->acks > 0))
            lane_send(lane); /* a call without rows only deletes */
    }
}

enum status reserve_create(const struct engine *engine, struct event_base *base,
                           struct queue *replies, struct metrics_block *metrics,
                           struct catalog_reader *reader, struct reserve **out)
{
    struct reserve *r = calloc(1, sizeof(*r));
    if (!r)
        return ST_UNAVAILABLE;
    r->engine = engine;
    r->replies = replies;
    r->metrics = metrics;
    r->reader = reader;
    r->tick = event_new(base, -1, EV_PERSIST, on_tick, r);
    if (!r->tick || event_add(r->tick, &(struct timeval){0, TICK_MS * 1000}) != 0 ||
        redis_link_create(base, &engine->redis, engine->log, on_link, r, &r->link) != ST_OK) {
        reserve_destroy(&r);
        return ST_UNAVAILABLE;
    }
    *out = r;
    return ST_OK;
}

static void list_free(struct purchase *p)
{
    struct purchase *next;
    for (; p; p = next) {
        next = p->next;
        free(p);
    }
}

static void lane_free(struct lane *lane)
{
    if (!lane)
        return;
    list_free(lane->queue.first);
    list_free(lane->parked.first);
    list_free(lane->fenced.first);
    free(lane);
}

void reserve_destroy(struct reserve **reserve)
{
    struct reserve *r = *reserve;
    if (!r)
        return;
    redis_link_destroy(&r->link);
    if (r->tick)
        event_free(r->tick);
    for (unsigned i = 0; i < r->lanes; i++)
        lane_free(r->lane[i]);
    free(r->lane);
    list_free(r->free);
    free(r);
    *reserve = NULL;
}

bool reserve_ready(const struct reserve *r)
{
    return redis_link_ready(r->link);
}

unsigned reserve_busy(const struct reserve *r)
{
    unsigned busy = r->busy;
    for (unsigned i = 0; i < r->lanes; i++)
        if (r->lane[i])
            busy += r->lane[i]->acks + r->lane[i]->in_flight;
    return busy;
}
