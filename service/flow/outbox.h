/* outbox.h - what Redis must be told of a change in MariaDB, written with the change (rules R4,
 * R5).
 *
 * A row is deleted once Redis has done it; until then it is delivered again, which is harmless. A
 * row that Redis refuses because it is older stays.
 */
#pragma once

#include "base/ids.h"
#include "flow/jobs.h"

enum outbox_kind { OUTBOX_RELEASE = 1, OUTBOX_ADD = 2 };

struct outbox_row {
    struct uid id;
    uint32_t kind; /* enum outbox_kind */
    uint32_t sale, item, shard;
    int64_t epoch;      /* read under the shard_stock lock */
    struct uid order;   /* OUTBOX_RELEASE */
    uint32_t gen;       /* likewise */
    struct str shopper; /* likewise; borrowed */
    int64_t n;          /* OUTBOX_ADD: units ever added; OUTBOX_RELEASE: units to give back */
    bool told;          /* set by outbox_deliver */
};

enum { OUTBOX_BATCH = 1000 };

/* Inside the caller's transaction; ids are made here. n <= OUTBOX_BATCH. */
STATUS_MUSTCHECK
enum status outbox_write(struct session *s, struct outbox_row *rows, unsigned n);
/* Tells Redis, one call per shard, and deletes the rows it has done. Whatever it could not be told
 * stays for outbox_sweep, so there is no failure for the caller. n <= OUTBOX_BATCH. */
void outbox_deliver(struct session *s, struct outbox_row *rows, unsigned n);
/* Delivers what waits, oldest first, some pages of it. *waiting gets the rows seen. */
STATUS_MUSTCHECK
enum status outbox_sweep(struct session *s, unsigned *waiting);

/* Inside the caller's transaction: gives units back in shard_stock and reads the epoch under its
 * lock. */
STATUS_MUSTCHECK
enum status ledger_release(struct session *s, uint32_t item, unsigned shard, int64_t units,
                           int64_t *epoch);
