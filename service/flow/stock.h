/* stock.h - units added to an item and taken back while it sells (rule R5).
 *
 * Added: MariaDB first, then Redis is told the running total through the outbox. Taken back:
 * reserved through gate and log first, shard by shard, so that a unit is never sold and taken at
 * once.
 */
#pragma once

#include "base/str.h"
#include "flow/jobs.h"
#include "redis/row.h"

enum { STOCK_DELTA_MAX = 1000000000 };

struct stock_movement {
    struct uid id;
    int64_t delta, allocated, left, created_ms;
};

/* delta != 0, |delta| <= STOCK_DELTA_MAX; reason up to 800 bytes. The sale must be published or
 * paused. out->id names the movement; resumed: an earlier try under it may have been written, which
 * is then the answer (a take-back may then rebuild the sale's shards, and the session's snapshot is
 * a new one afterwards). ST_NOT_ENOUGH_LEFT with out->left; ST_RECOVERING when the gate is not
 * open.
 */
STATUS_MUSTCHECK
enum status stock_change(struct session *s, const struct sale *sale, const struct sale_item *item,
                         int64_t delta, struct str reason, bool resumed,
                         struct stock_movement *out);

/* A sold-out shard draws `want` units, or half of what the richest other shard has if that is more,
 * so that shards run dry together. ST_OK: they are there; ST_SOLD_OUT: the others have less. */
STATUS_MUSTCHECK
enum status stock_draw(struct session *s, const struct sale *sale, const struct sale_item *item,
                       unsigned to, int64_t want);

/* Commits a take-back that the gate reserved: allocated goes down under the epoch, with its
 * movement; drawn units go up in the other shard in the same transaction, which Redis is told by
 * the outbox. ST_DUPLICATE: done before. ST_FENCED: the epoch moved on; nothing was written.
 * ST_CONFLICT, ST_UNKNOWN: so it was several times. */
STATUS_MUSTCHECK
enum status stock_take_commit(struct session *s, const struct sale *sale, unsigned shard,
                              int64_t epoch, const struct row *row, struct str reason);
