#include "sql/committer.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/crash.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Whoever bought waits for the committer: where threads may, it goes before the event loops. */
enum { NICE = -10 };

enum { RETRY_MS = 100, MISTAKES_MAX = 10, AWAY_US = 1000000, STUCK_US = 2000000 };

struct committers {
    struct queue *queue;
    struct sql_conf conf;
    struct log *log;
    struct metrics *metrics;
    unsigned group_max, depth_max, threads;
    _Atomic unsigned depth;
    /* Since when a group is being written, and since when one waits for a MariaDB that is away;
     * monotonic, 0: none. With several threads the latest speaks for all. */
    _Atomic int64_t busy_us, away_us;
    _Atomic bool stopping; /* give up on a MariaDB that does not answer */
    pthread_t thread[];
};

/* One thread's group. */
struct worker {
    struct committers *c;
    struct sql *sql;
    struct metrics_block *metrics;
    struct commit_batch *batches; /* of this group, linked by task.next */
    struct commit_row **rows;
    struct commit_row *flat;
    unsigned n;
};

static struct commit_batch *batch_of(struct task *t)
{
    return t ? CONTAINER_OF(t, struct commit_batch, task) : NULL;
}

static void group_add(struct worker *w, struct commit_batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        b->rows[i].outcome = ST_UNKNOWN;
        w->rows[w->n++] = &b->rows[i];
    }
    metrics_time(w->metrics, MT_COMMIT_WAIT, clock_mono_us() - b->queued_us);
}

/* Waits for a batch, then takes what else is there up to the largest group. A batch is never split,
 * so the arrays hold one more batch than group_max rows. */
static bool group_gather(struct worker *w)
{
    struct task *t = queue_wait(w->c->queue, -1);
    struct task **last = &t;
    w->n = 0;
    w->batches = batch_of(t);
    while (t) {
        struct commit_batch *b = batch_of(*last);
        (*last)->next = NULL;
        group_add(w, b);
        last = &(*last)->next;
        if (w->n >= w->c->group_max)
            break;
        *last = queue_take(w->c->queue, 1);
        if (!*last)
            break;
    }
    return t != NULL;
}

static void group_return(struct worker *w)
{
    struct commit_batch *next;
    for (struct commit_batch *b = w->batches; b; b = next) {
        next = batch_of(b->task.next);
        b->task.run = b->reply;
        queue_push_reply(b->reply_to, &b->task);
    }
    w->batches = NULL;
}

static void pause_before_retry(void)
{
    /* The store is away; nothing else could wake this thread usefully before it is tried again. */
    usleep(RETRY_MS * 1000);
}

static void give_up(struct worker *w, enum status outcome)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->rows[i]->outcome == ST_UNKNOWN)
            w->rows[i]->outcome = outcome;
}

/* Runs the group until it is written or given up. Returns whether it was written. */
static bool group_write(struct worker *w)
{
    bool careful = false;
    unsigned mistakes = 0;
    for (;;) {
        enum status st = commit_rows(w->sql, w->rows, w->n, careful, w->flat);
        if (st == ST_OK) {
            atomic_store_explicit(&w->c->away_us, 0, memory_order_relaxed);
            return true;
        }
        metrics_add(w->metrics, st == ST_FENCED ? M_COMMIT_FENCED : M_COMMIT_FALLBACKS, 1);
        if (st == ST_FENCED)
            continue; /* without the fenced rows */
        bool away = st == ST_UNAVAILABLE || st == ST_OVERLOADED;
        careful = careful || !away;
        if (st == ST_INTERNAL && ++mistakes > MISTAKES_MAX) {
            give_up(w, ST_INTERNAL);
            return false;
        }
        if (st != ST_DUPLICATE && atomic_load(&w->c->stopping)) {
            give_up(w, ST_UNAVAILABLE);
            return false;
        }
        if (away || st == ST_UNKNOWN) {
            int64_t nobody = 0;
            atomic_compare_exchange_strong(&w->c->away_us, &nobody, clock_mono_us());
            pause_before_retry();
        }
    }
}

