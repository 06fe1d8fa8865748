/* Rows and their locks. */
#include "fiber.h"
#include "sim.h"
#include "vmem.h"
#include "vsql.h"

#include <string.h>

enum { LOCK_WAIT_US = 3000000, PLACES_MAX = 96 };

/* A held lock: a place whose current image differs from the committed one, perhaps. */
struct lock {
    struct lock *next;
    enum table t;
    unsigned i;
};

struct db vsql_db;

static struct {
    struct db current;
    struct vconn *owner[T_COUNT][PLACES_MAX];
} rows;

static const struct {
    size_t at, size;
    unsigned places;
    const char *name;
} tables[] = {
#define X(name, row, places) {offsetof(struct db, name), sizeof(row), places, #name},
    TABLES(X)
#undef X
};

static void *place(struct db *db, enum table t, unsigned i)
{
    return (char *)db + tables[t].at + i * tables[t].size;
}

void rows_reset(void)
{
    memset(rows.owner, 0, sizeof(rows.owner));
    memset(&vsql_db, 0, sizeof(vsql_db));
}

unsigned row_places(enum table t)
{
    return tables[t].places;
}

const void *row_see(const struct vconn *c, enum table t, unsigned i)
{
    if (c->snapshot_on)
        return place((struct db *)(uintptr_t)&c->snapshot, t, i);
    return place(rows.owner[t][i] == c ? &rows.current : &vsql_db, t, i);
}

bool row_in_doubt(const struct vconn *c, enum table t, unsigned i, const void **theirs)
{
    *theirs = place(&rows.current, t, i);
    return rows.owner[t][i] && rows.owner[t][i] != c;
}

static void own(struct vconn *c, enum table t, unsigned i)
{
    struct lock *l = vmem_new(sizeof(*l));
    *l = (struct lock){c->locks, t, i};
    c->locks = l;
    rows.owner[t][i] = c;
    memcpy(place(&rows.current, t, i), place(&vsql_db, t, i), tables[t].size);
}

static bool closes_circle(const struct vconn *c, const struct vconn *owner)
{
    for (; owner; owner = owner->waits_for)
        if (owner == c)
            return true;
    return false;
}

enum status row_lock(struct vconn *c, enum table t, unsigned i, void **row)
{
    int64_t until_us = sched_now() + LOCK_WAIT_US;
    while (rows.owner[t][i] && rows.owner[t][i] != c) {
        if (closes_circle(c, rows.owner[t][i]) || sched_now() >= until_us) {
            sim_count[SIM_SQL_CONFLICTS]++;
            return ST_CONFLICT;
        }
        c->waits_for = rows.owner[t][i];
        (void)fiber_wait(&rows.owner[t][i], until_us);
        c->waits_for = NULL;
        if (c->closed)
            return ST_UNKNOWN;
    }
    if (!rows.owner[t][i])
        own(c, t, i);
    *row = place(&rows.current, t, i);
    return ST_OK;
}

enum status row_insert(struct vconn *c, enum table t, void **row)
{
    for (unsigned i = 0; i < tables[t].places; i++) {
        if (rows.owner[t][i] || *(const bool *)place(&vsql_db, t, i))
            continue;
        own(c, t, i);
        *row = memset(place(&rows.current, t, i), 0, tables[t].size);
        *(bool *)*row = true;
        return ST_OK;
    }
    sim_abort("table %s is full", tables[t].name);
}

static void unlock_all(struct vconn *c)
{
    for (struct lock *l = c->locks; l; l = l->next) {
        rows.owner[l->t][l->i] = NULL;
        fiber_wake_all(&rows.owner[l->t][l->i]);
    }
    c->locks = NULL;
}

void rows_commit(struct vconn *c)
{
    for (const struct lock *l = c->locks; l; l = l->next)
        memcpy(place(&vsql_db, l->t, l->i), place(&rows.current, l->t, l->i), tables[l->t].size);
    unlock_all(c);
}

void rows_rollback(struct vconn *c)
{
    unlock_all(c);
}

void out_row(struct vout *out, unsigned n, const struct sql_val *cols)
{
    struct vrow *r = vmem_new(sizeof(*r));
    r->n = n;
    for (unsigned i = 0; i < n; i++) {
        r->col[i] = cols[i];
        if (cols[i].type == SQL_T_BYTES)
            r->col[i].s.p = vmem_copy(cols[i].s.p, cols[i].s.n);
    }
    *out->last = r;
    out->last = &r->next;
}
