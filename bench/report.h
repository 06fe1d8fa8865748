/* report.h - what a rush did, as text for people or one JSON object for programs.
 *
 * Only writes; every figure was computed before, the rates are computed here. One thread.
 */
#pragma once

#include "client.h"
#include "promises.h"

#include <jansson.h>

#include <stdio.h>

struct report {
    const struct options *options;
    const struct crowd *crowd;
    const struct journal *journal;
    const struct rush *rush;
    const struct ledger *ledger;    /* NULL, like audit: the outcome could not be compared */
    const struct verdict *verdicts; /* PROMISE_COUNT of them, with ledger */
    const json_t *audit;
    enum bench_exit result;
    const char *invalid; /* why the run is not valid; NULL when it is */
};

void report_text(const struct report *rp, FILE *out);
void report_json(const struct report *rp, FILE *out);
