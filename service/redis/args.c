#include "redis/args.h"

#include <stdio.h>
#include <string.h>

void args_reset(struct args *a)
{
    a->n = 0;
    a->numbers = 0;
    a->overflow = false;
}

void args_add(struct args *a, const void *p, size_t n)
{
    if (a->n == ARGS_MAX) {
        a->overflow = true;
        return;
    }
    a->word[a->n] = p;
    a->len[a->n++] = n;
}

void args_str(struct args *a, struct str s)
{
    args_add(a, s.p, s.n);
}

void args_z(struct args *a, const char *z)
{
    args_add(a, z, strlen(z));
}

void args_int(struct args *a, int64_t v)
{
    if (a->numbers == ARGS_NUMBERS) {
        a->overflow = true;
        return;
    }
    char *text = a->number[a->numbers++];
    int n = snprintf(text, sizeof(a->number[0]), "%lld", (long long)v);
    args_add(a, text, (size_t)n);
}

void args_fcall(struct args *a, const char *function, const struct shard_keys *keys)
{
    args_z(a, "FCALL");
    args_z(a, function);
    args_z(a, "4");
    for (int i = 0; i < SHARD_KEYS; i++)
        args_add(a, keys->text[i], keys->len[i]);
}

void redis_identity_ask(struct args *a)
{
    args_reset(a);
    args_z(a, "INFO");
    args_z(a, "server");
    args_z(a, "replication");
    args_z(a, "memory");
}
