/* client.h - the rush itself: connections on libevent, one request each at a time.
 *
 * Every shopper tries once, in order of number; whichever connection is free takes the next. All
 * connections are open before the clock starts. A connection that fails is counted, opened again
 * and never silently missing. Per wake a connection makes at most one read and one write; memory is
 * bounded by ANSWER_MAX bytes per connection. One thread, one call; SIGINT ends it early.
 */
#pragma once

#include "crowd.h"
#include "hist.h"
#include "journal.h"

#include "base/status.h"

enum { CLIENT_TALLIES = 32, CLIENT_CODE_MAX = 48 };

/* Answers of one HTTP status and `code`. */
struct tally {
    unsigned http;
    char code[CLIENT_CODE_MAX];
    uint64_t n;
};

struct rush {
    uint64_t sent;     /* requests that began to leave */
    uint64_t orders;   /* 201 with an order id */
    uint64_t refusals; /* 409 sold_out */
    int64_t first_send_us, last_order_us, first_refusal_us,
        last_answer_us;                 /* monotonic; 0: never */
    struct hist orders_us, refusals_us; /* latencies */

    struct tally errors[CLIENT_TALLIES]; /* all other answers; the last row takes what has no row */
    unsigned errors_n;

    uint64_t opened;           /* connections that were open when the clock started */
    uint64_t connect_failures; /* refused or timed out, also later */
    uint64_t lost;             /* closed under a request */
    uint64_t timeouts;         /* requests without an answer in time */
    uint64_t bad_answers;      /* not HTTP as we read it, or 201 without an id */
    uint64_t given_up;         /* connections that could not be opened again */
    bool interrupted;

    int64_t user_us, system_us; /* processor time of the generator while the clock ran */
};

/* Runs to the end: every shopper tried, or no connection left, or interrupted. Fills *r and the
 * journal. ST_OK; ST_UNAVAILABLE: host not found or no connection at all (r tells); ST_INTERNAL. */
STATUS_MUSTCHECK
enum status rush_run(const struct options *o, const struct crowd *crowd, struct journal *journal,
                     struct rush *r);
