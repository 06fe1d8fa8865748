#include "flow/jobs.h"

#include "base/clock.h"
#include "flow/engine.h"

#include <pthread.h>
#include <stdlib.h>

struct jobs {
    const struct engine *engine;
    const struct sql_conf *sql;
    struct queue *queue;
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

static void *jobs_main(void *arg)
{
    struct jobs *j = arg;
    struct session *s = NULL;
    if (session_open(j->engine, j->sql, &s) != ST_OK)
        abort(); /* at start, without memory: nothing was promised yet */
    struct task *t;
    while ((t = queue_wait(j->queue, -1)) != NULL) {
        struct job *job = CONTAINER_OF(t, struct job, task);
        int64_t started_us = clock_mono_us();
        metrics_time(s->metrics, MT_QUERY_WAIT, started_us - job->queued_us);
        struct queue *reply_to = job->reply_to;
        task_fn done = job->done;
        (void)catalog_read(&s->reader);
        s->pinned = true;
        job->work(job, s);
        s->pinned = false;
        metrics_time(s->metrics, MT_QUERY, clock_mono_us() - started_us);
        metrics_add(s->metrics, M_QUERIES, 1);
        if (done) {
            job->task.run = done;
            queue_push_reply(reply_to, &job->task);
        }
    }
    session_destroy(&s);
    return NULL;
}

static enum status jobs_open(const struct engine *engine, const struct sql_conf *sql,
                             unsigned threads, unsigned depth_max, struct jobs **out)
{
    struct jobs *j = calloc(1, sizeof(*j) + threads * sizeof(pthread_t));
    if (!j || queue_create(depth_max, &j->queue) != ST_OK) {
        free(j);
        return ST_UNAVAILABLE;
    }
    j->engine = engine;
    j->sql = sql;
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
    return jobs_open(engine, &engine->sql, threads, depth_max, out);
}

enum status jobs_create_patient(const struct engine *engine, unsigned threads, unsigned depth_max,
                                struct jobs **out)
{
    return jobs_open(engine, &engine->patient_sql, threads, depth_max, out);
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

unsigned jobs_depth(struct jobs *j)
{
    return queue_depth(j->queue);
}
