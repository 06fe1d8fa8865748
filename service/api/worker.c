#include "api/worker.h"

#include "base/clock.h"
#include "base/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>

enum { TICK_MS = 20, TASKS_PER_TURN = 4096 };

struct worker {
    struct worker_conf conf;
    struct api api;
    struct event *on_reply, *tick;
    pthread_t thread;
    bool started;
    enum { SERVING, RETIRED, DRAINING, ENDED } stage;
    _Atomic bool linked;   /* to Redis */
    struct worker_end end; /* written before ending is set */
    int64_t drain_at_us;
    _Atomic bool ending;
};

struct listen_order {
    struct task task;
    struct worker *worker;
    int fd;
};

struct settings_order {
    struct task task;
    struct worker *worker;
    struct worker_settings settings;
};

static void on_replies(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    struct task *t = queue_take(w->api.replies, TASKS_PER_TURN), *next;
    for (; t; t = next) {
        next = t->next; /* the task is gone once it has run */
        t->run(t);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    atomic_store(&w->linked, reserve_ready(w->api.reserve));
    if (!atomic_load(&w->ending))
        return;
    int64_t now = clock_mono_us();
    if (w->stage == SERVING) {
        w->stage = RETIRED;
        http_server_retire(w->api.server, w->end.handed_over);
    }
    if (w->stage == RETIRED && now >= w->drain_at_us) {
        w->stage = DRAINING;
        http_server_drain(w->api.server);
    }
    bool idle = http_server_busy(w->api.server) == 0 && reserve_busy(w->api.reserve) == 0;
    if (w->stage == DRAINING && (idle || now >= w->drain_at_us + w->end.grace_ms * 1000))
        w->stage = ENDED;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (w->stage != ENDED) {
        event_base_loop(w->api.base, EVLOOP_ONCE);
        reserve_turn(w->api.reserve);
        http_server_flush(w->api.server);
    }
    return NULL;
}

static enum status listen_events(struct worker *w)
{
    struct event_base *base = w->api.base;
    w->on_reply = event_new(base, queue_fd(w->api.replies), EV_READ | EV_PERSIST, on_replies, w);
    w->tick = event_new(base, -1, EV_PERSIST, on_tick, w);
    if (!w->on_reply || event_add(w->on_reply, NULL) != 0 || !w->tick ||
        event_add(w->tick, &(struct timeval){0, TICK_MS * 1000}) != 0)
        return ST_UNAVAILABLE;
    return ST_OK;
}

static enum status worker_build(struct worker *w)
{
    struct api *api = &w->api;
    const struct engine *engine = w->conf.engine;
    const struct http_app app = {api, api_on_request, api_on_refusal, api_on_done};
    api->engine = engine;
    api->health = w->conf.health;
    api->access = w->conf.settings->access;
    api->metrics = metrics_block(engine->metrics);
    api->ids = uid_source_create();
    api->base = loop_create();
    catalog_reader_init(&api->reader, engine->catalog);
    if (!api->ids || !api->base)
        return ST_UNAVAILABLE;
    /* Replies are bounded by what was submitted; the queue itself refuses none of them. */
    enum status st = queue_create(TASKS_PER_TURN, &api->replies);
    if (st == ST_OK)
        st = listen_events(w);
    if (st == ST_OK)
        st = api_init(api);
    if (st == ST_OK)
        st = http_server_create(api->base, &w->conf.settings->http, &app, w->conf.router,
                                w->conf.census, engine->log, engine->metrics, api->metrics,
                                &api->server);
    if (st == ST_OK)
        st = reserve_create(engine, api->base, api->replies, api->metrics, &api->reader,
                            &api->reserve);
    return st;
}

enum status worker_start(const struct worker_conf *conf, struct worker **out)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return ST_UNAVAILABLE;
    w->conf = *conf;
    enum status st = worker_build(w);
    if (st == ST_OK && pthread_create(&w->thread, NULL, worker_main, w) != 0)
        st = ST_UNAVAILABLE;
    if (st != ST_OK) {
        worker_destroy(&w);
        return st;
    }
    w->started = true;
    *out = w;
    return ST_OK;
}

static void on_listen(struct task *task)
{
    struct listen_order *order = CONTAINER_OF(task, struct listen_order, task);
    if (http_server_listen(order->worker->api.server, order->fd) != ST_OK)
        abort();
    free(order);
}

void worker_listen(struct worker *w, int fd)
{
    struct listen_order *order = malloc(sizeof(*order));
    if (!order)
        abort();
    *order = (struct listen_order){{.run = on_listen}, w, fd};
    queue_push_reply(w->api.replies, &order->task);
}

static void on_settings(struct task *task)
{
    struct settings_order *order = CONTAINER_OF(task, struct settings_order, task);
    http_server_configure(order->worker->api.server, &order->settings.http);
    order->worker->api.access = order->settings.access;
    free(order);
}

enum status worker_configure(struct worker *w, const struct worker_settings *settings)
{
    struct settings_order *order = malloc(sizeof(*order));
    if (!order)
        return ST_UNAVAILABLE;
    *order = (struct settings_order){{.run = on_settings}, w, *settings};
    queue_push_reply(w->api.replies, &order->task);
    return ST_OK;
}

bool worker_ready(const struct worker *w)
{
    return atomic_load(&w->linked);
}

void worker_drain(struct worker *w, const struct worker_end *end)
{
    w->end = *end;
    w->drain_at_us = clock_mono_us() + end->delay_ms * 1000;
    atomic_store(&w->ending, true);
}

void worker_join(struct worker *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}

void worker_destroy(struct worker **worker)
{
    struct worker *w = *worker;
    if (!w)
        return;
    struct api *api = &w->api;
    /* Calls that are pending are answered through the server. */
    if (api->reserve)
        reserve_destroy(&api->reserve);
    if (api->server)
        http_server_destroy(&api->server);
    api_fini(api);
    if (w->on_reply)
        event_free(w->on_reply);
    if (w->tick)
        event_free(w->tick);
    if (api->base)
        event_base_free(api->base);
    if (api->replies)
        queue_destroy(&api->replies);
    catalog_reader_fini(&api->reader);
    if (api->ids)
        uid_source_destroy(&api->ids);
    free(w);
    *worker = NULL;
}
