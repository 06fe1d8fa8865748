#include "flow/gate.h"

#include "flow/engine.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCAN_COUNT = 1000 };

static struct str reply_str(const redisReply *r)
{
    if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
        return (struct str){0};
    return (struct str){r->str, r->len};
}

/* Strings and integers alike; Redis functions return either. */
static int64_t reply_int(const redisReply *r)
{
    if (r->type == REDIS_REPLY_INTEGER)
        return r->integer;
    return r->type == REDIS_REPLY_STRING ? strtoll(r->str, NULL, 10) : -1;
}

enum status gate_answer(const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return ST_INTERNAL;
    struct str word = reply_str(reply->element[0]);
    if (str_equal(word, STR("OK")) || str_equal(word, STR("DONE")))
        return ST_OK;
    return str_equal(word, STR("EPOCH")) ? ST_FENCED : ST_INTERNAL;
}

void gate_note_left(const struct sale *sale, unsigned shard, const struct redisReply *reply,
                    size_t first)
{
    for (size_t i = first; i + 1 < reply->elements; i += 2) {
        const struct sale_item *item = sale_item(sale, reply_str(reply->element[i]));
        int64_t left = reply_int(reply->element[i + 1]);
        if (!item)
            continue;
        atomic_store_explicit(&item->live[shard].left, left, memory_order_relaxed);
        if (left > 0)
            atomic_store_explicit(&item->live[shard].refuse, false, memory_order_relaxed);
    }
}

void gate_reserve_args(struct args *a, const struct shard_keys *keys, int64_t epoch,
                       const struct uid *owner, const char (*acks)[LOG_ID_MAX], unsigned n)
{
    args_reset(a);
    args_fcall(a, "snapup_reserve", keys);
    args_int(a, epoch);
    args_add(a, owner->b, UID_LEN);
    args_int(a, n);
    for (unsigned i = 0; i < n; i++)
        args_z(a, acks[i]);
}

void gate_release_args(struct args *a, const struct shard_keys *keys, int64_t epoch,
                       const char (*log_ids)[LOG_ID_MAX], unsigned ids,
                       const struct gate_hold *holds, unsigned n)
{
    args_reset(a);
    args_fcall(a, "snapup_release", keys);
    args_int(a, epoch);
    args_int(a, ids);
    for (unsigned i = 0; i < ids; i++)
        args_z(a, log_ids[i]);
    for (unsigned i = 0; i < n; i++) {
        args_str(a, holds[i].field);
        args_add(a, holds[i].id.b, UID_LEN);
        args_add(a, &holds[i].gen, 1);
    }
}

/* Runs s->args on the shard's Redis and judges the answer; *reply is set (the caller's) on ST_OK.
 */
static enum status gate_call(struct session *s, const struct sale_shard *shard, redisReply **reply)
{
    redisReply *r = NULL;
    enum status st =
        shard->ready ? redis_session_call_on(s->redis, &shard->loaded_in, &s->args, &r) : ST_FENCED;
    if (st != ST_OK) {
        metrics_add(s->metrics, M_REDIS_ERRORS, st != ST_FENCED);
        return st;
    }
    st = gate_answer(r);
    if (st == ST_OK)
        *reply = r;
    else
        freeReplyObject(r);
    return st;
}

enum status gate_settle(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                        const char (*log_ids)[LOG_ID_MAX], unsigned ids,
                        const struct gate_hold *holds, unsigned n)
{
    const struct sale_shard *at = &sale->shard[shard];
    redisReply *r = NULL;
    gate_release_args(&s->args, &at->keys, epoch, log_ids, ids, holds, n);
    enum status st = gate_call(s, at, &r);
    if (st != ST_OK)
        return st;
    gate_note_left(sale, shard, r, 1);
    freeReplyObject(r);
    return ST_OK;
}

enum status gate_release(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                         const struct gate_hold *holds, unsigned n)
{
    return gate_settle(s, sale, shard, epoch, NULL, 0, holds, n);
}

