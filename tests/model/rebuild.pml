/* rebuild.pml - rebuild.c and rebuild_log.c: the one way in which a gate opens. */

#define gate_in_order(s) (m_ready && r_up[s] && r_ready[s] && r_epoch[s] == m_epoch && r_ident_known(s))
#ifdef NO_R1
#define r_ident_known(s) true
#else
#define r_ident_known(s) (r_ident[s] == m_ident)
#endif
#define lease_free(me) (m_lease == 0 || m_lease == 1 + me)
#define wanted(me)     ((!gate_in_order(cur) || doubt >= m_epoch) && lease_free(me))

/* snapup_load: lower than what is there is refused, equal and finished does nothing (rule R6). */
#ifdef NO_R6_LOAD
#define refuses(s, e) (!r_up[s])
#define begun(s, e)   (r_up[s])
#else
#define refuses(s, e) (!r_up[s] || r_epoch[s] > e)
#define begun(s, e)   (r_up[s] && r_epoch[s] == e)
#endif
#if defined(NO_R6_LOAD) || defined(NO_R6_BUMP)
#define is_done(s, e) false
#else
#define is_done(s, e) (r_epoch[s] == e && r_ready[s])
#endif

proctype Rebuild(bit me)
{
    byte seen, opened, e, v, left, added, live, log, outcome;
    bit s, ready;

again:
end:
    atomic { up[me] && wanted(me) -> s = cur; v = r_ident[s]; seen = m_epoch; opened = m_opened; ready = m_ready };

#ifdef NO_R8
    live = m_live & ~TAKES; /* "the snapshot may begin before the bump" */
#endif
    /* Redis is reached before the bump, and the new epoch exceeds both stores'. */
    atomic { e = (r_epoch[s] > seen -> r_epoch[s] : seen) + 1 };
    atomic {
        if
        :: !up[me] || !lease_free(me) -> goto over
#ifdef NO_R6_BUMP
        /* "Whoever finds it begun goes on with it": the lease alone changes hands. */
        :: up[me] && lease_free(me) && !m_ready && m_epoch > 1 -> m_lease = 1 + me; e = m_epoch
        :: up[me] && lease_free(me) && (m_ready || m_epoch == 1) -> m_lease = 1 + me; m_epoch = e; m_ready = 0
#else
        :: up[me] && lease_free(me) && (m_epoch != seen || m_ready != ready) -> goto over
        :: else -> m_lease = 1 + me; m_epoch = e; m_ready = 0
#endif
        fi
    };

    atomic { /* close: what is reserved by now is in the log */
        if
        :: !up[me] || refuses(s, e) -> goto over
        :: else ->
            if
            :: !is_done(s, e) -> r_ready[s] = 0
            :: else
            fi
        fi
    };

    atomic { /* the log's entries of the epoch last opened (rule R7) */
        if
#ifdef NO_R7
        :: up[me] && r_up[s] -> log = r_log[s]
#else
        :: up[me] && r_up[s] -> log = (r_epoch[s] == opened -> r_log[s] : 0)
#endif
        :: else -> goto over
        fi
    };
    do
    :: atomic {
           up[me] && log ->
           d_step {
               if
               :: has(log, 0) -> sql_commit(0, e, outcome); log = without(log, 0)
               :: !has(log, 0) && has(log, 1) -> sql_commit(1, e, outcome); log = without(log, 1)
#if N > 2
               :: !has(log, 0) && !has(log, 1) -> sql_commit(2, e, outcome); log = without(log, 2)
#endif
               fi;
               outcome = 0
           }
       }
    :: atomic { up[me] && !log -> break }
    :: atomic { !up[me] -> goto over }
    od;

    atomic { /* which Redis this is, before the load (rule R1) */
        if
        :: up[me] && m_epoch == e -> m_opened = e; m_ident = v
        :: else -> goto over
        fi
    };
    atomic { /* begin */
        if
        :: !up[me] || refuses(s, e) -> goto over
        :: else ->
            if
            :: !is_done(s, e) ->
                r_epoch[s] = e; r_ready[s] = 0; r_left[s] = 0; r_held[s] = 0; r_log[s] = 0; r_added[s] = 0
            :: else
            fi
        fi
    };
    atomic { /* stock and orders are plain reads of one snapshot, begun after the bump (rule R8) */
        if
        :: !up[me] -> goto over
        :: else
        fi;
        left = m_alloc - m_held; added = m_added;
#ifndef NO_R8
        live = m_live & ~TAKES
#endif
    };
    atomic { /* holds, end */
        if
        :: !up[me] || !begun(s, e) -> goto over
        :: else ->
            if
            :: !is_done(s, e) -> r_left[s] = left; r_held[s] = live; r_added[s] = added; r_ready[s] = 1
            :: else
            fi
        fi
    };
    atomic { /* open */
        if
        :: up[me] && m_epoch == e -> m_ready = 1; m_lease = 0
        :: else
        fi
    };
over:
    atomic { seen = 0; opened = 0; e = 0; v = 0; left = 0; added = 0; live = 0; log = 0; s = 0; ready = 0; goto again }
}
