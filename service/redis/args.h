/* args.h - the words of one Redis command, collected without copying them.
 *
 * Bounded; words are borrowed until the command is sent. Small numbers are written into the list's
 * own storage. One thread.
 */
#pragma once

#include "base/str.h"
#include "redis/redis.h"

#include <stdint.h>

enum { ARGS_MAX = 3200, ARGS_NUMBERS = 2100 };

struct args {
    int n;
    bool overflow; /* more than ARGS_MAX words or ARGS_NUMBERS numbers */
    const char *word[ARGS_MAX];
    size_t len[ARGS_MAX];
    int numbers;
    char number[ARGS_NUMBERS][21];
};

void args_reset(struct args *a);
void args_add(struct args *a, const void *p, size_t n);
void args_str(struct args *a, struct str s);
void args_z(struct args *a, const char *z);
void args_int(struct args *a, int64_t v);
/* FCALL function 4 left held log seen */
void args_fcall(struct args *a, const char *function, const struct shard_keys *keys);
/* The question that redis_identity_parse reads the answer of. */
void redis_identity_ask(struct args *a);
