/* gate.h - calls of the Redis functions by threads that may wait, on one shard.
 *
 * Calls that change something compare the Redis they reach with the one that was loaded (rule R1);
 * those that only look (peek, find, held, filter) do not. ST_FENCED: wrong Redis or epoch; nothing
 * was done. Others as redis_session_call.
 */
#pragma once

#include "base/status.h"
#include "flow/jobs.h"
#include "redis/row.h"

struct gate_hold {
    struct str field; /* `sku|shopper` */
    struct uid id;
    uint8_t gen;
};

/* The words of snapup_reserve, but for the rows: those are added one by one. acks: n ids of durable
 * log entries. All of it is borrowed, like the words themselves (args.h). Any thread. */
void gate_reserve_args(struct args *a, const struct shard_keys *keys, int64_t epoch,
                       const struct uid *owner, const char (*acks)[LOG_ID_MAX], unsigned n);
/* The words of snapup_release: log entries to delete, then holds to give back. Likewise. */
void gate_release_args(struct args *a, const struct shard_keys *keys, int64_t epoch,
                       const char (*log_ids)[LOG_ID_MAX], unsigned ids,
                       const struct gate_hold *holds, unsigned n);

/* Gives back holds (harmless twice), naming the epoch of the change (rule R4); on ST_OK the units
 * are in the sale's live hints, too. */
STATUS_MUSTCHECK
enum status gate_release(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                         const struct gate_hold *holds, unsigned n);
/* Tells the running total of units ever added (rule R5). */
STATUS_MUSTCHECK
enum status gate_add(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                     struct str sku, int64_t added);
/* Reserves one row outside a worker's batch (stock taken back, rule R5). *code as functions.lua
 * says; log_id names the entry to delete afterwards; *left units after it. */
STATUS_MUSTCHECK
enum status gate_reserve(struct session *s, const struct sale *sale, unsigned shard,
                         const struct row *row, char *code, char log_id[LOG_ID_MAX], int64_t *left);
/* Gives back holds and deletes log entries whose rows are durable, in one call (rule R10). */
STATUS_MUSTCHECK
enum status gate_settle(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                        const char (*log_ids)[LOG_ID_MAX], unsigned ids,
                        const struct gate_hold *holds, unsigned n);
/* Deletes one log entry after its row is durable. */
STATUS_MUSTCHECK
enum status gate_ack(struct session *s, const struct sale *sale, unsigned shard,
                     const char *log_id);

struct gate_units {
    int64_t left, added;
};

struct gate_view {
    int64_t epoch;            /* 0: closed */
    int64_t log;              /* entries */
    int64_t wins;             /* batches that won something in this epoch */
    int64_t back;             /* units given back in this epoch */
    struct gate_units *units; /* [sale->items], left -1: not there; caller's array */
};

/* Reads the shard's figures as they are, whoever loaded them. view->units is the caller's, with
 * sale->items places, and borrowed for the call. ST_OK: all of view is set. ST_FENCED: this Redis
 * lacks our functions. ST_INTERNAL: an answer of a shape we do not know. Others as
 * redis_session_call. */
STATUS_MUSTCHECK
enum status gate_peek(struct session *s, const struct sale *sale, unsigned shard,
                      struct gate_view *view);
/* An order the gate knows and MariaDB perhaps not yet. item NULL: not there. */
struct gate_found {
    const struct sale_item *item;
    char shopper[ID_MAX + 1];
    uint32_t qty;
};
/* shopper empty: the log is searched, else what he holds. */
STATUS_MUSTCHECK
enum status gate_find(struct session *s, const struct sale *sale, unsigned shard,
                      const struct uid *id, struct str shopper, struct gate_found *found);
/* Sum of held units per item by walking `held` (for the audit); units has sale->items places. */
STATUS_MUSTCHECK
enum status gate_held(struct session *s, const struct sale *sale, unsigned shard, int64_t *units);
/* Merges Redis' filter of shoppers into the live one. */
STATUS_MUSTCHECK
enum status gate_filter(struct session *s, const struct sale *sale, unsigned shard);

/* Parses the answer's first element: ST_OK, ST_FENCED, or ST_INTERNAL for a shape we do not know.
 */
STATUS_MUSTCHECK
enum status gate_answer(const struct redisReply *reply);
/* Notes `sku, left` pairs from element `first` on in the live hints. */
void gate_note_left(const struct sale *sale, unsigned shard, const struct redisReply *reply,
                    size_t first);
