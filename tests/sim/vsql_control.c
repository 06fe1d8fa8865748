/* Catalogue, shards, leases, cursors and outbox, as the service's statements read and change them. */
#include "sim.h"
#include "vmem.h"
#include "vsql_statements.h"

#include <stdlib.h>
#include <string.h>

/* --- catalogue --------------------------------------------------------------------------------- */

static status_t read_version(vconn *c, args_t a, struct vout *out)
{
    out_row(out, 1, (struct sql_val[]){SQL_INT(SEE(c, counter, 0)->n)});
    return ST_OK;
}

static status_t touch_catalog(vconn *c, args_t a, struct vout *out)
{
    void *row;
    status_t st = row_lock(c, T_counter, 0, &row);
    if (st == ST_OK)
        ((struct counter_row *)row)->n++;
    return st;
}

static status_t read_sales(vconn *c, args_t a, struct vout *out)
{
    const struct world_sale *s = &vsql_sale;
    out_row(out, 11,
            (struct sql_val[]){SQL_INT(SALE_NO), SQL_Z("sale"), SQL_INT(STOREFRONT_NO),
                               SQL_Z("Sale"), SQL_Z("CNY"), SQL_Z("published"),
                               SQL_INT(s->starts_ms), SQL_INT(s->starts_ms + 86400000),
                               SQL_INT(s->pay_within_s), SQL_INT(s->shards), SQL_INT(0)});
    return ST_OK;
}

static status_t count_items(vconn *c, args_t a, struct vout *out)
{
    out_row(out, 2, (struct sql_val[]){SQL_INT(SALE_NO), SQL_INT(vsql_sale.items)});
    return ST_OK;
}

static status_t read_items(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < vsql_sale.items; i++)
        out_row(out, 8,
                (struct sql_val[]){SQL_INT(i + 1), SQL_INT(SALE_NO), SQL_Z(vsql_sku(i)),
                                   SQL_Z("Item"), SQL_INT(PRICE), SQL_NULL,
                                   SQL_INT(vsql_sale.limit), SQL_INT(vsql_sale.stock[i])});
    return ST_OK;
}

static status_t read_shards(vconn *c, args_t a, struct vout *out)
{
    for (unsigned k = 0; k < vsql_sale.shards; k++) {
        const struct shard_row *s = SEE(c, shard, k);
        out_row(out, 6,
                (struct sql_val[]){SQL_INT(SALE_NO), SQL_INT(k), SQL_INT(s->epoch),
                                   SQL_INT(s->ready), SQL_Z(s->run_id), SQL_Z(s->repl_id)});
    }
    return ST_OK;
}

static status_t read_nothing(vconn *c, args_t a, struct vout *out)
{
    return ST_OK;
}

static status_t read_storefronts(vconn *c, args_t a, struct vout *out)
{
    out_row(out, 2, (struct sql_val[]){SQL_INT(STOREFRONT_NO), SQL_Z("shop")});
    return ST_OK;
}

/* --- shards: the fence ------------------------------------------------------------------------- */

static status_t read_shard(vconn *c, args_t a, struct vout *out)
{
    const struct shard_row *s = SEE(c, shard, a[1].i);
    out_row(out, 3,
            (struct sql_val[]){SQL_INT(s->epoch),
                               SQL_INT(sim_mutated("forgotten-opened") ? 0 : s->opened),
                               SQL_INT(s->ready)});
    return ST_OK;
}

static status_t lock_shard(vconn *c, const struct sql_val *shard, struct shard_row **s)
{
    void *row;
    status_t st = row_lock(c, T_shard, (unsigned)shard->i, &row);
    *s = row;
    return st;
}

/* epoch, owner, lease, sale, shard, epoch seen, ready seen, owner */
static status_t take_lease(vconn *c, args_t a, struct vout *out)
{
    struct shard_row *s;
    struct uid me = uid_of(&a[1]);
    status_t st = lock_shard(c, &a[4], &s);
    if (st != ST_OK)
        return st;
    bool free_now =
        s->until_ms < vos_wall_ms() || uid_equal(&s->owner, &me) || vsql_sale.leases_lapse;
    if ((s->epoch != a[5].i && !sim_mutated("bump-without-seen")) || s->ready != (a[6].i != 0) ||
        !free_now)
        return ST_OK;
    s->epoch = a[0].i;
    s->ready = false;
    s->owner = me;
    s->until_ms = vos_wall_ms() + a[2].i;
    out->affected++;
    return ST_OK;
}

