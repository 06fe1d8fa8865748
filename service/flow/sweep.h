/* sweep.h - what stays in the intent log without an owner that will finish it is found, and
 * completed.
 *
 * Every instance renews a lease of its own in MariaDB. A log entry whose owner's lease has lapsed
 * will never be finished by him: it is completed (complete.h) under its own epoch, and its shard
 * sells on meanwhile. By owner lease, never by age: a slow owner is not a dead one. An owner that
 * lost Redis' answer settles its own entries in the same way (rule R20).
 */
#pragma once

#include "flow/jobs.h"

enum { SWEEP_MS = 1000, INSTANCE_LEASE_MS = 3000 };

/* Renews this instance's lease, and sets the wall clock by MariaDB's. Before the first purchase, then at least every second. */
STATUS_MUSTCHECK
enum status sweep_renew(struct session *s);
/* Looks at the logs of sales that are on. One at a time in the process. */
STATUS_MUSTCHECK
enum status sweep_logs(struct session *s);
/* An answer of this shard's Redis was lost, so entries of ours may be in its log, now or a little
 * later, that no batch of ours knows. Any thread. */
void sweep_doubt(struct live_shard *live);
/* Gives the lease back, at a clean stop, when nothing of ours is in a log any more. */
void sweep_leave(struct session *s);
