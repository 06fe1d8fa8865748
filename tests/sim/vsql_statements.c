/* Finding what a statement's text does, and what the statements share. */
#include "vsql_statements.h"

#include "sim.h"

#include <string.h>

struct world_sale vsql_sale;

const char *vsql_sku(unsigned item)
{
    static const char *const names[ITEMS_MAX] = {"red", "blue"};
    return names[item];
}

struct uid uid_of(const struct sql_val *v)
{
    struct uid id = {{0}};
    memcpy(id.b, v->s.p, v->s.n < UID_LEN ? v->s.n : UID_LEN);
    return id;
}

int uid_order(const struct uid *a, const struct uid *b)
{
    return memcmp(a->b, b->b, UID_LEN);
}

unsigned stock_place(int64_t item, int64_t shard)
{
    return (unsigned)(item - 1) * SHARDS_MAX + (unsigned)shard;
}

/* --- rows that match, locked ------------------------------------------------------------------- */

static bool may_match(vconn *c, enum table t, unsigned i, match_fn match, args_t a)
{
    const void *theirs;
    return match(row_see(c, t, i), a) || (row_in_doubt(c, t, i, &theirs) && match(theirs, a));
}

status_t each_locked(vconn *c, enum table t, match_fn match, touch_fn touch, args_t a,
                     struct vout *out)
{
    for (unsigned i = 0; i < row_places(t); i++) {
        void *row;
        if (!may_match(c, t, i, match, a))
            continue;
        status_t st = row_lock(c, t, i, &row);
        if (st != ST_OK)
            return st;
        if (match(row, a))
            out->affected += touch(row, a, out);
    }
    return ST_OK;
}

/* After a wait all are looked at again: somebody else may have been quicker. */
status_t find_decided(vconn *c, enum table t, match_fn match, args_t a, bool *found)
{
    const void *theirs;
    void *row;
    for (unsigned i = 0; i < row_places(t); i++) {
        if (!row_in_doubt(c, t, i, &theirs) || !match(theirs, a))
            continue;
        status_t st = row_lock(c, t, i, &row);
        if (st != ST_OK)
            return st;
        i = -1u;
    }
    *found = false;
    for (unsigned i = 0; i < row_places(t); i++)
        *found = *found || match(row_see(c, t, i), a);
    return ST_OK;
}

/* --- texts ------------------------------------------------------------------------------------- */

/* Whether text is this one, with some list of numbers for its ~. */
static bool fits(const char *pattern, struct str text)
{
    const char *gap = strchr(pattern, '~');
    if (!gap)
        return str_equal(str_from(pattern), text);
    size_t head = (size_t)(gap - pattern), tail = strlen(gap + 1);
    if (text.n < head + tail || memcmp(text.p, pattern, head) != 0 ||
        memcmp(text.p + text.n - tail, gap + 1, tail) != 0)
        return false;
    for (size_t i = head; i < text.n - tail; i++)
        if ((text.p[i] < '0' || text.p[i] > '9') && text.p[i] != ',')
            return false;
    return true;
}

const struct statement *statement_match(struct str text)
{
    for (unsigned i = 0; i < vsql_orders_n; i++)
        if (fits(vsql_orders[i].text, text))
            return &vsql_orders[i];
    for (unsigned i = 0; i < vsql_controls_n; i++)
        if (fits(vsql_control[i].text, text))
            return &vsql_control[i];
    sim_abort("a statement that neither vsql_orders.c nor vsql_control.c knows:\n  %.*s",
              (int)text.n, text.p);
}

const struct statement *statement_find(const char *text)
{
    enum { CACHED = 512 };
    static struct {
        const char *text;
        const struct statement *what;
    } cache[CACHED];
    unsigned at = (unsigned)((uintptr_t)text * 2654435761u >> 8) % CACHED;
    while (cache[at].text && cache[at].text != text)
        at = (at + 1) % CACHED;
    if (!cache[at].text) {
        cache[at].what = statement_match(str_from(text));
        cache[at].text = text;
    }
    return cache[at].what;
}
