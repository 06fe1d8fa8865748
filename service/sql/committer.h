/* committer.h - threads that make reserved orders durable, group by group (service/README.md,
 * A purchase).
 *
 *   workers ──commit_batch──▶ queue ─▶ take what waits ─▶ bulk INSERT, one guarded UPDATE
 *                                                       per item and shard, COMMIT ─▶ batch back
 *
 * Grouping is natural: while one transaction is in flight the next group gathers. A group that
 * meets a duplicate key, or whose COMMIT was not answered, is run again in a slower form that asks
 * for each row (rules R3, R11, R13). A fenced shard's orders leave the group, the rest commit
 * (R21). Rows marked `lost` are written in the same transaction as cancelled orders, which hold
 * nothing, are counted nowhere and need no epoch (R22). MariaDB away: the group in hand is tried
 * until it answers or the committer stops; the queue's bound is the caller's (`depth`), so memory
 * is, too.
 */
#pragma once

#include "base/ids.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "base/status.h"
#include "sql/sql.h"

#include <stdatomic.h>
#include <stdint.h>

struct committers;

struct commit_row {
    struct uid id;
    uint8_t key[16];
    struct str shopper; /* borrowed until the batch comes back */
    uint32_t storefront, item, shard, qty;
    int64_t amount, epoch;
    bool queued; /* told 202: a duplicate is written as cancelled instead of vanishing (R22) */
    bool lost;   /* told 202 and lost its place since: only that is written (R22) */
    /* Set by the committer: ST_OK durable; ST_DUPLICATE the key belongs to another order;
     * ST_INVALID_STATE this order was written before and has ended; ST_FENCED the epoch has moved
     * on, or the ledger has no room for it: nothing written; ST_INTERNAL refused by MariaDB;
     * ST_UNAVAILABLE not written before the stop. */
    enum status outcome;
};

struct commit_batch {
    struct task task;       /* queued to the committer, then back to reply_to */
    struct queue *reply_to; /* the loop that sent it; reply is what runs there */
    task_fn reply;
    int64_t queued_us;
    struct commit_row *rows;
    unsigned n;
};

STATUS_MUSTCHECK
enum status committers_create(const struct sql_conf *conf, unsigned threads, unsigned group_max,
                              unsigned depth_max, struct log *log, struct metrics *metrics,
                              struct committers **out);
/* Waits up to grace_ms for what was submitted, then ends the threads; every batch goes back. */
void committers_stop(struct committers *c, int64_t grace_ms);
void committers_destroy(struct committers **c);

/* Queue room is taken before reserving (rule R9): false when n more orders would pass depth_max. */
bool committers_take_room(struct committers *c, unsigned n);
void committers_give_room(struct committers *c, unsigned n);
/* Whether a group has waited for a MariaDB that is away for over a second, or been at it for over
 * two: what is told to wait now would wait for nobody knows how long. */
bool committers_stalled(const struct committers *c);
/* Orders that hold room now. */
unsigned committers_depth(const struct committers *c);

/* Hands the batch over; it comes back through reply_to with every outcome set. Room for its rows
 * was taken before and is given back by the caller afterwards. */
void committers_submit(struct committers *c, struct commit_batch *batch);

/* The transaction itself; also for those who write the orders of others (rebuild, completion). Rows
 * whose outcome is ST_FENCED or ST_INTERNAL on entry are passed over. flat is scratch for n rows.
 * ST_OK: committed, outcomes are set. ST_FENCED, ST_INTERNAL: nothing written, the guilty rows are
 * marked; call again for the rest. ST_DUPLICATE (only when not careful), ST_CONFLICT, ST_UNKNOWN:
 * nothing known to be written, call again, carefully. ST_UNAVAILABLE, ST_OVERLOADED: call again
 * later. */
STATUS_MUSTCHECK
enum status commit_rows(struct sql *sql, struct commit_row **rows, unsigned n, bool careful,
                        struct commit_row *flat);
