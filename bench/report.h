/* report.h - what a run did: as one JSON object for programs, and that object as text for people.
 *
 * Only writes; figures were measured before, rates are computed here. Text is made from the JSON, so
 * that no figure is worked out twice. One thread.
 */
#pragma once

#include "figures.h"
#include "options.h"
#include "promises.h"

#include <jansson.h>

#include <stdio.h>

struct report {
    const struct options *options;
    const struct scenario *scenario;
    bool closed;
    const char *sale;
    const struct journal *journal;
    const struct figures *figures;
    int64_t started_ms, start_us;   /* wall and monotonic */
    int64_t user_us, system_us;     /* processor time of the load's threads */
    const struct ledger *ledger;    /* NULL, like audit: the outcome was not compared */
    const struct verdict *verdicts; /* PROMISE_COUNT of them, with ledger */
    json_t *audit;
    enum bench_exit result;
    const char *invalid; /* why the run is not valid; NULL when it is */
};

/* The caller owns it; NULL without memory. */
json_t *report_json(const struct report *rp);
/* All latencies as one HdrHistogram log. False: no memory. */
bool report_hdr(const struct report *rp, FILE *out);
void report_text(const json_t *run, FILE *out);
