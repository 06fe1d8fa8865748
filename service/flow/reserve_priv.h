/* reserve_priv.h - between reserve.c (what waits and is sent), reserve_settle.c (what came of it)
 * and reserve_draw.c (units of other shards).
 */
#pragma once

#include "flow/reserve.h"
#include "redis/args.h"
#include "redis/link.h"

enum { LOG_ID_MAX = 40, ACKS_MAX = 256 };

/* One shard as this worker sees it. */
struct lane {
    struct reserve *r;
    struct live_shard *live;
    struct purchase *first, **last; /* waiting */
    unsigned waiting;
    bool in_flight;
    uint32_t drawing; /* item whose units are on their way from another shard; 0: none */
    struct purchase *parked, **parked_last; /* waiting for them */
    struct lane *next_dirty;                /* in r->dirty */
    bool dirty;
    unsigned acks;
    int64_t ack_epoch;              /* whose log they are in */
    char ack[ACKS_MAX][LOG_ID_MAX]; /* durable log entries to delete */
};

/* One call and what became of it. */
struct batch {
    struct commit_batch commit; /* of the winners */
    struct lane *lane;
    int64_t sent_us;
    int64_t epoch;
    struct shard_keys keys;
    char log_id[LOG_ID_MAX];
    struct commit_row *rows;
    unsigned n;
    struct purchase *p[]; /* n of them; after the reply: the winners */
};

struct reserve {
    const struct engine *engine;
    struct queue *replies;
    struct metrics_block *metrics;
    struct catalog_reader *reader;
    struct redis_link *link;
    struct redis_identity identity; /* of the link while it is ready */
    struct event *ack_tick;
    struct lane **lane; /* by live_shard.index */
    unsigned lanes;
    struct lane *dirty;
    struct purchase *free;
    unsigned free_n, busy;
    struct args args;
};

/* Answers a purchase that took room in the committer's queue, and frees it. */
void purchase_finish(struct reserve *r, struct purchase *p, enum buy buy, enum status st);
void purchase_free(struct reserve *r, struct purchase *p);
/* Puts a purchase into the lane's next batch. */
void lane_push(struct lane *lane, struct purchase *p);
void lane_mark(struct lane *lane);

/* redis_reply_fn of a batch, which is arg. */
void batch_reserved(void *arg, enum status st, const struct redisReply *reply);
/* Refuses a batch that was not sent. Takes it. */
void batch_refuse(struct batch *b, enum status st);

/* Whether p, refused as sold out here, waits now for units that other shards still have. */
bool lane_park(struct lane *lane, struct purchase *p);
