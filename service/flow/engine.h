/* engine.h - what every flow shares: the parts of the process, built once by main.c, read-only
 * after. */
#pragma once

#include "base/config.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "flow/catalog.h"
#include "flow/jobs.h"
#include "sql/committer.h"

struct channel_set;

struct engine {
    const struct config *conf;
    struct sql_conf sql;
    struct redis_conf redis;
    struct log *log;
    struct metrics *metrics;
    struct catalog *catalog;
    struct committers *committers;
    struct jobs *queries; /* what callers wait for */
    struct jobs *chores;  /* what nobody waits for: sweeps, deliveries, rebuilds, refreshes */
    struct uid instance;  /* this process, as owner of leases and log entries */
    struct jobs
        *payers; /* what waits for payment channels, so that a slow one delays nobody else */
    struct jobs *audits; /* audits wait for quiet; one at a time */
    struct channel_set *channels;
};
