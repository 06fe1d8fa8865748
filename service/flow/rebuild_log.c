/* The intent log's part of a rebuild: orders reserved and perhaps not written (rules R2, R7). */
#include "base/config.h"
#include "flow/engine.h"
#include "flow/intent.h"
#include "flow/rebuild_priv.h"
#include "flow/stock.h"

#include <stdlib.h>

enum { ROWS = 4096, TRIES = 5 };
_Static_assert((int)ROWS >= (int)RESERVE_BATCH_MAX, "an entry's rows fit");

struct pending {
    struct session *s;
    const struct sale *sale;
    unsigned shard;
    int64_t epoch;
    struct commit_row row[ROWS];
    struct commit_row *of[ROWS];
    struct commit_row flat[ROWS];
    unsigned n;
};

/* Repeating is safe: every row carries its id. Fenced and refused rows are marked, and the rest is
 * tried again without them. */
static enum status commit(struct pending *p, struct commit_row **rows, unsigned n)
{
    unsigned tries = 0;
    for (;;) {
        enum status st = commit_rows(p->s->sql, rows, n, true, p->flat);
        bool again = st == ST_CONFLICT || st == ST_UNKNOWN || st == ST_INTERNAL;
        if (st != ST_FENCED && (!again || ++tries == TRIES))
            return st;
    }
}

static bool on_epoch(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return true;
}

/* Another rebuild came in between: what is fenced now is its business. */
static enum status check_epoch(struct pending *p)
{
    const struct sql_val args[] = {SQL_INT(p->sale->no), SQL_INT(p->shard)};
    int64_t epoch = -1;
    enum status st =
        sql_run(p->s->sql, "SELECT epoch, opened, ready FROM shards WHERE sale = ? AND shard = ?",
                args, 2, on_epoch, &epoch, NULL);
    return st == ST_OK && epoch != p->epoch ? ST_BUSY : st;
}

/* Together they were more than the ledger has left. One by one, some may fit; of the others, those
 * that were told 202 stay as cancelled (rule R22), and nobody was told of the rest. */
static enum status commit_one_by_one(struct pending *p)
{
    enum status st = ST_OK;
    unsigned dropped = 0;
    for (unsigned i = 0; i < p->n && st == ST_OK; i++) {
        struct commit_row *row = p->of[i];
        if (row->outcome != ST_FENCED)
            continue;
        row->outcome = ST_UNKNOWN;
        st = commit(p, &row, 1);
        if (st != ST_OK || row->outcome != ST_FENCED)
            continue;
        st = check_epoch(p); /* it is no place that it lacks if the epoch has moved on */
        if (st != ST_OK)
            break;
        dropped++;
        row->lost = row->queued;
        row->outcome = ST_UNKNOWN;
        if (row->lost)
            st = commit(p, &row, 1);
    }
    if (dropped > 0)
        LOG(p->s->engine->log, LOG_ERROR, "log_exceeds_ledger", LF_STR("sale", p->sale->id),
            LF_INT("shard", p->shard), LF_INT("orders", dropped));
    return st;
}

static enum status write_pending(struct pending *p)
{
    enum status st = p->n > 0 ? commit(p, p->of, p->n) : ST_OK;
    bool fenced = false;
    for (unsigned i = 0; i < p->n; i++)
        fenced = fenced || p->row[i].outcome == ST_FENCED;
    if (st == ST_OK && fenced)
        st = commit_one_by_one(p);
    p->n = 0;
    return st;
}

static enum status take_row(struct pending *p, const struct row *row)
{
    if (row->kind == ROW_TAKE) {
        enum status st =
            stock_take_commit(p->s, p->sale, p->shard, p->epoch, row, STR("completed by recovery"));
        return st == ST_DUPLICATE || st == ST_FENCED ? ST_OK : st;
    }
    intent_commit_row(row, p->shard, p->epoch, &p->row[p->n]);
    p->of[p->n] = &p->row[p->n];
    p->n++;
    return p->n == ROWS ? write_pending(p) : ST_OK;
}

static enum status take_page(struct pending *p, const struct intent_page *page, int64_t opened)
{
    enum status st = ST_OK;
    struct intent_entry e;
    struct row row;
    for (unsigned i = 0; i < page->n && st == ST_OK; i++) {
        if (!intent_entry(page, i, &e) || e.epoch != opened)
            continue;
        for (unsigned k = 0; k < e.rows && st == ST_OK; k++) {
            if (row_decode(intent_bytes(&e, k), &row) == ST_OK)
                st = take_row(p, &row);
            else
                LOG(p->s->engine->log, LOG_ERROR, "log_row_unreadable", LF_STR("sale", p->sale->id),
                    LF_INT("shard", p->shard), LF_Z("entry", e.id));
        }
    }
    /* Rows point into the page: written before it is freed. */
    return st == ST_OK ? write_pending(p) : st;
}

enum status rebuild_from_log(struct session *s, const struct sale *sale, unsigned shard,
                             int64_t opened, int64_t epoch)
{
    struct intent_page page = {0};
    /* Over a megabyte, so it is not cleared: rows are written before they are read. */
    struct pending *p = malloc(sizeof(*p));
    if (!p)
        return ST_UNAVAILABLE;
    p->n = 0;
    p->s = s;
    p->sale = sale;
    p->shard = shard;
    p->epoch = epoch;
    enum status st;
    do {
        st = intent_next(s, &sale->shard[shard], &page);
        if (st == ST_OK && page.n > 0)
            st = take_page(p, &page, opened);
    } while (st == ST_OK && page.n > 0);
    intent_end(&page);
    free(p);
    return st;
}
