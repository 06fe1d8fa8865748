/* keeper.h - the housekeeper: one loop that decides when chores run, on the chore threads.
 *
 *   watch   every 100 ms   catalogue, gates, health, warnings
 *   expire  every 200 ms   orders whose time to pay ran out; at once again after a full batch
 *   deliver every 300 ms   movements that Redis was not told of yet
 *   sweep   every second   this instance's lease; logs of instances that are gone
 *   patrol  every 2 s      gates against the ledger; what stays wrong is healed
 *   audit   every second   whether it is time for the next full audit; on the audits' thread
 *
 * A chore that is still under way is not started again.
 */
#pragma once

#include "flow/engine.h"
#include "flow/warnings.h"

#include <stdatomic.h>

struct keeper;

/* Chores on the chore threads: one thread each, so that a slow one does not delay the lease. */
enum { KEEPER_CHORES = 5 };

/* How the stores looked at the last watch; shared with the API. */
struct keeper_view {
    _Atomic bool redis, sql, gates;
    struct warnings warnings;
};

/* Starts the loop's thread and each chore at once. The pools run already; engine and view (zeroed)
 * are borrowed until keeper_stop. ST_UNAVAILABLE: no memory, thread or descriptor. */
STATUS_MUSTCHECK
enum status keeper_start(const struct engine *engine, struct keeper_view *view,
                         struct keeper **out);
/* No further chore starts; waits for those under way. Before the chore threads stop. */
void keeper_stop(struct keeper **k);
