/* sweep.h - what a dead instance left in the intent log is found and completed.
 *
 * Every instance renews a lease of its own in MariaDB. A log entry whose owner's lease has lapsed
 * will never be finished by him: its shard is rebuilt, which writes the log's orders first (rules
 * R7, R20). By owner lease, never by age: a slow owner is not a dead one.
 */
#pragma once

#include "flow/jobs.h"

enum { SWEEP_MS = 1000, INSTANCE_LEASE_MS = 3000 };

/* Renews this instance's lease, then looks at the logs of sales that are on. */
STATUS_MUSTCHECK
enum status sweep_logs(struct session *s);
/* Gives the lease back, at a clean stop, when nothing of ours is in a log any more. */
void sweep_leave(struct session *s);
