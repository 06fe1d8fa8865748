#include "flow/reserve.h"

#include "base/clock.h"
#include "flow/gate.h"
#include "flow/recover.h"
#include "flow/stock.h"
#include "redis/link.h"

#include <assert.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOG_ID_MAX = 40, ACKS_MAX = 256, ACK_TICK_MS = 100, FREE_MAX = 4096, DRAWS_MAX = 8 };

/* One shard as this worker sees it. */
struct lane {
    struct reserve *r;
    struct live_shard *live;
    struct purchase *first, **last; /* waiting */
    unsigned waiting;
    bool in_flight;
    bool drawing;                           /* units are on their way from another shard */
    struct purchase *parked, **parked_last; /* waiting for them */
    struct lane *next_dirty;                /* in r->dirty */
    bool dirty;
    unsigned acks;
    char ack[ACKS_MAX][LOG_ID_MAX]; /* durable log entries to delete */
};

/* One call and what became of it. */
struct batch {
    struct commit_batch commit; /* of the winners */
    struct lane *lane;
    int64_t sent_us;
    int64_t epoch;
    struct shard_keys keys;
    char log_id[LOG_ID_MAX];
    struct commit_row *rows;
    unsigned n;
    struct purchase *p[]; /* n of them; after the reply: the winners */
};

struct reserve {
    const struct engine *engine;
    struct queue *replies;
    struct metrics_block *metrics;
    struct catalog_reader *reader;
    struct redis_link *link;
    struct redis_identity identity; /* of the link while it is ready */
    struct event *ack_tick;
    struct lane **lane; /* by live_shard.index */
    unsigned lanes;
    struct lane *dirty;
    struct purchase *free;
    unsigned free_n, busy;
    struct args args;
};

static void lane_send(struct lane *lane);

static void on_link(void *arg, const struct redis_identity *identity)
{
    struct reserve *r = arg;
    if (identity)
        r->identity = *identity;
    else
        metrics_add(r->metrics, M_REDIS_ERRORS, 1);
}

static void purchase_free(struct reserve *r, struct purchase *p)
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
    p->explicit_key = p->async = false;
    return p;
}

void purchase_seal(struct purchase *p)
{
    p->n = row_encode(&p->row, p->bytes);
    p->row.sku.p = (const char *)p->bytes + ROW_FIXED;
    p->row.shopper.p = p->row.sku.p + p->row.sku.n + 1;
}

void purchase_drop(struct reserve *r, struct purchase *p)
{
    purchase_free(r, p);
}

/* Answers a purchase that holds no room. */
static void finish(struct reserve *r, struct purchase *p, enum buy buy, enum status st)
{
    p->done(p, buy, st);
    purchase_free(r, p);
}

/* Answers one that took room in the committer's queue. */
static void finish_with_room(struct reserve *r, struct purchase *p, enum buy buy, enum status st)
{
    committers_give_room(r->engine->committers, 1);
    r->busy--;
    finish(r, p, buy, st);
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
        lane->last = &lane->first;
        lane->parked_last = &lane->parked;
        r->lane[live->index] = lane;
    }
    return lane;
}

static void lane_mark(struct lane *lane)
{
    if (lane->dirty)
        return;
    lane->dirty = true;
    lane->next_dirty = lane->r->dirty;
    lane->r->dirty = lane;
}

static void lane_push(struct lane *lane, struct purchase *p)
{
    p->next = NULL;
    *lane->last = p;
    lane->last = &p->next;
    lane->waiting++;
    lane_mark(lane);
}

/* Whether every shard has refused this item lately; units elsewhere are drawn over. */
static bool known_sold_out(const struct sale *sale, const struct sale_item *item)
{
    for (unsigned i = 0; i < sale->shards; i++) {
        if (!atomic_load_explicit(&item->live[i].refuse, memory_order_relaxed))
            return false;
    }
    return true;
}

