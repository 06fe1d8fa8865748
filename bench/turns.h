/* turns.h - whose turn it is: newcomers as they are planned, and those who come back.
 *
 * Newcomers set out in order of number, as the plan of arrivals says; in a closed load there is no
 * plan, and the next one is always due. Who has another step before him, or asks again, waits in a
 * heap. Whoever was told to try again, or was told nothing, waits a moment (longer each time,
 * spread by chance, never less than Retry-After), until his patience ends. Time is passed in; chance
 * comes from a seed. Memory: a few bytes per shopper, allocated once. One thread.
 */
#pragma once

#include "arrivals.h"

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { TURNS_AFTER_S_MAX = 60 }; /* the longest Retry-After that is honoured */

#define TURNS_NEVER INT64_MAX

struct turns_conf {
    uint32_t shoppers;
    const struct arrivals *arrivals; /* borrowed */
    uint32_t first, step;            /* of the arrivals that are ours */
    int64_t persist_us;              /* how long a shopper keeps trying; 0: one try */
    bool impatient;                  /* ask again within milliseconds, whatever Retry-After says */
    uint64_t seed;
};

struct turns_shopper {
    int64_t since_us; /* when the first try of this step was planned */
    uint8_t tries;    /* made since then */
};

struct turns_waiting {
    int64_t due_us;
    uint32_t shopper;
};

struct turns {
    struct turns_conf conf;
    struct arrivals_cursor plan;
    struct turns_shopper *shoppers;
    struct turns_waiting *heap; /* who comes back; the first is due first */
    uint32_t waiting;           /* in heap */
    uint32_t next;              /* newcomer */
    int64_t next_us;            /* when he is due; TURNS_NEVER: nobody is left */
    int64_t start_us;           /* when the clock started */
    int64_t hurry_us;           /* no plan from here on; TURNS_NEVER: it holds */
    bool stopped;
};

/* ST_OK or ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status turns_init(struct turns *t, const struct turns_conf *conf);
void turns_fini(struct turns *t);

/* The plan counts from here. */
void turns_start(struct turns *t, int64_t start_us);
/* Who came back and is due, and since when; false when nobody is. */
bool turns_take_back(struct turns *t, int64_t now_us, uint32_t *shopper, int64_t *due_us);
/* Whether a newcomer is due; he is t->next. */
bool turns_newcomer_due(const struct turns *t, int64_t now_us);
/* Takes him; returns when he was due. In a closed load, that is now. */
int64_t turns_take_newcomer(struct turns *t, int64_t now_us);
/* When the first of those in the heap is due; TURNS_NEVER: nobody waits. */
int64_t turns_back_us(const struct turns *t);

/* The shopper does something else next, at due_us. */
void turns_plan(struct turns *t, uint32_t shopper, int64_t due_us);
/* A try failed: the shopper comes back, at the earliest after_s seconds from now. False when his
 * patience is at its end. */
bool turns_retry(struct turns *t, uint32_t shopper, int64_t now_us, uint32_t after_s);
/* A number from `from` to `to`. */
int64_t turns_chance(struct turns *t, int64_t from, int64_t to);
/* No plan any more: all newcomers come at once. */
void turns_hurry(struct turns *t, int64_t now_us);
/* Nobody else comes. */
void turns_stop(struct turns *t);
/* True when nobody is left who will ask, beside those who are asking. */
bool turns_over(const struct turns *t);
