/* observer.h - looks at a run from the side, twice a second: what the load did, what is left of the
 * stock, what processor time each process took, how large the groups were that the service
 * committed.
 *
 * A thread of its own, so that neither a service that hangs nor the looking delays the load. What
 * cannot be seen (another service without /metrics, a process that ended) is left out.
 */
#pragma once

#include "load.h"

#include <jansson.h>

enum { OBSERVER_WATCHED_MAX = BENCH_WATCHED_MAX + 1 }; /* and the tool itself */

/* One interval. Negative: not seen. */
struct sample {
    double t; /* seconds from the start to its end */
    uint64_t sent, orders, refusals, errors, in_flight;
    int64_t p50_us, p90_us, p99_us, p999_us, max_us;
    int64_t stock;
    double commit_group; /* orders per transaction */
    double
        cpu[OBSERVER_WATCHED_MAX]; /* shares of one core, in the order of options; last the tool */
};

struct observer_conf {
    const struct options *options;
    const char *sale;
    uint64_t units; /* of the whole sale */
    struct load *load;
    int64_t start_us;
};

struct observer;

/* Borrows conf's pointers. ST_OK or ST_INTERNAL. */
STATUS_MUSTCHECK
enum status observer_start(const struct observer_conf *conf, struct observer **out);
/* Looks a last time and ends. */
void observer_stop(struct observer *o);
void observer_destroy(struct observer **o);
/* The latest sample; false: none yet. Any thread. */
bool observer_latest(struct observer *o, struct sample *out);
/* Adds series, cpu_us and commit_groups to the report; after observer_stop. */
void observer_report(const struct observer *o, json_t *run);
