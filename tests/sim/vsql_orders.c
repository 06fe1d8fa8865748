/* Orders and stock, as the service's statements read and change them. */
#include "flow/orders.h"
#include "sim.h"
#include "vmem.h"
#include "vsql_statements.h"

#include <string.h>

/* --- orders ------------------------------------------------------------------------------------ */

/* Values of an INSERT: id, storefront, shopper, idem, item, shard, qty, amount. */
static bool same_id(const void *row, args_t a)
{
    const struct order_row *o = row;
    struct uid id = uid_of(&a[0]);
    return o->on && uid_equal(&o->id, &id);
}

static bool same_key(const struct order_row *o, const struct sql_val *storefront,
                     const struct sql_val *shopper, const struct sql_val *idem)
{
    struct uid key = uid_of(idem);
    return o->on && o->storefront == (uint32_t)storefront->i && str_equal(o->shopper, shopper->s) &&
           uid_equal(&o->idem, &key);
}

static bool same_id_or_key(const void *row, args_t a)
{
    return same_id(row, a) || (!sim_mutated("no-unique-key") && same_key(row, &a[1], &a[2], &a[3]));
}

static bool by_key(const void *row, args_t a)
{
    return same_key(row, &a[0], &a[1], &a[2]);
}

static status_t insert_order(vconn *c, args_t a, uint32_t state, bool *inserted)
{
    void *row;
    bool found = false;
    *inserted = false;
    if (a[6].i <= 0 || a[7].i <= 0)
        return ST_INTERNAL;
    status_t st = find_decided(c, T_order, same_id_or_key, a, &found);
    if (st == ST_OK && !found)
        st = row_insert(c, T_order, &row);
    if (st != ST_OK || found)
        return st;
    *(struct order_row *)row = (struct order_row){
        .on = true,
        .id = uid_of(&a[0]),
        .storefront = (uint32_t)a[1].i,
        .shopper = {vmem_copy(a[2].s.p, a[2].s.n), a[2].s.n},
        .idem = uid_of(&a[3]),
        .item = (uint32_t)a[4].i,
        .shard = (uint32_t)a[5].i,
        .qty = (uint32_t)a[6].i,
        .amount = a[7].i,
        .state = state,
    };
    *inserted = true;
    return ST_OK;
}

static status_t insert_plainly(vconn *c, args_t a, struct vout *out)
{
    bool inserted;
    status_t st = insert_order(c, a, ORDER_PENDING, &inserted);
    out->affected += inserted;
    return st == ST_OK && !inserted ? ST_DUPLICATE : st;
}

static status_t insert_returning(vconn *c, args_t a, struct vout *out)
{
    bool inserted;
    status_t st = insert_order(c, a, ORDER_PENDING, &inserted);
    if (inserted)
        out_row(out, 1, &a[0]);
    return st;
}

static status_t insert_cancelled(vconn *c, args_t a, struct vout *out)
{
    bool inserted;
    status_t st = insert_order(c, a, ORDER_CANCELLED, &inserted);
    out->affected += inserted;
    return st;
}

static bool give_existing(void *row, args_t a, struct vout *out)
{
    const struct order_row *o = row;
    out_row(
        out, 2,
        (struct sql_val[]){U(o->id), SQL_INT(o->state == ORDER_PENDING || o->state == ORDER_PAID)});
    return true;
}

static status_t lock_by_key(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_order, by_key, give_existing, a, out);
}

/* ORDER_COLUMNS. */
static bool give_order(void *row, args_t a, struct vout *out)
{
    const struct order_row *o = row;
    out_row(out, 10,
            (struct sql_val[]){U(o->id), SQL_INT(o->storefront), SQL_STR(o->shopper),
                               SQL_INT(o->item), SQL_INT(o->shard), SQL_INT(o->qty),
                               SQL_INT(o->amount), SQL_INT(o->state), SQL_INT(o->gen),
                               SQL_INT(o->changed_ms)});
    return true;
}

static status_t lock_order(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_order, same_id, give_order, a, out);
}

static status_t read_where(vconn *c, match_fn match, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < row_places(T_order); i++)
        if (match(SEE(c, order, i), a))
            give_order((void *)(uintptr_t)SEE(c, order, i), a, out);
    return ST_OK;
}

static status_t read_order(vconn *c, args_t a, struct vout *out)
{
    return read_where(c, same_id, a, out);
}

