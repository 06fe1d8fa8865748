#include "api/worker.h"

#include "base/clock.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { TICK_MS = 20, TASKS_PER_TURN = 4096 };

struct worker {
    struct worker_conf conf;
    struct api api;
    struct event *on_reply, *tick;
    pthread_t thread;
    bool started;
    bool draining;               /* the loop has begun to drain */
    bool ended;                  /* the loop is to end */
    _Atomic int64_t drain_by_us; /* 0: not asked to */
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
    int64_t by = atomic_load(&w->drain_by_us);
    if (by == 0)
        return;
    if (!w->draining) {
        w->draining = true;
        http_server_drain(w->api.server);
    }
    bool idle = http_server_busy(w->api.server) == 0 && reserve_busy(w->api.reserve) == 0;
    w->ended = idle || clock_mono_us() >= by;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (!w->ended) {
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

/* The loop is used by one thread at a time, so libevent needs no locks. */
static struct event_base *base_create(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static enum status worker_build(struct worker *w)
{
    struct api *api = &w->api;
    const struct engine *engine = w->conf.engine;
    const struct http_app app = {api, api_on_request, api_on_refusal, api_on_done};
    api->engine = engine;
    api->health = w->conf.health;
    api->metrics = metrics_block(engine->metrics);
    api->ids = uid_source_create();
    api->base = base_create();
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
        st = http_server_create(api->base, w->conf.http, &app, w->conf.router, w->conf.census,
                                engine->log, engine->metrics, api->metrics, &api->server);
    if (st == ST_OK)
        st = reserve_create(engine, api->base, api->replies, api->metrics, &api->reader,
                            &api->reserve);
    if (st == ST_OK) {
        int fd = w->conf.fd;
        w->conf.fd = -1;
        st = http_server_listen(api->server, fd);
    }
    return st;
}

enum status worker_start(const struct worker_conf *conf, struct worker **out)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w) {
        close(conf->fd);
        return ST_UNAVAILABLE;
    }
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

void worker_drain(struct worker *w, int64_t grace_ms)
{
    atomic_store(&w->drain_by_us, clock_mono_us() + grace_ms * 1000);
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
    if (w->conf.fd >= 0)
        close(w->conf.fd);
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
