/* reserve.h - the hot path: a loop turn's purchases become one Redis call, its winners one commit.
 *
 *  reserve_submit ─▶ waiting, by shard ─turn─▶ FCALL snapup_reserve ┬▶ winners ─▶ committer ─▶ done
 *                                                                   └▶ losers ─▶ done
 *
 * At most one reserving call of a shard is in flight per worker; what comes meanwhile gathers
 * (service/README.md, A purchase). One instance per worker loop, used only from its thread. A log
 * entry is deleted once its rows are durable: its id rides along with the shard's next call, or
 * with a call of its own when none comes (rule R10).
 */
#pragma once

#include "base/queue.h"
#include "base/status.h"
#include "flow/engine.h"
#include "redis/row.h"

struct event_base;
struct reserve;
struct purchase;

/* What a purchase came to. For BUY_LOOKUP the key may belong to an order that MariaDB knows: look
 * it up there; only if it is not there, `st` is the answer (rules R14, R15). */
enum buy { BUY_DURABLE, BUY_QUEUED, BUY_REFUSED, BUY_LOOKUP };

/* Runs exactly once, on the loop's thread, possibly inside reserve_submit; p is freed after it
 * returns unless it was BUY_QUEUED (then p stays reserve's). */
typedef void (*purchase_fn)(struct purchase *p, enum buy buy, enum status st);

struct purchase {
    struct purchase *next;
    purchase_fn done;
    void *arg;              /* the caller's */
    struct row row;         /* sku and shopper point into `bytes` */
    uint8_t bytes[ROW_MAX]; /* encoded */
    size_t n;
    bool explicit_key; /* the client named the key: it may have been used before */
    bool async;        /* BUY_QUEUED as soon as it is reserved */
    bool told;         /* reserve's: it was BUY_QUEUED; what comes of it now is only written */
    int64_t left;      /* units left, with ST_SOLD_OUT */
    unsigned draws;    /* reserve's: how often it waited for units of other shards */
    unsigned waits;    /* likewise, for another lane's draw to arrive */
    int64_t fenced_us; /* reserve's: when its epoch was first found to have ended; 0: never */
};

STATUS_MUSTCHECK
enum status reserve_create(const struct engine *engine, struct event_base *base,
                           struct queue *replies, struct metrics_block *metrics,
                           struct catalog_reader *reader, struct reserve **out);
/* Nothing may be in flight any more (see reserve_busy), or it is forgotten. */
void reserve_destroy(struct reserve **r);
/* The Redis this loop talks to answers. */
bool reserve_ready(const struct reserve *r);

/* A purchase to fill: row without shard matters, done, arg. NULL without memory. */
struct purchase *purchase_new(struct reserve *r);
/* Encodes the row, whose sku and shopper then point into p. */
void purchase_seal(struct purchase *p);

/* Takes p. The caller has checked that the sale is open and the item is its. Refuses from memory
 * when the item is known to be sold out and the shopper is known to hold nothing. */
void reserve_submit(struct reserve *r, const struct sale *sale, const struct sale_item *item,
                    struct purchase *p);
/* For a purchase that the sale's phase refuses with st: BUY_LOOKUP when its key may have been used
 * (rule R15), else BUY_REFUSED. Takes p. */
void reserve_refuse(struct reserve *r, const struct sale *sale, struct purchase *p, enum status st);
/* End of a loop turn: sends what waits. */
void reserve_turn(struct reserve *r);
/* Purchases under way, calls in flight, and log entries that are still to be deleted. */
unsigned reserve_busy(const struct reserve *r);
