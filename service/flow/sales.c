#include "flow/sales.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/recover.h"

#include <stdio.h>

enum { TRIES = 5 };

static bool on_number(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return true;
}

/* Takes n numbers, inside the caller's transaction; returns the first through *first. */
static enum status take_numbers(struct session *s, const char *name, unsigned n, int64_t *first)
{
    int64_t last = 0;
    const struct sql_val more[] = {SQL_INT(n), SQL_Z(name)};
    const struct sql_val key[] = {SQL_Z(name)};
    enum status st =
        sql_run(s->sql, "UPDATE counters SET n = n + ? WHERE name = ?", more, 2, NULL, NULL, NULL);
    if (st == ST_OK)
        st = sql_run(s->sql, "SELECT n FROM counters WHERE name = ? FOR UPDATE", key, 1, on_number,
                     &last, NULL);
    *first = last - n + 1;
    return st;
}

static enum status insert_items(struct session *s, const struct new_sale *sale, int64_t sale_no)
{
    int64_t no = 0;
    enum status st = take_numbers(s, "item", sale->items, &no);
    for (unsigned i = 0; i < sale->items && st == ST_OK; i++, no++) {
        const struct new_item *item = &sale->item[i];
        const struct sql_val row[] = {
            SQL_INT(no),          SQL_INT(sale_no),
            SQL_STR(item->sku),   SQL_STR(item->name),
            SQL_INT(item->price), item->list_price < 0 ? SQL_NULL : SQL_INT(item->list_price),
            SQL_INT(item->limit), SQL_INT(item->stock)};
        st = sql_run(s->sql,
                     "INSERT INTO items (no, sale, sku, name, price, list_price, per_shopper, "
                     "stock) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                     row, 8, NULL, NULL, NULL);
    }
    return st;
}

static enum status insert_sale(struct session *s, const struct new_sale *sale, struct str id)
{
    int64_t no = 0;
    enum status st = take_numbers(s, "sale", 1, &no);
    /* Order ids carry the number in 24 bits. */
    if (st == ST_OK && no >= 1 << 24)
        return ST_INTERNAL;
    const struct sql_val row[] = {SQL_INT(no),
                                  SQL_STR(id),
                                  SQL_INT(sale->storefront),
                                  SQL_STR(sale->name),
                                  SQL_STR(sale->currency),
                                  SQL_INT(sale->starts_ms),
                                  SQL_INT(sale->ends_ms),
                                  SQL_INT(sale->pay_within_s),
                                  SQL_INT(sale->shards),
                                  SQL_INT(clock_wall_ms())};
    if (st == ST_OK)
        st = sql_run(
            s->sql,
            "INSERT INTO sales (no, id, storefront, name, kind, currency, state, starts_ms, "
            "ends_ms, pay_within_s, shards, created_ms) "
            "VALUES (?, ?, ?, ?, 'flash', ?, 'draft', ?, ?, ?, ?, ?)",
            row, 10, NULL, NULL, NULL);
    return st == ST_OK ? insert_items(s, sale, no) : st;
}

static enum status create_once(struct session *s, const struct new_sale *sale, struct str id)
{
    enum status st = sql_begin(s->sql);
    if (st == ST_OK)
        st = insert_sale(s, sale, id);
    if (st == ST_OK)
        st = catalog_touch(s->sql);
    if (st == ST_OK)
        return sql_commit(s->sql);
    sql_rollback(s->sql);
    return st;
}

/* After a try that may have made it: whose is the sale of this id? */
static enum status is_ours(struct session *s, const struct new_sale *sale, struct str id)
{
    int64_t storefront = 0;
    const struct sql_val key[] = {SQL_STR(id)};
    enum status st = sql_run(s->sql, "SELECT storefront FROM sales WHERE id = ?", key, 1, on_number,
                             &storefront, NULL);
    return st == ST_OK && storefront != sale->storefront ? ST_SALE_EXISTS : st;
}

enum status sale_create(struct session *s, const struct new_sale *sale, char id[65])
{
    if (sale->id.n > 0)
        snprintf(id, 65, "%.*s", (int)sale->id.n, sale->id.p);
    else
        uid_format("sale_", &sale->uid, id);
    enum status st = ST_CONFLICT;
    bool unsure = sale->resumed;
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++) {
        st = create_once(s, sale, str_from(id));
        unsure = unsure || st == ST_UNKNOWN;
    }
    if (st == ST_DUPLICATE)
        st = unsure ? is_ours(s, sale, str_from(id)) : ST_SALE_EXISTS;
    return st == ST_OK ? catalog_reload(s->engine->catalog, s->sql) : st;
}

