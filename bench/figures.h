/* figures.h - what one thread of a run measured.
 *
 * Counters are relaxed atomics with one writer, so that whoever shows how the run goes may read
 * them meanwhile; all the rest belongs to its thread until that has ended, and is added up then.
 */
#pragma once

#include "hist.h"
#include "scenario.h"

#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(id, name): the names are those of the report */
#define FIGURES_COUNTS(X)                                                                    \
    X(SHOPPERS, "shoppers")                 /* who set out */                                \
    X(SENT, "sent")                         /* requests that began to leave */               \
    X(ANSWERS, "answers")                   /* that arrived and made sense */                \
    X(ORDERS, "orders")                     /* shoppers who got 201 with an order id */      \
    X(REPEATS, "repeats")                   /* 201 and 202 to shoppers who had one before */ \
    X(QUEUED, "queued")                     /* shoppers who got 202 */                       \
    X(REFUSALS, "refusals")                 /* 409 sold_out to those who wanted to buy */    \
    X(PAID, "paid")                         /* shoppers who saw their order paid */          \
    X(ERRORS, "errors")                     /* answers that the scenario does not expect */  \
    X(OPENED, "opened")                     /* connections open when the clock started */    \
    X(CONNECT_FAILURES, "connect_failures") /* refused or timed out */                       \
    X(LOST, "lost")                         /* closed under a request */                     \
    X(TIMEOUTS, "timeouts")                 /* requests without an answer in time */         \
    X(BAD_ANSWERS, "bad_answers") /* not HTTP as we read it, or without what it had to have */

enum count {
#define X(id, name) COUNT_##id,
    FIGURES_COUNTS(X)
#undef X
        COUNTS
};

/* Moments, monotonic; 0: never. */
enum moment {
    AT_FIRST_SEND,
    AT_FIRST_REFUSAL,
    AT_LAST_ORDER,
    AT_LAST_PAID,
    AT_LAST_ANSWER,
    AT_FRESH, /* when the youngest request began that got a 201 */
    MOMENTS,
};

enum of { OF_ALL, OF_ORDERS, OF_REFUSALS, OFS };

enum { FIGURES_TALLIES = 16, FIGURES_CODE_MAX = 48 };

/* Answers of one HTTP status and `code`. */
struct tally {
    unsigned http;
    char code[FIGURES_CODE_MAX];
    bool expected;
    uint64_t n;
};

struct step_figures {
    uint64_t sent;
    struct hist latency, service;
    struct tally tallies[FIGURES_TALLIES]; /* the last row takes what has no row */
    unsigned tallies_n;
};

struct figures {
    _Atomic uint64_t counts[COUNTS];
    _Atomic int64_t moments[MOMENTS];
    struct hist latency[OFS]; /* from the planned send; in a closed load, from the send */
    struct hist service[OFS]; /* from the send */
    struct hist late;         /* open load: from the planned send until the loop got to it */
    uint64_t very_late;       /* of those, more than FIGURES_VERY_LATE_US */
    struct step_figures *steps;
    unsigned steps_n;
};

#define FIGURES_VERY_LATE_US 10000

/* ST_OK or ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status figures_create(unsigned steps, struct figures **out);
void figures_destroy(struct figures **f);
/* Adds what another thread measured; it has ended. */
void figures_add(struct figures *to, const struct figures *from);

static inline void figures_count(struct figures *f, enum count c, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&f->counts[c], memory_order_relaxed);
    atomic_store_explicit(&f->counts[c], now + n, memory_order_relaxed);
}

static inline uint64_t figures_get(const struct figures *f, enum count c)
{
    return atomic_load_explicit(&f->counts[c], memory_order_relaxed);
}

static inline int64_t figures_moment(const struct figures *f, enum moment m)
{
    return atomic_load_explicit(&f->moments[m], memory_order_relaxed);
}

static inline void figures_at(struct figures *f, enum moment m, int64_t us)
{
    atomic_store_explicit(&f->moments[m], us, memory_order_relaxed);
}

/* One answer of a step. code: of a problem, or empty. */
void figures_tally(struct step_figures *s, unsigned http, struct str code, bool expected);
