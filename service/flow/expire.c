#include "flow/expire.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/orders.h"
#include "flow/outbox.h"

#include <stdio.h>
#include <stdlib.h>

/* The cursor never comes closer to now than this, so that commits younger than it need not touch
 * it; see LATE_MS in commit_rows.c, which must be smaller. */
enum {
    BATCH = OUTBOX_BATCH,
    TRAIL_MS = 10000,
    BATCHES_PER_SWEEP = 16,
    STATEMENT_MAX = 4 * 1024 * 1024
};

struct batch {
    struct session *s;
    struct order order[BATCH];
    struct outbox_row row[BATCH];
    unsigned n;
    uint32_t to;
    int64_t now;
    struct buf text;
};

/* Sales that share a time to pay share a cursor. */
struct term {
    uint32_t pay_within_s;
    int64_t starts_ms; /* earliest of its sales */
};

static bool on_due(void *arg, const struct sql_val *c, unsigned n)
{
    struct batch *b = arg;
    order_from_row(&b->order[b->n++], c);
    return b->n < BATCH;
}

static bool on_cursor(void *arg, const struct sql_val *c, unsigned n)
{
    memcpy(((struct uid *)arg)->b, c[0].s.p, UID_LEN);
    return true;
}

/* A new cursor begins at the earliest start of its sales: no order is older (rule R18). */
static enum status need_cursor(struct session *s, const struct term *term, struct uid *cursor)
{
    const struct sql_val key[] = {SQL_INT(term->pay_within_s)};
    /* A sale that starts later must not keep those that sell now from being looked at. */
    int64_t latest = clock_wall_ms() - TRAIL_MS;
    *cursor = uid_floor(term->starts_ms < latest ? term->starts_ms : latest);
    const struct sql_val row[] = {SQL_INT(term->pay_within_s), SQL_BYTES(cursor->b, UID_LEN)};
    enum status st = sql_run(s->sql,
                             "INSERT IGNORE INTO expiry_cursors (pay_within_s, upto) "
                             "VALUES (?, ?)",
                             row, 2, NULL, NULL, NULL);
    if (st != ST_OK)
        return st;
    return sql_run(s->sql, "SELECT upto FROM expiry_cursors WHERE pay_within_s = ?", key, 1,
                   on_cursor, cursor, NULL);
}

/* In a transaction: the cursor under its lock, which commits of late orders take, too
 * (commit_rows.c), so that none can slip in between the look and the move. */
static enum status lock_cursor(struct session *s, const struct term *term, struct uid *cursor)
{
    const struct sql_val key[] = {SQL_INT(term->pay_within_s)};
    return sql_run(s->sql, "SELECT upto FROM expiry_cursors WHERE pay_within_s = ? FOR UPDATE", key,
                   1, on_cursor, cursor, NULL);
}

static enum status move_cursor(struct session *s, const struct term *term, const struct uid *to)
{
    const struct sql_val args[] = {SQL_BYTES(to->b, UID_LEN), SQL_INT(term->pay_within_s)};
    return sql_run(s->sql, "UPDATE expiry_cursors SET upto = ? WHERE pay_within_s = ?", args, 2,
                   NULL, NULL, NULL);
}

/* Rows are locked and still pending, so every one must change. */
static enum status mark_expired(struct batch *b)
{
    uint64_t changed = 0;
    const struct sql_col cols[] = {
        {SQL_C_U32, &b->to, 0, 0},
        {SQL_C_I64, &b->now, 0, 0},
        {SQL_C_FIXED, &b->order->id, sizeof(b->order[0]), UID_LEN},
    };
    enum status st = sql_run_bulk(b->s->sql,
                                  "UPDATE orders SET state = ?, changed_ms = ? "
                                  "WHERE id = ? AND state = 1",
                                  cols, 3, b->n, NULL, NULL, &changed);
    return st == ST_OK && changed != b->n ? ST_CONFLICT : st;
}

/* Gives back the units of order i's item and shard for all orders that share them, once. */
static enum status release_group(struct batch *b, unsigned i)
{
    const struct order *o = &b->order[i];
    int64_t units = 0, epoch = 0;
    for (unsigned k = i; k < b->n; k++)
        if (b->order[k].item == o->item && b->order[k].shard == o->shard)
            units += b->order[k].qty;
    enum status st = ledger_release(b->s, o->item, o->shard, units, &epoch);
    for (unsigned k = i; k < b->n && st == ST_OK; k++) {
        const struct order *p = &b->order[k];
        if (p->item != o->item || p->shard != o->shard)
            continue;
        b->row[k] = (struct outbox_row){.kind = OUTBOX_RELEASE,
                                        .sale = uid_sale_no(&p->id),
                                        .item = p->item,
                                        .shard = p->shard,
                                        .epoch = epoch,
                                        .order = p->id,
                                        .gen = p->gen,
                                        .shopper = str_from(p->shopper),
                                        .n = p->qty};
    }
    return st;
}

