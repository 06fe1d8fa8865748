#include "flow/rebuild.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/rebuild_priv.h"
#include "redis/row.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

enum {
    LEASE_MS = 2000, /* a rebuilder that died keeps the others waiting so long */
    PAGE = 1000,
    STATEMENT_MAX = 64 * 1024,
    SEEN_CHUNK = 64 * 1024 /* bytes of the filter in one call */
};

struct rebuild {
    struct session *s;
    const struct sale *sale;
    unsigned shard;
    const struct redis_identity *redis;
    int64_t before, opened; /* epochs in MariaDB at the start */
    int64_t epoch;          /* the new one */
    bool found, ready;
    /* One page of holds on its way to Redis. */
    unsigned holds;
    bool sent;            /* the page before is with Redis, its answer not yet read */
    enum status st;       /* of pages sent while rows stream in */
    struct sql *renewing; /* the session's own connection is busy streaming */
    int64_t renewed_us;
    struct hold {
        char field[130];
        size_t field_len;
        uint8_t record[HOLD_BYTES];
    } * hold;
    char *filter; /* of shoppers seen, SETBIT order: bit 0 is the highest of byte 0 */
};

static bool on_shard(void *arg, const struct sql_val *c, unsigned n)
{
    struct rebuild *r = arg;
    r->before = c[0].i;
    r->opened = c[1].i;
    r->ready = c[2].i != 0;
    return r->found = true;
}

/* The epoch that Redis' files name, however broken the shard is there. */
static enum status redis_epoch(struct rebuild *r, int64_t *epoch)
{
    const struct shard_keys *keys = &r->sale->shard[r->shard].keys;
    struct args *args = &r->s->args;
    redisReply *reply = NULL;
    args_reset(args);
    args_z(args, "HGET");
    args_add(args, keys->text[KEY_LEFT], keys->len[KEY_LEFT]);
    args_z(args, "#epoch");
    enum status st = redis_session_call(r->s->redis, args, &reply);
    if (st != ST_OK)
        return st;
    *epoch = reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
    freeReplyObject(reply);
    return ST_OK;
}

/* Rules R6 and R8: lease and epoch change in one statement, the transaction holds nothing else, and
 * the new epoch exceeds both stores'. */
static enum status bump(struct rebuild *r)
{
    struct sql *sql = r->s->sql;
    const struct sql_val place[] = {SQL_INT(r->sale->no), SQL_INT(r->shard)};
    int64_t in_redis = 0;
    enum status st =
        sql_run(sql, "SELECT epoch, opened, ready FROM shards WHERE sale = ? AND shard = ?", place,
                2, on_shard, r, NULL);
    if (st == ST_OK && !r->found)
        st = ST_INTERNAL;
    /* Somebody else moved it on since it was found to need this. */
    const struct sale_shard *at = &r->sale->shard[r->shard];
    if (st == ST_OK && (r->before != at->epoch || r->ready != at->ready))
        st = ST_BUSY;
    if (st == ST_OK)
        st = redis_epoch(r, &in_redis);
    if (st != ST_OK)
        return st;
    r->epoch = (r->before > in_redis ? r->before : in_redis) + 1;
    uint64_t taken = 0;
    const struct uid *me = &r->s->engine->instance;
    const struct sql_val lease[] = {
        SQL_INT(r->epoch), SQL_BYTES(me->b, UID_LEN), SQL_INT(LEASE_MS), SQL_INT(r->sale->no),
        SQL_INT(r->shard), SQL_INT(r->before),        SQL_INT(r->ready), SQL_BYTES(me->b, UID_LEN)};
    const struct sql_val stock[] = {SQL_INT(r->epoch), SQL_INT(r->shard), SQL_INT(r->sale->no)};
    st = sql_begin(sql);
    if (st == ST_OK)
        st = sql_run(sql,
                     "UPDATE shards SET epoch = ?, ready = 0, owner = ?, until_ms = " SQL_NOW_MS
                     " + ? WHERE sale = ? AND shard = ? AND epoch = ? AND ready = ? AND (until_ms "
                     "< " SQL_NOW_MS " OR owner = ?)",
                     lease, 8, NULL, NULL, &taken);
    if (st == ST_OK && taken == 0)
        st = ST_BUSY;
    if (st == ST_OK)
        st = sql_run(sql,
                     "UPDATE shard_stock SET epoch = ? WHERE shard = ? AND item IN "
                     "(SELECT no FROM items WHERE sale = ?)",
                     stock, 3, NULL, NULL, NULL);
    if (st == ST_OK)
        st = catalog_touch(sql);
    if (st == ST_OK)
        return sql_commit(sql);
    sql_rollback(sql);
    return st;
}

