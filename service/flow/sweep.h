/* sweep.h - what stays in the intent log without an owner that will finish it is found, and
 * completed.
 *
 * Every instance renews a lease of its own in MariaDB (lease.h). A log entry whose owner's lease
 * has lapsed will never be finished by him: it is completed (complete.h) under its own epoch, and
 * its shard sells on meanwhile. By owner lease, never by age: a slow owner is not a dead one. An
 * owner that lost Redis' answer settles its own entries in the same way (rule R20).
 *
 * Only shards are looked at in whose log the keeper's last look (refresh.h) saw entries: it looks
 * at sales from a minute before their start to an hour after their end.
 */
#pragma once

#include "flow/jobs.h"

enum { SWEEP_MS = 1000 };

/* Looks at those logs and completes what is left in them. The sweep chore's thread; one at a time
 * in the process. ST_OK also when a shard could not be completed and its recovery was asked for.
 * Others: a store failed, the shards after it wait for the next sweep. */
STATUS_MUSTCHECK
enum status sweep_logs(struct session *s);
/* An answer of this shard's Redis was lost, so entries of ours may be in its log, now or a little
 * later, that no batch of ours knows. Any thread. */
void sweep_doubt(struct live_shard *live);
