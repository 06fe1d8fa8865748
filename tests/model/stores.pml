/* stores.pml - the two stores and every call that is made to them. Each call is one atomic step, as a Redis
 * function and a MariaDB transaction are.
 *
 *   model             in the service
 *   r_epoch r_ready   `#epoch` and `#ready` of su:{..}:left (and of :held: rule R17 is taken for granted)
 *   r_left r_added    `sku` and `+sku` of :left
 *   r_held            :held, a bit per order (one unit each)
 *   r_log             :log, a bit per entry; all entries of a log have its epoch, because `load` empties it
 *   r_ident           run id and replication id
 *   m_epoch m_opened m_ready m_ident   the shard's row in `shards` (and `shard_stock.epoch`)
 *   m_lease           `shards.owner`, 0 for a lease that nobody has: 1 + instance
 *   m_alloc m_held m_added             its row in `shard_stock`
 *   m_rows m_live     `orders`: ids that exist, and those of them that hold units; for a take-back its row in
 *                     `stock_movements`
 *   m_out m_out_add   `outbox`: the epoch of each order's release, and of the addition; 0 for no row
 *
 * There are two Redis servers. Server 1 is the other one of a pair: a file saved earlier, or a replica that
 * lags. A restart from the file and a failover both make it the current one; after a failover the old master
 * still answers whoever is connected to it.
 */
byte r_epoch[2] = 1, r_left[2] = STOCK, r_held[2], r_log[2], r_added[2], r_ident[2] = 1;
bit r_ready[2] = 1, r_up[2] = 1;
bit cur; /* the server that a new connection reaches */

byte m_epoch = 1, m_opened = 1, m_ident = 1, m_lease;
bit m_ready = 1;
byte m_alloc = STOCK, m_held, m_added;
byte m_rows, m_live;
byte m_out[3], m_out_add;

/* --- What is claimed ---------------------------------------------------------------------------------- */

/* CLAIMS: which promises are checked, a bit each; a mutant is run with the one alone that it breaks.
 * Spin's message ends in its number: "...||(3==0)". */
#define P1     1 /* never oversold */
#define P2     2 /* acknowledged implies durable */
#define P3     3 /* the limit */
#define P4     4 /* stock is conserved */
#define P3_KEY 5 /* one key, one order, one answer */
#define QUEUED 6 /* what Redis took and did not lose is written: what a 202 stands for */
#ifndef CLAIMS
#ifdef UNNOTICED_LOSS
#define CLAIMS (bit_of(P1) | bit_of(P2) | bit_of(P3_KEY)) /* all that can hold then */
#else
#define CLAIMS 126
#endif
#endif
#define claim(p, truth) assert(!has(CLAIMS, p) || (truth) || p == 0)

byte won;         /* attempts that were ever reserved */
byte answered[3]; /* by attempt: 1 + the order that its 201 named */

/* After every change of MariaDB. */
#define claim_ledger()                                                  \
    claim(P1, count(m_live & ~TAKES) <= m_alloc);                       \
    claim(P4, m_held == count(m_live & ~TAKES));                        \
    claim(P3_KEY, count(m_rows & same_key(0)) <= 1);                    \
    claim(P3, count(m_live & same_shopper(0)) <= LIMIT)

/* --- Redis ------------------------------------------------------------------------------------------- */

/* Whether a call on server s gets through to an open shard. v: the identity that MariaDB noted, as the
 * caller's catalogue has it. A connection dies with its server; the next one is greeted again (rule R1). */
#ifdef NO_R1
#define reaches(s, v) (r_up[s])
#else
#define reaches(s, v) (r_up[s] && r_ident[s] == (v))
#endif
#define opened_for(s, v, e) (reaches(s, v) && r_ready[s] && r_epoch[s] == (e))
#ifdef NO_R4
#define may_be_told(s, v, e) (reaches(s, v) && r_ready[s])
#else
#define may_be_told(s, v, e) (reaches(s, v) && r_ready[s] && r_epoch[s] >= (e))
#endif

