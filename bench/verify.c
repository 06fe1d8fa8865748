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
    bool lapses;  /* an acknowledged order need not be live any more */

    /* of the run being compared */
    const struct crowd *crowd;
    struct journal *journal;
    struct ledger *ledger;
    int64_t *item_nos; /* of the sale's items, by their number in the crowd */
    uint32_t items;
    int64_t item_min, item_max, starts_ms;
    struct uid last; /* where the next page begins */
    uint32_t rows;   /* of the current page */
    bool malformed;  /* a row was not of the shape we know */
};

enum status verify_create(const struct options *o, const struct scenario *s, struct verify **out,
                          char *error, size_t size)
{
    struct verify *v = calloc(1, sizeof(*v));
    int64_t *item_nos = calloc(s->items, sizeof(*item_nos));
    if (!v || !item_nos) {
        free(v);
        free(item_nos);
        snprintf(error, size, "no memory");
        return ST_INTERNAL;
    }
    v->item_nos = item_nos;
    v->items = s->items;
    v->qty = s->qty;
    v->lapses = scenario_lapses(s);
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
    free((*v)->item_nos);
    free(*v);
    *v = NULL;
}

/* What MariaDB has of one shopper, live, against what that shopper was told. */
static void compare_live(struct verify *v, uint32_t shopper)
{
    struct ledger *l = v->ledger;
    struct journal_entry *e = &v->journal->shoppers[shopper];
    l->doubles += e->rows > 0;
    e->rows += e->rows < UINT8_MAX;
    l->denied += e->denied;
    switch ((enum told)e->told) {
    case TOLD_ORDER:
    case TOLD_QUEUED: break; /* see mark_told */
    case TOLD_NOTHING: l->untold++; break;
    case TOLD_RETRY: l->retryable++; break;
    case TOLD_REFUSAL: l->refused++; break;
    default: l->unsent++; break;
    }
}

/* The order of a 201 has to be as it was asked for; that of a 202 may be in any state. */
static void mark_told(struct verify *v, uint32_t shopper, const struct uid *id, bool as_asked,
                      bool live)
{
    struct journal_entry *e = &v->journal->shoppers[shopper];
    e->queued_found |= e->was_queued && uid_equal(id, &e->queued);
    e->matched |=
        e->told == TOLD_ORDER && as_asked && (live || v->lapses) && uid_equal(id, &e->order);
}

/* A number that is no state is not live; it shows as a missing order. */
static bool is_live(int64_t state)
{
    return state > 0 && state < ORDER_STATES && order_live((enum order_state)state);
}

static bool is_item_of_sale(const struct verify *v, int64_t item)
{
    for (uint32_t i = 0; i < v->items; i++) {
        if (v->item_nos[i] == item) {
            return true;
        }
    }
    return false;
}

/* id, shopper, qty, state, item */
static bool on_order(void *arg, const struct sql_val *cols, unsigned n)
{
    struct verify *v = arg;
    struct ledger *l = v->ledger;
    uint32_t shopper;
    if (n != 5 || cols[0].type != SQL_T_BYTES || cols[0].s.n != UID_LEN ||
        cols[1].type != SQL_T_BYTES || cols[2].type != SQL_T_INT || cols[3].type != SQL_T_INT ||
        cols[4].type != SQL_T_INT) {
        v->malformed = true;
        return false;
    }
    memcpy(v->last.b, cols[0].s.p, UID_LEN);
    v->rows++;
    bool ours = crowd_shopper(v->crowd, cols[1].s, &shopper);
    if (!ours && !is_item_of_sale(v, cols[4].i)) {
        return true; /* of a sale that was made in between */
    }
    l->rows++;
    bool live = is_live(cols[3].i);
    bool as_asked =
        cols[2].i == v->qty && ours && v->item_nos[crowd_item(v->crowd, shopper)] == cols[4].i;
    if (ours) {
        mark_told(v, shopper, &v->last, as_asked, live);
    }
    if (!live) {
        return true;
    }
    l->live++;
    l->live_units += (uint64_t)cols[2].i;
    l->wrong_qty += ours && !as_asked;
    if (ours) {
        compare_live(v, shopper);
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

/* no, sku, starts_ms; the sku leads back to the item's number */
static bool on_item(void *arg, const struct sql_val *cols, unsigned n)
{
    struct verify *v = arg;
    char sku[CROWD_SKU_LEN + 1];
    if (n != 3 || cols[0].type != SQL_T_INT || cols[1].type != SQL_T_BYTES ||
        cols[2].type != SQL_T_INT) {
        v->malformed = true;
        return false;
    }
    crowd_sku(v->rows, sku);
    v->malformed |= v->rows == v->items || !str_equal(cols[1].s, str_from(sku));
    if (v->malformed) {
        return false;
    }
    v->item_nos[v->rows++] = cols[0].i;
    v->item_min = v->rows == 1 || cols[0].i < v->item_min ? cols[0].i : v->item_min;
    v->item_max = v->rows == 1 || cols[0].i > v->item_max ? cols[0].i : v->item_max;
    v->starts_ms = cols[2].i;
    return true;
}

static enum status find_sale(struct verify *v)
{
    const struct sql_val args[] = {SQL_Z(v->crowd->sale)};
    v->rows = 0;
    enum status st = sql_run(v->sql,
                             "SELECT i.no, i.sku, s.starts_ms FROM sales s JOIN items i "
                             "ON i.sale = s.no WHERE s.id = ? ORDER BY i.sku",
                             args, 1, on_item, v, NULL);
    return st == ST_OK && (v->malformed || v->rows != v->items) ? ST_SALE_NOT_FOUND : st;
}

static enum status read_stock(struct verify *v)
{
    struct numbers got = {0};
    const struct sql_val args[] = {SQL_Z(v->crowd->sale)};
    enum status st = sql_run(v->sql,
                             "SELECT CAST(SUM(allocated) AS SIGNED), CAST(SUM(held) AS SIGNED) "
                             "FROM shard_stock k JOIN items i ON i.no = k.item "
                             "JOIN sales s ON s.no = i.sale WHERE s.id = ?",
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
        const struct sql_val args[] = {SQL_BYTES(v->last.b, UID_LEN), SQL_INT(v->item_min),
                                       SQL_INT(v->item_max), SQL_INT(PAGE_ROWS)};
        v->rows = 0;
        enum status st = sql_run(v->sql,
                                 "SELECT id, shopper, qty, state, item FROM orders "
                                 "WHERE id > ? AND item BETWEEN ? AND ? ORDER BY id LIMIT ?",
                                 args, 4, on_order, v, NULL);
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
