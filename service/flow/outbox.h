/* outbox.h - what Redis must be told of a change in MariaDB, written with the change (rules R4, R5).
 *
 * A row is deleted once Redis has done it; until then it is delivered again, which is harmless. A row
 * that Redis refuses because it is older stays.
 */
#pragma once

#include "base/ids.h"
#include "flow/jobs.h"

enum outbox_kind { OUTBOX_RELEASE = 1, OUTBOX_ADD = 2 };

struct outbox_row {
    struct uid id;
    enum outbox_kind kind;
    uint32_t sale, item;
    unsigned shard;
    int64_t epoch;      /* read under the shard_stock lock */
    struct uid order;   /* OUTBOX_RELEASE */
    uint8_t gen;        /* likewise */
    struct str shopper; /* likewise; borrowed */
    int64_t n;          /* OUTBOX_ADD: units ever added */
};

/* Inside the caller's transaction; row->id is made here. */
STATUS_MUSTCHECK enum status outbox_write(struct session *s, struct outbox_row *row);
/* Tells Redis and deletes the row. Anything but ST_OK leaves it for outbox_sweep. */
STATUS_MUSTCHECK enum status outbox_deliver(struct session *s, const struct outbox_row *row);
/* Delivers what waits, oldest first, at most max rows. *waiting gets the rows seen. */
STATUS_MUSTCHECK enum status outbox_sweep(struct session *s, unsigned max, unsigned *waiting);

/* Inside the caller's transaction: gives units back in shard_stock and reads the epoch under its lock. */
STATUS_MUSTCHECK enum status ledger_release(struct session *s, uint32_t item, unsigned shard,
                                            int64_t units, int64_t *epoch);