/* Rule R1: which Redis is being loaded is known before the load begins. */
static enum status note_opened(struct rebuild *r)
{
    uint64_t changed = 0;
    const struct sql_val args[] = {SQL_INT(r->epoch),        SQL_Z(r->redis->run_id),
                                   SQL_Z(r->redis->repl_id), SQL_INT(r->sale->no),
                                   SQL_INT(r->shard),        SQL_INT(r->epoch)};
    enum status st = sql_run(r->s->sql,
                             "UPDATE shards SET opened = ?, run_id = ?, repl_id = ? "
                             "WHERE sale = ? AND shard = ? AND epoch = ?",
                             args, 6, NULL, NULL, &changed);
    return st == ST_OK && changed == 0 ? ST_BUSY : st;
}

static void load_args(struct rebuild *r, const char *step)
{
    args_reset(&r->s->args);
    args_fcall(&r->s->args, "snapup_load", &r->sale->shard[r->shard].keys);
    args_int(&r->s->args, r->epoch);
    args_z(&r->s->args, step);
}

static enum status load_answer(redisReply *reply)
{
    enum status st = gate_answer(reply);
    freeReplyObject(reply);
    return st == ST_FENCED ? ST_BUSY : st;
}

static enum status load_call(struct rebuild *r)
{
    redisReply *reply = NULL;
    enum status st = redis_session_call(r->s->redis, &r->s->args, &reply);
    return st == ST_OK ? load_answer(reply) : st;
}

/* --- holds ------------------------------------------------------------------------------------ */

static enum status send_holds(struct rebuild *r);

static void note_seen(struct rebuild *r, uint32_t hash)
{
    struct live_shard *live = r->sale->shard[r->shard].live;
    uint32_t bit = hash % live->filter_bits;
    live_filter_set(live, hash);
    r->filter[bit / 8] = (char)(r->filter[bit / 8] | 0x80 >> bit % 8);
}

static void note_hold(struct rebuild *r, const struct sale_item *item, struct str shopper,
                      const struct sql_val *c)
{
    struct hold *h = &r->hold[r->holds++];
    memcpy(h->field, item->sku.p, item->sku.n);
    h->field[item->sku.n] = '|';
    memcpy(h->field + item->sku.n + 1, shopper.p, shopper.n);
    h->field_len = item->sku.n + 1 + shopper.n;
    hold_encode((const uint8_t *)c[0].s.p, (const uint8_t *)c[3].s.p, (uint8_t)c[5].i,
                (uint32_t)c[4].i, h->record);
}

/* id, shopper, item, idem, qty, gen, live */
static bool on_order(void *arg, const struct sql_val *c, unsigned n)
{
    struct rebuild *r = arg;
    const struct sale *sale = r->sale;
    struct str shopper = {c[1].s.p, c[1].s.n > ID_MAX ? ID_MAX : c[1].s.n};
    note_seen(r, shopper_hash(shopper));
    for (unsigned i = 0; c[6].i && i < sale->items; i++) {
        if (sale->item[i].no == (uint32_t)c[2].i) {
            note_hold(r, &sale->item[i], shopper, c);
            break;
        }
    }
    if (r->holds == PAGE)
        r->st = send_holds(r);
    return r->st == ST_OK;
}

/* Keeps the lease while a long load goes on. It is politeness (rule R6), so failing to is no
 * failure. */
