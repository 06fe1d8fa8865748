#include "flow/keeper.h"

#include "flow/expire.h"
#include "flow/lease.h"
#include "flow/outbox.h"
#include "flow/patrol.h"
#include "flow/refresh.h"
#include "flow/sweep.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>

enum { CHORES = KEEPER_CHORES + 1 };

struct chore {
    struct job job;
    struct keeper *keeper;
    struct event *timer;
    bool busy;  /* loop's thread only */
    bool again; /* set by the work: there is more to do at once */
};

struct keeper {
    const struct engine *engine;
    struct keeper_view *view;
    struct event_base *base;
    struct queue *replies;
    struct event *on_reply;
    struct patrol *patrol;
    struct chore chore[CHORES];
    bool opened; /* every gate was seen open once; the watch's */
    _Atomic bool stopping;
    pthread_t thread;
};

static void watch_work(struct job *job, struct session *s)
{
    struct keeper *k = CONTAINER_OF(job, struct chore, job)->keeper;
    struct gate_count count;
    enum status sql = catalog_reload(k->engine->catalog, s->sql);
    enum status gates = refresh_gates(s, &count);
    /* At first every gate is waited for; later, one that recovers leaves the others selling. */
    k->opened = k->opened || (gates == ST_OK && count.open == count.seen);
    bool open = k->opened && (count.seen == 0 || count.open > 0);
    metrics_gauge_set(k->engine->metrics, MG_FILTER_BYTES, count.filter_bytes);
    warnings_look(s, &k->view->warnings);
    atomic_store(&k->view->sql, sql == ST_OK);
    atomic_store(&k->view->redis, gates == ST_OK);
    atomic_store(&k->view->gates, gates == ST_OK && open);
    metrics_gauge_set(k->engine->metrics, MG_READY, sql == ST_OK && gates == ST_OK && open);
    metrics_add(s->metrics, M_SQL_ERRORS, sql != ST_OK);
}

static void expire_work(struct job *job, struct session *s)
{
    struct chore *c = CONTAINER_OF(job, struct chore, job);
    c->again = false;
    if (expire_sweep(s, &c->again) != ST_OK)
        metrics_add(s->metrics, M_SQL_ERRORS, 1);
}

static void deliver_work(struct job *job, struct session *s)
{
    struct chore *c = CONTAINER_OF(job, struct chore, job);
    unsigned waiting = 0;
    if (outbox_sweep(s, &waiting) != ST_OK)
        metrics_add(s->metrics, M_SQL_ERRORS, 1);
    metrics_gauge_set(c->keeper->engine->metrics, MG_OUTBOX_DEPTH, waiting);
    c->again = false;
}

static void sweep_work(struct job *job, struct session *s)
{
    enum status st = lease_follow_clock(s);
    if (st == ST_OK)
        st = lease_renew(s);
    if (st == ST_OK)
        st = sweep_logs(s);
    if (st != ST_OK)
        metrics_add(s->metrics, M_SQL_ERRORS, 1);
}

static void patrol_work(struct job *job, struct session *s)
{
    if (patrol_look(CONTAINER_OF(job, struct chore, job)->keeper->patrol, s) != ST_OK)
        metrics_add(s->metrics, M_SQL_ERRORS, 1);
}

static void audit_work(struct job *job, struct session *s)
{
    if (patrol_audit(CONTAINER_OF(job, struct chore, job)->keeper->patrol, s) != ST_OK)
        metrics_add(s->metrics, M_SQL_ERRORS, 1);
}

static const struct {
    void (*work)(struct job *job, struct session *s);
    long every_ms;
    bool patient; /* among the audits: it may take minutes */
} plan[CHORES] = {{watch_work, REFRESH_MS, false}, {expire_work, 200, false},
                  {deliver_work, 300, false},      {sweep_work, SWEEP_MS, false},
                  {patrol_work, 2000, false},      {audit_work, 1000, true}};

static void chore_start(struct chore *c)
{
    struct keeper *k = c->keeper;
    if (c->busy || atomic_load(&k->stopping))
        return;
    struct jobs *pool = plan[c - k->chore].patient ? k->engine->audits : k->engine->chores;
    c->busy = jobs_submit(pool, &c->job) == ST_OK;
}

static void on_done(struct task *task)
{
    struct chore *c = CONTAINER_OF(task, struct chore, job.task);
    c->busy = false;
    if (c->again)
        chore_start(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct chore *c = arg;
    struct keeper *k = c->keeper;
    chore_start(c);
    bool busy = false;
    for (int i = 0; i < CHORES; i++)
        busy = busy || k->chore[i].busy;
    if (atomic_load(&k->stopping) && !busy)
        event_base_loopbreak(k->base);
}

static void on_replies(evutil_socket_t fd, short what, void *arg)
{
    struct keeper *k = arg;
    struct task *t = queue_take(k->replies, CHORES), *next;
    for (; t; t = next) {
        next = t->next;
        t->run(t);
    }
}

static void *keeper_main(void *arg)
{
    struct keeper *k = arg;
    event_base_dispatch(k->base);
    return NULL;
}

static void keeper_free(struct keeper *k)
{
    for (int i = 0; i < CHORES; i++)
        if (k->chore[i].timer)
            event_free(k->chore[i].timer);
    if (k->on_reply)
        event_free(k->on_reply);
    if (k->base)
        event_base_free(k->base);
    queue_destroy(&k->replies);
    patrol_destroy(&k->patrol);
    free(k);
}

static bool chore_init(struct keeper *k, int i)
{
    struct chore *c = &k->chore[i];
    *c = (struct chore){.keeper = k,
                        .job = {.work = plan[i].work, .done = on_done, .reply_to = k->replies}};
    c->timer = event_new(k->base, -1, EV_PERSIST, on_timer, c);
    const struct timeval every = {plan[i].every_ms / 1000, plan[i].every_ms % 1000 * 1000};
    if (!c->timer || event_add(c->timer, &every) != 0)
        return false;
    chore_start(c);
    return true;
}

enum status keeper_start(const struct engine *engine, struct keeper_view *view, struct keeper **out)
{
    struct keeper *k = calloc(1, sizeof(*k));
    if (!k)
        return ST_UNAVAILABLE;
    k->engine = engine;
    k->view = view;
    if (queue_create(CHORES, &k->replies) != ST_OK ||
        patrol_create(engine, &patrol_pace, &k->patrol) != ST_OK) {
        keeper_free(k);
        return ST_UNAVAILABLE;
    }
    k->base = event_base_new();
    bool ready = k->base != NULL;
    if (ready)
        k->on_reply = event_new(k->base, queue_fd(k->replies), EV_READ | EV_PERSIST, on_replies, k);
    ready = ready && k->on_reply && event_add(k->on_reply, NULL) == 0;
    for (int i = 0; i < CHORES && ready; i++)
        ready = chore_init(k, i);
    if (!ready || pthread_create(&k->thread, NULL, keeper_main, k) != 0) {
        keeper_free(k);
        return ST_UNAVAILABLE;
    }
    *out = k;
    return ST_OK;
}

void keeper_stop(struct keeper **keeper)
{
    struct keeper *k = *keeper;
    if (!k)
        return;
    atomic_store(&k->stopping, true);
    pthread_join(k->thread, NULL);
    keeper_free(k);
    *keeper = NULL;
}
