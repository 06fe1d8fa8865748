/* client.h - the rush itself: connections on libevent, one request each at a time.
 *
 * turns.h says whose turn it is; whichever connection is free takes him. All connections are open
 * before the clock starts, dealt out to the instances in turn. A connection that fails is counted,
 * opened again (to the next instance) and never silently missing. Per wake a connection makes at
 * most one read and one write; memory is bounded by ANSWER_MAX bytes per connection. One thread,
 * one call; SIGINT ends it early, SIGUSR1 lifts the pace.
 */
#pragma once

#include "crowd.h"
#include "rush.h"

#include "base/status.h"

/* Runs to the end: every shopper is done, or no connection left, or interrupted. Fills *r and the
 * journal. ST_OK; ST_UNAVAILABLE: host not found or no connection at all (r tells); ST_INTERNAL:
 * no memory, or the progress file cannot be written. */
STATUS_MUSTCHECK
enum status rush_run(const struct options *o, const struct crowd *crowd, struct journal *journal,
                     struct rush *r);
