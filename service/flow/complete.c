#include "flow/complete.h"

#include "base/config.h"
#include "base/crash.h"
#include "flow/stock.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = RESERVE_BATCH_MAX, TRIES = 5 };
/* A release takes three words a hold, one an entry, and some for itself. */
_Static_assert(3 * ROWS + INTENT_ENTRIES + 16 <= ARGS_MAX, "a flush is one call");

struct completion {
    struct session *s;
    const struct sale *sale;
    unsigned shard;
    unsigned n, entries;
    char id[INTENT_ENTRIES][LOG_ID_MAX];
    struct str field[ROWS]; /* `sku|shopper` */
    struct commit_row row[ROWS];
    struct commit_row *of[ROWS];
    struct commit_row flat[ROWS];
    struct gate_hold hold[ROWS];
};

enum status completion_create(struct session *s, const struct sale *sale, unsigned shard,
                              struct completion **out)
{
    struct completion *c = calloc(1, sizeof(*c));
    if (!c)
        return ST_UNAVAILABLE;
    c->s = s;
    c->sale = sale;
    c->shard = shard;
    *out = c;
    return ST_OK;
}

void completion_destroy(struct completion **c)
{
    free(*c);
    *c = NULL;
}

/* Repeating is safe: every row carries its id. */
static enum status write_orders(struct completion *c)
{
    enum status st = ST_CONFLICT;
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++)
        st = commit_rows(c->s->sql, c->of, c->n, true, c->flat);
    return st;
}

/* Holds of orders that ended, or whose key belongs to another order (rule R3). */
static unsigned gather_losers(struct completion *c)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < c->n; i++)
        if (c->row[i].outcome != ST_OK)
            c->hold[lost++] = (struct gate_hold){c->field[i], c->row[i].id, 0};
    return lost;
}

enum status completion_flush(struct completion *c)
{
    const int64_t epoch = c->sale->shard[c->shard].epoch;
    enum status st = c->n > 0 ? write_orders(c) : ST_OK;
    if (c->entries > 0)
        CRASH_POINT(sweep_after_commit);
    if (st == ST_OK && c->entries > 0)
        st = gate_settle(c->s, c->sale, c->shard, epoch, (const char(*)[LOG_ID_MAX])c->id,
                         c->entries, c->hold, gather_losers(c));
    if (c->entries > 0)
        CRASH_POINT(sweep_after_settle);
    if (st == ST_OK)
        metrics_add(c->s->metrics, M_BATCHES_COMPLETED, c->entries);
    c->n = c->entries = 0;
    return st;
}

static enum status take_stock(struct completion *c, const struct row *row)
{
    enum status st = stock_take_commit(c->s, c->sale, c->shard, c->sale->shard[c->shard].epoch, row,
                                       STR("completed by another"));
    return st == ST_DUPLICATE ? ST_OK : st;
}

static void take_order(struct completion *c, const struct row *row, struct str bytes)
{
    intent_commit_row(row, c->shard, c->sale->shard[c->shard].epoch, &c->row[c->n]);
    c->field[c->n] = row_field((const uint8_t *)bytes.p, bytes.n);
    c->of[c->n] = &c->row[c->n];
    c->n++;
}

enum status completion_add(struct completion *c, const struct intent_entry *entry)
{
    enum status st = ST_OK;
    if (entry->rows > ROWS)
        return ST_INTERNAL;
    if (c->n + entry->rows > ROWS || c->entries == INTENT_ENTRIES)
        st = completion_flush(c);
    for (unsigned i = 0; i < entry->rows && st == ST_OK; i++) {
        struct row row;
        struct str bytes = intent_bytes(entry, i);
        st = row_decode(bytes, &row) == ST_OK ? ST_OK : ST_INTERNAL;
        if (st == ST_OK && row.kind == ROW_TAKE)
            st = take_stock(c, &row);
        else if (st == ST_OK)
            take_order(c, &row, bytes);
    }
    if (st == ST_OK)
        snprintf(c->id[c->entries++], LOG_ID_MAX, "%s", entry->id);
    return st;
}
