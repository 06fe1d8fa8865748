/* lease.h - leases in MariaDB, by its wall clock, and our own clock set by that.
 *
 * Every instance renews a lease of its own. Once it has lapsed, others complete what the instance
 * left in the intent logs (sweep.h). Other leases, each with a name, say whose turn a chore is.
 */
#pragma once

#include "flow/jobs.h"

enum { INSTANCE_LEASE_MS = 3000 };

/* Sets the wall clock by MariaDB's: before the first purchase, then every second. One thread at a
 * time. Statuses of sql_run. */
STATUS_MUSTCHECK
enum status lease_follow_clock(struct session *s);
/* Renews this instance's lease, as often as the clock is set. One thread at a time. Statuses of
 * sql_run. When it fails at the start, the process does not start; later it is tried again a second
 * after. If the lease lapses meanwhile, others complete our entries, which does no harm but to
 * their time: our own commits then find their orders written. */
STATUS_MUSTCHECK
enum status lease_renew(struct session *s);
/* Gives it back, and what lease_take got, at a clean stop, when no order of ours is undecided any
 * more. The main thread, after all others have ended. A failure is logged: the lease then lapses by
 * itself. */
void lease_leave(struct session *s);

/* Takes or prolongs the lease of that name. *mine: nobody else has it for the next ms. Statuses of
 * sql_run. Any thread. */
STATUS_MUSTCHECK
enum status lease_take(struct session *s, const char *name, int64_t ms, bool *mine);