enum status gate_add(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                     struct str sku, int64_t added)
{
    const struct sale_shard *at = &sale->shard[shard];
    redisReply *r = NULL;
    args_reset(&s->args);
    args_fcall(&s->args, "snapup_add", &at->keys);
    args_int(&s->args, epoch);
    args_str(&s->args, sku);
    args_int(&s->args, added);
    enum status st = gate_call(s, at, &r);
    if (st != ST_OK)
        return st;
    gate_note_left(sale, shard, r, 1);
    freeReplyObject(r);
    return ST_OK;
}

enum status gate_reserve(struct session *s, const struct sale *sale, unsigned shard,
                         const struct row *row, char *code, char log_id[LOG_ID_MAX], int64_t *left)
{
    const struct sale_shard *at = &sale->shard[shard];
    uint8_t bytes[ROW_MAX];
    redisReply *r = NULL;
    gate_reserve_args(&s->args, &at->keys, at->epoch, &s->engine->instance, NULL, 0);
    args_add(&s->args, bytes, row_encode(row, bytes));
    enum status st = gate_call(s, at, &r);
    if (st != ST_OK)
        return st;
    struct str id = r->elements >= 5 ? reply_str(r->element[1]) : (struct str){0};
    if (r->elements < 5 || id.n >= LOG_ID_MAX || reply_str(r->element[2]).n != 1) {
        st = ST_INTERNAL;
    } else {
        snprintf(log_id, LOG_ID_MAX, "%.*s", (int)id.n, id.p);
        *code = r->element[2]->str[0];
        *left = reply_int(r->element[4]);
        gate_note_left(sale, shard, r, 3);
    }
    freeReplyObject(r);
    return st;
}

enum status gate_ack(struct session *s, const struct sale *sale, unsigned shard, const char *log_id)
{
    char id[1][LOG_ID_MAX];
    snprintf(id[0], sizeof(id[0]), "%s", log_id);
    return gate_settle(s, sale, shard, sale->shard[shard].epoch, id, 1, NULL, 0);
}

static void peek_field(const struct sale *sale, struct gate_view *view, struct str name, int64_t v)
{
    if (name.n == 0)
        return;
    if (str_equal(name, STR("#wins")))
        view->wins = v;
    if (str_equal(name, STR("#back")))
        view->back = v;
    bool total = name.p[0] == '+';
    const struct sale_item *item =
        sale_item(sale, total ? (struct str){name.p + 1, name.n - 1} : name);
    if (!item)
        return;
    struct gate_units *u = &view->units[item - sale->item];
    *(total ? &u->added : &u->left) = v;
}

enum status gate_peek(struct session *s, const struct sale *sale, unsigned shard,
                      struct gate_view *view)
{
    redisReply *r = NULL;
    args_reset(&s->args);
    args_fcall(&s->args, "snapup_peek", &sale->shard[shard].keys);
    enum status st = redis_session_call(s->redis, &s->args, &r);
    if (st != ST_OK)
        return st;
    for (unsigned i = 0; i < sale->items; i++)
        view->units[i] = (struct gate_units){-1, -1};
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2) {
        st = ST_INTERNAL;
    } else {
        view->epoch = reply_int(r->element[0]);
        view->log = reply_int(r->element[1]);
        view->wins = view->back = 0;
        for (size_t i = 2; i + 1 < r->elements; i += 2)
            peek_field(sale, view, reply_str(r->element[i]), reply_int(r->element[i + 1]));
    }
    freeReplyObject(r);
    return st;
}

static void read_found(const struct sale *sale, const redisReply *r, struct gate_found *found)
{
    *found = (struct gate_found){0};
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2)
        return;
    struct str field = reply_str(r->element[0]);
    const char *bar = field.n > 0 ? memchr(field.p, '|', field.n) : NULL;
    if (!bar || field.n - (size_t)(bar - field.p) - 1 > ID_MAX)
        return;
    found->item = sale_item(sale, (struct str){field.p, (size_t)(bar - field.p)});
    found->qty = (uint32_t)reply_int(r->element[1]);
    memcpy(found->shopper, bar + 1, field.n - (size_t)(bar - field.p) - 1);
}

