/* told.h - what an answer means to the shopper who asked, and to the figures.
 *
 * One place decides: it counts the answer, writes the journal of those who buy, and says what the
 * shopper does next. No connections, no clock. One thread.
 */
#pragma once

#include "answer.h"
#include "figures.h"
#include "journal.h"

enum told_next {
    NEXT_ON,     /* to the next step */
    NEXT_DONE,   /* this shopper knows what became of it, and leaves */
    NEXT_RETRY,  /* he is to ask again */
    NEXT_POLL,   /* it is not yet as the step wants it */
    NEXT_ASTRAY, /* the answer makes no sense */
};

/* A request that was answered; times are monotonic. */
struct told_request {
    uint32_t shopper;
    unsigned step;      /* number of the step */
    int64_t planned_us; /* when it was to leave; for `until`, the first of its kind */
    int64_t since_us;   /* when it left */
};

struct telling {
    const struct scenario *scenario;
    struct figures *figures;
    struct journal *journal;
    bool got_one; /* set by told_answer: the shopper has an order, for the first time */
};

/* Takes down an answer that arrived at now_us. */
enum told_next told_answer(struct telling *t, const struct told_request *rq, const struct answer *a,
                           int64_t now_us);
