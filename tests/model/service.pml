/* service.pml - what the service's threads do, a call of a store per step. Any of them may be arbitrarily slow
 * between two steps, so a paused instance needs no switch but for its leases (world.pml).
 */

bit up[2] = 1;    /* the instance runs */
bit lease[2] = 1; /* its row in `leases` has not lapsed */
byte doubt;       /* `live.doubt`: this epoch and older ones are to be rebuilt */
byte dropped;     /* attempts that their owner has in hand no more */
byte losses;      /* answers that may still get lost */

#define is_up(a) (up[instance_of(a)])

inline doubt_epoch(e)
{
    doubt = (doubt > e -> doubt : e)
}

/* 201 to attempt a, naming an order. */
#define answer(a, order)                                                                       \
    claim(P2, has(m_rows, order));                                                             \
    claim(P3_KEY, (same_key(a) & bit_of(other(a))) == 0 || answered[other(a)] == 0 ||          \
                      answered[other(a)] == (order) + 1);                                      \
    answered[a] = (order) + 1

/* Which order a key belongs to: its own, or the other attempt's. */
#define owner_of_key(set, a) (has(set, a) -> a : other(a))

/* A COMMIT that its sender no longer waits for; MariaDB may still carry it out, or not. */
proctype Straggler(byte a, e)
{
    byte outcome;
    if
    :: d_step { sql_commit(a, e, outcome); outcome = 0 }
    :: true
    fi
}

/* One attempt, from the worker to the committer and back (reserve.c, reserve_settle.c, committer.c). */
proctype Purchase(byte a)
{
    byte e, v;    /* the catalogue's copy: epoch and identity */
    bit s;        /* the server this link is connected to */
    byte letter, outcome;

look:
    if
    :: atomic { !is_up(a) -> goto gone }
    :: atomic {
           is_up(a) && m_ready -> e = m_epoch; v = m_ident; s = cur;
#ifdef NO_R5_TAKE
           if
           :: is_take(a) -> goto commit /* "MariaDB decides, then Redis is told" */
           :: else
           fi
#endif
       }
    fi;

reserve:
    if
    :: atomic { is_up(a) && !opened_for(s, v, e) -> goto look } /* 503 recovering, and asked again */
    :: atomic {
           is_up(a) && opened_for(s, v, e) ->
           d_step { redis_reserve(s, a, letter); outcome = 0 };
           if
           :: letter == WON || letter == MINE -> goto commit
           :: letter == DUP ->
#ifdef NO_R14
               answer(a, owner_of_key(r_held[s], a));
               goto gone
#else
               goto look_up
#endif
           :: letter == LOST -> goto gone
           fi
       }
    :: atomic { is_up(a) && losses > 0 -> losses--;
#ifdef NO_R20
           /* "The log does not have it, so it never arrived." */
           if
           :: !has(r_log[s], a) -> goto forgotten
           :: else
           fi;
#endif
           dropped = with(dropped, a);
           goto on_the_wire
       }
    :: atomic { !is_up(a) -> goto on_the_wire }
    fi;

look_up: /* order_by_key: 201 with the order that has the key, else 409 */
    atomic {
        if
        :: is_up(a) && (m_rows & same_key(a)) -> answer(a, owner_of_key(m_rows, a))
        :: else
        fi;
        goto gone
    }

commit:
    if
    :: atomic {
           is_up(a) ->
           d_step { sql_commit(a, e, outcome) };
           if
           :: outcome == DURABLE || outcome == AGAIN || outcome == ENDED -> answer(a, a)
           :: outcome == TAKEN -> answer(a, owner_of_key(m_rows & ~bit_of(a), a))
           :: outcome == FENCED ->
               doubt_epoch(e);
#ifdef NO_R2
               goto commit_again
#else
               if
               :: !is_take(a) -> goto look
               :: true -> goto gone /* 503; so is the operator told who takes stock back */
               fi
#endif
           fi;
           if
           :: outcome == DURABLE -> goto finish
#ifdef NO_R3
           :: outcome == AGAIN -> goto give_back /* "a duplicate: mine goes back" */
#else
           :: outcome == AGAIN -> goto finish
#endif
#ifdef NO_R3_ENDED
           :: outcome == ENDED -> goto finish
#else
           :: outcome == ENDED -> goto give_back
#endif
           :: outcome == TAKEN -> goto give_back
           fi
       }
    :: atomic {
           is_up(a) && losses > 0 -> losses--;
           run Straggler(a, e);
#ifdef NO_R9
           goto give_back /* "its time is over, so the units go back" */
#else
           goto commit /* carefully, until it is known (rule R13) */
#endif
       }
    :: atomic { !is_up(a) -> run Straggler(a, e); goto gone }
    fi;

#ifdef NO_R2
commit_again:
    if
    :: atomic { !is_up(a) -> goto gone }
    :: atomic { is_up(a) && m_ready && m_epoch != e -> e = m_epoch; v = m_ident; s = cur; goto commit }
    fi;
#endif

give_back: /* release_losers: hold and log entry in one call. The link may have been connected anew. */
    atomic { s = (r_up[s] -> s : cur) };
#ifdef NO_R10
    if
    :: atomic { is_up(a) && r_ready[s] && r_epoch[s] >= e -> d_step { redis_delete(s, a, e) } }
    :: true
    fi;
#endif
    if
    :: atomic {
           is_up(a) && r_up[s] && r_ready[s] && r_epoch[s] >= e ->
           d_step {
               redis_release(s, a);
#ifndef NO_R10
               if
               :: letter != MINE -> redis_delete(s, a, e)
               :: else
               fi
#endif
           }
       }
    :: atomic { is_up(a) && losses > 0 -> losses-- } /* the call never arrived */
    :: atomic { !is_up(a) || !r_up[s] || !r_ready[s] || r_epoch[s] < e }
    fi;
    goto gone;

finish: /* the next reserving call deletes the entry */
    if
    :: atomic {
           is_up(a) && opened_for(s, v, e) && letter != MINE ->
           d_step {
#ifdef NO_R5_TAKE
               r_left[s] = r_left[s] - (is_take(a) && r_left[s] > 0);
#endif
               redis_delete(s, a, e)
           }
       }
    :: atomic { is_up(a) && losses > 0 -> losses-- }
    :: atomic { !is_up(a) || !opened_for(s, v, e) || letter == MINE }
    fi;
    goto gone;

on_the_wire: /* sent, and its sender has given up or died: Redis may carry it out, now or late, or not */
    if
    :: atomic { opened_for(s, v, e) -> d_step { redis_reserve(s, a, letter); letter = 0 } }
    :: true
    fi;

gone:
    atomic { dropped = with(dropped, a); e = 0; v = 0; s = 0; letter = 0; outcome = 0; goto done }
#ifdef NO_R20
forgotten:
    if
    :: atomic { opened_for(s, v, e) -> d_step { redis_reserve(s, a, letter); letter = 0 } }
    :: true
    fi;
#endif
done:
    skip
}

