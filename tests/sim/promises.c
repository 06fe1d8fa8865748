/* The promises of README.md, against the rows and keys themselves. */
#include "flow/orders.h"
#include "rules/order_state.h"
#include "sim.h"
#include "vredis.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD = 37 };

static bool is_live(const struct order_row *o)
{
    return o->on && order_live((enum order_state)o->state);
}

/* P3: nobody holds more of an item than its limit, or two orders under one key. */
static void check_shopper(unsigned at)
{
    const struct order_row *o = &vsql_db.order[at];
    uint32_t units = o->qty;
    for (unsigned i = 0; i < row_places(T_order); i++) {
        const struct order_row *p = &vsql_db.order[i];
        if (i == at || !p->on || !str_equal(p->shopper, o->shopper))
            continue;
        if (uid_equal(&p->idem, &o->idem))
            sim_fail("P3: two orders under one key of %.*s", (int)o->shopper.n, o->shopper.p);
        if (is_live(p) && p->item == o->item)
            units += p->qty;
    }
    if (units > vsql_sale.limit && !sim_unnoticed)
        sim_fail("P3: %.*s holds %u of item %u, limit %u", (int)o->shopper.n, o->shopper.p, units,
                 o->item, vsql_sale.limit);
}

void promises_check_ledger(void)
{
    int64_t live[ITEMS_MAX * SHARDS_MAX] = {0};
    for (unsigned i = 0; i < row_places(T_order); i++) {
        const struct order_row *o = &vsql_db.order[i];
        if (!is_live(o))
            continue;
        live[(o->item - 1) * SHARDS_MAX + o->shard] += o->qty;
        check_shopper(i);
    }
    for (unsigned i = 0; i < ITEMS_MAX * SHARDS_MAX; i++) {
        const struct stock_row *s = &vsql_db.stock[i];
        if (!s->on)
            continue;
        if (live[i] > s->allocated)
            sim_fail("P1: OVERSOLD: %lld live units of %lld, item %u shard %u", (long long)live[i],
                     (long long)s->allocated, i / SHARDS_MAX + 1, i % SHARDS_MAX);
        if (live[i] != s->held)
            sim_fail("P4: %lld live units, held says %lld, item %u shard %u", (long long)live[i],
                     (long long)s->held, i / SHARDS_MAX + 1, i % SHARDS_MAX);
    }
}

static int64_t number_at(const struct rhash *h, const char *name)
{
    char text[24];
    const struct str *v = rhash_get(h, str_from(name));
    if (!v)
        return -1;
    snprintf(text, sizeof(text), "%.*s", (int)v->n, v->p);
    return strtoll(text, NULL, 10);
}

/* Whether `held` names this order, once. */
static bool is_held(const struct rhash *held, const struct order_row *o)
{
    char field[80];
    int n = snprintf(field, sizeof(field), "%s|%.*s", vsql_sku(o->item - 1), (int)o->shopper.n,
                     o->shopper.p);
    const struct str *v = rhash_get(held, (struct str){field, (size_t)n});
    unsigned found = 0;
    for (size_t at = 0; v && at + RECORD <= v->n; at += RECORD)
        found += memcmp(v->p + at, o->id.b, UID_LEN) == 0;
    return found == 1;
}

static unsigned records_in(const struct rhash *held)
{
    unsigned n = 0;
    for (unsigned i = 0; held->on && i < held->n; i++)
        n += held->field[i].name.p[0] == '#' ? 0 : (unsigned)(held->field[i].value.n / RECORD);
    return n;
}

static const char *missing_in_shard(unsigned k)
{
    static char why[160];
    const struct shard_row *row = &vsql_db.shard[k];
    const struct rshard *r = &vredis_data.shard[k];
    struct redis_identity id = vredis_identity();
    unsigned live = 0;
    if (!row->ready || number_at(&r->left, "#ready") != 1 ||
        number_at(&r->left, "#epoch") != row->epoch)
        return "the gate is not open under MariaDB's epoch";
    if (strcmp(row->run_id, id.run_id) != 0)
        return "the gate was loaded into another Redis";
    if (!r->log.on || r->log.n > 0)
        return "P4: the log is not empty";
    for (unsigned i = 0; i < row_places(T_order); i++) {
        const struct order_row *o = &vsql_db.order[i];
        if (!is_live(o) || o->shard != k)
            continue;
        live++;
        if (!is_held(&r->held, o))
            return "P4: a live order is not held in Redis";
    }
    if (live != records_in(&r->held))
        return "P4: Redis holds what is no live order";
    for (unsigned i = 0; i < vsql_sale.items; i++) {
        const struct stock_row *s = &vsql_db.stock[i * SHARDS_MAX + k];
        int64_t left = number_at(&r->left, vsql_sku(i));
        snprintf(why, sizeof(why), "P4: item %u shard %u: Redis has %lld left, MariaDB %lld", i + 1,
                 k, (long long)left, (long long)(s->allocated - s->held));
        if (s->epoch != row->epoch)
            return "the stock's epoch is not the shard's";
        if (left != s->allocated - s->held)
            return why;
    }
    return NULL;
}

const char *promises_missing(void)
{
    if (!crowd_done() || !operator_done())
        return "shoppers are not done";
    if (!instances_idle())
        return "an instance is not idle";
    for (unsigned i = 0; i < row_places(T_outbox); i++)
        if (vsql_db.outbox[i].on)
            return "the outbox is not empty";
    for (unsigned k = 0; k < vsql_sale.shards; k++) {
        const char *why = missing_in_shard(k);
        if (why)
            return why;
    }
    return NULL;
}

/* Units come and go by movements alone. */
static void check_movements(void)
{
    for (unsigned i = 0; i < vsql_sale.items; i++) {
        int64_t expected = vsql_sale.stock[i], found = 0;
        for (unsigned k = 0; k < row_places(T_movement); k++)
            if (vsql_db.movement[k].on && vsql_db.movement[k].item == i + 1)
                expected += vsql_db.movement[k].delta;
        for (unsigned k = 0; k < vsql_sale.shards; k++)
            found += vsql_db.stock[i * SHARDS_MAX + k].allocated;
        if (expected != found)
            sim_fail("P4: item %u has %lld units, its movements say %lld", i + 1, (long long)found,
                     (long long)expected);
    }
}

void promises_check_end(void)
{
    check_movements();
    for (unsigned i = 0; i < row_places(T_order); i++) {
        const struct order_row *o = &vsql_db.order[i];
        sim_count[SIM_ORDERS] += o->on;
        sim_count[SIM_EXPIRED] += o->on && o->state == ORDER_EXPIRED;
    }
    for (unsigned k = 0; k < vsql_sale.shards; k++)
        sim_count[SIM_LOADS] += (uint64_t)vsql_db.shard[k].epoch;
    crowd_check();
    operator_check();
}
