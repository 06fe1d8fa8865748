/* patrol.h - the audit that never ends: looks for broken promises, and has shards healed by a
 * rebuild.
 *
 * Two chores of the keeper, each on a thread of its own:
 *
 *   look   all open sales, every two seconds: gate against ledger, whatever is under way
 *          (rules/balance.h). Costs a few figures per item and shard; orders are not read. Every
 *          instance looks.
 *   audit  one open sale at a time, in turn (flow/audit.h). Reads all of its orders, so it rests
 *          for many times as long as it took. One instance at a time, by a lease: politeness, no
 *          promise.
 *
 * What is wrong at every look, or in two audits in a row, past the time in which work under way is
 * settled, is healed by a rebuild of the shard (rule R9: never by a number written into the gate).
 * Entries of the log that stay are completed by the sweeps (sweep.h, doubt), so that nothing can
 * hide behind them.
 * The epoch goes along as the suspect one, so that instances that saw the same heal once.
 */
#pragma once

#include "flow/engine.h"

struct patrol;

struct patrol_pace {
    int64_t heal_after_ms; /* wrong for so long: healed */
    /* Log entries as old as this, with both stores there: their owner, alive or not, has lost sight
     * of them. What is stuck in the log would hide units that are missing for ever. */
    int64_t stuck_after_ms;
    int64_t rest_ms;    /* between two audits, at least */
    int64_t rest_times; /* and so many times the last one's duration */
    int64_t rush_per_s; /* while open sales lose as many units a second, no audit disturbs them, */
    int64_t rush_ms;    /* for so long; one in doubt is looked at again all the same */
};

extern const struct patrol_pace patrol_pace;

STATUS_MUSTCHECK
enum status patrol_create(const struct engine *engine, const struct patrol_pace *pace,
                          struct patrol **out);
void patrol_destroy(struct patrol **p);

/* One look at every open sale. One thread at a time. ST_OK, or why a store could not be read. */
STATUS_MUSTCHECK
enum status patrol_look(struct patrol *p, struct session *s);
/* The next audit, if it is time and ours. One thread at a time, not necessarily that of the
 * look. */
STATUS_MUSTCHECK
enum status patrol_audit(struct patrol *p, struct session *s);