static int by_stock(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

/* Stock rows are locked in the order in which committers lock them. */
static enum status close_orders(struct batch *b)
{
    b->now = clock_wall_ms();
    b->to = order_step(ORDER_PENDING, ORDER_EXPIRE).to;
    enum status st = mark_expired(b);
    qsort(b->order, b->n, sizeof(b->order[0]), by_stock);
    memset(b->row, 0, b->n * sizeof(b->row[0]));
    for (unsigned i = 0; i < b->n && st == ST_OK; i++)
        if (b->row[i].kind == 0)
            st = release_group(b, i);
    if (st == ST_OK)
        st = outbox_write(b->s, b->row, b->n);
    CRASH_POINT(expire_before_commit);
    return st;
}

/* The orders of this term's sales that are due, as one statement. */
static void write_select(struct batch *b, const struct snapshot *snap, uint32_t pay_within_s)
{
    bool first = true;
    buf_reset(&b->text);
    BUF_LIT(&b->text, "SELECT " ORDER_COLUMNS " FROM orders FORCE INDEX (PRIMARY) "
                      "WHERE id > ? AND id <= ? AND state = 1 AND item IN (");
    for (unsigned i = 0; i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        if (!sale->allocated || sale->pay_within_s != pay_within_s)
            continue;
        if (!first)
            buf_char(&b->text, ',');
        first = false;
        sale_item_numbers(sale, &b->text);
    }
    if (first)
        buf_char(&b->text, '0'); /* no item has this number */
    BUF_LIT(&b->text, ") ORDER BY id LIMIT ? FOR UPDATE");
}

/* How far a term's sweep has come. */
struct progress {
    struct uid cursor; /* as last seen in MariaDB */
    struct uid from;   /* where the next batch begins */
    struct uid upto;   /* what is due */
    struct uid trail;  /* the cursor stays behind this */
};

static const struct uid *earlier(const struct uid *a, const struct uid *b)
{
    return memcmp(a->b, b->b, UID_LEN) < 0 ? a : b;
}

/* In a transaction: the orders of the next batch, closed, and the cursor moved behind them. */
static enum status close_next(struct batch *b, const struct term *term, struct progress *p)
{
    struct uid cursor;
    enum status st = lock_cursor(b->s, term, &cursor);
    if (st != ST_OK)
        return st;
    if (!uid_equal(&cursor, &p->cursor))
        p->from = cursor; /* pulled back by a late order, or moved by another instance */
    const struct sql_val args[] = {SQL_BYTES(p->from.b, UID_LEN), SQL_BYTES(p->upto.b, UID_LEN),
                                   SQL_INT(BATCH)};
    b->n = 0;
    st = sql_run_once(b->s->sql, (struct str){b->text.data, b->text.len}, args, 3, on_due, b, NULL);
    p->from = b->n == BATCH ? b->order[b->n - 1].id : p->upto;
    if (st == ST_OK && b->n > 0)
        st = close_orders(b);
    p->cursor = *earlier(&p->from, &p->trail);
    if (memcmp(p->cursor.b, cursor.b, UID_LEN) <= 0)
        p->cursor = cursor;
    else if (st == ST_OK)
        st = move_cursor(b->s, term, &p->cursor);
    return st;
}

static enum status close_batch(struct batch *b, const struct term *term, struct progress *p)
{
    enum status st = b->text.overflow ? ST_INTERNAL : sql_begin(b->s->sql);
    if (st != ST_OK)
        return st;
    st = close_next(b, term, p);
    if (st == ST_OK)
        return sql_commit(b->s->sql);
    sql_rollback(b->s->sql);
    return st;
}

static enum status sweep_term(struct batch *b, const struct snapshot *snap, const struct term *term,
                              bool *full)
{
    int64_t now = clock_wall_ms(), due = now - (int64_t)term->pay_within_s * 1000;
    struct progress p = {.upto = uid_floor(due > 0 ? due : 0), .trail = uid_floor(now - TRAIL_MS)};
    enum status st = need_cursor(b->s, term, &p.cursor);
    if (st != ST_OK || memcmp(p.cursor.b, p.upto.b, UID_LEN) >= 0)
        return st;
    p.from = p.cursor;
    write_select(b, snap, term->pay_within_s);
    for (unsigned i = 0; i < BATCHES_PER_SWEEP; i++) {
        st = close_batch(b, term, &p);
        if (st != ST_OK)
            return st;
        if (b->n > 0)
            CRASH_POINT(expire_after_commit);
        metrics_add(b->s->metrics, M_ORDERS_EXPIRED, b->n);
        outbox_deliver(b->s, b->row, b->n);
        if (b->n < BATCH)
            return ST_OK;
    }
    *full = true;
    return ST_OK;
}

/* Distinct times to pay; at most one per sale. */
static unsigned collect_terms(const struct snapshot *snap, struct term *terms)
{
    unsigned n = 0;
    for (unsigned i = 0; i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        unsigned k = 0;
        while (k < n && terms[k].pay_within_s != sale->pay_within_s)
            k++;
        if (k == n)
            terms[n++] = (struct term){sale->pay_within_s, sale->starts_ms};
        if (sale->starts_ms < terms[k].starts_ms)
            terms[k].starts_ms = sale->starts_ms;
    }
    return n;
}

enum status expire_sweep(struct session *s, bool *full)
{
    const struct snapshot *snap;
    enum status st = session_catalog(s, &snap);
    if (st != ST_OK)
        return st;
    struct term *terms = calloc(snapshot_sales(snap) + 1, sizeof(*terms));
    struct batch *b = malloc(sizeof(*b)); /* rows are written before they are read */
    if (!b || !terms) {
        free(b);
        free(terms);
        return ST_UNAVAILABLE;
    }
    b->s = s;
    b->n = 0;
    buf_init(&b->text, STATEMENT_MAX);
    *full = false;
    unsigned n = collect_terms(snap, terms);
    for (unsigned i = 0; i < n && st == ST_OK; i++)
        st = sweep_term(b, snap, &terms[i], full);
    buf_fini(&b->text);
    free(b);
    free(terms);
    return st;
}
