#include "verify.h"

#include "rules/order_state.h"
#include "sql/sql.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_ROWS = 10000, SQL_TIMEOUT_MS = 30000 };

struct verify {
    struct sql_conf conf;
    struct sql *sql;
    uint32_t qty; /* that every order asked for */

    /* of the run being compared */
    const struct crowd *crowd;
    struct journal *journal;
    struct ledger *ledger;
    int64_t item_no, starts_ms;
    struct uid last; /* where the next page begins */
    uint32_t rows;   /* of the current page */
    bool malformed;  /* a row was not of the shape we know */
};

enum status verify_create(const struct options *o, struct verify **out, char *error, size_t size)
{
    struct verify *v = calloc(1, sizeof(*v));
    if (!v) {
        return ST_INTERNAL;
    }
    v->qty = o->qty;
    v->conf =
        (struct sql_conf){o->sql, o->sql_user, o->sql_password, o->sql_database, SQL_TIMEOUT_MS};
    enum status st = sql_create(&v->conf, NULL, &v->sql);
    if (st == ST_OK) {
        st = sql_connect(v->sql);
    }
    if (st != ST_OK) {
        snprintf(error, size, "MariaDB at %s: %s", o->sql,
                 v->sql ? sql_error(v->sql) : "no memory");
        verify_destroy(&v);
        return st;
    }
    *out = v;
    return ST_OK;
}

void verify_destroy(struct verify **v)
{
    if (!*v) {
        return;
    }
    if ((*v)->sql) {
        sql_destroy(&(*v)->sql);
    }
    free(*v);
    *v = NULL;
}

/* What MariaDB has of one shopper, live, against what that shopper was told. */
static void compare_live(struct verify *v, uint32_t shopper, const struct uid *id, int64_t qty)
{
    struct ledger *l = v->ledger;
    struct journal_entry *e = &v->journal->shoppers[shopper];
    l->doubles += e->rows > 0;
    e->rows += e->rows < UINT8_MAX;
    l->denied += e->denied;
    switch ((enum told)e->told) {
    case TOLD_ORDER:
        if (qty == v->qty && uid_equal(id, &e->order)) {
            e->matched = true;
        }
        break;
    case TOLD_QUEUED: break; /* any state will do: see mark_queued */
    case TOLD_NOTHING: l->untold++; break;
    case TOLD_RETRY: l->retryable++; break;
    case TOLD_REFUSAL: l->refused++; break;
    default: l->unsent++; break;
    }
}

static void mark_queued(struct verify *v, uint32_t shopper, const struct uid *id)
{
    struct journal_entry *e = &v->journal->shoppers[shopper];
    e->queued_found |= e->was_queued && uid_equal(id, &e->queued);
}

/* A number that is no state is not live; it shows as a missing order. */
static bool is_live(int64_t state)
{
    return state > 0 && state < ORDER_STATES && order_live((enum order_state)state);
}

/* id, shopper, qty, state */
static bool on_order(void *arg, const struct sql_val *cols, unsigned n)
{
    struct verify *v = arg;
    struct ledger *l = v->ledger;
    uint32_t shopper;
    if (n != 4 || cols[0].type != SQL_T_BYTES || cols[0].s.n != UID_LEN ||
        cols[1].type != SQL_T_BYTES || cols[2].type != SQL_T_INT || cols[3].type != SQL_T_INT) {
        v->malformed = true;
        return false;
    }
    memcpy(v->last.b, cols[0].s.p, UID_LEN);
    v->rows++;
    l->rows++;
    bool ours = crowd_shopper(v->crowd, cols[1].s, &shopper);
    if (ours) {
        mark_queued(v, shopper, &v->last);
    }
    if (!is_live(cols[3].i)) {
        return true;
    }
    l->live++;
    l->live_units += (uint64_t)cols[2].i;
    l->wrong_qty += cols[2].i != v->qty;
    if (ours) {
        compare_live(v, shopper, &v->last, cols[2].i);
    } else {
        l->strangers++;
    }
    return true;
}

