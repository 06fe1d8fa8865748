#include "flow/audit.h"

#include "base/clock.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "rules/order_state.h"

#include <stdlib.h>
#include <unistd.h>

enum { POLL_MS = 50 };

/* One item in one shard. */
struct place {
    int64_t ledger_held, live, gate_held;
};

/* What tells whether a shard moved. */
struct mark {
    int64_t epoch, log, wins, back, added;
};

/* What the stores said, beside the items' sums. */
struct counts {
    struct audit *a;
    const struct sale *sale;
    struct place *place; /* [shards * items] */
    struct mark *mark;   /* [shards], before MariaDB was read */
    struct gate_view view;
    bool moved;
    int64_t over_limit, overdue, unpaid_paid, paid_without, paid_twice, unapplied, odd_notices;
    int64_t wrong_epoch, durable;
    int64_t log, releases;
    int64_t depth_max; /* of the configuration; each instance adds as much to the log */
};

void audit_free(struct audit *a)
{
    free(a->item);
    free(a->shard);
    a->item = NULL;
    a->shard = NULL;
}

static struct audit_item *item_of(struct counts *k, int64_t no)
{
    for (unsigned i = 0; i < k->sale->items; i++)
        if (k->sale->item[i].no == (uint32_t)no)
            return &k->a->item[i];
    return NULL;
}

/* NULL: there is no such shard. */
static struct place *place_of(struct counts *k, const struct audit_item *item, int64_t shard)
{
    if (shard < 0 || shard >= k->sale->shards)
        return NULL;
    return &k->place[shard * k->sale->items + (item - k->a->item)];
}

static bool on_stock(void *arg, const struct sql_val *c, unsigned n)
{
    struct counts *k = arg;
    struct audit_item *item = item_of(k, c[0].i);
    struct place *place = item ? place_of(k, item, c[3].i) : NULL;
    if (item) {
        item->allocated += c[1].i;
        item->ledger_held += c[2].i;
    }
    if (place)
        place->ledger_held = c[2].i;
    return true;
}

static bool on_orders(void *arg, const struct sql_val *c, unsigned n)
{
    struct counts *k = arg;
    struct audit_item *item = item_of(k, c[0].i);
    enum order_state state = (enum order_state)c[1].i;
    if (!item || c[1].i < 0 || c[1].i >= ORDER_STATES)
        return true;
    struct place *place = place_of(k, item, c[3].i);
    if (order_live(state) && place)
        place->live += c[2].i;
    if (order_live(state))
        item->live += c[2].i;
    else
        item->released += c[2].i;
    if (state == ORDER_PAID)
        item->paid += c[2].i;
    return true;
}

static bool on_number(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].type == SQL_T_NULL ? 0 : c[0].i;
    return true;
}

/* Orders of this sale: the primary key from the sale's start on (rule R18). */
#define OF_SALE "o.id >= ? AND o.item IN (SELECT no FROM items WHERE sale = ?)"

static enum status count_one(struct session *s, const char *text, const struct sql_val *args,
                             unsigned n, int64_t *out)
{
    *out = 0;
    if (atomic_load(&s->engine->stopping))
        return ST_UNAVAILABLE; /* each of these may take seconds, and a stop waits for them */
    return sql_run(s->sql, text, args, n, on_number, out, NULL);
}

