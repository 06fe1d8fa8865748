#include "batch.h"

#include <stdio.h>

enum { SHARDS = 64, CONNECT_S = 5 };

/* Keys: left, held, log. Args: n, n log ids to delete, rows. The offsets are those of row.h. */
static const char function[] =
    "#!lua name=snapup_bare\n"
    "redis.register_function('snapup_bare', function(keys, args)\n"
    "    local settled = tonumber(args[1])\n"
    "    if settled > 0 then redis.call('XDEL', keys[3], unpack(args, 2, 1 + settled)) end\n"
    "    local set, log = {'HSET', keys[2]}, {'XADD', keys[3], '*'}\n"
    "    for i = 2 + settled, #args do\n"
    "        local row = args[i]\n"
    "        set[#set + 1] = string.sub(row, 65)\n"
    "        set[#set + 1] = string.sub(row, 3, 39)\n"
    "        log[#log + 1] = 'r'\n"
    "        log[#log + 1] = row\n"
    "    end\n"
    "    redis.call('HINCRBY', keys[1], 'unit', 1 + settled - #args)\n"
    "    redis.call(unpack(set))\n"
    "    return redis.call(unpack(log))\n"
    "end)\n";

static void name_keys(char keys[3][32], unsigned shard)
{
    snprintf(keys[0], sizeof(keys[0]), "bare:{%u}:left", shard);
    snprintf(keys[1], sizeof(keys[1]), "bare:{%u}:held", shard);
    snprintf(keys[2], sizeof(keys[2]), "bare:{%u}:log", shard);
}

static void put(struct call *call, const void *p, size_t n)
{
    call->argv[call->argc] = p;
    call->lengths[call->argc++] = n;
}

void call_init(struct call *call, unsigned shard)
{
    *call = (struct call){0};
    name_keys(call->keys, shard);
}

void call_settle(struct call *call, const struct batch *b)
{
    if (call->settled_n < CALL_SETTLED_MAX) {
        memcpy(call->settled[call->settled_n++], b->log_id, sizeof(b->log_id));
    }
}

void call_fill(struct call *call, const struct batch *b)
{
    call->argc = 0;
    put(call, "FCALL", 5);
    put(call, "snapup_bare", 11);
    put(call, "3", 1);
    for (int i = 0; i < 3; i++) {
        put(call, call->keys[i], strlen(call->keys[i]));
    }
    int n = snprintf(call->settled_text, sizeof(call->settled_text), "%u", call->settled_n);
    put(call, call->settled_text, (size_t)n);
    for (unsigned i = 0; i < call->settled_n; i++) {
        put(call, call->settled[i], strlen(call->settled[i]));
    }
    for (unsigned i = 0; i < b->n; i++) {
        put(call, b->bytes[i], b->lengths[i]);
    }
    call->settled_n = 0;
}

bool call_answered(struct batch *b, const redisReply *reply)
{
    if (!reply || reply->type != REDIS_REPLY_STRING || reply->len > LOG_ID_LEN) {
        fprintf(stderr, "snapup-limits: Redis: %s\n", reply && reply->str ? reply->str : "lost");
        return false;
    }
    memcpy(b->log_id, reply->str, reply->len + 1);
    return true;
}

bool call_prepare(const char *socket)
{
    redisContext *redis =
        redisConnectUnixWithTimeout(socket, (struct timeval){.tv_sec = CONNECT_S});
    redisReply *reply =
        redis && !redis->err ? redisCommand(redis, "FUNCTION LOAD REPLACE %s", function) : NULL;
    bool loaded = reply && reply->type != REDIS_REPLY_ERROR;
    if (!loaded) {
        fprintf(stderr, "snapup-limits: Redis: %s\n",
                reply   ? reply->str
                : redis ? redis->errstr
                        : "no memory");
    }
    freeReplyObject(reply);
    for (unsigned shard = 0; loaded && shard < SHARDS; shard++) {
        char keys[3][32];
        name_keys(keys, shard);
        freeReplyObject(redisCommand(redis, "UNLINK %s %s %s", keys[0], keys[1], keys[2]));
    }
    redisFree(redis);
    return loaded;
}
