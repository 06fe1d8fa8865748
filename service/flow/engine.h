/* engine.h - what every flow shares: the parts of the process, built once by app.c. Read-only from
 * then on, but for `stopping` (any thread reads it) and the CF_RELOAD fields of *conf, which are
 * the main thread's alone (config.h). */
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
    struct sql_conf patient_sql; /* the same with a long time-out, for audits */
    struct redis_conf redis;
    struct log *log;
    struct metrics *metrics;
    struct catalog *catalog;
    struct committers *committers;
    struct jobs *queries;  /* what callers wait for */
    struct jobs *chores;   /* what nobody waits for: looks, sweeps, deliveries */
    struct jobs *rebuilds; /* recoveries; long ones must not keep the chores waiting */
    /* Those of sales that do not sell; they must not keep the others waiting. */
    struct jobs *idle_rebuilds;
    struct jobs *payments; /* attempts to pay, grouped: before and after the channel is told */
    struct jobs *webhooks; /* notifications, grouped */
    struct jobs *reads;    /* looks at single orders, grouped */
    struct jobs *audits;   /* audits wait for quiet, and read much */
    _Atomic bool stopping; /* those who wait for something give up */
    struct uid instance;   /* this process, as owner of leases and log entries */
    struct channel_set *channels;
};
