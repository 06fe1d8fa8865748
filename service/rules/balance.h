/* balance.h - do gate and ledger agree about an item's units, whatever is on its way between them?
 *
 * Pure: no I/O, no clock, no threads. One item of one shard, within one epoch. The stores cannot be
 * read at one moment, and need not stand still: the order of effects bounds how far apart they may
 * be.
 *
 *   purchase, take-back  the gate goes down, with a log entry; then the ledger; then the entry goes
 *   loser of a purchase  the gate goes up again (`back`), then the entry goes
 *   cancel, expiry       the ledger goes up, with outbox row; then the gate (`back`); the row goes
 *   stock added          the ledger's total `added` goes up, with its units; the gate's follows
 *
 * Without what was added (both sides less their own total), at each moment
 *
 *   ledger = gate + units reserved and not committed + units given back that the gate was not told
 *
 * where neither addend is ever negative. Hence, with the ledger read between two looks at the gate:
 *
 *   too many  The gate cannot have had more at the ledger's moment than the ledger. What it has
 *             later and did not have then came `back` in between.
 *   too few   Take an earlier look whose log entries are all gone by the ledger's moment, so that
 *             their units are committed or back. Whatever is reserved and not committed went out of
 *             the gate after that look: it is in both addends of `gate + reserved`, so it cancels
 *             out. The ledger then has no more than that look, what came `back` since, and what the
 *             outbox still has for the gate.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The gate at one look. */
struct balance_gate {
    int64_t epoch;       /* 0: closed */
    int64_t left, added; /* units, and the total ever added that they include; -1: not there */
    int64_t back;        /* units ever given back in this epoch, of any item of the shard */
};

struct balance {
    bool has_settled;
    struct balance_gate settled; /* may equal `before`, when the log was empty then */
    struct balance_gate before;  /* the ledger's moment */
    int64_t epoch, allocated, held, added;
    int64_t untold; /* units in outbox rows that give back */
    struct balance_gate after;
};

enum balance_verdict {
    BALANCE_FITS, /* nothing proves that they differ */
    BALANCE_TOO_MANY,
    BALANCE_TOO_FEW,
    BALANCE_UNKNOWN /* the looks are not of one epoch */
};

/* *off gets the units, at least, by which the gate is wrong; 0 unless too many or too few. */
enum balance_verdict balance_judge(const struct balance *b, int64_t *off);
