/* rush.h - the figures of a rush, and what an answer means to them.
 *
 * One place decides what a shopper was told: it counts the answer, writes the journal and says
 * whether he asks again. One thread.
 */
#pragma once

#include "answer.h"
#include "hist.h"
#include "journal.h"

enum { RUSH_TALLIES = 32, RUSH_CODE_MAX = 48 };

/* Answers of one HTTP status and `code`. */
struct tally {
    unsigned http;
    char code[RUSH_CODE_MAX];
    uint64_t n;
};

struct rush {
    uint64_t shoppers; /* who set out */
    uint64_t sent;     /* requests that began to leave */
    uint64_t orders;   /* shoppers who got 201 with an order id */
    uint64_t repeats;  /* 201 and 202 to shoppers who had one before */
    uint64_t queued;   /* shoppers who got 202 */
    uint64_t refusals; /* 409 sold_out */
    int64_t first_send_us, last_order_us, first_refusal_us,
        last_answer_us;                 /* monotonic; 0: never */
    int64_t fresh_us;                   /* when the youngest request began that got a 201 */
    struct hist orders_us, refusals_us; /* latencies */

    struct tally errors[RUSH_TALLIES]; /* all other answers; the last row takes what has no row */
    unsigned errors_n;
    uint64_t errors_all;

    uint64_t opened;           /* connections that were open when the clock started */
    uint64_t connect_failures; /* refused or timed out, also later */
    uint64_t lost;             /* closed under a request */
    uint64_t timeouts;         /* requests without an answer in time */
    uint64_t bad_answers;      /* not HTTP as we read it, or 201 without an id */
    uint64_t given_up;         /* connections that could not be opened again */
    bool interrupted;

    int64_t user_us, system_us; /* processor time of the generator while the clock ran */
};

enum rush_next {
    RUSH_DONE,    /* this shopper knows what became of it */
    RUSH_GOT_ONE, /* the same, and it is an order for the first time */
    RUSH_RETRY,   /* he is to ask again */
    RUSH_ASTRAY,  /* the answer makes no sense */
};

/* Takes down what `shopper` was told by an answer that arrived at now_us to a request that began at
 * since_us (both monotonic). */
enum rush_next rush_told(struct rush *r, struct journal *journal, uint32_t shopper,
                         const struct answer *a, int64_t since_us, int64_t now_us);
