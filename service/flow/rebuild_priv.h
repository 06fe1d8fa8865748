/* rebuild_priv.h - between rebuild.c (the steps) and rebuild_log.c (the intent log's part). */
#pragma once

#include "flow/jobs.h"

/* Writes the rows of the shard's log entries that carry epoch `opened`, under epoch `epoch`. What
 * the ledger has no room for is left out, as cancelled if it was told 202 (rule R22), and logged.
 * ST_BUSY: yet another epoch has begun. Others: a store failed; what was written stays. */
STATUS_MUSTCHECK
enum status rebuild_from_log(struct session *s, const struct sale *sale, unsigned shard,
                             int64_t opened, int64_t epoch);
