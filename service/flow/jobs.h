/* jobs.h - threads that may wait: each has one connection to either store and runs jobs in turn.
 *
 * For everything that is not the hot path. A loop submits a job; a thread runs `work`; `done` runs
 * on the loop that asked (through its reply queue). Bounded: a full queue refuses.
 */
#pragma once

#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "flow/catalog.h"
#include "redis/session.h"
#include "sql/sql.h"

struct engine;

/* What a job has while it runs. */
struct session {
    const struct engine *engine;
    struct sql *sql;
    struct redis_session *redis;
    struct uid_source *ids;
    struct metrics_block *metrics;
    struct catalog_reader reader;
    bool pinned;      /* a job runs: reader keeps to its snapshot */
    struct args args; /* scratch for Redis calls */
};

struct job {
    struct task task;
    void (*work)(struct job *job, struct session *s); /* on a job thread; not of a grouped pool */
    task_fn done;           /* on the asking loop; may be NULL: then work's end is the end */
    struct queue *reply_to; /* the asking loop's */
    int64_t queued_us;
};

/* A job that waited longer for its thread has lost its caller, who gave up or will ask again:
 * answered 503 without being run, for others wait behind it (P7). */
enum { JOB_PATIENCE_MS = 10000 };

bool job_late(const struct job *job);
/* To its `done`, on the asking loop. */
void job_return(struct job *job);

struct jobs;

STATUS_MUSTCHECK
enum status jobs_create(const struct engine *engine, unsigned threads, unsigned depth_max,
                        struct jobs **out);
/* The same with engine->patient_sql: for reads that may take minutes. */
STATUS_MUSTCHECK
enum status jobs_create_patient(const struct engine *engine, unsigned threads, unsigned depth_max,
                                struct jobs **out);
/* How a pool of one thread runs all that waits together, up to max: for what shares a transaction.
 * work ends each with job_return, or keeps it to do so later. */
struct jobs_group {
    void (*work)(struct session *s, struct job **jobs, unsigned n);
    unsigned max;
    enum metric_time wait, time;
    enum metric_size size;
};
STATUS_MUSTCHECK
enum status jobs_create_grouped(const struct engine *engine, const struct jobs_group *group,
                                unsigned depth_max, struct jobs **out);
/* Runs what was submitted, then ends the threads. */
void jobs_stop(struct jobs *j);
void jobs_destroy(struct jobs **j);
/* ST_OK or ST_OVERLOADED; on the latter nothing will run. */
STATUS_MUSTCHECK
enum status jobs_submit(struct jobs *j, struct job *job);
/* Back into the pool, for its next stage: never refused, the first submission was let in for all of
 * them. Also while the pool is being stopped, as long as its thread runs. */
void jobs_resubmit(struct jobs *j, struct job *job);
unsigned jobs_depth(struct jobs *j);

/* A session outside the pool, for the command line's subcommands and the start. */
STATUS_MUSTCHECK
enum status session_create(const struct engine *engine, struct session **out);
void session_destroy(struct session **s);
/* The snapshot of this job: the newest when it began, the same until it ends, so that what a flow
 * holds stays valid while it calls others. Outside the pool: the newest. ST_UNAVAILABLE before the
 * first load. */
STATUS_MUSTCHECK
enum status session_catalog(struct session *s, const struct snapshot **snap);
/* The newest from now on, after a change of one's own; what was held of the old one is gone. */
STATUS_MUSTCHECK
enum status session_refresh(struct session *s, const struct snapshot **snap);
