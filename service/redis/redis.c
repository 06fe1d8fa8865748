#include "redis/redis.h"

#include "base/str.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies the value of `name:` (at a line's start) up to the line's end. */
static bool info_value(struct str info, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    const char *end = info.p + info.n;
    for (const char *line = info.p; line < end;) {
        const char *nl = memchr(line, '\n', (size_t)(end - line));
        const char *stop = nl ? nl : end;
        if ((size_t)(stop - line) > len && memcmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1;
            size_t n = (size_t)(stop - value);
            if (n > 0 && value[n - 1] == '\r')
                n--;
            if (n >= size)
                return false;
            memcpy(out, value, n);
            out[n] = '\0';
            return true;
        }
        line = stop + 1;
    }
    return false;
}

enum status redis_identity_parse(struct str info, struct redis_identity *id)
{
    struct redis_identity r = {0};
    char role[16], policy[32];
    if (!info_value(info, "run_id", r.run_id, sizeof(r.run_id)) ||
        !info_value(info, "master_replid", r.repl_id, sizeof(r.repl_id)) ||
        !info_value(info, "role", role, sizeof(role)) ||
        !info_value(info, "maxmemory_policy", policy, sizeof(policy)))
        return ST_INVALID_REQUEST;
    if (strlen(r.run_id) != REDIS_ID_LEN || strlen(r.repl_id) != REDIS_ID_LEN)
        return ST_INVALID_REQUEST;
    r.master = strcmp(role, "master") == 0;
    r.noeviction = strcmp(policy, "noeviction") == 0;
    *id = r;
    return ST_OK;
}

bool redis_identity_equal(const struct redis_identity *a, const struct redis_identity *b)
{
    return strcmp(a->run_id, b->run_id) == 0 && strcmp(a->repl_id, b->repl_id) == 0;
}

enum status redis_address(const char *address, const char **path, char *host, size_t size,
                          int *port)
{
    if (strncmp(address, "unix:", 5) == 0 && address[5] != '\0') {
        *path = address + 5;
        return ST_OK;
    }
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || (size_t)(colon - address) >= size)
        return ST_INVALID_REQUEST;
    char *end = NULL;
    long p = strtol(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || p < 1 || p > 65535)
        return ST_INVALID_REQUEST;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    *path = NULL;
    *port = (int)p;
    return ST_OK;
}

void shard_keys_make(struct str sale, unsigned shard, struct shard_keys *keys)
{
    static const char *const names[SHARD_KEYS] = {
        [KEY_LEFT] = "left", [KEY_HELD] = "held", [KEY_LOG] = "log", [KEY_SEEN] = "seen"};
    for (int i = 0; i < SHARD_KEYS; i++)
        keys->len[i] = (size_t)snprintf(keys->text[i], SHARD_KEY_MAX, "su:{%.*s.%u}:%s",
                                        (int)sale.n, sale.p, shard, names[i]);
}

static bool error_begins(const struct redisReply *reply, const char *word)
{
    size_t n = strlen(word);
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, word, n) == 0 &&
           (reply->str[n] == ' ' || !reply->str[n]);
}

enum status redis_reply_status(const struct redisReply *reply)
{
    static const struct {
        const char *word;
        enum status st;
    } meanings[] = {
        {"READONLY", ST_UNAVAILABLE},   {"LOADING", ST_UNAVAILABLE},
        {"MISCONF", ST_UNAVAILABLE},    {"OOM", ST_UNAVAILABLE},
        {"BUSY", ST_UNAVAILABLE},       {"NOREPLICAS", ST_UNAVAILABLE},
        {"MOVED", ST_UNAVAILABLE},      {"ASK", ST_UNAVAILABLE},
        {"TRYAGAIN", ST_UNAVAILABLE},   {"CLUSTERDOWN", ST_UNAVAILABLE},
        {"MASTERDOWN", ST_UNAVAILABLE}, {"ERR Function not found", ST_FENCED},
    };
    if (reply->type != REDIS_REPLY_ERROR)
        return ST_OK;
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (error_begins(reply, meanings[i].word))
            return meanings[i].st;
    return ST_INTERNAL;
}

bool redis_reply_moved(const struct redisReply *reply)
{
    return error_begins(reply, "READONLY") || error_begins(reply, "MOVED");
}