static enum status count_money(struct session *s, struct counts *k, const struct sql_val *of_sale)
{
    enum status st = count_one(
        s,
        "SELECT COUNT(*) FROM orders o WHERE " OF_SALE " AND o.state = 2 AND (SELECT COUNT(*) FROM "
        "payments p WHERE p.order_id = o.id AND p.state = 3 AND p.amount = o.amount) = 0",
        of_sale, 2, &k->paid_without);
    if (st == ST_OK)
        st = count_one(
            s,
            "SELECT COUNT(*) FROM (SELECT o.id FROM orders o JOIN payments p ON p.order_id = o.id "
            "WHERE " OF_SALE " AND p.state = 3 GROUP BY o.id HAVING COUNT(*) > 1) t",
            of_sale, 2, &k->paid_twice);
    if (st == ST_OK)
        st = count_one(
            s,
            "SELECT COUNT(*) FROM payments p JOIN orders o ON o.id = p.order_id WHERE " OF_SALE
            " AND p.state = 3 AND o.state = 1",
            of_sale, 2, &k->unpaid_paid);
    if (st == ST_OK)
        st = count_one(
            s,
            "SELECT COUNT(*) FROM payments p JOIN orders o ON o.id = p.order_id WHERE " OF_SALE
            " AND p.state = 5",
            of_sale, 2, &k->unapplied);
    return st;
}

/* Notifications that matched no payment, or not its amount, name the order; its id names the sale.
 */
static bool on_odd_notice(void *arg, const struct sql_val *c, unsigned n)
{
    struct counts *k = arg;
    struct uid order;
    memcpy(order.b, c[0].s.p, UID_LEN);
    k->odd_notices += uid_sale_no(&order) == k->sale->no;
    return true;
}

static enum status count_rules(struct session *s, struct counts *k, const struct sql_val *of_sale,
                               const struct sql_val *overdue)
{
    /* The two hints make MariaDB sort the sale's orders; what it would do of itself, a look-up in a
     * table for each of them, takes forty times as long. */
    enum status st =
        count_one(s,
                  "SELECT COUNT(*) FROM (SELECT SQL_BIG_RESULT STRAIGHT_JOIN o.item FROM orders o "
                  "JOIN items i ON i.no = o.item WHERE o.id >= ? AND i.sale = ? AND o.state IN "
                  "(1, 2) GROUP BY o.item, o.shopper HAVING SUM(o.qty) > MIN(i.per_shopper)) t",
                  of_sale, 2, &k->over_limit);
    if (st == ST_OK)
        st = count_one(
            s, "SELECT COUNT(*) FROM orders o WHERE " OF_SALE " AND o.id < ? AND o.state = 1",
            overdue, 3, &k->overdue);
    if (st == ST_OK)
        st = sql_run(s->sql,
                     "SELECT order_id FROM webhook_events WHERE outcome IN ('unmatched', "
                     "'mismatch')",
                     NULL, 0, on_odd_notice, k, NULL);
    if (st == ST_OK)
        st = count_one(s,
                       "SELECT COUNT(*) FROM shard_stock k JOIN items i ON i.no = k.item JOIN "
                       "shards h ON h.sale = i.sale AND h.shard = k.shard WHERE i.sale = ? AND "
                       "(k.epoch <> h.epoch OR h.ready = 0)",
                       of_sale + 1, 1, &k->wrong_epoch);
    if (st == ST_OK)
        st = count_one(s,
                       "SELECT @@innodb_flush_log_at_trx_commit = 1 AND "
                       "(@@log_bin = 0 OR @@sync_binlog = 1)",
                       NULL, 0, &k->durable);
    if (st == ST_OK)
        st = count_one(s, "SELECT COUNT(*) FROM outbox WHERE sale = ?", of_sale + 1, 1,
                       &k->releases);
    return st;
}

static enum status read_ledger(struct session *s, struct counts *k)
{
    enum { GRACE_MS = 2000 };
    const struct sale *sale = k->sale;
    struct uid from = uid_floor(sale->starts_ms);
    struct uid late = uid_floor(clock_wall_ms() - (int64_t)sale->pay_within_s * 1000 - GRACE_MS);
    const struct sql_val args[] = {SQL_BYTES(from.b, UID_LEN), SQL_INT(sale->no),
                                   SQL_BYTES(late.b, UID_LEN)};
    enum status st = sql_begin_snapshot(s->sql);
    if (st != ST_OK)
        return st;
    st = sql_run(s->sql,
                 "SELECT item, allocated, held, shard FROM shard_stock WHERE item IN "
                 "(SELECT no FROM items WHERE sale = ?)",
                 args + 1, 1, on_stock, k, NULL);
    if (st == ST_OK)
        st = sql_run(s->sql,
                     "SELECT o.item, o.state, CAST(SUM(o.qty) AS INTEGER), o.shard FROM orders o "
                     "WHERE " OF_SALE " GROUP BY o.item, o.state, o.shard",
                     args, 2, on_orders, k, NULL);
    if (st == ST_OK)
        st = count_money(s, k, args);
    if (st == ST_OK)
        st = count_rules(s, k, args, args);
    sql_rollback(s->sql);
    return st;
}

