/* recover.h - a shard is loaded into Redis from MariaDB and the surviving log, under a new epoch.
 *
 * The one way in which a gate opens: at publication, after a restart of either store, after any
 * doubt (DESIGN section 5, rules R1, R2, R6, R7, R8, R17). Healing is this, never a number written
 * into the gate (R9).
 */
#pragma once

#include "base/status.h"
#include "flow/engine.h"
#include "flow/jobs.h"

/* Asks for the shard's recovery on a rebuild thread; at most one per shard waits or runs, and after a
 * failure none for a moment. doubt: the epoch under which gate and ledger cannot be brought together
 * (a rebuild settles it from the log); 0: only the gate's look is. Any thread. */
void recover_request(const struct engine *engine, struct live_shard *live, int64_t doubt);

/* Brings the shard in order now, on the caller's thread: a fresh catalogue if only that was stale,
 * else, or with force, a rebuild. force is for who must know that nothing of the epoch before can still
 * come (a take-back that is repeated). The session's snapshot is a new one afterwards. ST_OK: ready. ST_BUSY: another instance holds the rebuild lease. */
STATUS_MUSTCHECK
enum status recover_shard(struct session *s, uint32_t sale_no, unsigned shard, bool force);
/* Every shard of a sale, in turn. */
STATUS_MUSTCHECK
enum status recover_sale(struct session *s, uint32_t sale_no);