/* opened, run id, replication id, sale, shard, epoch */
static status_t note_opened(vconn *c, args_t a, struct vout *out)
{
    struct shard_row *s;
    status_t st = lock_shard(c, &a[4], &s);
    if (st != ST_OK || s->epoch != a[5].i)
        return st;
    s->opened = a[0].i;
    memcpy(s->run_id, a[1].s.p, a[1].s.n);
    memcpy(s->repl_id, a[2].s.p, a[2].s.n);
    out->affected++;
    return ST_OK;
}

static status_t renew_load(vconn *c, args_t a, struct vout *out)
{
    struct shard_row *s;
    status_t st = lock_shard(c, &a[2], &s);
    if (st == ST_OK && s->epoch == a[3].i)
        s->until_ms = vos_wall_ms() + a[0].i;
    return st;
}

static status_t open_gate(vconn *c, args_t a, struct vout *out)
{
    struct shard_row *s;
    status_t st = lock_shard(c, &a[1], &s);
    if (st != ST_OK || s->epoch != a[2].i)
        return st;
    out->affected += !s->ready || s->until_ms != 0;
    s->ready = true;
    s->until_ms = 0;
    return ST_OK;
}

/* --- leases of instances ----------------------------------------------------------------------- */

static bool by_name(const void *row, args_t a)
{
    const struct lease_row *l = row;
    struct uid name = uid_of(&a[0]);
    return l->on && uid_equal(&l->name, &name);
}

/* name, owner, ms, ms */
static status_t renew_lease(vconn *c, args_t a, struct vout *out)
{
    bool found;
    void *row = NULL;
    status_t st = find_decided(c, T_lease, by_name, a, &found);
    for (unsigned i = 0; found && st == ST_OK && !row && i < row_places(T_lease); i++)
        if (by_name(SEE(c, lease, i), a))
            st = row_lock(c, T_lease, i, &row);
    if (st == ST_OK && !row)
        st = row_insert(c, T_lease, &row);
    if (st != ST_OK)
        return st;
    *(struct lease_row *)row =
        (struct lease_row){true, uid_of(&a[0]), uid_of(&a[1]), vos_wall_ms() + a[2].i};
    return ST_OK;
}

static bool unset_lease(void *row, args_t a, struct vout *out)
{
    ((struct lease_row *)row)->on = false;
    return true;
}

static status_t read_clock(vconn *c, args_t a, struct vout *out)
{
    out_row(out, 1, (struct sql_val[]){SQL_INT(vos_wall_ms())});
    return ST_OK;
}

/* A server whose commits last. */
static status_t read_settings(vconn *c, args_t a, struct vout *out)
{
    out_row(out, 4, (struct sql_val[]){SQL_INT(1), SQL_INT(0), SQL_INT(1), SQL_INT(1)});
    return ST_OK;
}

static status_t drop_lease(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_lease, by_name, unset_lease, a, out);
}

static status_t read_lease(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < row_places(T_lease); i++) {
        const struct lease_row *l = SEE(c, lease, i);
        if (by_name(l, a) && l->until_ms > vos_wall_ms() && !vsql_sale.leases_lapse)
            out_row(out, 1, (struct sql_val[]){SQL_INT(1)});
    }
    return ST_OK;
}

/* --- the deadline sweep's cursors -------------------------------------------------------------- */

static bool by_term(const void *row, args_t a)
{
    const struct cursor_row *k = row;
    return k->on && k->pay_within_s == a[0].i;
}

static bool any_cursor(const void *row, args_t a)
{
    return ((const struct cursor_row *)row)->on;
}

static bool give_upto(void *row, args_t a, struct vout *out)
{
    out_row(out, 1, (struct sql_val[]){U(((const struct cursor_row *)row)->upto)});
    return true;
}

static status_t insert_cursor(vconn *c, args_t a, struct vout *out)
{
    bool found;
    void *row;
    status_t st = find_decided(c, T_cursor, by_term, a, &found);
    if (st == ST_OK && !found)
        st = row_insert(c, T_cursor, &row);
    if (st == ST_OK && !found)
        *(struct cursor_row *)row = (struct cursor_row){true, a[0].i, uid_of(&a[1])};
    return st;
}

