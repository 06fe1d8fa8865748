/* The transaction that writes a group of orders. */
#include "base/clock.h"
#include "base/crash.h"
#include "sql/committer.h"

#include <stdlib.h>
#include <string.h>

/* A commit this long after its order was reserved pulls the deadline sweep's cursor back. */
enum { LATE_MS = 5000 };

/* Units of one item and shard in the group. */
struct delta {
    uint32_t item, shard;
    int64_t epoch, units;
};

struct group {
    struct sql *sql;
    struct commit_row *flat;    /* those to write, side by side for the bulk statement */
    struct commit_row **origin; /* rows[] behind each flat row */
    unsigned n;
    unsigned lost;   /* flat rows behind those n, of queued orders that lost their place */
    unsigned cursor; /* next flat row that RETURNING can name */
    bool singly;     /* the ledger is asked for each item, so that it can tell who is fenced */
};

static enum status insert_rows(struct group *g, const char *text, sql_row_fn row)
{
    const struct commit_row *f = g->flat;
    const size_t stride = sizeof(*f);
    const struct sql_col cols[] = {
        {SQL_C_FIXED, &f->id, stride, UID_LEN}, {SQL_C_U32, &f->storefront, stride, 0},
        {SQL_C_VAR, &f->shopper, stride, 0},    {SQL_C_FIXED, &f->key, stride, sizeof(f->key)},
        {SQL_C_U32, &f->item, stride, 0},       {SQL_C_U32, &f->shard, stride, 0},
        {SQL_C_U32, &f->qty, stride, 0},        {SQL_C_I64, &f->amount, stride, 0},
    };
    return sql_run_bulk(g->sql, text, cols, sizeof(cols) / sizeof(cols[0]), g->n, row, g, NULL);
}

/* RETURNING names the inserted rows in the order in which they were sent. */
static bool on_inserted(void *arg, const struct sql_val *cols, unsigned n)
{
    struct group *g = arg;
    while (g->cursor < g->n) {
        struct commit_row *r = &g->flat[g->cursor++];
        if (cols[0].s.n == UID_LEN && memcmp(cols[0].s.p, r->id.b, UID_LEN) == 0) {
            r->outcome = ST_OK;
            break;
        }
    }
    return true;
}

struct existing {
    struct commit_row *row;
    bool found;
};

static bool on_existing(void *arg, const struct sql_val *cols, unsigned n)
{
    struct existing *e = arg;
    e->found = true;
    if (cols[0].s.n != UID_LEN || memcmp(cols[0].s.p, e->row->id.b, UID_LEN) != 0)
        e->row->outcome = ST_DUPLICATE;
    else
        e->row->outcome = cols[1].i ? ST_OK : ST_INVALID_STATE;
    return true;
}

/* A queued order without a place stays as a cancelled one that holds nothing, under its own id as
 * key (rule R22). If the order was written after all, this changes nothing. */
static enum status write_cancelled(struct group *g, const struct commit_row *r)
{
    const struct sql_val own[] = {SQL_BYTES(r->id.b, UID_LEN),
                                  SQL_INT(r->storefront),
                                  SQL_STR(r->shopper),
                                  SQL_BYTES(r->id.b, UID_LEN),
                                  SQL_INT(r->item),
                                  SQL_INT(r->shard),
                                  SQL_INT(r->qty),
                                  SQL_INT(r->amount)};
    return sql_run(g->sql,
                   "INSERT IGNORE INTO orders (id, storefront, shopper, idem, item, shard, qty, "
                   "amount, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 3)",
                   own, 8, NULL, NULL, NULL);
}

/* A row that was not inserted: whose is the key? Read with a lock, never from a snapshot (R13). */
static enum status judge_existing(struct group *g, struct commit_row *r)
{
    struct existing e = {r, false};
    const struct sql_val key[] = {SQL_INT(r->storefront), SQL_STR(r->shopper),
                                  SQL_BYTES(r->key, sizeof(r->key))};
    enum status st = sql_run(g->sql,
                             "SELECT id, state IN (1, 2) FROM orders "
                             "WHERE storefront = ? AND shopper = ? AND idem = ? FOR UPDATE",
                             key, 3, on_existing, &e, NULL);
    if (st != ST_OK)
        return st;
    if (!e.found)
        return r->outcome = ST_INTERNAL;
    return r->outcome == ST_DUPLICATE && r->queued ? write_cancelled(g, r) : ST_OK;
}

