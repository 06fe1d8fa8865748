#include "flow/outbox.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/recover.h"

#include <stdio.h>
#include <stdlib.h>

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

enum status outbox_write(struct session *s, struct outbox_row *rows, unsigned n)
{
    const size_t stride = sizeof(*rows);
    for (unsigned i = 0; i < n; i++) {
        rows[i].id = uid_make(s->ids, clock_wall_ms());
        rows[i].told = false;
    }
    const struct sql_col cols[] = {
        {SQL_C_FIXED, &rows->id, stride, UID_LEN},    {SQL_C_U32, &rows->kind, stride, 0},
        {SQL_C_U32, &rows->sale, stride, 0},          {SQL_C_U32, &rows->shard, stride, 0},
        {SQL_C_U32, &rows->item, stride, 0},          {SQL_C_I64, &rows->epoch, stride, 0},
        {SQL_C_FIXED, &rows->order, stride, UID_LEN}, {SQL_C_U32, &rows->gen, stride, 0},
        {SQL_C_VAR, &rows->shopper, stride, 0},       {SQL_C_I64, &rows->n, stride, 0},
    };
    return sql_run_bulk(s->sql,
                        "INSERT INTO outbox (id, kind, sale, shard, item, epoch, order_id, gen, "
                        "shopper, n) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        cols, sizeof(cols) / sizeof(cols[0]), n, NULL, NULL, NULL);
}

/* One call of Redis: the holds of one shard, from rows[first] on. */
struct release_call {
    struct gate_hold hold[OUTBOX_BATCH];
    char field[OUTBOX_BATCH][130];
    struct outbox_row *of[OUTBOX_BATCH];
    unsigned n;
    int64_t epoch; /* highest of the rows': what one may not be told yet, none is (rule R4) */
};

static void call_add(struct release_call *call, struct outbox_row *row, struct str sku)
{
    char *field = call->field[call->n];
    int n = snprintf(field, sizeof(call->field[0]), "%.*s|%.*s", (int)sku.n, sku.p,
                     (int)row->shopper.n, row->shopper.p);
    call->hold[call->n] = (struct gate_hold){{field, (size_t)n}, row->order, (uint8_t)row->gen};
    call->of[call->n++] = row;
    if (row->epoch > call->epoch)
        call->epoch = row->epoch;
}

static void tell_releases(struct session *s, const struct snapshot *snap, const struct sale *sale,
                          struct outbox_row *rows, unsigned n, struct release_call *call)
{
    const unsigned shard = rows[0].shard;
    call->n = 0;
    call->epoch = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct sale_item *item;
        if (!rows[i].told && rows[i].kind == OUTBOX_RELEASE && rows[i].shard == shard &&
            snapshot_item(snap, rows[i].item, &item) == sale)
            call_add(call, &rows[i], item->sku);
    }
    CRASH_POINT(deliver_before_call);
    enum status st = gate_release(s, sale, shard, call->epoch, call->hold, call->n);
    CRASH_POINT(deliver_after_call);
    if (st == ST_FENCED)
        recover_request(s->engine, sale->shard[shard].live, 0);
    for (unsigned i = 0; st == ST_OK && i < call->n; i++)
        call->of[i]->told = true;
}

static void delete_told(struct session *s, struct outbox_row *rows, unsigned n)
{
    unsigned told = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!rows[i].told)
            continue;
        struct outbox_row keep = rows[told];
        rows[told++] = rows[i];
        rows[i] = keep;
    }
    const struct sql_col id = {SQL_C_FIXED, &rows->id, sizeof(*rows), UID_LEN};
    if (told == 0)
        return;
    metrics_add(s->metrics, M_OUTBOX_DELIVERED, told);
    /* In a transaction: a bulk statement would otherwise commit, and flush, once per row. */
    enum status st = sql_begin(s->sql);
    if (st == ST_OK)
        st =
            sql_run_bulk(s->sql, "DELETE FROM outbox WHERE id = ?", &id, 1, told, NULL, NULL, NULL);
    if (st == ST_OK)
        st = sql_commit(s->sql);
    else
        sql_rollback(s->sql);
    if (st != ST_OK)
        LOG(s->engine->log, LOG_INFO, "outbox_not_deleted", LF_INT("rows", told));
}

void outbox_deliver(struct session *s, struct outbox_row *rows, unsigned n)
{
    const struct snapshot *snap;
    struct release_call *call = malloc(sizeof(*call));
    if (!call || session_catalog(s, &snap) != ST_OK) {
        free(call);
        return;
    }
    bool tried[64] = {false}; /* shards of the sale at hand */
    const struct sale *at = NULL;
    for (unsigned i = 0; i < n; i++) {
        const struct sale_item *item;
        const struct sale *sale = snapshot_item(snap, rows[i].item, &item);
        if (!sale || rows[i].shard >= sale->shards || rows[i].told)
            continue;
        if (rows[i].kind == OUTBOX_ADD) {
            rows[i].told =
                gate_add(s, sale, rows[i].shard, rows[i].epoch, item->sku, rows[i].n) == ST_OK;
            continue;
        }
        if (sale != at)
            memset(tried, 0, sizeof(tried));
        at = sale;
        if (!tried[rows[i].shard])
            tell_releases(s, snap, sale, rows + i, n - i, call);
        tried[rows[i].shard] = true;
    }
    free(call);
    delete_told(s, rows, n);
}

enum { PAGES_PER_SWEEP = 20 };

struct sweep {
    struct outbox_row row[OUTBOX_BATCH];
    char shopper[OUTBOX_BATCH][64];
    unsigned n;
    struct uid last;
};

static bool on_row(void *arg, const struct sql_val *c, unsigned n)
{
    struct sweep *w = arg;
    struct outbox_row *r = &w->row[w->n];
    size_t len = c[8].s.n > 64 ? 64 : c[8].s.n;
    *r = (struct outbox_row){.kind = (uint32_t)c[1].i,
                             .sale = (uint32_t)c[2].i,
                             .shard = (uint32_t)c[3].i,
                             .item = (uint32_t)c[4].i,
                             .epoch = c[5].i,
                             .gen = (uint32_t)c[7].i,
                             .shopper = {w->shopper[w->n], len},
                             .n = c[9].i};
    memcpy(r->id.b, c[0].s.p, UID_LEN);
    memcpy(r->order.b, c[6].s.p, UID_LEN);
    memcpy(w->shopper[w->n], c[8].s.p, len);
    w->last = r->id;
    return ++w->n < OUTBOX_BATCH;
}

/* Pages on past rows that cannot be told yet: a closed shard must not hold up the others. */
enum status outbox_sweep(struct session *s, unsigned *waiting)
{
    struct sweep *w = malloc(sizeof(*w)); /* rows are written before they are read */
    enum status st = ST_OK;
    *waiting = 0;
    if (!w)
        return ST_UNAVAILABLE;
    w->last = (struct uid){0};
    for (unsigned page = 0; st == ST_OK && page < PAGES_PER_SWEEP; page++) {
        const struct sql_val args[] = {SQL_BYTES(w->last.b, UID_LEN), SQL_INT(OUTBOX_BATCH)};
        w->n = 0;
        st = sql_run(s->sql,
                     "SELECT id, kind, sale, shard, item, epoch, order_id, gen, shopper, n "
                     "FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
                     args, 2, on_row, w, NULL);
        *waiting += w->n;
        if (st == ST_OK && w->n > 0)
            outbox_deliver(s, w->row, w->n);
        if (w->n < OUTBOX_BATCH)
            break;
    }
    free(w);
    return st;
}
