#include "flow/orders.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/outbox.h"
#include "flow/payments.h"

#include <stdlib.h>

struct one {
    struct order *out;
    bool found;
};

void order_from_row(struct order *o, const struct sql_val *c)
{
    *o = (struct order){.storefront = (uint32_t)c[1].i,
                        .item = (uint32_t)c[3].i,
                        .shard = (unsigned)c[4].i,
                        .qty = (uint32_t)c[5].i,
                        .amount = c[6].i,
                        .state = (enum order_state)c[7].i,
                        .gen = (uint8_t)c[8].i,
                        .changed_ms = c[9].i};
    memcpy(o->id.b, c[0].s.p, UID_LEN);
    memcpy(o->shopper, c[2].s.p, c[2].s.n < SHOPPER_MAX ? c[2].s.n : SHOPPER_MAX);
}

static bool on_one(void *arg, const struct sql_val *c, unsigned n)
{
    struct one *one = arg;
    order_from_row(one->out, c);
    return one->found = true;
}

bool order_in_scope(const struct order *o, const struct order_scope *scope)
{
    if (scope->storefront != 0 && o->storefront != scope->storefront)
        return false;
    return scope->shopper.n == 0 || str_equal(scope->shopper, str_from(o->shopper));
}

int64_t order_pay_by(const struct order *o, const struct sale *sale)
{
    return uid_ms(&o->id) + (int64_t)sale->pay_within_s * 1000;
}

void order_free(struct order *o)
{
    free(o->payment);
    o->payment = NULL;
    o->payments = 0;
}

enum status order_lock(struct session *s, const struct uid *id, struct order *out)
{
    struct one one = {out, false};
    const struct sql_val key[] = {SQL_BYTES(id->b, UID_LEN)};
    enum status st = sql_run(s->sql, "SELECT " ORDER_COLUMNS " FROM orders WHERE id = ? FOR UPDATE",
                             key, 1, on_one, &one, NULL);
    return st == ST_OK && !one.found ? ST_ORDER_NOT_FOUND : st;
}

enum status order_move(struct session *s, struct order *o, enum order_state to)
{
    uint64_t changed = 0;
    int64_t now = clock_wall_ms();
    const struct sql_val args[] = {SQL_INT(to), SQL_INT(now), SQL_BYTES(o->id.b, UID_LEN),
                                   SQL_INT(o->state)};
    enum status st =
        sql_run(s->sql, "UPDATE orders SET state = ?, changed_ms = ? WHERE id = ? AND state = ?",
                args, 4, NULL, NULL, &changed);
    if (st != ST_OK || changed == 0)
        return st == ST_OK ? ST_CONFLICT : st;
    o->state = to;
    o->changed_ms = now;
    return ST_OK;
}

/* Not in MariaDB: reserved and on its way, or nothing. */
static enum status find_queued(struct session *s, const struct uid *id,
                               const struct order_scope *scope, struct order *out)
{
    const struct snapshot *snap;
    enum status st = session_catalog(s, &snap);
    if (st != ST_OK)
        return st;
    const struct sale *sale = snapshot_sale_by_no(snap, uid_sale_no(id));
    unsigned shard = uid_shard(id);
    if (!sale || shard >= sale->shards || !sale->allocated ||
        (scope->storefront != 0 && scope->storefront != sale->storefront))
        return ST_ORDER_NOT_FOUND;
    struct gate_found found;
    st = gate_find(s, sale, shard, id, scope->shopper, &found);
    if (st != ST_OK)
        return st;
    if (!found.item)
        return ST_ORDER_NOT_FOUND;
    *out = (struct order){.id = *id,
                          .storefront = sale->storefront,
                          .item = found.item->no,
                          .shard = shard,
                          .qty = found.qty,
                          .amount = found.item->price * found.qty,
                          .state = ORDER_QUEUED};
    memcpy(out->shopper, found.shopper, sizeof(out->shopper));
    return ST_OK;
}

enum status order_get(struct session *s, const struct uid *id, const struct order_scope *scope,
                      struct order *out)
{
    struct one one = {out, false};
    const struct sql_val key[] = {SQL_BYTES(id->b, UID_LEN)};
    static const char text[] = "SELECT " ORDER_COLUMNS " FROM orders WHERE id = ?";
    enum status st = sql_run(s->sql, text, key, 1, on_one, &one, NULL);
    if (st != ST_OK)
        return st;
    if (!one.found) {
        st = find_queued(s, id, scope, out);
        if (st != ST_ORDER_NOT_FOUND)
            return st;
        /* It may have become durable between the two looks. */
        st = sql_run(s->sql, text, key, 1, on_one, &one, NULL);
        if (st != ST_OK || !one.found)
            return st == ST_OK ? ST_ORDER_NOT_FOUND : st;
    }
    if (!order_in_scope(out, scope))
        return ST_ORDER_NOT_FOUND;
    return payments_of_order(s, out);
}