/* The integer columns of a single row. */
struct numbers {
    int64_t v[3];
    unsigned n;
};

static bool on_numbers(void *arg, const struct sql_val *cols, unsigned n)
{
    struct numbers *to = arg;
    for (unsigned i = 0; i < n && i < 3 && cols[i].type == SQL_T_INT; i++) {
        to->v[i] = cols[i].i;
        to->n = i + 1;
    }
    return false;
}

static enum status find_sale(struct verify *v)
{
    struct numbers got = {0};
    const struct sql_val args[] = {SQL_Z(v->crowd->sale), SQL_Z(CROWD_SKU)};
    enum status st = sql_run(v->sql,
                             "SELECT i.no, s.starts_ms FROM sales s JOIN items i ON i.sale = s.no "
                             "WHERE s.id = ? AND i.sku = ?",
                             args, 2, on_numbers, &got, NULL);
    if (st == ST_OK && got.n == 2) {
        v->item_no = got.v[0];
        v->starts_ms = got.v[1];
    }
    return st == ST_OK && got.n != 2 ? ST_SALE_NOT_FOUND : st;
}

static enum status read_stock(struct verify *v)
{
    struct numbers got = {0};
    const struct sql_val args[] = {SQL_INT(v->item_no)};
    enum status st = sql_run(v->sql,
                             "SELECT CAST(SUM(allocated) AS SIGNED), CAST(SUM(held) AS SIGNED) "
                             "FROM shard_stock WHERE item = ?",
                             args, 1, on_numbers, &got, NULL);
    if (st == ST_OK && got.n == 2) {
        v->ledger->allocated = got.v[0];
        v->ledger->held = got.v[1];
    }
    return st == ST_OK && got.n != 2 ? ST_SALE_NOT_FOUND : st;
}

/* Ids begin with the time (base/ids.h), so the sale's begin where it started. */
static enum status read_orders(struct verify *v)
{
    v->last = uid_floor(v->starts_ms);
    do {
        const struct sql_val args[] = {SQL_BYTES(v->last.b, UID_LEN), SQL_INT(v->item_no),
                                       SQL_INT(PAGE_ROWS)};
        v->rows = 0;
        enum status st = sql_run(v->sql,
                                 "SELECT id, shopper, qty, state FROM orders "
                                 "WHERE id > ? AND item = ? ORDER BY id LIMIT ?",
                                 args, 3, on_order, v, NULL);
        if (st != ST_OK) {
            return st;
        }
        if (v->malformed) {
            return ST_INTERNAL;
        }
    } while (v->rows == PAGE_ROWS);
    return ST_OK;
}

static void count_told(const struct journal *journal, struct ledger *l)
{
    for (uint32_t i = 0; i < journal->n; i++) {
        const struct journal_entry *e = &journal->shoppers[i];
        l->matched += e->told == TOLD_ORDER && e->matched;
        l->missing += e->told == TOLD_ORDER && !e->matched;
        l->queued_found += e->was_queued && e->queued_found;
        l->queued_lost += (e->was_queued && !e->queued_found) + e->requeued;
        l->changed += e->changed;
    }
}

enum status verify_run(struct verify *v, const struct crowd *crowd, struct journal *journal,
                       struct ledger *ledger, char *error, size_t size)
{
    *ledger = (struct ledger){0};
    v->crowd = crowd;
    v->journal = journal;
    v->ledger = ledger;
    enum status st = find_sale(v);
    if (st == ST_OK) {
        st = sql_begin_snapshot(v->sql);
    }
    if (st == ST_OK) {
        st = read_stock(v);
        if (st == ST_OK) {
            st = read_orders(v);
        }
        sql_rollback(v->sql);
    }
    if (st != ST_OK) {
        snprintf(error, size, "comparing with MariaDB: %s %s", status_info(st)->name,
                 sql_error(v->sql));
        return st;
    }
    count_told(journal, ledger);
    return ST_OK;
}