static void renew_lease(struct rebuild *r)
{
    const struct engine *e = r->s->engine;
    const struct sql_val args[] = {SQL_INT(LEASE_MS), SQL_INT(r->sale->no), SQL_INT(r->shard),
                                   SQL_INT(r->epoch)};
    if (clock_mono_us() - r->renewed_us < LEASE_MS * 1000 / 4)
        return;
    r->renewed_us = clock_mono_us();
    if (!r->renewing && sql_create(&e->sql, e->log, &r->renewing) != ST_OK)
        return;
    if (sql_run(r->renewing,
                "UPDATE shards SET until_ms = " SQL_NOW_MS " + ? "
                "WHERE sale = ? AND shard = ? AND epoch = ?",
                args, 4, NULL, NULL, NULL) != ST_OK)
        LOG(e->log, LOG_INFO, "lease_not_renewed", LF_STR("sale", r->sale->id));
}

/* The answer of the page that was sent last. */
static enum status await_holds(struct rebuild *r)
{
    redisReply *reply = NULL;
    if (!r->sent)
        return ST_OK;
    r->sent = false;
    enum status st = redis_session_await(r->s->redis, &reply);
    return st == ST_OK ? load_answer(reply) : st;
}

/* Each hold is two words; a page fits one call. Redis loads a page while MariaDB sends the next. */
static enum status send_holds(struct rebuild *r)
{
    enum status st = await_holds(r);
    if (r->holds == 0 || st != ST_OK)
        return st;
    renew_lease(r);
    load_args(r, "holds");
    for (unsigned i = 0; i < r->holds; i++) {
        const struct hold *h = &r->hold[i];
        args_add(&r->s->args, h->field, h->field_len);
        args_add(&r->s->args, h->record, HOLD_BYTES);
    }
    r->holds = 0;
    st = redis_session_send(r->s->redis, &r->s->args);
    r->sent = st == ST_OK;
    return st;
}

/* Streams the orders since the sale's start (rule R18) inside the caller's snapshot; full pages go
 * to Redis on the way. */
static enum status load_holds(struct rebuild *r)
{
    const struct uid from = uid_floor(r->sale->starts_ms);
    const struct sql_val args[] = {SQL_BYTES(from.b, UID_LEN), SQL_INT(r->shard)};
    struct buf text;
    buf_init(&text, STATEMENT_MAX);
    BUF_LIT(&text, "SELECT id, shopper, item, idem, qty, gen, state IN (1, 2) FROM orders "
                   "FORCE INDEX (PRIMARY) WHERE id >= ? AND shard = ? AND item IN (");
    sale_item_numbers(r->sale, &text);
    buf_char(&text, ')');
    r->holds = 0;
    r->st = ST_OK;
    enum status st = text.overflow ? ST_INTERNAL
                                   : sql_run_once(r->s->sql, (struct str){text.data, text.len},
                                                  args, 2, on_order, r, NULL);
    buf_fini(&text);
    if (st == ST_OK)
        st = r->st;
    if (st == ST_OK)
        st = send_holds(r);
    /* The connection carries nothing else until it is read. */
    enum status last = await_holds(r);
    return st == ST_OK ? last : st;
}

/* Who ever held something stays known, also with nothing left to hold (rule R15). */
static enum status load_seen(struct rebuild *r)
{
    static const char nobody[SEEN_CHUNK];
    size_t bytes = r->sale->shard[r->shard].live->filter_bits / 8;
    enum status st = ST_OK;
    for (size_t at = 0; at < bytes && st == ST_OK; at += SEEN_CHUNK) {
        size_t n = bytes - at < SEEN_CHUNK ? bytes - at : SEEN_CHUNK;
        if (memcmp(r->filter + at, nobody, n) == 0)
            continue;
        load_args(r, "seen");
        args_int(&r->s->args, (int64_t)at);
        args_add(&r->s->args, r->filter + at, n);
        st = load_call(r);
    }
    return st;
}

/* --- stock ------------------------------------------------------------------------------------ */