enum status order_by_key(struct session *s, uint32_t storefront, struct str shopper,
                         const uint8_t key[KEY_LEN], struct order *out)
{
    struct one one = {out, false};
    const struct sql_val args[] = {SQL_INT(storefront), SQL_STR(shopper), SQL_BYTES(key, KEY_LEN)};
    enum status st = sql_run(s->sql,
                             "SELECT " ORDER_COLUMNS " FROM orders "
                             "WHERE storefront = ? AND shopper = ? AND idem = ?",
                             args, 3, on_one, &one, NULL);
    if (st != ST_OK || !one.found)
        return st == ST_OK ? ST_ORDER_NOT_FOUND : st;
    return payments_of_order(s, out);
}

struct list {
    struct order *out;
    unsigned n, max;
    bool more;
};

static bool on_listed(void *arg, const struct sql_val *c, unsigned n)
{
    struct list *l = arg;
    if (l->n == l->max) {
        l->more = true;
        return false;
    }
    order_from_row(&l->out[l->n++], c);
    return true;
}

enum status order_list(struct session *s, const struct order_scope *scope, const struct uid *after,
                       unsigned n, struct order *out, unsigned *found, bool *more)
{
    struct list l = {.out = out, .max = n};
    struct uid newest;
    memset(newest.b, 0xff, UID_LEN);
    const struct sql_val args[] = {SQL_INT(scope->storefront), SQL_STR(scope->shopper),
                                   SQL_BYTES((after ? after : &newest)->b, UID_LEN),
                                   SQL_INT(n + 1)};
    enum status st = sql_run(s->sql,
                             "SELECT " ORDER_COLUMNS " FROM orders WHERE storefront = ? AND "
                             "shopper = ? AND id < ? ORDER BY id DESC LIMIT ?",
                             args, 4, on_listed, &l, NULL);
    for (unsigned i = 0; i < l.n && st == ST_OK; i++)
        st = payments_of_order(s, &out[i]);
    *found = l.n;
    *more = l.more;
    return st;
}

/* Closes an unpaid order and gives its units back: one transaction, then Redis is told. */
static enum status close_locked(struct session *s, struct order *o, enum order_state to,
                                struct outbox_row *row)
{
    int64_t epoch = 0;
    enum status st = order_move(s, o, to);
    if (st == ST_OK)
        st = ledger_release(s, o->item, o->shard, o->qty, &epoch);
    *row = (struct outbox_row){.kind = OUTBOX_RELEASE,
                               .sale = uid_sale_no(&o->id),
                               .item = o->item,
                               .shard = o->shard,
                               .epoch = epoch,
                               .order = o->id,
                               .gen = o->gen,
                               .shopper = str_from(o->shopper),
                               .n = o->qty};
    return st == ST_OK ? outbox_write(s, row, 1) : st;
}

static enum status cancel_once(struct session *s, const struct uid *id,
                               const struct order_scope *scope, struct order *out,
                               struct outbox_row *row, bool *released)
{
    enum status st = sql_begin(s->sql);
    if (st == ST_OK)
        st = order_lock(s, id, out);
    if (st == ST_OK && !order_in_scope(out, scope))
        st = ST_ORDER_NOT_FOUND;
    struct order_step step = {ST_OK, ORDER_PENDING, ORDER_DO_NOTHING};
    if (st == ST_OK) {
        step = order_step(out->state, ORDER_CANCEL);
        st = step.st;
    }
    if (st == ST_OK && step.action == ORDER_DO_RELEASE)
        st = close_locked(s, out, step.to, row);
    if (st == ST_OK)
        st = sql_commit(s->sql);
    else
        sql_rollback(s->sql);
    *released = st == ST_OK && step.action == ORDER_DO_RELEASE;
    return st;
}

enum status order_cancel(struct session *s, const struct uid *id, const struct order_scope *scope,
                         struct order *out)
{
    enum { TRIES = 3 };
    struct outbox_row row;
    bool released = false;
    enum status st = ST_CONFLICT;
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++)
        st = cancel_once(s, id, scope, out, &row, &released);
    if (st == ST_ORDER_NOT_FOUND) {
        enum status queued = find_queued(s, id, scope, out);
        return queued == ST_OK ? ST_INVALID_STATE : queued;
    }
    if (released) {
        CRASH_POINT(cancel_after_commit);
        metrics_add(s->metrics, M_ORDERS_CANCELLED, 1);
        outbox_deliver(s, &row, 1);
    }
    return st == ST_OK ? payments_of_order(s, out) : st;
}