/* Leaves the shard's units in k->view. */
static enum status read_mark(struct session *s, struct counts *k, unsigned shard, struct mark *mark)
{
    enum status st = gate_peek(s, k->sale, shard, &k->view);
    if (st != ST_OK)
        return st;
    *mark = (struct mark){k->view.epoch, k->view.log, k->view.wins, k->view.back, 0};
    for (unsigned i = 0; i < k->sale->items; i++)
        mark->added += k->view.units[i].added;
    return ST_OK;
}

static enum status mark_gates(struct session *s, struct counts *k)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < k->sale->shards && st == ST_OK && k->sale->allocated; i++)
        st = read_mark(s, k, i, &k->mark[i]);
    return st;
}

static bool same_mark(const struct mark *a, const struct mark *b)
{
    /* A closed gate is about to change. */
    return a->epoch > 0 && a->epoch == b->epoch && a->log == b->log && a->wins == b->wins &&
           a->back == b->back && a->added == b->added;
}

static enum status read_gate(struct session *s, struct counts *k, unsigned shard, int64_t *held)
{
    const struct sale *sale = k->sale;
    struct audit_shard *at = &k->a->shard[shard];
    struct mark now;
    enum status st = gate_held(s, sale, shard, held);
    if (st == ST_OK)
        st = read_mark(s, k, shard, &now);
    if (st != ST_OK)
        return st;
    k->log += now.log;
    k->moved = k->moved || !same_mark(&now, &k->mark[shard]);
    at->epoch = now.epoch;
    for (unsigned i = 0; i < sale->items; i++) {
        struct place *place = &k->place[shard * sale->items + i];
        place->gate_held = held[i];
        k->a->item[i].gate_left += k->view.units[i].left;
        k->a->item[i].gate_held += held[i];
        at->live += place->live;
        at->gate_held += held[i];
        at->holds_off =
            at->holds_off || (place->gate_held != place->live && place->ledger_held == place->live);
    }
    return ST_OK;
}

static enum status read_gates(struct session *s, struct counts *k)
{
    int64_t *held = calloc(k->sale->items, sizeof(*held));
    enum status st = held ? ST_OK : ST_UNAVAILABLE;
    for (unsigned i = 0; i < k->sale->shards && st == ST_OK && k->sale->allocated; i++)
        st = read_gate(s, k, i, held);
    free(held);
    return st;
}

static void check(struct audit *a, enum audit_when when, const char *promise, const char *name,
                  int64_t expected, int64_t found)
{
    a->check[a->checks++] =
        (struct audit_check){name, promise, expected == found, expected, found, when};
    a->ok = a->ok && expected == found;
}

