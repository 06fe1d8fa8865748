/* What came of a batch: losers are answered at once, winners once they are durable. */
#include "base/clock.h"
#include "flow/gate.h"
#include "flow/recover.h"
#include "flow/reserve_priv.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the reply --------------------------------------------------------------------------------- */

static void batch_free(struct batch *b)
{
    free(b->rows);
    free(b);
}

void batch_refuse(struct batch *b, enum status st)
{
    for (unsigned i = 0; i < b->n; i++)
        purchase_finish(b->lane->r, b->p[i], BUY_REFUSED, st);
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
        purchase_finish(r, p, lookup ? BUY_LOOKUP : BUY_REFUSED, meaning[i].st);
        return;
    }
    purchase_finish(r, p, BUY_REFUSED, ST_INTERNAL);
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
        if ((codes->str[i] | 0x20) == 'w') {
            /* A key that may have been used is answered from MariaDB, not with a 202 of its own. */
            p->async = p->async && !(codes->str[i] == 'w' && p->explicit_key);
            b->p[winners++] = p;
        } else if ((codes->str[i] | 0x20) != 's' || !lane_park(b->lane, p))
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

void batch_reserved(void *arg, enum status st, const struct redisReply *reply)
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
        recover_request(r->engine, lane->live, st == ST_FENCED ? 0 : b->epoch);
        batch_refuse(b, ST_RECOVERING);
    }
    if (lane->first)
        lane_mark(lane);
}

/* --- after the commit -------------------------------------------------------------------------- */

static void on_released(void *arg, enum status st, const struct redisReply *reply)
{
    struct lane *lane = arg;
    if (st != ST_OK || redis_reply_status(reply) != ST_OK || gate_answer(reply) != ST_OK)
        recover_request(lane->r->engine, lane->live, lane->ack_epoch);
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
        recover_request(r->engine, b->lane->live, b->epoch);
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

/* Ids of an older epoch named entries of a log that is gone. */
static void lane_ack(struct lane *lane, const struct batch *b)
{
    if (lane->ack_epoch != b->epoch)
        lane->acks = 0;
    lane->ack_epoch = b->epoch;
    memcpy(lane->ack[lane->acks++], b->log_id, LOG_ID_MAX);
}

static void on_committed(struct task *task)
{
    struct batch *b = CONTAINER_OF(task, struct batch, commit.task);
    struct lane *lane = b->lane;
    struct reserve *r = lane->r;
    const struct purchase *losers[RESERVE_BATCH_MAX];
    unsigned lost = 0;
    bool whole = true; /* every row is decided, so the log entry has served */
    for (unsigned i = 0; i < b->n; i++) {
        enum status outcome = b->rows[i].outcome;
        if (outcome == ST_DUPLICATE || outcome == ST_INVALID_STATE)
            losers[lost++] = b->p[i];
        else if (outcome != ST_OK)
            whole = false;
    }
    if (!whole)
        recover_request(r->engine, lane->live, b->epoch);
    else if (lost > 0 || lane->acks == ACKS_MAX)
        release_losers(b, losers, lost);
    else
        lane_ack(lane, b);
    for (unsigned i = 0; i < b->n; i++)
        finish_committed(r, b->p[i], b->rows[i].outcome);
    batch_free(b);
}
