/* reserve_priv.h - between reserve.c (what waits and is sent), reserve_settle.c (what Redis said of
 * it), reserve_commit.c (what MariaDB said) and reserve_draw.c (units of other shards).
 */
#pragma once

#include "flow/reserve.h"
#include "redis/args.h"
#include "redis/link.h"

enum { ACKS_MAX = 256 };

/* Purchases in the order in which they came. Zeroed: empty. */
struct purchase_list {
    struct purchase *first, **last; /* last: where the next one goes; set only when not empty */
};

/* One shard as this worker sees it. */
struct lane {
    struct reserve *r;
    struct live_shard *live;
    struct purchase_list queue;
    unsigned waiting; /* in it */
    bool eager;       /* some of them are to be told 202: the lane does not gather */
    bool in_flight;
    unsigned committing;         /* batches with the committer */
    uint32_t drawing;            /* item whose units are on their way from another shard; 0: none */
    struct purchase_list parked; /* waiting for them */
    struct lane *next_dirty;     /* in r->dirty */
    bool dirty;
    struct purchase_list fenced; /* reserved under an epoch that ended: to go again */
    unsigned acks;               /* durable log entries to delete */
    unsigned acking;             /* the first of them, named in the call in flight */
    int64_t ack_epoch;           /* whose log they are in */
    char ack[ACKS_MAX][LOG_ID_MAX];
};

/* One call and what became of it. */
struct batch {
    struct commit_batch commit; /* of the winners */
    struct lane *lane;
    int64_t sent_us;
    int64_t epoch;
    struct shard_keys keys;
    char log_id[LOG_ID_MAX]; /* empty: nothing in the log is this batch's */
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
    struct event *tick;
    struct lane **lane; /* by live_shard.index */
    unsigned lanes;
    struct lane *dirty;
    struct purchase *free;
    unsigned free_n, busy;
    struct args args;
};

void list_push(struct purchase_list *list, struct purchase *p);
/* All of them, linked; the list is empty then. */
struct purchase *list_take(struct purchase_list *list);

/* Answers a purchase that took room in the committer's queue, and frees it. */
void purchase_finish(struct reserve *r, struct purchase *p, enum buy buy, enum status st);
/* The same without an answer: it was given before. */
void purchase_end(struct reserve *r, struct purchase *p);
void purchase_free(struct reserve *r, struct purchase *p);
/* Puts a purchase into the lane's next batch. */
void lane_push(struct lane *lane, struct purchase *p);
void lane_mark(struct lane *lane);
/* The shard as loaded into the Redis at the other end of the link, or NULL. */
const struct sale_shard *lane_open_shard(struct lane *lane);
/* Keeps a purchase whose epoch ended until the shard is open again. */
void lane_fence(struct lane *lane, struct purchase *p);
/* What lane->acking named is gone from the log (or was never there). */
void lane_acked(struct lane *lane);

/* redis_reply_fn of a batch, which is arg. */
void batch_reserved(void *arg, enum status st, const struct redisReply *reply);
/* Refuses a batch that was not sent, or of which nothing came. Takes it. */
void batch_refuse(struct batch *b, enum status st);
void batch_free(struct batch *b);

/* The batch's first n purchases go to the committer; those to be told 202 are answered now. Takes
 * it. */
void commit_winners(struct batch *b, unsigned n);
/* Purchases told 202 that lost their place since are written as cancelled, holding nothing (rule
 * R22). Takes them, a list of at least one. */
void commit_lost(struct lane *lane, struct purchase *lost);
/* Purchases whose epoch ended go through reserve again once the shard is open (rule R2); who waits
 * for a 201 is told after a while to come again. */
void lane_retry_fenced(struct lane *lane);

/* Whether p, refused as sold out here, waits now for units that other shards still have. */
bool lane_park(struct lane *lane, struct purchase *p);
/* With each tick: those who wait for another lane's draw ask again. */
void lane_unpark(struct lane *lane);