static enum status insert_carefully(struct group *g)
{
    g->cursor = 0;
    for (unsigned i = 0; i < g->n; i++)
        g->flat[i].outcome = ST_UNKNOWN;
    enum status st = insert_rows(g,
                                 "INSERT IGNORE INTO orders (id, storefront, shopper, idem, item, "
                                 "shard, qty, amount, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) "
                                 "RETURNING id",
                                 on_inserted);
    for (unsigned i = 0; st == ST_OK && i < g->n; i++) {
        struct commit_row *r = &g->flat[i];
        if (r->outcome == ST_OK)
            continue;
        st = judge_existing(g, r);
        if (r->outcome == ST_OK)
            r->outcome = ST_COUNT; /* durable and counted before: not in this group's deltas */
        if (r->outcome == ST_INTERNAL)
            g->origin[i]->outcome = ST_INTERNAL;
    }
    return st;
}

static enum status insert_plainly(struct group *g)
{
    enum status st = insert_rows(g,
                                 "INSERT INTO orders (id, storefront, shopper, idem, item, shard, "
                                 "qty, amount, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                                 NULL);
    for (unsigned i = 0; i < g->n; i++)
        g->flat[i].outcome = st;
    return st;
}

static int delta_order(const void *a, const void *b)
{
    const struct delta *x = a, *y = b;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

/* Sums units per item and shard; sorted, so that committers lock in one order. Returns their
 * number. */
static unsigned sum_deltas(const struct group *g, struct delta *d)
{
    unsigned n = 0, last = 0;
    for (unsigned i = 0; i < g->n; i++) {
        const struct commit_row *r = &g->flat[i];
        if (r->outcome != ST_OK)
            continue;
        unsigned at = last;
        if (n == 0 || d[at].item != r->item || d[at].shard != r->shard || d[at].epoch != r->epoch)
            for (at = 0; at < n; at++)
                if (d[at].item == r->item && d[at].shard == r->shard && d[at].epoch == r->epoch)
                    break;
        if (at == n)
            d[n++] = (struct delta){r->item, r->shard, r->epoch, 0};
        d[at].units += r->qty;
        last = at;
    }
    qsort(d, n, sizeof(*d), delta_order);
    return n;
}

static void mark_fenced(struct group *g, const struct delta *d)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->flat[i].item == d->item && g->flat[i].shard == d->shard &&
            g->flat[i].epoch == d->epoch)
            g->origin[i]->outcome = ST_FENCED;
}

/* Fence and oversell guard in one statement (service/README.md, A purchase). */
static enum status count_one(struct group *g, const struct delta *d)
{
    uint64_t changed = 0;
    const struct sql_val args[] = {SQL_INT(d->units), SQL_INT(d->item), SQL_INT(d->shard),
                                   SQL_INT(d->epoch), SQL_INT(d->units)};
    enum status st = sql_run(g->sql,
                             "UPDATE shard_stock SET held = held + ? "
                             "WHERE item = ? AND shard = ? AND epoch = ? AND held + ? <= allocated",
                             args, 5, NULL, NULL, &changed);
    if (st != ST_OK || changed == 1)
        return st;
    mark_fenced(g, d);
    return ST_FENCED;
}

/* The same for many. UPDATEs in fact, for the rows are there: MariaDB takes an array of INSERTs as
 * one statement and runs one of UPDATEs one after the other. Each changed row counts twice; any other
 * sum means that a guard did not hold or a row was not there. Then nothing of this stays. */
static enum status count_together(struct group *g, const struct delta *d, unsigned n)
{
    const size_t stride = sizeof(*d);
    const struct sql_col cols[] = {
        {SQL_C_U32, &d->item, stride, 0},  {SQL_C_U32, &d->shard, stride, 0},
        {SQL_C_I64, &d->epoch, stride, 0}, {SQL_C_I64, &d->units, stride, 0},
        {SQL_C_I64, &d->units, stride, 0},
    };
    uint64_t changed = 0;
    enum status st = sql_run_bulk(
        g->sql,
        "INSERT INTO shard_stock (item, shard, epoch, allocated, held, added) "
        "VALUES (?, ?, ?, ?, ?, 0) ON DUPLICATE KEY UPDATE held = IF(epoch = "
        "VALUES(epoch) AND held + VALUES(held) <= allocated, held + VALUES(held), held)",
        cols, sizeof(cols) / sizeof(cols[0]), n, NULL, NULL, &changed);
    return st == ST_OK && changed != 2 * (uint64_t)n ? ST_FENCED : st;
}

/* To the end also when one is fenced: nothing of this stays then, but a rebuilt shard fences all of
 * its items, and each that was not marked would cost the group another transaction. */
