#include "flow/sweep.h"

#include "flow/engine.h"
#include "flow/recover.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

enum { ENTRIES = 100 };

#define NOW_MS "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS INTEGER)"

static enum status renew(struct session *s)
{
    const struct uid *me = &s->engine->instance;
    const struct sql_val args[] = {SQL_BYTES(me->b, UID_LEN), SQL_BYTES(me->b, UID_LEN),
                                   SQL_INT(INSTANCE_LEASE_MS), SQL_INT(INSTANCE_LEASE_MS)};
    return sql_run(s->sql,
                   "INSERT INTO leases (name, owner, until_ms) VALUES (?, ?, " NOW_MS " + ?) "
                   "ON DUPLICATE KEY UPDATE until_ms = " NOW_MS " + ?",
                   args, 4, NULL, NULL, NULL);
}

void sweep_leave(struct session *s)
{
    const struct sql_val me[] = {SQL_BYTES(s->engine->instance.b, UID_LEN)};
    if (sql_run(s->sql, "DELETE FROM leases WHERE name = ?", me, 1, NULL, NULL, NULL) != ST_OK)
        LOG(s->engine->log, LOG_INFO, "lease_left_to_lapse", LF_INT("ms", INSTANCE_LEASE_MS));
}

static bool on_lease(void *arg, const struct sql_val *c, unsigned n)
{
    *(bool *)arg = true;
    return true;
}

static enum status is_alive(struct session *s, struct str owner, bool *alive)
{
    const struct sql_val key[] = {SQL_STR(owner)};
    *alive = false;
    return sql_run(s->sql, "SELECT 1 FROM leases WHERE name = ? AND until_ms > " NOW_MS, key, 1,
                   on_lease, alive, NULL);
}

/* Entry: [id, [o, owner, e, epoch, r, row, ...]]. */
static struct str owner_of(const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[1]->type != REDIS_REPLY_ARRAY || entry->element[1]->elements < 2)
        return (struct str){0};
    const redisReply *owner = entry->element[1]->element[1];
    return (struct str){owner->str, owner->len};
}

static enum status sweep_entries(struct session *s, const struct sale_shard *shard,
                                 const redisReply *entries)
{
    struct str last = {(const char *)s->engine->instance.b, UID_LEN};
    for (size_t i = 0; i < entries->elements; i++) {
        struct str owner = owner_of(entries->element[i]);
        bool alive = true;
        if (str_equal(owner, last) ||
            str_equal(owner, (struct str){(const char *)s->engine->instance.b, UID_LEN}))
            continue;
        enum status st = is_alive(s, owner, &alive);
        if (st != ST_OK)
            return st;
        if (!alive) {
            LOG(s->engine->log, LOG_WARN, "owner_is_gone", LF_INT("sale_no", shard->live->sale_no),
                LF_INT("shard", shard->live->shard));
            recover_request(s->engine, shard->live, shard->epoch);
            return ST_OK;
        }
        last = owner;
    }
    return ST_OK;
}

static enum status sweep_shard(struct session *s, const struct sale_shard *shard)
{
    redisReply *r = NULL;
    args_reset(&s->args);
    args_z(&s->args, "XRANGE");
    args_add(&s->args, shard->keys.text[2], shard->keys.len[2]);
    args_z(&s->args, "-");
    args_z(&s->args, "+");
    args_z(&s->args, "COUNT");
    args_int(&s->args, ENTRIES);
    enum status st = redis_session_call(s->redis, &s->args, &r);
    if (st != ST_OK)
        return st;
    if (r->type == REDIS_REPLY_ARRAY)
        st = sweep_entries(s, shard, r);
    freeReplyObject(r);
    return st;
}

enum status sweep_logs(struct session *s)
{
    const struct snapshot *snap;
    enum status st = renew(s);
    if (st == ST_OK)
        st = session_catalog(s, &snap);
    for (unsigned i = 0; st == ST_OK && i < snapshot_sales(snap); i++) {
        const struct sale *sale = snapshot_sale_at(snap, i);
        for (unsigned k = 0; sale->allocated && k < sale->shards && st == ST_OK; k++) {
            /* Only where the last look saw entries: a quiet shard costs nothing. */
            if (sale->shard[k].ready && atomic_load(&sale->shard[k].live->log) > 0)
                st = sweep_shard(s, &sale->shard[k]);
        }
    }
    return st;
}