static void group_commit(struct worker *w)
{
    int64_t started_us = clock_mono_us();
    atomic_store_explicit(&w->c->busy_us, started_us, memory_order_relaxed);
    bool written = group_write(w);
    atomic_store_explicit(&w->c->busy_us, 0, memory_order_relaxed);
    if (!written)
        return;
    metrics_time(w->metrics, MT_COMMIT, clock_mono_us() - started_us);
    metrics_size(w->metrics, MS_GROUP, w->n);
    metrics_add(w->metrics, M_COMMITS, 1);
    metrics_add(w->metrics, M_COMMIT_ROWS, w->n);
}

static void *committer_main(void *arg)
{
    struct committers *c = arg;
    struct worker w = {.c = c, .metrics = metrics_block(c->metrics)};
    size_t room = (size_t)c->group_max + RESERVE_BATCH_MAX;
    w.rows = malloc(room * sizeof(*w.rows));
    w.flat = malloc(room * sizeof(*w.flat));
    if (!w.rows || !w.flat || sql_create(&c->conf, c->log, &w.sql) != ST_OK)
        abort(); /* at start, without memory: nothing was promised yet */
    sql_begin_unasked(w.sql);
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* on Linux, of this thread alone */
    while (group_gather(&w)) {
        CRASH_POINT(commit_before_begin);
        group_commit(&w);
        group_return(&w);
    }
    sql_destroy(&w.sql);
    free(w.rows);
    free(w.flat);
    return NULL;
}

enum status committers_create(const struct sql_conf *conf, unsigned threads, unsigned group_max,
                              unsigned depth_max, struct log *log, struct metrics *metrics,
                              struct committers **out)
{
    struct committers *c = calloc(1, sizeof(*c) + threads * sizeof(pthread_t));
    if (!c || queue_create(depth_max, &c->queue) != ST_OK) {
        free(c);
        return ST_UNAVAILABLE;
    }
    c->conf = *conf;
    c->log = log;
    c->metrics = metrics;
    c->group_max = group_max;
    c->depth_max = depth_max;
    for (; c->threads < threads; c->threads++) {
        if (pthread_create(&c->thread[c->threads], NULL, committer_main, c) != 0) {
            committers_stop(c, 0);
            committers_destroy(&c);
            return ST_UNAVAILABLE;
        }
    }
    *out = c;
    return ST_OK;
}

void committers_stop(struct committers *c, int64_t grace_ms)
{
    int64_t until_us = clock_mono_us() + grace_ms * 1000;
    while (queue_depth(c->queue) > 0 && clock_mono_us() < until_us)
        usleep(1000);
    atomic_store(&c->stopping, true);
    queue_close(c->queue);
    for (unsigned i = 0; i < c->threads; i++)
        pthread_join(c->thread[i], NULL);
    c->threads = 0;
}

void committers_destroy(struct committers **c)
{
    if (!*c)
        return;
    assert((*c)->threads == 0);
    queue_destroy(&(*c)->queue);
    free(*c);
    *c = NULL;
}

bool committers_take_room(struct committers *c, unsigned n)
{
    unsigned was = atomic_fetch_add(&c->depth, n);
    if (was + n <= c->depth_max)
        return true;
    atomic_fetch_sub(&c->depth, n);
    return false;
}

void committers_give_room(struct committers *c, unsigned n)
{
    atomic_fetch_sub(&c->depth, n);
}

static bool longer_than(const _Atomic int64_t *since_us, int64_t limit_us)
{
    int64_t since = atomic_load_explicit(since_us, memory_order_relaxed);
    return since != 0 && clock_mono_us() - since > limit_us;
}

bool committers_stalled(const struct committers *c)
{
    return longer_than(&c->away_us, AWAY_US) || longer_than(&c->busy_us, STUCK_US);
}

unsigned committers_depth(const struct committers *c)
{
    return atomic_load(&c->depth);
}

void committers_submit(struct committers *c, struct commit_batch *batch)
{
    batch->queued_us = clock_mono_us();
    if (queue_push(c->queue, &batch->task) == ST_OK)
        return;
    /* Only while stopping: room bounds the queue otherwise. */
    for (unsigned i = 0; i < batch->n; i++)
        batch->rows[i].outcome = ST_UNAVAILABLE;
    batch->task.run = batch->reply;
    queue_push_reply(batch->reply_to, &batch->task);
}