void reserve_submit(struct reserve *r, const struct sale *sale, const struct sale_item *item,
                    struct purchase *p)
{
    struct live_shard *live = sale->shard[p->row.hash % sale->shards].live;
    if (known_sold_out(sale, item) && !live_filter_has(live, p->row.hash)) {
        metrics_add(r->metrics, M_REFUSED_LOCALLY, 1);
        finish(r, p, BUY_REFUSED, ST_SOLD_OUT);
        return;
    }
    struct lane *lane = lane_of(r, live);
    if (!lane || !committers_take_room(r->engine->committers, 1)) {
        finish(r, p, BUY_REFUSED, ST_OVERLOADED);
        return;
    }
    r->busy++;
    p->draws = 0;
    lane_push(lane, p);
}

void reserve_refuse(struct reserve *r, const struct sale *sale, struct purchase *p, enum status st)
{
    struct live_shard *live = sale->shard[p->row.hash % sale->shards].live;
    bool may_hold = !atomic_load_explicit(&live->filter_current, memory_order_relaxed) ||
                    live_filter_has(live, p->row.hash);
    if (st != ST_SALE_NOT_OPEN && p->explicit_key && may_hold) {
        finish(r, p, BUY_LOOKUP, st);
        return;
    }
    metrics_add(r->metrics, M_REFUSED_LOCALLY, 1);
    finish(r, p, BUY_REFUSED, st);
}

static void refuse_waiting(struct lane *lane, enum status st)
{
    struct purchase *p = lane->first, *next;
    lane->first = NULL;
    lane->last = &lane->first;
    lane->waiting = 0;
    for (; p; p = next) {
        next = p->next;
        finish_with_room(lane->r, p, BUY_REFUSED, st);
    }
}

static struct purchase *lane_pop(struct lane *lane)
{
    struct purchase *p = lane->first;
    lane->first = p->next;
    if (!lane->first)
        lane->last = &lane->first;
    lane->waiting--;
    return p;
}

/* --- units of other shards ----------------------------------------------------------------------
 */

struct draw {
    struct job job;
    struct lane *lane;
    uint32_t item_no;
    int64_t want;
};

static void draw_work(struct job *job, struct session *s)
{
    const struct draw *d = CONTAINER_OF(job, struct draw, job);
    const struct snapshot *snap;
    const struct sale_item *item;
    if (session_catalog(s, &snap) != ST_OK)
        return;
    const struct sale *sale = snapshot_item(snap, d->item_no, &item);
    enum status st = sale ? stock_draw(s, sale, item, d->lane->live->shard, d->want) : ST_INTERNAL;
    if (st != ST_OK && st != ST_SOLD_OUT)
        LOG(s->engine->log, LOG_INFO, "draw_failed", LF_Z("status", status_info(st)->name));
}

/* Whatever came of it, those who waited ask the gate again; it decides. */
static void on_drawn(struct task *task)
{
    struct draw *d = CONTAINER_OF(task, struct draw, job.task);
    struct lane *lane = d->lane;
    struct purchase *p = lane->parked, *next;
    lane->drawing = false;
    lane->parked = NULL;
    lane->parked_last = &lane->parked;
    for (; p; p = next) {
        next = p->next;
        lane_push(lane, p);
    }
    free(d);
}

static bool others_have(const struct reserve *r, const struct lane *lane, const struct purchase *p)
{
    const struct sale_item *item;
    const struct sale *sale = snapshot_item(catalog_read(r->reader), p->row.item, &item);
    int64_t sum = 0;
    for (unsigned i = 0; sale && i < sale->shards; i++) {
        int64_t n = atomic_load_explicit(&item->live[i].left, memory_order_relaxed);
        sum += n > 0 ? n : 0;
    }
    return sale && sale->shards > 1 && sum >= p->row.qty;
}

/* A shard that is sold out draws units from the others before it says so. */
static bool park(struct lane *lane, struct purchase *p)
{
    struct reserve *r = lane->r;
    if (p->draws >= DRAWS_MAX || !others_have(r, lane, p))
        return false;
    if (!lane->drawing) {
        struct draw *d = calloc(1, sizeof(*d));
        if (!d)
            return false;
        *d = (struct draw){.job = {.work = draw_work, .done = on_drawn, .reply_to = r->replies},
                           .lane = lane,
                           .item_no = p->row.item,
                           .want = p->row.qty};
        if (jobs_submit(r->engine->queries, &d->job) != ST_OK) {
            free(d);
            return false;
        }
        lane->drawing = true;
    }
    p->draws++;
    p->next = NULL;
    *lane->parked_last = p;
    lane->parked_last = &p->next;
    return true;
}

