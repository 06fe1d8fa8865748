/* redis.h - what both kinds of Redis connection share: where it is, who it is, what its keys are
 * called.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

struct redisReply;

struct redis_conf {
    const char *address;  /* "unix:/path" or "host:port" */
    const char *password; /* "" sends none */
    int64_t timeout_ms;   /* deadline of connecting and of one command */
};

enum { REDIS_ID_LEN = 40 };

/* Rule R1: a Redis is the one that was loaded only while both of these are what MariaDB remembers.
 */
struct redis_identity {
    char run_id[REDIS_ID_LEN + 1];
    char repl_id[REDIS_ID_LEN + 1];
    bool master;
    bool noeviction;
};

/* Reads INFO's text. ST_INVALID_REQUEST when ids are missing. */
STATUS_MUSTCHECK
enum status redis_identity_parse(struct str info, struct redis_identity *id);
bool redis_identity_equal(const struct redis_identity *a, const struct redis_identity *b);

/* Splits an address: path for Unix, else host (size bytes) and port. ST_INVALID_REQUEST otherwise.
 */
STATUS_MUSTCHECK
enum status redis_address(const char *address, const char **path, char *host, size_t size,
                          int *port);

enum { LOG_ID_MAX = 40 }; /* id of an entry of the intent log, with its NUL */

/* The four keys of a shard (functions.lua). */
enum { KEY_LEFT, KEY_HELD, KEY_LOG, KEY_SEEN, SHARD_KEYS };
enum { SHARD_KEY_MAX = 96 };

struct shard_keys {
    char text[SHARD_KEYS][SHARD_KEY_MAX]; /* by KEY_... */
    size_t len[SHARD_KEYS];
};

void shard_keys_make(struct str sale, unsigned shard, struct shard_keys *keys);

/* What an error reply means: READONLY, LOADING, MISCONF, OOM, NOREPLICAS, BUSY... -> ST_UNAVAILABLE
 * (nothing was done); our functions are not there -> ST_FENCED (likewise); anything else ->
 * ST_INTERNAL. Non-errors -> ST_OK. */
enum status redis_reply_status(const struct redisReply *reply);
/* READONLY or MOVED: whoever answers may not be who it was (rule R1). */
bool redis_reply_moved(const struct redisReply *reply);
