/* Each store by itself, from one thread, with nothing to wait for but the store. */
#include "batch.h"
#include "limits.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { IN_FLIGHT = 2 }; /* as Snapup has with two workers; Redis then never waits for us */

static void fill(struct batch *b, struct batch_source *src, unsigned n)
{
    b->n = 0;
    while (b->n < n) {
        batch_add(b, src);
    }
}

static int report(uint64_t orders, int64_t since_us)
{
    printf("{\"orders\": %" PRIu64 ", \"seconds\": %.6f}\n", orders,
           (double)(clock_mono_us() - since_us) / 1e6);
    return 0;
}

static bool send_call(redisContext *redis, struct call *call, struct batch *b,
                      struct batch_source *src, unsigned n)
{
    int done = 0;
    fill(b, src, n);
    call_fill(call, b);
    if (redisAppendCommandArgv(redis, call->argc, call->argv, call->lengths) != REDIS_OK) {
        return false;
    }
    while (!done) {
        if (redisBufferWrite(redis, &done) != REDIS_OK) {
            return false;
        }
    }
    return true;
}

static bool await_call(redisContext *redis, struct call *call, struct batch *b)
{
    void *reply = NULL;
    bool ok = redisGetReply(redis, &reply) == REDIS_OK && call_answered(b, reply);
    freeReplyObject(reply);
    if (ok) {
        call_settle(call, b);
    }
    return ok;
}

static int redis_loop(redisContext *redis, const struct limits *l)
{
    struct batch *flight[IN_FLIGHT] = {batch_new(NULL), batch_new(NULL)};
    struct call *call = malloc(sizeof(*call));
    struct batch_source src;
    bool ok = flight[0] && flight[1] && call;
    uint64_t orders = 0;
    int64_t since_us = clock_mono_us();
    int64_t until_us = since_us + l->seconds * INT64_C(1000000);
    batch_source_init(&src);
    if (ok) {
        call_init(call, 0);
        ok = send_call(redis, call, flight[0], &src, l->batch);
    }
    for (unsigned turn = 1; ok && clock_mono_us() < until_us; turn++) {
        struct batch *next = flight[turn % IN_FLIGHT];
        struct batch *before = flight[(turn - 1) % IN_FLIGHT];
        ok = send_call(redis, call, next, &src, l->batch) && await_call(redis, call, before);
        orders += before->n;
    }
    int rc = ok ? report(orders, since_us) : 1;
    uid_source_destroy(&src.ids);
    free(call);
    free(flight[0]);
    free(flight[1]);
    return rc;
}

int redis_run(const struct limits *l)
{
    redisContext *redis = call_prepare(l->redis) ? redisConnectUnix(l->redis) : NULL;
    if (!redis || redis->err) {
        redisFree(redis);
        return 1;
    }
    int rc = redis_loop(redis, l);
    redisFree(redis);
    return rc;
}

/* A group is made of whole batches, as in the pipeline. */
int insert_run(const struct limits *l)
{
    struct table *t = table_prepare(l->sql) ? table_open(l->sql) : NULL;
    struct batch *group = batch_new(NULL);
    if (!t || !group) {
        free(group);
        return 1;
    }
    struct batch_source src;
    uint64_t orders = 0;
    bool ok = true;
    batch_source_init(&src);
    int64_t since_us = clock_mono_us();
    int64_t until_us = since_us + l->seconds * INT64_C(1000000);
    while (ok && clock_mono_us() < until_us) {
        fill(group, &src, l->batch);
        ok = table_insert(t, group);
        orders += group->n;
    }
    int rc = ok ? report(orders, since_us) : 1;
    uid_source_destroy(&src.ids);
    free(group);
    table_close(&t);
    return rc;
}