static status_t read_by_key(vconn *c, args_t a, struct vout *out)
{
    return read_where(c, by_key, a, out);
}

/* state = ?, changed_ms = ? WHERE id = ? AND state = ? */
static bool id_and_state(const void *row, args_t a)
{
    const struct order_row *o = row;
    return same_id(row, a + 2) && o->state == (uint32_t)a[3].i;
}

static bool set_state(void *row, args_t a, struct vout *out)
{
    struct order_row *o = row;
    o->state = (uint32_t)a[0].i;
    o->changed_ms = a[1].i;
    return true;
}

static status_t move_order(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_order, id_and_state, set_state, a, out);
}

static status_t expire_order(vconn *c, args_t a, struct vout *out)
{
    const struct sql_val all[] = {a[0], a[1], a[2], SQL_INT(ORDER_PENDING)};
    return move_order(c, all, out);
}

static bool is_due(const void *row, args_t a)
{
    const struct order_row *o = row;
    struct uid from = uid_of(&a[0]), to = uid_of(&a[1]);
    return o->on && o->state == ORDER_PENDING && uid_order(&o->id, &from) > 0 &&
           uid_order(&o->id, &to) <= 0;
}

static status_t lock_due(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_order, is_due, give_order, a, out);
}

static status_t read_holds(vconn *c, args_t a, struct vout *out)
{
    struct uid from = uid_of(&a[0]);
    for (unsigned i = 0; i < row_places(T_order); i++) {
        const struct order_row *o = SEE(c, order, i);
        if (!o->on || o->shard != (uint32_t)a[1].i || uid_order(&o->id, &from) < 0)
            continue;
        out_row(out, 7,
                (struct sql_val[]){U(o->id), SQL_STR(o->shopper), SQL_INT(o->item), U(o->idem),
                                   SQL_INT(o->qty), SQL_INT(o->gen),
                                   SQL_INT(o->state == ORDER_PENDING || o->state == ORDER_PAID)});
    }
    return ST_OK;
}

/* --- stock ------------------------------------------------------------------------------------- */

static status_t lock_stock(vconn *c, const struct sql_val *item, const struct sql_val *shard,
                           struct stock_row **stock)
{
    void *row;
    status_t st = row_lock(c, T_stock, stock_place(item->i, shard->i), &row);
    *stock = row;
    return st;
}

static bool within_check(const struct stock_row *s)
{
    return s->held >= 0 && s->held <= s->allocated;
}

/* held + ?, item, shard, epoch, held + ? <= allocated */
static status_t count_units(vconn *c, args_t a, struct vout *out)
{
    struct stock_row *s;
    status_t st = lock_stock(c, &a[1], &a[2], &s);
    if (st != ST_OK)
        return st;
    bool fenced = s->epoch != a[3].i && !sim_mutated("no-fence");
    if (fenced || (s->held + a[4].i > s->allocated && !sim_mutated("no-guard")))
        return ST_OK;
    s->held += a[0].i;
    out->affected++;
    return within_check(s) || sim_mutated("no-guard") ? ST_OK : ST_INTERNAL;
}

/* item, shard, epoch, units, units: a row that changes counts twice */
static status_t count_together(vconn *c, args_t a, struct vout *out)
{
    const struct sql_val all[] = {a[3], a[0], a[1], a[2], a[3]};
    uint64_t before = out->affected;
    status_t st = count_units(c, all, out);
    out->affected += out->affected - before;
    return st;
}

/* held - ?, item, shard, held >= ? */
static status_t give_back(vconn *c, args_t a, struct vout *out)
{
    struct stock_row *s;
    status_t st = lock_stock(c, &a[1], &a[2], &s);
    if (st != ST_OK || s->held < a[3].i)
        return st;
    s->held -= a[0].i;
    out->affected++;
    return ST_OK;
}

static status_t lock_epoch(vconn *c, args_t a, struct vout *out)
{
    struct stock_row *s;
    status_t st = lock_stock(c, &a[0], &a[1], &s);
    if (st == ST_OK)
        out_row(out, 1, (struct sql_val[]){SQL_INT(s->epoch)});
    return st;
}

/* allocated + ?, added + ?, item, shard */
static status_t allocate_more(vconn *c, args_t a, struct vout *out)
{
    struct stock_row *s;
    status_t st = lock_stock(c, &a[2], &a[3], &s);
    if (st != ST_OK)
        return st;
    s->allocated += a[0].i;
    s->added += a[1].i;
    out->affected++;
    return ST_OK;
}

