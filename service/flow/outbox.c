#include "flow/outbox.h"

#include "base/clock.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/recover.h"

#include <stdio.h>
#include <stdlib.h>

enum { SWEEP_MAX = 500 };

static bool on_epoch(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return true;
}

enum status ledger_release(struct session *s, uint32_t item, unsigned shard, int64_t units,
                           int64_t *epoch)
{
    uint64_t changed = 0;
    const struct sql_val back[] = {SQL_INT(units), SQL_INT(item), SQL_INT(shard), SQL_INT(units)};
    const struct sql_val place[] = {SQL_INT(item), SQL_INT(shard)};
    enum status st = sql_run(s->sql,
                             "UPDATE shard_stock SET held = held - ? "
                             "WHERE item = ? AND shard = ? AND held >= ?",
                             back, 4, NULL, NULL, &changed);
    if (st != ST_OK || changed == 0)
        return st == ST_OK ? ST_INTERNAL : st;
    *epoch = -1;
    st = sql_run(s->sql, "SELECT epoch FROM shard_stock WHERE item = ? AND shard = ? FOR UPDATE",
                 place, 2, on_epoch, epoch, NULL);
    return st == ST_OK && *epoch < 0 ? ST_INTERNAL : st;
}

enum status outbox_write(struct session *s, struct outbox_row *row)
{
    row->id = uid_make(s->ids, clock_wall_ms());
    const struct sql_val args[] = {
        SQL_BYTES(row->id.b, UID_LEN), SQL_INT(row->kind),  SQL_INT(row->sale),
        SQL_INT(row->shard),           SQL_INT(row->item),  SQL_INT(row->epoch),
        SQL_BYTES(row->order.b, UID_LEN), SQL_INT(row->gen), SQL_STR(row->shopper),
        SQL_INT(row->n)};
    return sql_run(s->sql,
                   "INSERT INTO outbox (id, kind, sale, shard, item, epoch, order_id, gen, shopper, "
                   "n) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   args, 10, NULL, NULL, NULL);
}

static enum status tell_redis(struct session *s, const struct outbox_row *row)
{
    const struct snapshot *snap;
    const struct sale_item *item;
    enum status st = session_catalog(s, &snap);
    if (st != ST_OK)
        return st;
    const struct sale *sale = snapshot_item(snap, row->item, &item);
    if (!sale || row->shard >= sale->shards)
        return ST_INTERNAL;
    if (row->kind == OUTBOX_ADD)
        return gate_add(s, sale, row->shard, row->epoch, item->sku, row->n);
    char field[130];
    int n = snprintf(field, sizeof(field), "%.*s|%.*s", (int)item->sku.n, item->sku.p,
                     (int)row->shopper.n, row->shopper.p);
    const struct gate_hold hold = {{field, (size_t)n}, row->order, row->gen};
    st = gate_release(s, sale, row->shard, row->epoch, &hold, 1);
    if (st == ST_FENCED)
        recover_request(s->engine, sale->shard[row->shard].live, false);
    return st;
}

enum status outbox_deliver(struct session *s, const struct outbox_row *row)
{
    enum status st = tell_redis(s, row);
    if (st != ST_OK)
        return st;
    const struct sql_val id[] = {SQL_BYTES(row->id.b, UID_LEN)};
    metrics_add(s->metrics, M_OUTBOX_DELIVERED, 1);
    return sql_run(s->sql, "DELETE FROM outbox WHERE id = ?", id, 1, NULL, NULL, NULL);
}

struct sweep {
    struct outbox_row row[SWEEP_MAX];
    char shopper[SWEEP_MAX][64];
    unsigned n;
};

static bool on_row(void *arg, const struct sql_val *c, unsigned n)
{
    struct sweep *w = arg;
    struct outbox_row *r = &w->row[w->n];
    size_t len = c[8].s.n > 64 ? 64 : c[8].s.n;
    *r = (struct outbox_row){.kind = (enum outbox_kind)c[1].i,
                             .sale = (uint32_t)c[2].i,
                             .shard = (unsigned)c[3].i,
                             .item = (uint32_t)c[4].i,
                             .epoch = c[5].i,
                             .gen = (uint8_t)c[7].i,
                             .shopper = {w->shopper[w->n], len},
                             .n = c[9].i};
    memcpy(r->id.b, c[0].s.p, UID_LEN);
    memcpy(r->order.b, c[6].s.p, UID_LEN);
    memcpy(w->shopper[w->n], c[8].s.p, len);
    return ++w->n < SWEEP_MAX;
}

enum status outbox_sweep(struct session *s, unsigned max, unsigned *waiting)
{
    struct sweep *w = calloc(1, sizeof(*w));
    if (!w)
        return ST_UNAVAILABLE;
    const struct sql_val limit[] = {SQL_INT(max < SWEEP_MAX ? max : SWEEP_MAX)};
    enum status st = sql_run(s->sql,
                             "SELECT id, kind, sale, shard, item, epoch, order_id, gen, shopper, n "
                             "FROM outbox ORDER BY id LIMIT ?",
                             limit, 1, on_row, w, NULL);
    *waiting = w->n;
    /* One row that cannot be told must not hold up those of other shards. */
    for (unsigned i = 0; i < w->n && st == ST_OK; i++) {
        enum status told = outbox_deliver(s, &w->row[i]);
        if (told == ST_UNKNOWN)
            st = told;
    }
    free(w);
    return st;
}
