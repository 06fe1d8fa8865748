/* turns.h - whose turn it is to ask: newcomers at their pace, and those who ask again.
 *
 * Newcomers set out in order of number, all at once or `rate` a second. Whoever was told to try
 * again, or was told nothing, waits a moment (longer each time, spread by chance, never less than
 * Retry-After) and asks again with the same request, until his patience ends. Time is passed in;
 * chance comes from a seed. Memory: a few bytes per shopper, allocated once. One thread.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { TURNS_AFTER_S_MAX = 60 }; /* the longest Retry-After that is honoured */

struct turns_conf {
    uint32_t shoppers;
    uint32_t rate;      /* newcomers a second; 0: as fast as they get through */
    uint32_t persist_s; /* how long a shopper keeps trying; 0: one try */
    bool impatient;     /* ask again within milliseconds, whatever Retry-After says */
    uint64_t seed;
};

struct turns_shopper {
    int64_t since_us; /* when the first try of this purchase, or of its repetition, was made */
    uint8_t tries;    /* made since then */
};

struct turns_waiting {
    int64_t due_us;
    uint32_t shopper;
};

struct turns {
    struct turns_conf conf;
    struct turns_shopper *shoppers;
    struct turns_waiting *heap; /* who asks again; the first is due first */
    uint32_t waiting;           /* in heap */
    uint32_t next;              /* newcomer */
    int64_t start_us;           /* when the clock started */
    bool stopped;
};

/* ST_OK or ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status turns_init(struct turns *t, const struct turns_conf *conf);
void turns_fini(struct turns *t);

/* The pace counts from here. */
void turns_start(struct turns *t, int64_t now_us);
/* Who asks now; false when nobody is due. */
bool turns_take(struct turns *t, int64_t now_us, uint32_t *shopper);
/* A try failed: the shopper comes back, at the earliest after_s seconds from now. False when his
 * patience is at its end. */
bool turns_retry(struct turns *t, uint32_t shopper, int64_t now_us, uint32_t after_s);
/* A shopper who got an order asks for it once more, within two seconds. */
void turns_repeat(struct turns *t, uint32_t shopper, int64_t now_us);
/* No pace any more: all newcomers come at once. */
void turns_hurry(struct turns *t);
/* Nobody else comes. */
void turns_stop(struct turns *t);
/* True when nobody is left who will ask, beside those who are asking. */
bool turns_over(const struct turns *t);