static void judge(struct counts *k)
{
    struct audit *a = k->a;
    int64_t oversold = 0, miscounted = 0, gate_left = 0, ledger_left = 0, gate_held = 0, live = 0;
    for (unsigned i = 0; i < a->items; i++) {
        struct audit_item *item = &a->item[i];
        item->ledger_left = item->allocated - item->live;
        oversold += item->live > item->allocated ? item->live - item->allocated : 0;
        miscounted += llabs(item->live - item->ledger_held);
        gate_left += item->gate_left;
        gate_held += item->gate_held;
        ledger_left += item->ledger_left;
        live += item->live;
    }
    int64_t units_off = 0;
    for (unsigned i = 0; i < a->items; i++)
        units_off += llabs(a->item[i].gate_left - a->item[i].ledger_left) +
                     llabs(a->item[i].gate_held - a->item[i].live);
    a->ok = true;
    check(a, AUDIT_ALWAYS, "P1", "live_within_allocated", 0, oversold);
    check(a, AUDIT_ALWAYS, "P1", "ledger_counts_live_orders", 0, miscounted);
    check(a, AUDIT_ALWAYS, "P2", "commits_are_fsynced", 1, k->durable);
    check(a, AUDIT_ALWAYS, "P3", "shoppers_over_limit", 0, k->over_limit);
    check(a, AUDIT_QUIET, "P4", "gate_left_is_ledger_left", ledger_left, gate_left);
    check(a, AUDIT_QUIET, "P4", "gate_held_is_live", live, gate_held);
    check(a, AUDIT_QUIET, "P4", "items_whose_units_differ", 0, units_off);
    check(a, AUDIT_SETTLED, "P4", "unpaid_orders_past_deadline", 0, k->overdue);
    check(a, AUDIT_ALWAYS, "P5", "paid_orders_without_capture", 0, k->paid_without);
    check(a, AUDIT_ALWAYS, "P5", "orders_captured_twice", 0, k->paid_twice);
    check(a, AUDIT_ALWAYS, "P5", "captured_orders_unpaid", 0, k->unpaid_paid);
    check(a, AUDIT_SETTLED, "P6", "shards_out_of_epoch", 0, k->wrong_epoch);
    check(a, AUDIT_SETTLED, "P7", "pending_within_bounds", 1,
          a->pending_committing <= k->depth_max && a->pending_log <= 64 * k->depth_max);
}

static enum status read_stores(struct session *s, struct counts *k)
{
    enum status st = mark_gates(s, k);
    if (st == ST_OK)
        st = read_ledger(s, k);
    return st == ST_OK ? read_gates(s, k) : st;
}

static enum status audit_once(struct session *s, const struct sale *sale, struct audit *out)
{
    struct counts k = {.a = out, .sale = sale, .depth_max = s->engine->conf->commit_depth_max};
    *out =
        (struct audit){.checked_ms = clock_wall_ms(), .items = sale->items, .shards = sale->shards};
    out->item = calloc(sale->items, sizeof(*out->item));
    out->shard = calloc(sale->shards, sizeof(*out->shard));
    k.place = calloc((size_t)sale->shards * sale->items, sizeof(*k.place));
    k.mark = calloc(sale->shards, sizeof(*k.mark));
    k.view.units = calloc(sale->items, sizeof(*k.view.units));
    bool room = out->item && out->shard && k.place && k.mark && k.view.units;
    for (unsigned i = 0; room && i < sale->items; i++)
        out->item[i].sku = sale->item[i].sku;
    enum status st = room ? read_stores(s, &k) : ST_UNAVAILABLE;
    free(k.place);
    free(k.mark);
    free(k.view.units);
    if (st != ST_OK) {
        audit_free(out);
        return st;
    }
    out->pending_log = k.log;
    out->pending_committing = committers_depth(s->engine->committers);
    out->pending_releases = k.releases;
    out->quiet = !k.moved && out->pending_log == 0 && out->pending_committing == 0 &&
                 out->pending_releases == 0;
    judge(&k);
    out->unapplied = k.unapplied;
    out->odd_notices = k.odd_notices;
    return ST_OK;
}

enum status audit_sale(struct session *s, const struct sale *sale, int64_t wait_ms,
                       struct audit *out)
{
    int64_t until_us = clock_mono_us() + wait_ms * 1000;
    for (;;) {
        enum status st = audit_once(s, sale, out);
        if (st != ST_OK)
            return st;
        if ((out->quiet && out->ok) || clock_mono_us() >= until_us ||
            atomic_load(&s->engine->stopping))
            return ST_OK;
        audit_free(out);
        usleep(POLL_MS * 1000); /* nothing signals that the other instances are quiet */
    }
}
