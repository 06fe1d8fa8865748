/* rebuild.h - the steps of loading one shard (recover.h says when).
 *
 *   bump epoch, take lease (one transaction, alone) ─▶ write the surviving log's rows under it
 *   ─▶ note epoch and Redis' ids ─▶ one snapshot of stock and orders ─▶ load ─▶ ready
 */
#pragma once

#include "flow/jobs.h"

STATUS_MUSTCHECK
enum status rebuild_shard(struct session *s, const struct sale *sale, unsigned shard,
                          const struct redis_identity *redis);
/* Writes the rows of the shard's log entries that carry epoch `opened`, under epoch `epoch`. */
STATUS_MUSTCHECK
enum status rebuild_from_log(struct session *s, const struct sale *sale, unsigned shard,
                             int64_t opened, int64_t epoch);
