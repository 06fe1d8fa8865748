/* What MariaDB said of a batch: winners are answered once they are durable. */
#include "base/clock.h"
#include "base/crash.h"
#include "flow/gate.h"
#include "flow/recover.h"
#include "flow/reserve_priv.h"
#include "flow/sweep.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

/* Whoever waits for a 201 is told to come again once its shard has been closed for so long. */
enum { FENCED_US = 2 * 1000 * 1000 };

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

static void submit(struct batch *b)
{
    struct reserve *r = b->lane->r;
    b->commit = (struct commit_batch){
        .reply_to = r->replies, .reply = on_committed, .rows = b->rows, .n = b->n};
    b->lane->committing++;
    committers_submit(r->engine->committers, &b->commit);
}

void commit_winners(struct batch *b, unsigned n)
{
    struct reserve *r = b->lane->r;
    CRASH_POINT(reserve_after_call);
    b->n = n;
    for (unsigned i = 0; i < n; i++) {
        struct purchase *p = b->p[i];
        live_filter_set(b->lane->live, p->row.hash);
        row_to_commit(&b->rows[i], p, b->lane->live->shard, b->epoch);
        if (p->async && !p->told) {
            p->told = true;
            p->done(p, BUY_QUEUED, ST_OK);
        }
    }
    metrics_add(r->metrics, M_RESERVE_WON, n);
    submit(b);
}

void commit_lost(struct lane *lane, struct purchase *lost)
{
    unsigned n = 1;
    for (const struct purchase *p = lost->next; p; p = p->next)
        n++;
    struct batch *b = calloc(1, sizeof(*b) + n * sizeof(struct purchase *));
    struct commit_row *rows = calloc(n, sizeof(*rows));
    struct purchase *next;
    if (!b || !rows) {
        free(b);
        free(rows);
        b = NULL;
    }
    for (struct purchase *p = lost; p; p = next) {
        next = p->next;
        if (!b) {
            lane_fence(lane, p); /* without memory: it is tried again */
            continue;
        }
        row_to_commit(&rows[b->n], p, lane->live->shard, 0);
        rows[b->n].lost = true;
        b->p[b->n++] = p;
    }
    if (!b)
        return;
    b->lane = lane;
    b->rows = rows;
    submit(b);
}

/* --- the log entry's end ---------------------------------------------------------------------- */

static void on_released(void *arg, enum status st, const struct redisReply *reply)
{
    struct lane *lane = arg;
    CRASH_POINT(release_after);
    lane->r->busy--;
    if (st != ST_OK || redis_reply_status(reply) != ST_OK || gate_answer(reply) != ST_OK)
        sweep_doubt(lane->live); /* the entry is still there, and says what to give back */
}

static bool lost_its_key(enum status outcome)
{
    return outcome == ST_DUPLICATE || outcome == ST_INVALID_STATE;
}

/* Gives back what the batch reserved and did not get, and deletes its log entry, in one call (R10).
 */
static void release_losers(struct batch *b)
{
    struct reserve *r = b->lane->r;
    struct gate_hold losers[RESERVE_BATCH_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < b->n; i++) {
        const struct purchase *p = b->p[i];
        if (lost_its_key(b->rows[i].outcome))
            losers[n++] = (struct gate_hold){row_field(p->bytes, p->n), p->row.id, 0};
    }
    gate_release_args(&r->args, &b->keys, b->epoch, (const char(*)[LOG_ID_MAX])b->log_id,
                      b->log_id[0] != '\0', losers, n);
    CRASH_POINT(release_before);
    if (redis_link_call(r->link, &r->args, on_released, b->lane) == ST_OK)
        r->busy++; /* until its log entry is gone */
    else
        sweep_doubt(b->lane->live);
}

/* Ids of an older epoch named entries of a log that is gone. */
static void lane_ack(struct lane *lane, const struct batch *b)
{
    if (b->epoch < lane->ack_epoch)
        return;
    if (lane->ack_epoch != b->epoch)
        lane->acks = lane->acking = 0;
    lane->ack_epoch = b->epoch;
    memcpy(lane->ack[lane->acks++], b->log_id, LOG_ID_MAX);
}

static void end_log_entry(struct batch *b)
{
    struct lane *lane = b->lane;
    unsigned lost = 0, undecided = 0, fenced = 0;
    for (unsigned i = 0; i < b->n; i++) {
        enum status outcome = b->rows[i].outcome;
        if (lost_its_key(outcome))
            lost++;
        else if (outcome == ST_FENCED)
            fenced++;
        else if (outcome != ST_OK)
            undecided++;
    }
    if (undecided + fenced > 0)
        recover_request(lane->r->engine, lane->live, b->epoch);
    else if (lost > 0 || (lane->acks == ACKS_MAX && b->log_id[0] != '\0'))
        release_losers(b);
    else if (b->log_id[0] != '\0')
        lane_ack(lane, b);
}

/* --- what each is told ------------------------------------------------------------------------ */

static void finish_committed(struct lane *lane, struct purchase *p, enum status outcome)
{
    struct reserve *r = lane->r;
    if (outcome == ST_FENCED) {
        lane_fence(lane, p);
        return;
    }
    if (p->told) {
        purchase_end(r, p);
        return;
    }
    switch (outcome) {
    case ST_OK:
        CRASH_POINT(answer_before);
        purchase_finish(r, p, BUY_DURABLE, ST_OK);
        break;
    case ST_DUPLICATE:
    case ST_INVALID_STATE: purchase_finish(r, p, BUY_LOOKUP, ST_IDEMPOTENCY_IN_PROGRESS); break;
    default: purchase_finish(r, p, BUY_REFUSED, outcome); break;
    }
}

static void on_committed(struct task *task)
{
    struct batch *b = CONTAINER_OF(task, struct batch, commit.task);
    b->lane->committing--;
    end_log_entry(b);
    for (unsigned i = 0; i < b->n; i++)
        finish_committed(b->lane, b->p[i], b->rows[i].outcome);
    batch_free(b);
}

void lane_retry_fenced(struct lane *lane)
{
    struct purchase *p, *next;
    if (!lane->fenced.first)
        return;
    const struct sale_shard *shard = lane_open_shard(lane);
    int64_t now = clock_mono_us();
    for (p = list_take(&lane->fenced); p; p = next) {
        next = p->next;
        if (shard) {
            CRASH_POINT(reserve_again_before);
            lane_push(lane, p);
        } else if (p->told || now - p->fenced_us < FENCED_US)
            lane_fence(lane, p);
        else
            purchase_finish(lane->r, p, BUY_REFUSED, ST_RECOVERING);
    }
}
