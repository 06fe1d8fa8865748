/* rebuild.h - the steps of loading one shard (recover.h says when).
 *
 *   bump epoch, take lease (one transaction, alone) ─▶ close the old gate ─▶ write the surviving log's
 *   rows under it
 *   ─▶ note epoch and Redis' ids ─▶ one snapshot of stock and orders ─▶ load ─▶ ready
 */
#pragma once

#include "flow/jobs.h"

/* Loads the shard into the Redis that `redis` names, which the session reaches. sale is the catalogue's
 * newest. Under live_shard.rebuild, on a thread that may wait; takes seconds for a million orders.
 * ST_OK: open under a new epoch. ST_BUSY: another instance rebuilds it (its lease of 2 s is renewed while
 * it loads) or has done so. Others: the gate stays closed; try again, from the start. */
STATUS_MUSTCHECK
enum status rebuild_shard(struct session *s, const struct sale *sale, unsigned shard,
                          const struct redis_identity *redis);
/* Writes the rows of the shard's log entries that carry epoch `opened`, under epoch `epoch`. */
STATUS_MUSTCHECK
enum status rebuild_from_log(struct session *s, const struct sale *sale, unsigned shard,
                             int64_t opened, int64_t epoch);
