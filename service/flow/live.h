/* live.h - what changes from moment to moment about a sale, shared by all threads of the process.
 *
 * Hints, which cost a look or an early refusal when they are stale: units left as last seen,
 * whether a refusal may be given from memory, the filter of shoppers who may hold something. And
 * what the flows of this process note for each other, which does decide: a suspect epoch makes the
 * next recovery load the shard, doubt about lost answers makes the sweep complete entries of ours.
 * None of it outlives the process, and nothing that was promised rests on it.
 *
 * Atomics, but for what one thread alone uses (said below) and the lock of recoveries. Created when
 * a sale is first loaded, kept until exit (a few hundred bytes per shard), so that readers need no
 * lock and no reference. The filter's addresses stay as well, but its memory (up to 8 MB per shard)
 * goes back to the system when nobody has asked an ended sale for it lately (refresh.h): what was
 * forgotten reads as nobody, and may be read meanwhile.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* An entry of the intent log: Redis names it by its milliseconds and a sequence number. */
struct log_mark {
    uint64_t ms, seq;
};

/* Units of one item in one shard. */
struct live_item {
    _Atomic int64_t left; /* -1: not known */
    _Atomic bool refuse;  /* left was 0 when the filter was known to be complete */
    /* Draws of this process that take units from other shards for this one: what they take stands in
     * nobody's `left` until it has arrived. */
    _Atomic unsigned arriving;
};

struct live_shard {
    uint32_t sale_no;
    unsigned shard;
    unsigned index;             /* place in workers' arrays; unique in the process */
    pthread_mutex_t rebuild;    /* one recovery of this shard at a time in this process */
    _Atomic bool idle;          /* its sale neither sells nor is about to: recoveries can wait */
    _Atomic bool recovering[2]; /* a recovery is queued; [true]: among those of idle shards */
    /* Highest epoch found past mending: any later load has mended it. */
    _Atomic int64_t suspect_epoch;
    _Atomic int64_t retry_at_us; /* monotonic; no recovery before */
    /* Monotonic; till then and two sweeps longer, entries of ours may be unknown to us. 0: none. */
    _Atomic int64_t doubt_until_us;
    unsigned swept_late;         /* sweeps since that moment; the sweep's alone */
    struct log_mark swept;       /* newest entry of ours at the last sweep; the sweep's alone */
    _Atomic bool filter_current; /* filter held everything at the last refresh */
    _Atomic bool filter_used;    /* bits may be set: it takes memory */
    _Atomic unsigned forgets;    /* how often its bits were taken away */
    _Atomic bool asked;          /* a refusal wanted the filter since the last refresh */
    int64_t wanted_until_us;     /* monotonic; till then it stays; the refresh's alone */
    _Atomic int64_t log;         /* entries in the intent log at the last refresh */
    _Atomic int64_t wins;        /* epoch << 40 | #wins that the filter includes; -1: none */
    uint32_t filter_bits;        /* power of two */
    /* bit = shopper's hash % filter_bits; they are only ever set, but for live_filter_forget. Pages
     * of its own, taken when first written. */
    _Atomic uint64_t *filter;
};

struct live_sale {
    uint32_t no;
    unsigned shards;
    struct live_shard *shard; /* [shards] */
    unsigned items;
    struct live_item **item; /* [items], each [shards]; in order of the item's place in the sale */
};

/* Size of the filter of one shard: 32 bits a unit, 2^16 .. 2^26. It depends on the units the sale
 * was created with only, so that every instance and every epoch computes the same. */
uint32_t live_filter_bits(int64_t units_per_shard);

STATUS_MUSTCHECK
enum status live_sale_create(uint32_t no, unsigned shards, unsigned items, int64_t units,
                             unsigned *next_index, struct live_sale **out);
void live_sale_destroy(struct live_sale **s);

/* Units left in all shards of an item (item: [shards]), as far as they are known. */
int64_t live_left(const struct live_item *item, unsigned shards);

bool live_filter_has(const struct live_shard *s, uint32_t hash);
/* Whether no bit is set, and none was taken away since s->forgets was `forgets`. For who refuses: he
 * reads that number first, then whether the filter is complete (filter_current, an item's refuse),
 * then this. */
bool live_filter_lacks(const struct live_shard *s, uint32_t hash, unsigned forgets);
void live_filter_set(struct live_shard *s, uint32_t hash);
/* Adds Redis' bitmap (SETBIT order: bit 0 is the highest of byte 0). */
void live_filter_merge(struct live_shard *s, struct str bitmap);
/* Clears all bits and gives their memory back; the filter is no longer current. The items' `refuse`
 * of this shard is false before, the caller's to do. Bits that are set meanwhile may go or stay.
 * The refresh's thread. */
void live_filter_forget(struct live_shard *s);