/* --- the reply ---------------------------------------------------------------------------------
 */

static void batch_free(struct batch *b)
{
    free(b->rows);
    free(b);
}

static void refuse_batch(struct batch *b, enum status st)
{
    for (unsigned i = 0; i < b->n; i++)
        finish_with_room(b->lane->r, b->p[i], BUY_REFUSED, st);
    batch_free(b);
}

/* What each letter of functions.lua's answer means to a purchase that did not win. */
static void answer_loser(struct reserve *r, struct purchase *p, char code, int64_t left)
{
    static const struct {
        char code;
        enum status st;
        bool lookup;
    } meaning[] = {
        {'D', ST_IDEMPOTENCY_IN_PROGRESS, true},
        {'L', ST_LIMIT_REACHED, false},
        {'l', ST_LIMIT_REACHED, true},
        {'S', ST_SOLD_OUT, false},
        {'s', ST_SOLD_OUT, true},
        {'C', ST_RECOVERING, false},
    };
    for (size_t i = 0; i < sizeof(meaning) / sizeof(meaning[0]); i++) {
        if (meaning[i].code != code)
            continue;
        p->left = left;
        bool lookup = meaning[i].lookup && (p->explicit_key || code == 'D');
        finish_with_room(r, p, lookup ? BUY_LOOKUP : BUY_REFUSED, meaning[i].st);
        return;
    }
    finish_with_room(r, p, BUY_REFUSED, ST_INTERNAL);
}

static int64_t left_of(const struct redisReply *reply, struct str sku)
{
    for (size_t i = 3; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i];
        if (str_equal((struct str){name->str, name->len}, sku))
            return reply->element[i + 1]->integer;
    }
    return 0;
}

static void row_to_commit(struct commit_row *c, const struct purchase *p, unsigned shard,
                          int64_t epoch)
{
    *c = (struct commit_row){.id = p->row.id,
                             .shopper = p->row.shopper,
                             .storefront = p->row.storefront,
                             .item = p->row.item,
                             .shard = shard,
                             .qty = p->row.qty,
                             .amount = p->row.amount,
                             .epoch = epoch,
                             .queued = p->async};
    memcpy(c->key, p->row.key, sizeof(c->key));
}

static void on_committed(struct task *task);

/* Winners go to the committer; those told 202 are answered now. */
static void commit_winners(struct batch *b, unsigned winners)
{
    struct reserve *r = b->lane->r;
    b->n = winners;
    for (unsigned i = 0; i < winners; i++) {
        struct purchase *p = b->p[i];
        live_filter_set(b->lane->live, p->row.hash);
        row_to_commit(&b->rows[i], p, b->lane->live->shard, b->epoch);
        if (p->async)
            p->done(p, BUY_QUEUED, ST_OK);
    }
    metrics_add(r->metrics, M_RESERVE_WON, winners);
    b->commit = (struct commit_batch){
        .reply_to = r->replies, .reply = on_committed, .rows = b->rows, .n = winners};
    committers_submit(r->engine->committers, &b->commit);
}

static void judge_batch(struct batch *b, const struct redisReply *reply)
{
    struct reserve *r = b->lane->r;
    const redisReply *codes = reply->element[2];
    const redisReply *id = reply->element[1];
    unsigned winners = 0;
    snprintf(b->log_id, sizeof(b->log_id), "%.*s", (int)id->len, id->str);
    for (unsigned i = 0; i < b->n; i++) {
        struct purchase *p = b->p[i];
        if (codes->str[i] == 'W')
            b->p[winners++] = p;
        else if ((codes->str[i] | 0x20) != 's' || !park(b->lane, p))
            answer_loser(r, p, codes->str[i], left_of(reply, p->row.sku));
    }
    if (winners > 0)
        commit_winners(b, winners);
    else
        batch_free(b);
}

