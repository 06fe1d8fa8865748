/* What Redis said of a batch: losers are answered at once, winners go on to be written. */
#include "base/clock.h"
#include "base/crash.h"
#include "flow/gate.h"
#include "flow/recover.h"
#include "flow/reserve_priv.h"
#include "flow/sweep.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

void batch_free(struct batch *b)
{
    free(b->rows);
    free(b);
}

void batch_refuse(struct batch *b, enum status st)
{
    for (unsigned i = 0; i < b->n; i++) {
        if (b->p[i]->told)
            lane_fence(b->lane, b->p[i]);
        else
            purchase_finish(b->lane->r, b->p[i], BUY_REFUSED, st);
    }
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

static bool won(char code)
{
    return code == 'W' || code == 'w' || code == 'M';
}

static void judge_batch(struct batch *b, const struct redisReply *reply)
{
    struct reserve *r = b->lane->r;
    const redisReply *codes = reply->element[2];
    const redisReply *id = reply->element[1];
    struct purchase *lost = NULL;
    unsigned winners = 0;
    snprintf(b->log_id, sizeof(b->log_id), "%.*s", (int)id->len, id->str);
    for (unsigned i = 0; i < b->n; i++) {
        struct purchase *p = b->p[i];
        char code = codes->str[i];
        if (won(code)) {
            /* A key that may have been used is answered from MariaDB, not with a 202 of its own. */
            p->async = p->told || (p->async && !(code == 'w' && p->explicit_key));
            b->p[winners++] = p;
        } else if ((code | 0x20) == 's' && lane_park(b->lane, p)) {
            continue;
        } else if (p->told) {
            p->next = lost;
            lost = p;
        } else {
            answer_loser(r, p, code, left_of(reply, p->row.sku));
        }
    }
    if (lost)
        commit_lost(b->lane, lost);
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

static enum status reply_status(const struct batch *b, enum status st,
                                const struct redisReply *reply)
{
    if (st == ST_OK)
        st = redis_reply_status(reply);
    if (st == ST_OK)
        st = gate_answer(reply);
    return st == ST_OK && !reply_fits(b, reply) ? ST_INTERNAL : st;
}

/* What a call that reserved nothing, or perhaps something, asks for. */
static void look_after(struct lane *lane, const struct batch *b, enum status st)
{
    metrics_add(lane->r->metrics, M_REDIS_ERRORS, 1);
    if (st == ST_FENCED)
        recover_request(lane->r->engine, lane->live, 0);
    else if (st == ST_UNKNOWN)
        sweep_doubt(lane->live); /* the log knows what was reserved (rule R20) */
    else if (st != ST_UNAVAILABLE)
        recover_request(lane->r->engine, lane->live, b->epoch);
}

void batch_reserved(void *arg, enum status st, const struct redisReply *reply)
{
    struct batch *b = arg;
    struct lane *lane = b->lane;
    struct reserve *r = lane->r;
    lane->in_flight = false;
    metrics_time(r->metrics, MT_RESERVE, clock_mono_us() - b->sent_us);
    st = reply_status(b, st, reply);
    if (st == ST_OK && b->n == 0)
        CRASH_POINT(ack_after);
    if (st == ST_OK) {
        const struct snapshot *snap = catalog_read(r->reader);
        const struct sale *sale = snapshot_sale_by_no(snap, lane->live->sale_no);
        if (sale)
            gate_note_left(sale, lane->live->shard, reply, 3);
        lane_acked(lane);
        judge_batch(b, reply);
    } else {
        lane->acking = 0; /* named again by the next call: deleting twice is harmless */
        look_after(lane, b, st);
        batch_refuse(b, ST_RECOVERING);
    }
    if (lane->queue.first)
        lane_mark(lane);
}