static status_t read_cursor(vconn *c, args_t a, struct vout *out)
{
    for (unsigned i = 0; i < row_places(T_cursor); i++)
        if (by_term(SEE(c, cursor, i), a))
            give_upto((void *)(uintptr_t)SEE(c, cursor, i), a, out);
    return ST_OK;
}

static status_t lock_cursor(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_cursor, by_term, give_upto, a, out);
}

static status_t lock_cursors(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_cursor, any_cursor, give_upto, a, out);
}

static bool set_upto(void *row, args_t a, struct vout *out)
{
    ((struct cursor_row *)row)->upto = uid_of(&a[0]);
    return true;
}

static bool second_is_term(const void *row, args_t a)
{
    return by_term(row, a + 1);
}

static status_t move_cursor(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_cursor, second_is_term, set_upto, a, out);
}

static bool is_past(const void *row, args_t a)
{
    const struct cursor_row *k = row;
    struct uid to = uid_of(&a[1]);
    return k->on && uid_order(&k->upto, &to) > 0;
}

static status_t pull_back(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_cursor, is_past, set_upto, a, out);
}

/* --- outbox ------------------------------------------------------------------------------------ */

static status_t insert_outbox(vconn *c, args_t a, struct vout *out)
{
    void *row;
    status_t st = row_insert(c, T_outbox, &row);
    if (st == ST_OK)
        *(struct outbox_row_v *)row = (struct outbox_row_v){
            .on = true,
            .id = uid_of(&a[0]),
            .kind = a[1].i,
            .sale = a[2].i,
            .shard = a[3].i,
            .item = a[4].i,
            .epoch = a[5].i,
            .order = uid_of(&a[6]),
            .gen = a[7].i,
            .shopper = {vmem_copy(a[8].s.p, a[8].s.n), a[8].s.n},
            .n = a[9].i,
        };
    return st;
}

static bool outbox_id(const void *row, args_t a)
{
    const struct outbox_row_v *r = row;
    struct uid id = uid_of(&a[0]);
    return r->on && uid_equal(&r->id, &id);
}

static bool unset_outbox(void *row, args_t a, struct vout *out)
{
    ((struct outbox_row_v *)row)->on = false;
    return true;
}

static status_t delete_outbox(vconn *c, args_t a, struct vout *out)
{
    return each_locked(c, T_outbox, outbox_id, unset_outbox, a, out);
}

static int by_outbox_id(const void *a, const void *b)
{
    return uid_order(&(*(const struct outbox_row_v *const *)a)->id,
                     &(*(const struct outbox_row_v *const *)b)->id);
}

static status_t read_outbox(vconn *c, args_t a, struct vout *out)
{
    const struct outbox_row_v *found[64];
    struct uid after = uid_of(&a[0]);
    unsigned n = 0;
    for (unsigned i = 0; i < row_places(T_outbox); i++) {
        const struct outbox_row_v *r = row_see(c, T_outbox, i);
        if (r->on && uid_order(&r->id, &after) > 0)
            found[n++] = r;
    }
    if (n > 1)
        qsort(found, n, sizeof(struct outbox_row_v *), by_outbox_id);
    for (unsigned i = 0; i < n && (int64_t)i < a[1].i; i++) {
        const struct outbox_row_v *r = found[i];
        out_row(out, 10,
                (struct sql_val[]){U(r->id), SQL_INT(r->kind), SQL_INT(r->sale), SQL_INT(r->shard),
                                   SQL_INT(r->item), SQL_INT(r->epoch), U(r->order),
                                   SQL_INT(r->gen), SQL_STR(r->shopper), SQL_INT(r->n)});
    }
    return ST_OK;
}

/* kind */
static status_t sum_outbox(vconn *c, args_t a, struct vout *out)
{
    for (unsigned at = 0; at < ITEMS_MAX * SHARDS_MAX; at++) {
        int64_t item = at / SHARDS_MAX + 1, shard = at % SHARDS_MAX, sum = 0;
        bool any = false;
        for (unsigned i = 0; i < row_places(T_outbox); i++) {
            const struct outbox_row_v *r = row_see(c, T_outbox, i);
            if (!r->on || r->kind != a[0].i || r->item != item || r->shard != shard)
                continue;
            any = true;
            sum += r->n;
        }
        if (any)
            out_row(out, 3, (struct sql_val[]){SQL_INT(item), SQL_INT(shard), SQL_INT(sum)});
    }
    return ST_OK;
}