static bool reply_fits(const struct batch *b, const struct redisReply *reply)
{
    return reply->elements >= 3 && reply->element[1]->type == REDIS_REPLY_STRING &&
           reply->element[1]->len < LOG_ID_MAX && reply->element[2]->type == REDIS_REPLY_STRING &&
           reply->element[2]->len == b->n;
}

static void on_reserved(void *arg, enum status st, const struct redisReply *reply)
{
    struct batch *b = arg;
    struct lane *lane = b->lane;
    struct reserve *r = lane->r;
    lane->in_flight = false;
    metrics_time(r->metrics, MT_RESERVE, clock_mono_us() - b->sent_us);
    if (st == ST_OK)
        st = redis_reply_status(reply);
    if (st == ST_OK)
        st = gate_answer(reply);
    if (st == ST_OK && !reply_fits(b, reply))
        st = ST_INTERNAL;
    if (st == ST_OK) {
        const struct snapshot *snap = catalog_read(r->reader);
        const struct sale *sale = snapshot_sale_by_no(snap, lane->live->sale_no);
        if (sale)
            gate_note_left(sale, lane->live->shard, reply, 3);
        judge_batch(b, reply);
    } else {
        /* ST_UNKNOWN: Redis may have reserved; its log knows, so the shard is rebuilt from it. */
        metrics_add(r->metrics, M_REDIS_ERRORS, 1);
        recover_request(r->engine, lane->live, st != ST_FENCED);
        refuse_batch(b, ST_RECOVERING);
    }
    if (lane->first)
        lane_mark(lane);
}

/* --- after the commit --------------------------------------------------------------------------
 */

static void on_released(void *arg, enum status st, const struct redisReply *reply)
{
    struct lane *lane = arg;
    if (st != ST_OK || redis_reply_status(reply) != ST_OK || gate_answer(reply) != ST_OK)
        recover_request(lane->r->engine, lane->live, true);
}

/* Gives back what the batch reserved and did not get, and deletes its log entry, in one call (R10).
 */
static void release_losers(struct batch *b, const struct purchase *const *losers, unsigned n)
{
    struct reserve *r = b->lane->r;
    static const char generation = 0;
    args_reset(&r->args);
    args_fcall(&r->args, "snapup_release", &b->keys);
    args_int(&r->args, b->epoch);
    args_z(&r->args, "1");
    args_z(&r->args, b->log_id);
    for (unsigned i = 0; i < n; i++) {
        args_str(&r->args, row_field(losers[i]->bytes, losers[i]->n));
        args_add(&r->args, losers[i]->row.id.b, UID_LEN);
        args_add(&r->args, &generation, 1);
    }
    if (redis_link_call(r->link, &r->args, on_released, b->lane) != ST_OK)
        recover_request(r->engine, b->lane->live, true);
}

static void finish_committed(struct reserve *r, struct purchase *p, enum status outcome)
{
    committers_give_room(r->engine->committers, 1);
    r->busy--;
    if (!p->async) {
        switch (outcome) {
        case ST_OK: p->done(p, BUY_DURABLE, ST_OK); break;
        case ST_DUPLICATE:
        case ST_INVALID_STATE: p->done(p, BUY_LOOKUP, ST_IDEMPOTENCY_IN_PROGRESS); break;
        case ST_FENCED: p->done(p, BUY_REFUSED, ST_RECOVERING); break;
        default: p->done(p, BUY_REFUSED, outcome); break;
        }
    }
    purchase_free(r, p);
}

static void on_committed(struct task *task)
{
    struct batch *b = CONTAINER_OF(task, struct batch, commit.task);
    struct lane *lane = b->lane;
    struct reserve *r = lane->r;
    const struct purchase *losers[1024];
    unsigned lost = 0;
    bool whole = true; /* every row is decided, so the log entry has served */
    _Static_assert(sizeof(losers) / sizeof(losers[0]) >= 1024, "reserve_batch_max");
    for (unsigned i = 0; i < b->n; i++) {
        enum status outcome = b->rows[i].outcome;
        if (outcome == ST_DUPLICATE || outcome == ST_INVALID_STATE)
            losers[lost++] = b->p[i];
        else if (outcome != ST_OK)
            whole = false;
    }
    if (!whole)
        recover_request(r->engine, lane->live, true);
    else if (lost > 0 || lane->acks == ACKS_MAX)
        release_losers(b, losers, lost);
    else
        memcpy(lane->ack[lane->acks++], b->log_id, LOG_ID_MAX);
    for (unsigned i = 0; i < b->n; i++)
        finish_committed(r, b->p[i], b->rows[i].outcome);
    batch_free(b);
}