/* One item's units as words of the load's last step. */
static bool on_stock(void *arg, const struct sql_val *c, unsigned n)
{
    struct rebuild *r = arg;
    for (unsigned i = 0; i < r->sale->items; i++) {
        const struct sale_item *item = &r->sale->item[i];
        if (item->no != (uint32_t)c[0].i)
            continue;
        int64_t left = c[1].i - c[2].i;
        args_str(&r->s->args, item->sku);
        args_int(&r->s->args, left);
        args_int(&r->s->args, c[3].i);
        atomic_store(&item->live[r->shard].left, left);
        atomic_store(&item->live[r->shard].refuse, false);
    }
    return true;
}

static enum status load_stock(struct rebuild *r)
{
    const struct sql_val args[] = {SQL_INT(r->shard), SQL_INT(r->sale->no)};
    load_args(r, "end");
    enum status st = sql_run(r->s->sql,
                             "SELECT item, allocated, held, added FROM shard_stock "
                             "WHERE shard = ? AND item IN (SELECT no FROM items WHERE sale = ?)",
                             args, 2, on_stock, r, NULL);
    return st == ST_OK ? load_call(r) : st;
}

/* Stock and orders are plain reads of one new snapshot (rule R8). */
static enum status load(struct rebuild *r)
{
    load_args(r, "begin");
    args_int(&r->s->args, r->sale->shard[r->shard].live->filter_bits);
    enum status st = load_call(r);
    if (st != ST_OK)
        return st;
    st = sql_begin_snapshot(r->s->sql);
    if (st == ST_OK)
        st = load_holds(r);
    if (st == ST_OK) {
        CRASH_POINT(rebuild_mid_load);
        st = load_seen(r);
    }
    if (st == ST_OK)
        st = load_stock(r);
    sql_rollback(r->s->sql);
    return st;
}

static enum status open_gate(struct rebuild *r)
{
    struct sql *sql = r->s->sql;
    uint64_t changed = 0;
    const struct sql_val args[] = {SQL_INT(r->sale->no), SQL_INT(r->shard), SQL_INT(r->epoch)};
    enum status st = sql_begin(sql);
    if (st == ST_OK)
        st = sql_run(sql,
                     "UPDATE shards SET ready = 1, until_ms = 0 "
                     "WHERE sale = ? AND shard = ? AND epoch = ?",
                     args, 3, NULL, NULL, &changed);
    if (st == ST_OK && changed == 0)
        st = ST_BUSY;
    if (st == ST_OK)
        st = catalog_touch(sql);
    if (st == ST_OK)
        return sql_commit(sql);
    sql_rollback(sql);
    return st;
}

static enum status run_steps(struct rebuild *r)
{
    enum status st = bump(r);
    if (st != ST_OK)
        return st;
    CRASH_POINT(rebuild_after_bump);
    load_args(r, "close");
    st = load_call(r);
    if (st != ST_OK)
        return st;
    CRASH_POINT(rebuild_after_close);
    st = rebuild_from_log(r->s, r->sale, r->shard, r->opened, r->epoch);
    if (st != ST_OK)
        return st;
    CRASH_POINT(rebuild_after_log);
    st = note_opened(r);
    if (st != ST_OK)
        return st;
    CRASH_POINT(rebuild_after_note);
    st = load(r);
    if (st != ST_OK)
        return st;
    CRASH_POINT(rebuild_before_open);
    st = open_gate(r);
    if (st != ST_OK)
        return st;
    CRASH_POINT(rebuild_after_open);
    metrics_add(r->s->metrics, M_REBUILDS, 1);
    return ST_OK;
}

enum status rebuild_shard(struct session *s, const struct sale *sale, unsigned shard,
                          const struct redis_identity *redis)
{
    struct rebuild r = {
        .s = s, .sale = sale, .shard = shard, .redis = redis, .renewed_us = clock_mono_us()};
    struct live_shard *live = sale->shard[shard].live;
    r.hold = malloc(PAGE * sizeof(*r.hold));
    r.filter = calloc(live->filter_bits / 8, 1);
    atomic_store(&live->filter_current, false);
    enum status st = r.hold && r.filter ? run_steps(&r) : ST_UNAVAILABLE;
    atomic_store(&live->wins, -1);
    sql_destroy(&r.renewing);
    free(r.hold);
    free(r.filter);
    return st;
}