/* --- the table --------------------------------------------------------------------------------- */

const struct statement vsql_control[] = {
    {"SELECT n FROM counters WHERE name = 'catalog'", 0, false, read_version},
    {"UPDATE counters SET n = n + 1 WHERE name = 'catalog'", 0, true, touch_catalog},
    {"SELECT no, id, storefront, name, currency, state, starts_ms, ends_ms, pay_within_s, shards, "
     "created_ms FROM sales ORDER BY no",
     0, false, read_sales},
    {"SELECT sale, COUNT(*) FROM items GROUP BY sale ORDER BY sale", 0, false, count_items},
    {"SELECT no, sale, sku, name, price, list_price, per_shopper, stock FROM items "
     "ORDER BY sale, no",
     0, false, read_items},
    {"SELECT sale, shard, epoch, ready, run_id, repl_id FROM shards ORDER BY sale, shard", 0, false,
     read_shards},
    {"SELECT hash, storefront, role, demo FROM api_keys ORDER BY hash", 0, false, read_nothing},
    {"SELECT kid, storefront, sealed, demo FROM signing_keys ORDER BY kid", 0, false, read_nothing},
    {"SELECT no, id FROM storefronts ORDER BY no", 0, false, read_storefronts},

    {"SELECT epoch, opened, ready FROM shards WHERE sale = ? AND shard = ?", 2, false, read_shard},
    {"UPDATE shards SET epoch = ?, ready = 0, owner = ?, until_ms = " NOW_MS
     " + ? WHERE sale = ? AND shard = ? AND epoch = ? AND ready = ? AND (until_ms < " NOW_MS
     " OR owner = ?)",
     8, true, take_lease},
    {"UPDATE shards SET opened = ?, run_id = ?, repl_id = ? "
     "WHERE sale = ? AND shard = ? AND epoch = ?",
     6, true, note_opened},
    {"UPDATE shards SET until_ms = " NOW_MS " + ? WHERE sale = ? AND shard = ? AND epoch = ?", 4,
     true, renew_load},
    {"UPDATE shards SET ready = 1, until_ms = 0 WHERE sale = ? AND shard = ? AND epoch = ?", 3,
     true, open_gate},

    {"INSERT INTO leases (name, owner, until_ms) VALUES (?, ?, " NOW_MS " + ?) "
     "ON DUPLICATE KEY UPDATE until_ms = " NOW_MS " + ?",
     4, true, renew_lease},
    {"SELECT " NOW_MS, 0, false, read_clock},
    {"SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, "
     "CAST(@@innodb_doublewrite AS CHAR) NOT IN ('0', 'OFF')",
     0, false, read_settings},
    {"DELETE FROM leases WHERE name = ?", 1, true, drop_lease},
    {"SELECT 1 FROM leases WHERE name = ? AND until_ms > " NOW_MS, 1, false, read_lease},

    {"INSERT IGNORE INTO expiry_cursors (pay_within_s, upto) VALUES (?, ?)", 2, true,
     insert_cursor},
    {"SELECT upto FROM expiry_cursors WHERE pay_within_s = ?", 1, false, read_cursor},
    {"SELECT upto FROM expiry_cursors WHERE pay_within_s = ? FOR UPDATE", 1, false, lock_cursor},
    {"SELECT upto FROM expiry_cursors ORDER BY pay_within_s FOR UPDATE", 0, false, lock_cursors},
    {"UPDATE expiry_cursors SET upto = ? WHERE pay_within_s = ?", 2, true, move_cursor},
    {"UPDATE expiry_cursors SET upto = ? WHERE upto > ?", 2, true, pull_back},

    {"INSERT INTO outbox (id, kind, sale, shard, item, epoch, order_id, gen, shopper, n) "
     "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
     10, true, insert_outbox},
    {"SELECT item, shard, CAST(SUM(n) AS INTEGER) FROM outbox WHERE kind = ? GROUP BY item, shard",
     1, false, sum_outbox},
    {"DELETE FROM outbox WHERE id = ?", 1, true, delete_outbox},
    {"SELECT id, kind, sale, shard, item, epoch, order_id, gen, shopper, n "
     "FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
     2, false, read_outbox},
};

const unsigned vsql_controls_n = sizeof(vsql_control) / sizeof(vsql_control[0]);
