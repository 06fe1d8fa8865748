/* The intent log's part of a rebuild: orders reserved and perhaps not written (rules R2, R7). */
#include "base/config.h"
#include "flow/intent.h"
#include "flow/rebuild.h"
#include "flow/stock.h"

#include <stdlib.h>

enum { ROWS = 4096 };
_Static_assert((int)ROWS >= (int)RESERVE_BATCH_MAX, "an entry's rows fit");

struct pending {
    struct commit_row row[ROWS];
    struct commit_row *of[ROWS];
    struct commit_row flat[ROWS];
    unsigned n;
};

/* Fenced rows are skipped: here they mean that the units are not there any more, and nobody was
 * told of them. Had the epoch itself moved on, note_opened would stop the rebuild. */
static enum status write_pending(struct session *s, struct pending *p)
{
    enum status st = ST_FENCED;
    for (unsigned i = 0; i <= p->n; i++) { /* each refusal marks at least one row */
        st = commit_rows(s->sql, p->of, p->n, true, p->flat);
        if (st != ST_FENCED && st != ST_INTERNAL && st != ST_CONFLICT)
            break;
    }
    p->n = 0;
    return st;
}

static enum status take_row(struct session *s, const struct sale *sale, unsigned shard,
                            int64_t epoch, const struct row *row, struct pending *p)
{
    if (row->kind == ROW_TAKE) {
        enum status st =
            stock_take_commit(s, sale, shard, epoch, row, STR("completed by recovery"));
        return st == ST_DUPLICATE || st == ST_FENCED ? ST_OK : st;
    }
    intent_commit_row(row, shard, epoch, &p->row[p->n]);
    p->of[p->n] = &p->row[p->n];
    p->n++;
    return p->n == ROWS ? write_pending(s, p) : ST_OK;
}

static enum status take_page(struct session *s, const struct sale *sale, unsigned shard,
                             const struct intent_page *page, int64_t opened, int64_t epoch,
                             struct pending *p)
{
    enum status st = ST_OK;
    struct intent_entry e;
    struct row row;
    for (unsigned i = 0; i < page->n && st == ST_OK; i++) {
        if (!intent_entry(page, i, &e) || e.epoch != opened)
            continue;
        for (unsigned k = 0; k < e.rows && st == ST_OK; k++)
            if (row_decode(intent_bytes(&e, k), &row) == ST_OK)
                st = take_row(s, sale, shard, epoch, &row, p);
    }
    /* Rows point into the page: written before it is freed. */
    return st == ST_OK && p->n > 0 ? write_pending(s, p) : st;
}

enum status rebuild_from_log(struct session *s, const struct sale *sale, unsigned shard,
                             int64_t opened, int64_t epoch)
{
    struct intent_page page = {0};
    struct pending *p = calloc(1, sizeof(*p));
    if (!p)
        return ST_UNAVAILABLE;
    enum status st;
    do {
        st = intent_next(s, &sale->shard[shard], &page);
        if (st == ST_OK && page.n > 0)
            st = take_page(s, sale, shard, &page, opened, epoch, p);
    } while (st == ST_OK && page.n > 0);
    intent_end(&page);
    free(p);
    return st;
}