/* --- sending -----------------------------------------------------------------------------------
 */

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
    return b;
}

static void fill_args(struct reserve *r, struct lane *lane, const struct batch *b)
{
    args_reset(&r->args);
    args_fcall(&r->args, "snapup_reserve", &b->keys);
    args_int(&r->args, b->epoch);
    args_add(&r->args, r->engine->instance.b, UID_LEN);
    args_int(&r->args, lane->acks);
    for (unsigned i = 0; i < lane->acks; i++)
        args_z(&r->args, lane->ack[i]);
    for (unsigned i = 0; i < b->n; i++)
        args_add(&r->args, b->p[i]->bytes, b->p[i]->n);
}

/* The shard as loaded into the Redis at the other end of the link, or NULL. */
static const struct sale_shard *open_shard(struct lane *lane)
{
    struct reserve *r = lane->r;
    const struct snapshot *snap = catalog_read(r->reader);
    const struct sale *sale = snap ? snapshot_sale_by_no(snap, lane->live->sale_no) : NULL;
    const struct sale_shard *shard = sale ? &sale->shard[lane->live->shard] : NULL;
    if (!shard || !redis_link_ready(r->link) || !shard->ready ||
        !redis_identity_equal(&shard->loaded_in, &r->identity))
        return NULL;
    return shard;
}

static void lane_send(struct lane *lane)
{
    struct reserve *r = lane->r;
    const struct sale_shard *shard = open_shard(lane);
    if (!shard) {
        recover_request(r->engine, lane->live, false);
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
    if (redis_link_call(r->link, &r->args, on_reserved, b) != ST_OK) {
        refuse_batch(b, ST_UNAVAILABLE);
        return;
    }
    lane->acks = 0;
    lane->in_flight = true;
    metrics_add(r->metrics, M_RESERVE_CALLS, 1);
    metrics_add(r->metrics, M_RESERVE_REQUESTS, b->n);
    metrics_size(r->metrics, MS_BATCH, b->n);
}

void reserve_turn(struct reserve *r)
{
    struct lane *lane = r->dirty, *next;
    r->dirty = NULL;
    for (; lane; lane = next) {
        next = lane->next_dirty;
        lane->dirty = false;
        if (!lane->in_flight && lane->waiting > 0)
            lane_send(lane);
    }
}

static void on_ack_tick(evutil_socket_t fd, short what, void *arg)
{
    struct reserve *r = arg;
    for (unsigned i = 0; i < r->lanes; i++) {
        struct lane *lane = r->lane[i];
        if (lane && lane->acks > 0 && !lane->in_flight && lane->waiting == 0)
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
    r->ack_tick = event_new(base, -1, EV_PERSIST, on_ack_tick, r);
    if (!r->ack_tick || event_add(r->ack_tick, &(struct timeval){0, ACK_TICK_MS * 1000}) != 0 ||
        redis_link_create(base, &engine->redis, engine->log, on_link, r, &r->link) != ST_OK) {
        reserve_destroy(&r);
        return ST_UNAVAILABLE;
    }
    *out = r;
    return ST_OK;
}

void reserve_destroy(struct reserve **reserve)
{
    struct reserve *r = *reserve;
    if (!r)
        return;
    redis_link_destroy(&r->link);
    if (r->ack_tick)
        event_free(r->ack_tick);
    for (unsigned i = 0; i < r->lanes; i++)
        free(r->lane[i]);
    free(r->lane);
    while (r->free) {
        struct purchase *p = r->free;
        r->free = p->next;
        free(p);
    }
    free(r);
    *reserve = NULL;
}

bool reserve_ready(const struct reserve *r)
{
    return redis_link_ready(r->link);
}

unsigned reserve_busy(const struct reserve *r)
{
    return r->busy;
}