struct sale_row {
    uint32_t no, storefront;
    enum sale_state state;
    unsigned shards;
    enum status st;
};

static bool on_sale(void *arg, const struct sql_val *c, unsigned n)
{
    struct sale_row *r = arg;
    r->no = (uint32_t)c[0].i;
    r->storefront = (uint32_t)c[1].i;
    r->shards = (unsigned)c[3].i;
    r->st = sale_state_parse(c[2].s, &r->state) == ST_OK ? ST_OK : ST_INTERNAL;
    return true;
}

/* Units are split as evenly as they go; the first shards get the rest. */
static enum status allocate_shard(struct session *s, const struct sale_row *sale, unsigned shard)
{
    const struct sql_val place[] = {SQL_INT(sale->no), SQL_INT(shard)};
    const struct sql_val split[] = {SQL_INT(shard),        SQL_INT(sale->shards), SQL_INT(shard),
                                    SQL_INT(sale->shards), SQL_INT(sale->shards), SQL_INT(shard),
                                    SQL_INT(sale->shards), SQL_INT(sale->no)};
    enum status st = sql_run(s->sql,
                             "INSERT INTO shards (sale, shard, epoch, opened, ready, run_id, "
                             "repl_id, owner, until_ms) "
                             "VALUES (?, ?, 0, 0, 0, '', '', REPEAT('\\0', 16), 0)",
                             place, 2, NULL, NULL, NULL);
    if (st != ST_OK)
        return st;
    return sql_run(s->sql,
                   "INSERT INTO shard_stock (item, shard, epoch, allocated, held, added) "
                   "SELECT no, ?, 0, stock DIV ? + (? < stock MOD ?), 0, "
                   "stock DIV ? + (? < stock MOD ?) FROM items WHERE sale = ?",
                   split, 8, NULL, NULL, NULL);
}

static enum status allocate(struct session *s, const struct sale_row *sale)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < sale->shards && st == ST_OK; i++)
        st = allocate_shard(s, sale, i);
    return st;
}

static enum status move_locked(struct session *s, const struct sale_row *sale,
                               enum sale_event event)
{
    struct sale_step step = sale_step(sale->state, event);
    if (step.st != ST_OK || !step.changes)
        return step.st;
    enum status st = ST_OK;
    if (sale->state == SALE_DRAFT && step.to == SALE_PUBLISHED)
        st = allocate(s, sale);
    const struct sql_val args[] = {SQL_Z(sale_state_text(step.to)), SQL_INT(sale->no),
                                   SQL_Z(sale_state_text(sale->state))};
    if (st == ST_OK)
        st = sql_run(s->sql, "UPDATE sales SET state = ? WHERE no = ? AND state = ?", args, 3, NULL,
                     NULL, NULL);
    return st == ST_OK ? catalog_touch(s->sql) : st;
}

static enum status move_once(struct session *s, uint32_t storefront, struct str id,
                             enum sale_event event, struct sale_row *sale)
{
    const struct sql_val key[] = {SQL_STR(id)};
    *sale = (struct sale_row){.st = ST_SALE_NOT_FOUND};
    enum status st = sql_begin(s->sql);
    if (st == ST_OK)
        st = sql_run(s->sql,
                     "SELECT no, storefront, state, shards FROM sales WHERE id = ? FOR UPDATE", key,
                     1, on_sale, sale, NULL);
    if (st == ST_OK)
        st = sale->st;
    if (st == ST_OK && storefront != 0 && sale->storefront != storefront)
        st = ST_SALE_NOT_FOUND;
    if (st == ST_OK)
        st = move_locked(s, sale, event);
    if (st == ST_OK)
        return sql_commit(s->sql);
    sql_rollback(s->sql);
    return st;
}

enum status sale_move(struct session *s, uint32_t storefront, struct str id, enum sale_event event)
{
    struct sale_row sale;
    enum status st = ST_CONFLICT;
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++)
        st = move_once(s, storefront, id, event, &sale);
    if (st != ST_OK)
        return st;
    CRASH_POINT(publish_after_allocate);
    st = catalog_reload(s->engine->catalog, s->sql);
    if (st == ST_OK && event == SALE_PUBLISH && recover_sale(s, sale.no) != ST_OK)
        LOG(s->engine->log, LOG_WARN, "gate_opens_later", LF_STR("sale", id));
    return st;
}