enum status gate_find(struct session *s, const struct sale *sale, unsigned shard,
                      const struct uid *id, struct str shopper, struct gate_found *found)
{
    enum { FIELD_MAX = 64 + 1 + 64 + 1 };
    redisReply *r = NULL;
    char *fields = malloc((size_t)sale->items * FIELD_MAX);
    if (!fields)
        return ST_UNAVAILABLE;
    args_reset(&s->args);
    args_fcall(&s->args, "snapup_find", &sale->shard[shard].keys);
    args_add(&s->args, id->b, UID_LEN);
    for (unsigned i = 0; shopper.n > 0 && i < sale->items; i++) {
        char *field = fields + (size_t)i * FIELD_MAX;
        int n = snprintf(field, FIELD_MAX, "%.*s|%.*s", (int)sale->item[i].sku.n,
                         sale->item[i].sku.p, (int)shopper.n, shopper.p);
        args_add(&s->args, field, (size_t)n);
    }
    enum status st = redis_session_call(s->redis, &s->args, &r);
    if (st == ST_OK) {
        read_found(sale, r, found);
        freeReplyObject(r);
    }
    free(fields);
    return st;
}

static void count_held(const struct sale *sale, struct str field, struct str records,
                       int64_t *units)
{
    const char *bar = field.n > 0 ? memchr(field.p, '|', field.n) : NULL;
    const struct sale_item *item =
        bar ? sale_item(sale, (struct str){field.p, (size_t)(bar - field.p)}) : NULL;
    for (size_t at = 0; item && at + HOLD_BYTES <= records.n; at += HOLD_BYTES)
        units[item - sale->item] += hold_qty((const uint8_t *)records.p + at);
}

enum status gate_held(struct session *s, const struct sale *sale, unsigned shard, int64_t *units)
{
    const struct shard_keys *keys = &sale->shard[shard].keys;
    char cursor[24] = "0";
    memset(units, 0, sale->items * sizeof(*units));
    do {
        redisReply *r = NULL;
        args_reset(&s->args);
        args_z(&s->args, "HSCAN");
        args_add(&s->args, keys->text[KEY_HELD], keys->len[KEY_HELD]);
        args_z(&s->args, cursor);
        args_z(&s->args, "COUNT");
        args_int(&s->args, SCAN_COUNT);
        enum status st = redis_session_call(s->redis, &s->args, &r);
        if (st != ST_OK)
            return st;
        if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
            r->element[1]->type != REDIS_REPLY_ARRAY) {
            freeReplyObject(r);
            return ST_INTERNAL;
        }
        snprintf(cursor, sizeof(cursor), "%s", r->element[0]->str);
        const redisReply *pairs = r->element[1];
        for (size_t i = 0; i + 1 < pairs->elements; i += 2)
            count_held(sale, reply_str(pairs->element[i]), reply_str(pairs->element[i + 1]), units);
        freeReplyObject(r);
    } while (strcmp(cursor, "0") != 0);
    return ST_OK;
}

enum status gate_filter(struct session *s, const struct sale *sale, unsigned shard)
{
    const struct shard_keys *keys = &sale->shard[shard].keys;
    redisReply *r = NULL;
    args_reset(&s->args);
    args_z(&s->args, "GET");
    args_add(&s->args, keys->text[KEY_SEEN], keys->len[KEY_SEEN]);
    enum status st = redis_session_call(s->redis, &s->args, &r);
    if (st != ST_OK)
        return st;
    live_filter_merge(sale->shard[shard].live, reply_str(r));
    freeReplyObject(r);
    return ST_OK;
}
