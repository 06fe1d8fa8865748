#include "flow/jobs.h"

#include "base/clock.h"
#include "flow/engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* After a group of so many there are more on their way, and the next one gathers them for so long: a
 * statement's fixed cost is shared by more. Where few come, nobody waits. */
enum { CROWD = 16, GATHER_US = 1000 };

struct jobs {
    const struct engine *engine;
    const struct sql_conf *sql;
    struct queue *queue;
    struct jobs_group group; /* max 0: each job alone */
    unsigned last_group;     /* jobs in it; the thread's */
    unsigned threads;
    pthread_t thread[];
};

static enum status session_open(const struct engine *engine, const struct sql_conf *sql,
                                struct session **out)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_UNAVAILABLE;
    s->engine = engine;
    s->ids = uid_source_create();
    s->metrics = metrics_block(engine->metrics);
    catalog_reader_init(&s->reader, engine->catalog);
    if (!s->ids || sql_create(sql, engine->log, &s->sql) != ST_OK ||
        redis_session_create(&engine->redis, engine->log, &s->redis) != ST_OK) {
        session_destroy(&s);
        return ST_UNAVAILABLE;
    }
    *out = s;
    return ST_OK;
}

enum status session_create(const struct engine *engine, struct session **out)
{
    return session_open(engine, &engine->sql, out);
}

void session_destroy(struct session **session)
{
    struct session *s = *session;
    if (!s)
        return;
    catalog_reader_fini(&s->reader);
    redis_session_destroy(&s->redis);
    sql_destroy(&s->sql);
    uid_source_destroy(&s->ids);
    free(s);
    *session = NULL;
}

enum status session_refresh(struct session *s, const struct snapshot **snap)
{
    *snap = catalog_read(&s->reader);
    return *snap ? ST_OK : ST_UNAVAILABLE;
}

enum status session_catalog(struct session *s, const struct snapshot **snap)
{
    if (!s->pinned || !s->reader.snap)
        return session_refresh(s, snap);
    *snap = s->reader.snap;
    return ST_OK;
}

bool job_late(const struct job *job)
{
    return clock_mono_us() - job->queued_us > JOB_PATIENCE_MS * 1000;
}

void job_return(struct job *job)
{
    job->task.run = job->done;
    queue_push_reply(job->reply_to, &job->task);
}

static void run_alone(struct session *s, struct job *job)
{
    int64_t started_us = clock_mono_us();
    const bool told = job->done != NULL; /* where nobody is told, its work may free it */
    metrics_time(s->metrics, MT_QUERY_WAIT, started_us - job->queued_us);
    job->work(job, s);
    metrics_time(s->metrics, MT_QUERY, clock_mono_us() - started_us);
    metrics_add(s->metrics, M_QUERIES, 1);
    if (told)
        job_return(job);
}

/* `first` and what else waits. */
static void run_group(struct jobs *j, struct session *s, struct job **all, struct job *first)
{
    if (j->last_group >= CROWD)
        usleep(GATHER_US);
    int64_t started_us = clock_mono_us();
    unsigned n = 0;
    all[n++] = first;
    struct task *t = j->group.max > 1 ? queue_take(j->queue, j->group.max - 1) : NULL;
    for (; t; t = t->next)
        all[n++] = CONTAINER_OF(t, struct job, task);
    for (unsigned i = 0; i < n; i++)
        metrics_time(s->metrics, j->group.wait, started_us - all[i]->queued_us);
    j->group.work(s, all, n);
    metrics_time(s->metrics, j->group.time, clock_mono_us() - started_us);
    metrics_size(s->metrics, j->group.size, n);
    j->last_group = n;
}

static void *jobs_main(void *arg)
{
    struct jobs *j = arg;
    struct session *s = NULL;
    struct job **all = calloc(j->group.max ? j->group.max : 1, sizeof(struct job *));
    if (!all || session_open(j->engine, j->sql, &s) != ST_OK)
        abort(); /* at start, without memory: nothing was promised yet */
    struct task *t;
    while ((t = queue_wait(j->queue, -1)) != NULL) {
        struct job *job = CONTAINER_OF(t, struct job, task);
        (void)catalog_read(&s->reader);
        s->pinned = true;
        if (j->group.max > 0)
            run_group(j, s, all, job);
        else
            run_alone(s, job);
        s->pinned = false;
    }
    session_destroy(&s);
    free(all);
    return NULL;
}

static enum status jobs_open(const struct engine *engine, const struct sql_conf *sql,
                             const struct jobs_group *group, unsigned threads, unsigned depth_max,
                             struct jobs **out)
{
    struct jobs *j = calloc(1, sizeof(*j) + threads * sizeof(pthread_t));
    if (!j || queue_create(depth_max, &j->queue) != ST_OK) {
        free(j);
        return ST_UNAVAILABLE;
    }
    j->engine = engine;
    j->sql = sql;
    if (group)
        j->group = *group;
    for (; j->threads < threads; j->threads++) {
        if (pthread_create(&j->thread[j->threads], NULL, jobs_main, j) != 0) {
            jobs_stop(j);
            jobs_destroy(&j);
            return ST_UNAVAILABLE;
        }
    }
    *out = j;
    return ST_OK;
}

enum status jobs_create(const struct engine *engine, unsigned threads, unsigned depth_max,
                        struct jobs **out)
{
    return jobs_open(engine, &engine->sql, NULL, threads, depth_max, out);
}

enum status jobs_create_patient(const struct engine *engine, unsigned threads, unsigned depth_max,
                                struct jobs **out)
{
    return jobs_open(engine, &engine->patient_sql, NULL, threads, depth_max, out);
}

enum status jobs_create_grouped(const struct engine *engine, const struct jobs_group *group,
                                unsigned depth_max, struct jobs **out)
{
    return jobs_open(engine, &engine->sql, group, 1, depth_max, out);
}

void jobs_stop(struct jobs *j)
{
    queue_close(j->queue);
    for (unsigned i = 0; i < j->threads; i++)
        pthread_join(j->thread[i], NULL);
    j->threads = 0;
}

void jobs_destroy(struct jobs **j)
{
    if (!*j)
        return;
    queue_destroy(&(*j)->queue);
    free(*j);
    *j = NULL;
}

enum status jobs_submit(struct jobs *j, struct job *job)
{
    job->queued_us = clock_mono_us();
    return queue_push(j->queue, &job->task) == ST_OK ? ST_OK : ST_OVERLOADED;
}

void jobs_resubmit(struct jobs *j, struct job *job)
{
    job->queued_us = clock_mono_us();
    queue_push_reply(j->queue, &job->task);
}

unsigned jobs_depth(struct jobs *j)
{
    return queue_depth(j->queue);
}
