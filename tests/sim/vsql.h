/* vsql.h - a virtual MariaDB: tables in memory, row locks, transactions, lost answers.
 *
 *   vsql.c             connections as sql/sql.h promises them, and their faults
 *   vsql_rows.c        rows: committed and current image, locks, waits, deadlocks
 *   vsql_statements.h  what each statement text does: a row of a table per text
 *
 * READ COMMITTED: a transaction sees its own rows and what others committed; writers of one row
 * wait for each other, up to innodb_lock_wait_timeout; who closes a circle of waits is the victim. A
 * consistent snapshot is a copy of all that is committed. Indexes take no locks of their own.
 */
#pragma once

#include "base/ids.h"
#include "base/status.h"
#include "sql/sql.h"

#include <stdbool.h>
#include <stdint.h>

enum { SHARDS_MAX = 2, ITEMS_MAX = 2 };

/* Rows begin with whether they exist. */
struct counter_row {
    bool on;
    int64_t n;
};

struct lease_row {
    bool on;
    struct uid name, owner;
    int64_t until_ms;
};

struct shard_row {
    bool on, ready;
    int64_t epoch, opened, until_ms;
    char run_id[41], repl_id[41];
    struct uid owner;
};

/* Place: item * SHARDS_MAX + shard. */
struct stock_row {
    bool on;
    int64_t epoch, allocated, held, added;
};

struct movement_row {
    bool on;
    struct uid id;
    uint32_t item, shard;
    int64_t delta;
};

struct order_row {
    bool on;
    struct uid id, idem;
    uint32_t storefront, item, shard, qty, state, gen;
    int64_t amount, changed_ms;
    struct str shopper; /* never changes */
};

struct cursor_row {
    bool on;
    int64_t pay_within_s;
    struct uid upto;
};

struct outbox_row_v {
    bool on;
    struct uid id, order;
    int64_t kind, sale, shard, item, epoch, gen, n;
    struct str shopper;
};

/* X(name, row, places) */
#define TABLES(X)                                     \
    X(counter, struct counter_row, 1)                 \
    X(lease, struct lease_row, 24)                    \
    X(shard, struct shard_row, SHARDS_MAX)            \
    X(stock, struct stock_row, ITEMS_MAX *SHARDS_MAX) \
    X(movement, struct movement_row, 64)              \
    X(order, struct order_row, 96)                    \
    X(cursor, struct cursor_row, 4)                   \
    X(outbox, struct outbox_row_v, 64)

enum table {
#define X(name, row, places) T_##name,
    TABLES(X)
#undef X
        T_COUNT
};

struct db {
#define X(name, row, places) row name[places];
    TABLES(X)
#undef X
};

/* What is for sale; never changes within a schedule. */
struct world_sale {
    unsigned shards, items;
    int64_t stock[ITEMS_MAX];
    uint32_t limit, pay_within_s;
    int64_t starts_ms;
    bool leases_lapse; /* at once: nothing may depend on them but politeness */
};

enum { SALE_NO = 1, STOREFRONT_NO = 1, PRICE = 500 };

extern struct db vsql_db; /* what is committed */
extern struct world_sale vsql_sale;
const char *vsql_sku(unsigned item); /* of number item + 1 */

/* --- faults and their knobs -------------------------------------------------------------------- */

struct store_faults {
    unsigned cut_before, cut_after, late; /* per mille of calls */
    bool slow;                            /* answers take long, within the time-out */
};

void vsql_reset(const struct world_sale *sale);
void vsql_set_faults(const struct store_faults *faults);
/* Every connection is lost, what was not committed is gone; away for so long. */
void vsql_restart(int64_t away_us);
void vsql_refuse_writes(int64_t for_us);
/* The connections of an instance end: those of a dead one at once or a moment later, those of a
 * paused one when their transactions have been idle too long. */
struct fiber_owner;
void vsql_owner_died(struct fiber_owner *owner);
void vsql_owner_paused(struct fiber_owner *owner);

/* Checked after every commit that changed something. */
extern void (*vsql_on_commit)(void);

/* --- between these files ----------------------------------------------------------------------- */

struct vconn {
    struct fiber_owner *owner;
    bool closed; /* by the server or by the client */
    bool in_txn;
    bool snapshot_on;
    struct db snapshot;
    const struct db *before; /* a mutant's: when its last transaction began */
    unsigned statements;     /* run so far */
    bool wrote;
    struct lock *locks; /* held */
    const struct vconn *waits_for;
    struct vconn *next;
};

/* Rows of an answer. */
enum { COLS_MAX = 16 };
struct vrow {
    struct vrow *next;
    unsigned n;
    struct sql_val col[COLS_MAX];
};

struct vout {
    struct vrow *first, **last;
    uint64_t affected;
};

void rows_reset(void);
/* The row as this connection sees it. */
const void *row_see(const struct vconn *c, enum table t, unsigned i);
unsigned row_places(enum table t);
/* Locks a place for writing; *row is its current image. ST_CONFLICT, or ST_UNKNOWN when the
 * connection was lost while it waited. */
enum status row_lock(struct vconn *c, enum table t, unsigned i, void **row);
/* A free place, locked, zeroed and `on`. */
enum status row_insert(struct vconn *c, enum table t, void **row);
/* Another connection is about to make or unmake this place. */
bool row_in_doubt(const struct vconn *c, enum table t, unsigned i, const void **theirs);
void rows_commit(struct vconn *c);
void rows_rollback(struct vconn *c);

void out_row(struct vout *out, unsigned n, const struct sql_val *cols);

typedef enum status (*statement_fn)(struct vconn *c, const struct sql_val *args, struct vout *out);
struct statement {
    const char *text; /* ~ stands for a list of numbers */
    unsigned args;
    bool writes;
    statement_fn run;
};
/* Both abort with the text when it is not known. `find` is for literals: it remembers addresses. */
const struct statement *statement_find(const char *text);
const struct statement *statement_match(struct str text);
