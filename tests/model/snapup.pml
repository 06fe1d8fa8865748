/* snapup.pml - the protocol of reserve, commit, acknowledge, crash, fence, rebuild and release, small enough to
 * be searched to the end by Spin. README.md says what the switches are; `run` tries all of them.
 *
 * Read plan.pml (who wants what), stores.pml (the calls of Redis and MariaDB, and the promises), service.pml and
 * rebuild.pml (the service's threads), then this file: what happens to them from outside, and what must be so
 * once nothing more happens.
 */
/* How often each may happen. */
#ifndef CANCELS
#define CANCELS 0 /* a live order ends: cancelled or expired */
#endif
#ifndef CRASHES
#define CRASHES 0 /* instance 0 dies */
#endif
#ifndef PAUSES
#define PAUSES 0 /* a lease lapses although its owner lives: he stood still */
#endif
#ifndef LOST_ANSWERS
#define LOST_ANSWERS 0
#endif
#ifndef EMPTIES
#define EMPTIES 0 /* Redis restarts, or is replaced, without data */
#endif
#ifndef SAVES
#define SAVES 0 /* the file, or the replica, gets the current state; at first it has the initial one */
#endif
#ifndef RESTORES
#define RESTORES 0 /* Redis restarts with the file: RESTORE_OLD. At most once with FAILOVERS */
#endif
#ifndef FAILOVERS
#define FAILOVERS 0 /* the replica is promoted; the old master still answers who is connected */
#endif
#ifndef DOUBTS
#define DOUBTS 0 /* a shard is rebuilt although its Redis is the same: the audit's healing, a flushed function */
#endif
#ifndef REBUILDERS
#define REBUILDERS 1
#endif
#ifndef ADDS
#define ADDS 0
#endif

#include "plan.pml"
#include "stores.pml"
#include "service.pml"
#include "rebuild.pml"

inline copy_state(from, to)
{
    r_epoch[to] = r_epoch[from]; r_ready[to] = r_ready[from]; r_left[to] = r_left[from];
    r_held[to] = r_held[from]; r_log[to] = r_log[from]; r_added[to] = r_added[from]
}

/* The other server takes over. A loss that nobody notices shows the old identity. */
inline take_over()
{
#ifdef UNNOTICED_LOSS
    r_ident[1] = r_ident[0];
#else
    r_ident[1] = r_ident[0] + 1;
#endif
    cur = 1
}

inline end_order(a)
{
    m_live = without(m_live, a);
    m_held--;
    m_out[a] = m_epoch; /* read under the lock of shard_stock (rule R4) */
    claim_ledger()
}

proctype World()
{
    byte cancels = CANCELS, crashes = CRASHES, pauses = PAUSES, empties = EMPTIES, saves = SAVES,
         changes = RESTORES + FAILOVERS, adds = ADDS, doubts = DOUBTS;
end:
    do
#if CANCELS
    :: d_step { cancels && has(m_live, 0) -> cancels--; end_order(0) }
#if PLAN != TAKE
    :: d_step { cancels && has(m_live, 1) -> cancels--; end_order(1) }
#endif
#endif
#if CRASHES
    :: d_step { crashes && up[0] -> crashes--; up[0] = 0 }
#endif
    :: d_step { !up[0] && lease[0] -> lease[0] = 0 }
    :: d_step { !up[0] && m_lease == 1 -> m_lease = 0 }
#if PAUSES
    :: d_step { pauses && lease[0] && up[0] -> pauses--; lease[0] = 0 }
    :: d_step { pauses && m_lease -> pauses--; m_lease = 0 }
#endif
#if EMPTIES
    :: d_step {
           empties && !cur -> empties--;
           r_epoch[cur] = 0; r_ready[cur] = 0; r_left[cur] = 0; r_held[cur] = 0; r_log[cur] = 0; r_added[cur] = 0;
           r_ident[cur]++
       }
#endif
#if SAVES
    :: d_step { saves && !cur -> saves--; copy_state(0, 1) }
#endif
#if RESTORES
    :: d_step { changes && !cur -> changes--; r_up[0] = 0; take_over() }
#endif
#if FAILOVERS
    :: d_step { changes && !cur -> changes--; take_over() }
#endif
#if DOUBTS
    :: d_step { doubts && m_ready -> doubts--; doubt_epoch(m_epoch) }
#endif
#if ADDS
    :: d_step { adds -> adds--; m_alloc++; m_added++; m_out_add = m_epoch }
#endif
    od
}

#ifdef NO_R9_HEAL
/* "The gate is too low, so it is set to what MariaDB says." */
proctype Heal()
{
    byte left;
    left = m_alloc - m_held;
    if
    :: atomic { m_ready && r_ready[cur] && r_left[cur] < left -> r_left[cur] = left }
    :: true
    fi
}
#endif

/* Promise P4, once quiet: nothing can happen any more, so the gate is open and all is where it belongs. */
proctype Quiet()
{
    atomic {
        timeout ->
        claim(P4, gate_in_order(cur) && doubt < m_epoch);
        claim(P4, r_log[cur] == 0 && m_out[0] == 0 && m_out[1] == 0 && m_out_add == 0);
        claim(P4, r_held[cur] == (m_live & ~TAKES));
        claim(P4, r_left[cur] + m_held == m_alloc);
#if !EMPTIES && !RESTORES && !FAILOVERS
        claim(QUEUED, !has(won, 0) || (m_rows & same_key(0)));
        claim(QUEUED, !has(won, 1) || (m_rows & same_key(1)));
#endif
    }
}

init
{
    atomic {
        losses = LOST_ANSWERS;
#ifdef NO_R9_HEAL
        run Heal();
#endif
        run Purchase(0);
        run Purchase(1);
#if N > 2
        run Purchase(2);
#endif
        run Rebuild(1);
#if REBUILDERS > 1
        run Rebuild(0);
#endif
        run Sweep();
#if CANCELS || ADDS
        run Deliver();
#endif
        run World();
        run Quiet()
    }
}