static status_t lock_units(vconn *c, args_t a, struct vout *out)
{
    struct stock_row *s;
    status_t st = lock_stock(c, &a[0], &a[1], &s);
    if (st == ST_OK)
        out_row(out, 4,
                (struct sql_val[]){SQL_INT(s->allocated), SQL_INT(s->held), SQL_INT(s->added),
                                   SQL_INT(s->epoch)});
    return st;
}

/* allocated - ?, item, shard, epoch, allocated - ? >= held */
static status_t allocate_less(vconn *c, args_t a, struct vout *out)
{
    struct stock_row *s;
    status_t st = lock_stock(c, &a[1], &a[2], &s);
    if (st != ST_OK || s->epoch != a[3].i || s->allocated - a[4].i < s->held)
        return st;
    s->allocated -= a[0].i;
    out->affected++;
    return ST_OK;
}

static status_t sum_units(vconn *c, args_t a, struct vout *out)
{
    int64_t allocated = 0, held = 0;
    for (unsigned k = 0; k < vsql_sale.shards; k++) {
        const struct stock_row *s = SEE(c, stock, stock_place(a[0].i, k));
        allocated += s->allocated;
        held += s->held;
    }
    out_row(out, 4, (struct sql_val[]){SQL_INT(allocated), SQL_INT(held), SQL_INT(0), SQL_INT(0)});
    return ST_OK;
}

static status_t read_stock(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < vsql_sale.items; i++) {
        const struct stock_row *s = SEE(c, stock, stock_place(i + 1, a[0].i));
        out_row(out, 4,
                (struct sql_val[]){SQL_INT(i + 1), SQL_INT(s->allocated), SQL_INT(s->held),
                                   SQL_INT(s->added)});
    }
    return ST_OK;
}

static status_t read_all_stock(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < vsql_sale.items; i++) {
        for (unsigned k = 0; k < vsql_sale.shards; k++) {
            const struct stock_row *s = SEE(c, stock, stock_place(i + 1, k));
            out_row(out, 6,
                    (struct sql_val[]){SQL_INT(i + 1), SQL_INT(k), SQL_INT(s->epoch),
                                       SQL_INT(s->allocated), SQL_INT(s->held), SQL_INT(s->added)});
        }
    }
    return ST_OK;
}

/* epoch = ?, shard */
static status_t move_stock_epoch(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < vsql_sale.items; i++) {
        void *row;
        status_t st = row_lock(c, T_stock, stock_place(i + 1, a[1].i), &row);
        if (st != ST_OK)
            return st;
        ((struct stock_row *)row)->epoch = a[0].i;
        out->affected++;
    }
    return ST_OK;
}

static bool same_movement(const void *row, args_t a)
{
    const struct movement_row *m = row;
    struct uid id = uid_of(&a[0]);
    return m->on && uid_equal(&m->id, &id);
}

static status_t insert_movement(vconn *c, args_t a, struct vout *out)
{
    bool found;
    void *row;
    status_t st = find_decided(c, T_movement, same_movement, a, &found);
    if (st == ST_OK)
        st = found ? ST_DUPLICATE : row_insert(c, T_movement, &row);
    if (st != ST_OK)
        return st;
    *(struct movement_row *)row =
        (struct movement_row){true, uid_of(&a[0]), (uint32_t)a[1].i, (uint32_t)a[2].i, a[3].i};
    return ST_OK;
}

static status_t read_movement(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < row_places(T_movement); i++) {
        const struct movement_row *m = SEE(c, movement, i);
        if (same_movement(m, a))
            out_row(out, 1, (struct sql_val[]){SQL_INT(m->delta)});
    }
    return ST_OK;
}

/* The simulation knows no payments. */
static status_t read_nothing(vconn *c, args_t a, struct vout *out)
{
    return ST_OK;
}

/* --- the table --------------------------------------------------------------------------------- */

#define ORDER_VALUES \
    "orders (id, storefront, shopper, idem, item, shard, qty, amount, state) VALUES "

