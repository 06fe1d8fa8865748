/* rebuild.h - the steps of loading one shard (recover.h says when).
 *
 *   bump epoch, take lease (one transaction, alone) ─▶ close the old gate ─▶ write the surviving
 *   log's rows under it ─▶ note epoch and Redis' ids ─▶ one snapshot of stock and orders ─▶ load
 *   ─▶ ready
 */
#pragma once

#include "flow/jobs.h"

/* All steps (seconds for a million orders), on the caller's thread (a job's), which holds
 * live->rebuild; sale is of the newest catalogue, redis says who s->redis talks to. In the shard's
 * live: forgets that the filter is current and which wins it includes, adds shoppers to the filter,
 * sets each item's left and ends refusals. ST_OK: the gate is open; the caller reloads the
 * catalogue. ST_BUSY: another instance holds the lease (of 2 s, renewed during a long load), or has
 * moved the shard on before or since. ST_FENCED: this Redis lacks our functions. Others: a store
 * failed. After a failure the gate stays as it is, most often closed; whoever tries next takes a
 * higher epoch, another instance once the lease has lapsed. */
STATUS_MUSTCHECK
enum status rebuild_shard(struct session *s, const struct sale *sale, unsigned shard,
                          const struct redis_identity *redis);
