/* capacity_cause.h - what held a service back in a run: processors, a thread, or a queue.
 *
 * From the processor time of the watched processes (the run's JSON) and from what the service's own
 * clocks added up meanwhile (/metrics). The mean length of a queue is the time spent waiting in it
 * over the time of the run (Little's law), so nothing has to be sampled. Pure; any thread.
 */
#pragma once

#include "base/str.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

/* X(id, metric) sums of seconds, and depths at this moment */
#define CAPACITY_METRICS(X)                             \
    X(RESERVING, "snapup_reserve_seconds_sum")          \
    X(COMMIT_WAITING, "snapup_commit_wait_seconds_sum") \
    X(COMMITTING, "snapup_commit_seconds_sum")          \
    X(QUERY_WAITING, "snapup_query_wait_seconds_sum")   \
    X(COMMIT_DEPTH, "snapup_commit_depth")              \
    X(QUERY_DEPTH, "snapup_query_depth")                \
    X(OUTBOX_DEPTH, "snapup_outbox_depth")

enum capacity_metric {
#define X(id, metric) METRIC_##id,
    CAPACITY_METRICS(X)
#undef X
        CAPACITY_METRICS_N
};

struct capacity_metrics {
    double v[CAPACITY_METRICS_N]; /* 0: another service, which has no such thing */
};

/* From Prometheus' text. */
void capacity_metrics_read(struct str text, struct capacity_metrics *out);
/* Nothing waits anywhere in the service. */
bool capacity_drained(const struct capacity_metrics *m);
/* One sentence for people, and what it is drawn from. cores: those of the machine. */
void capacity_cause(const json_t *run, const struct capacity_metrics *before,
                    const struct capacity_metrics *after, double cores, char *out, size_t size);