const struct statement vsql_orders[] = {
    {"INSERT INTO " ORDER_VALUES "(?, ?, ?, ?, ?, ?, ?, ?, 1)", 8, true, insert_plainly},
    {"INSERT IGNORE INTO " ORDER_VALUES "(?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id", 8, true,
     insert_returning},
    {"INSERT IGNORE INTO " ORDER_VALUES "(?, ?, ?, ?, ?, ?, ?, ?, 3)", 8, true, insert_cancelled},
    {"SELECT id, state IN (1, 2) FROM orders WHERE storefront = ? AND shopper = ? AND idem = ? "
     "FOR UPDATE",
     3, false, lock_by_key},
    {"SELECT " ORDER_COLUMNS " FROM orders WHERE id = ? FOR UPDATE", 1, false, lock_order},
    {"SELECT " ORDER_COLUMNS " FROM orders WHERE id = ?", 1, false, read_order},
    {"SELECT " ORDER_COLUMNS " FROM orders WHERE storefront = ? AND shopper = ? AND idem = ?", 3,
     false, read_by_key},
    {"UPDATE orders SET state = ?, changed_ms = ? WHERE id = ? AND state = ?", 4, true, move_order},
    {"UPDATE orders SET state = ?, changed_ms = ? WHERE id = ? AND state = 1", 3, true,
     expire_order},
    {"SELECT " ORDER_COLUMNS " FROM orders FORCE INDEX (PRIMARY) WHERE id > ? AND id <= ? AND "
     "state = 1 AND item IN (~) ORDER BY id LIMIT ? FOR UPDATE",
     3, false, lock_due},
    {"SELECT id, shopper, item, idem, qty, gen, state IN (1, 2) FROM orders FORCE INDEX (PRIMARY) "
     "WHERE id >= ? AND shard = ? AND item IN (~)",
     2, false, read_holds},

    {"UPDATE shard_stock SET held = held + ? WHERE item = ? AND shard = ? AND epoch = ? AND "
     "held + ? <= allocated",
     5, true, count_units},
    {"INSERT INTO shard_stock (item, shard, epoch, allocated, held, added) "
     "VALUES (?, ?, ?, ?, ?, 0) ON DUPLICATE KEY UPDATE held = IF(epoch = VALUES(epoch) AND "
     "held + VALUES(held) <= allocated, held + VALUES(held), held)",
     5, true, count_together},
    {"UPDATE shard_stock SET held = held - ? WHERE item = ? AND shard = ? AND held >= ?", 4, true,
     give_back},
    {"SELECT epoch FROM shard_stock WHERE item = ? AND shard = ? FOR UPDATE", 2, false, lock_epoch},
    {"UPDATE shard_stock SET allocated = allocated + ?, added = added + ? "
     "WHERE item = ? AND shard = ?",
     4, true, allocate_more},
    {"SELECT allocated, held, added, epoch FROM shard_stock WHERE item = ? AND shard = ? FOR "
     "UPDATE",
     2, false, lock_units},
    {"UPDATE shard_stock SET allocated = allocated - ? "
     "WHERE item = ? AND shard = ? AND epoch = ? AND allocated - ? >= held",
     5, true, allocate_less},
    {"SELECT CAST(SUM(allocated) AS INTEGER), CAST(SUM(held) AS INTEGER), 0, 0 FROM shard_stock "
     "WHERE item = ?",
     1, false, sum_units},
    {"SELECT item, allocated, held, added FROM shard_stock "
     "WHERE shard = ? AND item IN (SELECT no FROM items WHERE sale = ?)",
     2, false, read_stock},
    {"SELECT k.item, k.shard, k.epoch, k.allocated, k.held, k.added "
     "FROM items i JOIN shard_stock k ON k.item = i.no WHERE i.sale = ?",
     1, false, read_all_stock},
    {"UPDATE shard_stock SET epoch = ? WHERE shard = ? AND item IN "
     "(SELECT no FROM items WHERE sale = ?)",
     3, true, move_stock_epoch},
    {"INSERT INTO stock_movements (id, item, shard, delta, reason, created_ms) "
     "VALUES (?, ?, ?, ?, ?, ?)",
     6, true, insert_movement},
    {"SELECT delta FROM stock_movements WHERE id = ?", 1, false, read_movement},

    {"SELECT id, order_id, state, amount, created_ms, channel, phase, currency, channel_ref, "
     "action_url, return_url, action FROM payments WHERE order_id = ? ORDER BY id DESC LIMIT 20",
     1, false, read_nothing},
};

const unsigned vsql_orders_n = sizeof(vsql_orders) / sizeof(vsql_orders[0]);