static enum status count_singly(struct group *g, const struct delta *d, unsigned n)
{
    enum status st = ST_OK;
    for (unsigned i = 0; (st == ST_OK || st == ST_FENCED) && i < n; i++) {
        enum status one = count_one(g, &d[i]);
        st = one == ST_OK ? st : one;
    }
    return st;
}

static enum status count_units(struct group *g)
{
    struct delta *d = malloc(sizeof(*d) * g->n);
    if (!d)
        return ST_OVERLOADED;
    unsigned n = sum_deltas(g, d);
    enum status st = n > 1 && !g->singly ? count_together(g, d, n) : count_singly(g, d, n);
    free(d);
    return st;
}

/* Time of the oldest order, or 0 when none is late. */
static int64_t late_since(const struct group *g)
{
    const struct uid *oldest = &g->flat[0].id;
    for (unsigned i = 1; i < g->n; i++)
        if (memcmp(g->flat[i].id.b, oldest->b, UID_LEN) < 0)
            oldest = &g->flat[i].id;
    return clock_wall_ms() - uid_ms(oldest) < LATE_MS ? 0 : uid_ms(oldest);
}

/* First of all locks, as the sweep takes them: cursors, orders, stock. From here to the commit no
 * sweep can pass over these orders. */
static enum status pull_back_expiry(struct group *g)
{
    int64_t since = late_since(g);
    if (since == 0)
        return ST_OK;
    const struct uid floor = uid_floor(since);
    const struct sql_val args[] = {SQL_BYTES(floor.b, UID_LEN), SQL_BYTES(floor.b, UID_LEN)};
    enum status st =
        sql_run(g->sql, "SELECT upto FROM expiry_cursors ORDER BY pay_within_s FOR UPDATE", NULL, 0,
                NULL, NULL, NULL);
    if (st != ST_OK)
        return st;
    return sql_run(g->sql, "UPDATE expiry_cursors SET upto = ? WHERE upto > ?", args, 2, NULL, NULL,
                   NULL);
}

static enum status write_orders(struct group *g, bool careful)
{
    enum status st = pull_back_expiry(g);
    if (st == ST_OK)
        st = careful ? insert_carefully(g) : insert_plainly(g);
    CRASH_POINT(commit_after_insert);
    return st == ST_OK ? count_units(g) : st;
}

static enum status write_lost(struct group *g)
{
    enum status st = ST_OK;
    for (unsigned i = g->n; i < g->n + g->lost && st == ST_OK; i++)
        st = g->flat[i].outcome = write_cancelled(g, &g->flat[i]);
    return st;
}

static enum status try_transaction(struct group *g, bool careful)
{
    enum status st = sql_begin(g->sql);
    if (st != ST_OK)
        return st;
    if (g->n > 0)
        st = write_orders(g, careful);
    if (st == ST_OK)
        st = write_lost(g);
    CRASH_POINT(commit_before_commit);
    if (st == ST_OK)
        st = sql_commit(g->sql);
    else
        sql_rollback(g->sql);
    CRASH_POINT(commit_after_commit);
    return st;
}

static enum status run_transaction(struct group *g, bool careful)
{
    enum status st = try_transaction(g, careful);
    if (st != ST_FENCED || g->singly)
        return st;
    g->singly = true;
    return try_transaction(g, careful);
}

/* Copies those still to be written behind the group's flat rows; returns how many. */
static unsigned gather(struct group *g, struct commit_row **rows, unsigned n, bool lost)
{
    unsigned at = g->n, first = at;
    for (unsigned i = 0; i < n; i++) {
        if (rows[i]->lost != lost || rows[i]->outcome == ST_FENCED ||
            rows[i]->outcome == ST_INTERNAL)
            continue;
        g->flat[at] = *rows[i];
        g->origin[at++] = rows[i];
    }
    return at - first;
}

enum status commit_rows(struct sql *sql, struct commit_row **rows, unsigned n, bool careful,
                        struct commit_row *flat)
{
    struct group g = {.sql = sql, .flat = flat};
    g.origin = malloc(sizeof(struct commit_row *) * (n ? n : 1));
    if (!g.origin)
        return ST_OVERLOADED;
    g.n = gather(&g, rows, n, false);
    g.lost = gather(&g, rows, n, true);
    enum status st = g.n + g.lost == 0 ? ST_OK : run_transaction(&g, careful);
    for (unsigned i = 0; st == ST_OK && i < g.n + g.lost; i++)
        g.origin[i]->outcome = flat[i].outcome == ST_COUNT ? ST_OK : flat[i].outcome;
    free(g.origin);
    return st;
}
