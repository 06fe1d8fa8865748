/* The shape of Snapup's purchase and nothing else:
 *
 *   HTTP ─▶ gathering ─turn─▶ FCALL snapup_bare ─▶ committer ─▶ settled ─eventfd─▶ HTTP
 *
 * A worker is a thread with a loop, a port's share of the connections and a shard; it has one call
 * in flight, and what comes meanwhile gathers. The committer takes what waits as one transaction. */
#include "batch.h"
#include "http.h"
#include "limits.h"

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Batches in order of arrival. */
struct line {
    struct batch *first, **end;
};

struct pipeline;

struct worker {
    struct pipeline *pipeline;
    struct event_base *base;
    redisAsyncContext *redis;
    struct batch_source source;
    struct call call;
    struct line gathering; /* the last one takes more */
    bool in_flight;
    struct str answer; /* 201; the ids are written into it */
    char *answer_id[2];
    struct event *woken;
    int eventfd;
    pthread_mutex_t lock;
    struct line settled; /* under lock: committed, to be answered */
};

struct pipeline {
    const struct limits *limits;
    struct table *table;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct line waiting; /* under lock: reserved, to be committed */
    struct worker workers[WORKERS_MAX];
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "snapup-limits: pipeline: %s\n", what);
    exit(1);
}

static void line_init(struct line *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void line_push(struct line *l, struct batch *b)
{
    b->next = NULL;
    *l->end = b;
    l->end = &b->next;
}

static struct batch *line_shift(struct line *l)
{
    struct batch *b = l->first;
    l->first = b->next;
    if (!l->first) {
        l->end = &l->first;
    }
    b->next = NULL;
    return b;
}

/* --- Commit --------------------------------------------------------------------------------- */

/* As many whole batches as one transaction takes; waits for the first. */
static struct line take_group(struct pipeline *p)
{
    struct line group;
    line_init(&group);
    pthread_mutex_lock(&p->lock);
    while (!p->waiting.first) {
        pthread_cond_wait(&p->came, &p->lock);
    }
    for (unsigned n = 0; p->waiting.first && n + p->waiting.first->n <= GROUP_MAX;) {
        n += p->waiting.first->n;
        *group.end = line_shift(&p->waiting);
        group.end = &(*group.end)->next;
    }
    pthread_mutex_unlock(&p->lock);
    return group;
}

static void hand_back(struct batch *b)
{
    struct worker *w = b->worker;
    pthread_mutex_lock(&w->lock);
    bool was_empty = !w->settled.first;
    line_push(&w->settled, b);
    pthread_mutex_unlock(&w->lock);
    if (was_empty) {
        eventfd_write(w->eventfd, 1);
    }
}

static void *commit(void *arg)
{
    struct pipeline *p = arg;
    for (;;) {
        struct line group = take_group(p);
        if (!table_insert(p->table, group.first)) {
            give_up("an order was not written");
        }
        for (struct batch *b = group.first, *next; b; b = next) {
            next = b->next;
            hand_back(b);
        }
    }
    return NULL;
}

/* --- Serve ---------------------------------------------------------------------------------- */

static void on_reserved(redisAsyncContext *redis, void *reply, void *arg)
{
    struct batch *b = arg;
    struct worker *w = b->worker;
    struct pipeline *p = w->pipeline;
    if (!call_answered(b, reply)) {
        give_up("an order was not reserved");
    }
    w->in_flight = false;
    pthread_mutex_lock(&p->lock);
    line_push(&p->waiting, b);
    pthread_cond_signal(&p->came);
    pthread_mutex_unlock(&p->lock);
}

static void answer_batch(struct worker *w, struct batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        char id[UID_TEXT_LEN + 1];
        uid_format("", &b->rows[i].id, id);
        memcpy(w->answer_id[0], id, UID_TEXT_LEN);
        memcpy(w->answer_id[1], id, UID_TEXT_LEN);
        bare_answer(b->conns[i], w->answer);
    }
    call_settle(&w->call, b);
    free(b);
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    eventfd_t n;
    eventfd_read(fd, &n);
    pthread_mutex_lock(&w->lock);
    struct batch *b = w->settled.first;
    line_init(&w->settled);
    pthread_mutex_unlock(&w->lock);
    for (struct batch *next; b; b = next) {
        next = b->next;
        answer_batch(w, b);
    }
}

static void on_request(void *arg, struct bare_conn *c, enum bare_kind kind)
{
    struct worker *w = arg;
    if (kind != BARE_ORDER) {
        bare_answer_sale(c, kind);
        return;
    }
    struct batch *last = w->gathering.first;
    while (last && last->next) {
        last = last->next;
    }
    if (!last || last->n == w->pipeline->limits->batch) {
        last = batch_new(w);
        if (!last) {
            give_up("no memory");
        }
        line_push(&w->gathering, last);
    }
    last->conns[last->n] = c;
    batch_add(last, &w->source);
}

static void end_turn(struct worker *w)
{
    if (w->in_flight || !w->gathering.first) {
        return;
    }
    struct batch *b = line_shift(&w->gathering);
    call_fill(&w->call, b);
    w->in_flight = true;
    if (redisAsyncCommandArgv(w->redis, on_reserved, b, w->call.argc, w->call.argv,
                              w->call.lengths) != REDIS_OK) {
        give_up("Redis is lost");
    }
}

static void *serve(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        event_base_loop(w->base, EVLOOP_ONCE);
        end_turn(w);
    }
    return NULL;
}

/* --- Set up --------------------------------------------------------------------------------- */

static bool make_answer(struct worker *w)
{
    static const char mark[] = "ord_";
    char *text = strdup(BARE_CREATED);
    if (!text) {
        return false;
    }
    w->answer = (struct str){text, strlen(text)};
    w->answer_id[0] = strstr(text, mark) + sizeof(mark) - 1;
    w->answer_id[1] = strstr(w->answer_id[0], mark) + sizeof(mark) - 1;
    return true;
}

static bool worker_init(struct worker *w, struct pipeline *p, unsigned shard)
{
    const struct limits *l = p->limits;
    w->pipeline = p;
    w->base = event_base_new();
    w->redis = redisAsyncConnectUnix(l->redis);
    w->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!w->base || !w->redis || w->redis->err || w->eventfd < 0 || !make_answer(w)) {
        return false;
    }
    pthread_mutex_init(&w->lock, NULL);
    line_init(&w->gathering);
    line_init(&w->settled);
    batch_source_init(&w->source);
    call_init(&w->call, shard);
    w->woken = event_new(w->base, w->eventfd, EV_READ | EV_PERSIST, on_settled, w);
    return w->woken && event_add(w->woken, NULL) == 0 &&
           redisLibeventAttach(w->redis, w->base) == REDIS_OK &&
           bare_listen(w->base, l->port, on_request, w);
}

int pipeline_run(const struct limits *l)
{
    struct pipeline *p = calloc(1, sizeof(*p));
    pthread_t thread;
    if (!p || !call_prepare(l->redis) || !table_prepare(l->sql)) {
        give_up("set-up");
    }
    p->limits = l;
    p->table = table_open(l->sql);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->came, NULL);
    line_init(&p->waiting);
    if (!p->table || pthread_create(&thread, NULL, commit, p) != 0) {
        give_up("no committer");
    }
    for (unsigned i = 0; i < l->workers && i < WORKERS_MAX; i++) {
        if (!worker_init(&p->workers[i], p, i) ||
            pthread_create(&thread, NULL, serve, &p->workers[i]) != 0) {
            give_up("no worker");
        }
    }
    pthread_join(thread, NULL);
    return 1; /* threads serve until the process is ended */
}
