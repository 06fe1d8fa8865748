/* recover.h - a shard is loaded into Redis from MariaDB and the surviving log, under a new epoch.
 *
 * The one way in which a gate opens: at publication, after a restart of Redis, after any doubt
 * (service/README.md, When things break; rules R1, R2, R6, R7, R8, R17). Healing is this, never a
 * number written into the gate (R9).
 */
#pragma once

#include "base/status.h"
#include "flow/engine.h"
#include "flow/jobs.h"

/* Asks for the shard's recovery on a rebuild thread, one for those that sell or one for the idle
 * (live.h); at most one per shard and kind waits or runs, and after a failure none for a moment. suspect: the epoch under which gate and ledger cannot be brought
 * together (a rebuild settles it from the log); 0: only the gate's look is. Any thread. */
void recover_request(const struct engine *engine, struct live_shard *live, int64_t suspect);

/* Brings the shard in order now, on the caller's thread (a job's): a fresh catalogue if only that
 * was stale, else a rebuild. force: a rebuild even if the gate looks in order, for a take-back that
 * is resumed under its id, as the log may hold what the first try reserved (stock.c); everybody
 * else passes false. The session's snapshot is a new one afterwards. ST_OK: ready.
 * ST_SALE_NOT_FOUND: no such shard, or never published. ST_UNAVAILABLE: a store is away, or this
 * Redis may evict. ST_BUSY and others as rebuild_shard. */
STATUS_MUSTCHECK
enum status recover_shard(struct session *s, uint32_t sale_no, unsigned shard, bool force);
/* Every shard of a sale, in turn, until one fails; statuses as recover_shard. */
STATUS_MUSTCHECK
enum status recover_sale(struct session *s, uint32_t sale_no);