/* Letters of snapup_reserve's answer. */
#define WON  1
#define DUP  2 /* the key has a hold */
#define LOST 3 /* limit, or sold out */
#define MINE 4 /* this very order is held: nothing was reserved, nothing logged */

/* snapup_reserve. The epoch was compared: call when opened_for. */
inline redis_reserve(s, a, letter)
{
    if
    :: !is_take(a) && (r_held[s] & same_key(a)) -> letter = (has(r_held[s], a) -> MINE : DUP)
    :: !is_take(a) && !(r_held[s] & same_key(a)) && count(r_held[s] & same_shopper(a)) >= LIMIT ->
        letter = LOST
    :: else ->
        if
        :: r_left[s] == 0 -> letter = LOST
        :: else ->
            letter = WON;
            won = with(won, a);
            r_left[s]--;
            r_held[s] = (is_take(a) -> r_held[s] : with(r_held[s], a));
            r_log[s] = with(r_log[s], a)
        fi
    fi
}

/* snapup_release: gives back what `held` still names. */
inline redis_release(s, a)
{
    if
    :: has(r_held[s], a) ->
        r_held[s] = without(r_held[s], a);
        r_left[s]++
    :: else
    fi
}

/* XDEL in the same call, of the entry of epoch e. Another epoch's log may have given the id again, as its ids
 * are times of Redis' clock; hence the epoch is compared (rule R10). */
inline redis_delete(s, a, e)
{
    if
#ifdef NO_R10_EPOCH
    :: r_epoch[s] > e -> r_log[s] = without(r_log[s], other(a)) /* the id was given again */
#endif
    :: r_epoch[s] == e ->
#ifdef NO_R10_EXACT
        r_log[s] = r_log[s] & ~(bit_of(a + 1) - 1) /* XTRIM: mine and all before it */
#else
        r_log[s] = without(r_log[s], a)
#endif
    :: else
    fi
}

/* snapup_add: the running total (rule R5), or what was added. */
inline redis_add(s, total)
{
#ifdef NO_R5
    r_left[s] = r_left[s] + 1
#else
    if
    :: total > r_added[s] ->
        r_left[s] = r_left[s] + (total - r_added[s]);
        r_added[s] = total
    :: else
    fi
#endif
}

/* --- MariaDB ----------------------------------------------------------------------------------------- */

/* Outcomes of a row of a group. */
#define DURABLE 1 /* inserted and counted */
#define AGAIN   2 /* it was there before, live: counted then */
#define ENDED   3 /* it was there before, and has ended since */
#define TAKEN   4 /* the key belongs to another order */
#define FENCED  5 /* nothing written: the epoch has moved on, or the units are not there */

#ifdef NO_FENCE
#define fence_lets(e) true
#else
#define fence_lets(e) (m_epoch == (e))
#endif
#ifdef NO_GUARD
#define guard_lets(a) true
#else
#define guard_lets(a) (m_held < m_alloc)
#endif
#ifdef NO_IDEMPOTENCY
#define key_owner(a) 0
#else
#define key_owner(a) (m_rows & same_key(a) & ~bit_of(a))
#endif

/* commit_rows (and stock_take_commit): insert, then fence and guard, then COMMIT. */
inline sql_commit(a, e, outcome)
{
    if
    :: key_owner(a) -> outcome = TAKEN
    :: !key_owner(a) && has(m_rows, a) -> outcome = (is_take(a) || has(m_live, a) -> AGAIN : ENDED)
    :: else ->
        if
        :: fence_lets(e) && guard_lets(a) ->
            outcome = DURABLE;
            m_rows = with(m_rows, a);
            m_live = with(m_live, a);
            m_held = m_held + !is_take(a);
            m_alloc = m_alloc - is_take(a);
            claim_ledger()
        :: else ->
            outcome = FENCED;
            /* Whoever reserved under this epoch finds his units: the guard is a net. */
            claim(P4, m_epoch != e)
        fi
    fi
}
