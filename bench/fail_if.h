/* fail_if.h - limits on a run, as people write them: 'p99>20ms', 'errors>0.1%', 'refusals.p99.9>=5ms'.
 *
 *   [WHAT.]METRIC OP NUMBER[UNIT]
 *
 *   METRIC  p50 p90 p99 p99.9 p99.99 max mean: latency; WHAT is orders (the default), refusals, all, or
 *           the name of a step. UNIT is us, ms or s
 *           errors timeouts lost bad-answers: how many, or with % their share of the requests
 *           orders/s requests/s refusals/s checkouts/s
 *           cpu.NAME: processor time of service, redis, mariadb, sandbox or generator, in % of a
 *           core
 *   OP      > >= < <=
 *
 * The same reading serves two ends: a run fails if a limit of --fail-if holds, and meets an SLO if
 * all of its do. What was not measured cannot be judged, and never counts as good: a limit that
 * nothing was held against proves nothing. Reads the run's JSON (report.schema.json). Pure; any thread.
 */
#pragma once

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

enum { FAIL_IF_MAX = 16, FAIL_IF_TEXT_MAX = 80, FAIL_IF_NAME_MAX = 32 };

enum fail_if_op { OVER, AT_LEAST, UNDER, AT_MOST };

struct fail_if {
    char text[FAIL_IF_TEXT_MAX + 1];
    char what[FAIL_IF_NAME_MAX + 1]; /* whose; empty: a figure of the whole run */
    char metric[FAIL_IF_NAME_MAX + 1];
    enum fail_if_op op;
    double limit; /* us, a share, a rate or a count */
    bool share;   /* of requests, or of a core */
};

enum fail_if_found { LIMIT_HOLDS, LIMIT_HOLDS_NOT, LIMIT_UNKNOWN };

/* False: error says what is wrong with the text. */
bool fail_if_parse(const char *text, struct fail_if *out, char *error, size_t size);
/* The unit of limit, as the report names it: us, share, count or per_s. */
const char *fail_if_unit(const struct fail_if *f);
/* Whether the comparison is true of the run; *value is what was compared, in the unit of limit.
 * LIMIT_UNKNOWN: it was not measured. */
enum fail_if_found fail_if_judge(const struct fail_if *f, const json_t *run, double *value);