/* sweep.c, on instance 1: entries that nobody has in hand are completed, those of a dead owner as well as
 * those of a live one that lost an answer (rule R20). */
#ifdef SWEEP_ALL /* completing too much is double work and no more */
#define left_over(a) (has(r_log[cur], a))
#else
#define left_over(a) (has(r_log[cur], a) && (has(dropped, a) || !lease[instance_of(a)]))
#endif

proctype Sweep()
{
    byte a, e, v, outcome;
    bit s;
end:
    do
    :: atomic {
           left_over(0) || left_over(1) || left_over(2) ->
           if
           :: left_over(0) -> a = 0
           :: left_over(1) -> a = 1
           :: left_over(2) -> a = 2
           fi;
           s = cur; e = r_epoch[s]; v = m_ident
       };
       atomic {
#ifdef NO_R2_SWEEP
           d_step { sql_commit(a, m_epoch, outcome) };
#else
           d_step { sql_commit(a, e, outcome) };
#endif
           if
           :: outcome == FENCED -> doubt_epoch(e)
           :: else
           fi
       };
       atomic {
           if
           :: outcome != FENCED && may_be_told(s, v, e) ->
               d_step {
                   if
#ifdef NO_R3
                   :: outcome != DURABLE -> redis_release(s, a)
#else
                   :: outcome == TAKEN || outcome == ENDED -> redis_release(s, a)
#endif
                   :: else
                   fi;
                   redis_delete(s, a, e)
               }
           :: else
           fi;
           a = 0; e = 0; v = 0; outcome = 0; s = 0
       }
    od
}

/* outbox.c: deliver, then delete the row, which a crash in between leaves for the next time. Its copy of the
 * catalogue and its connection may be old. */
proctype Deliver()
{
    byte a, e, total, v = 1;
    bit s, told;
end:
    do
    :: atomic { m_ready && (v != m_ident || s != cur) -> v = m_ident; s = cur }
    :: atomic {
           m_out[0] || m_out[1] || m_out[2] ->
           if
           :: m_out[0] -> a = 0
           :: m_out[1] -> a = 1
           :: m_out[2] -> a = 2
           fi;
           e = m_out[a]
       };
       atomic {
           if
           :: may_be_told(s, v, e) -> d_step { redis_release(s, a); told = 1 }
           :: else
           fi
       };
       atomic {
           if
           :: told -> m_out[a] = 0
           :: true
           fi;
           a = 0; e = 0; told = 0
       }
#if ADDS
    :: atomic { m_out_add -> e = m_out_add; total = m_added };
       atomic {
           if
           :: may_be_told(s, v, e) -> d_step { redis_add(s, total); told = 1 }
           :: else
           fi
       };
       atomic {
           if
           :: told -> m_out_add = 0
           :: true
           fi;
           e = 0; total = 0; told = 0
       }
#endif
    od
}
