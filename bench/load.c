#include "load_priv.h"

#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { START_IN_US = 2000 }; /* so that all threads are there when the clock starts */

struct load {
    struct load_conf conf;
    struct worker *workers;
    pthread_t *threads;
    uint32_t n, started;
    pthread_barrier_t opened, go;
    bool barriers;
    int64_t start_us;
    int done_fd;
    bool abandoned; /* written between the two barriers */
    _Atomic uint32_t done;
    _Atomic bool hurry, stop;
    _Atomic uint32_t taken; /* intervals */
    struct figures *sum;
};

uint32_t load_taken(const struct load *l)
{
    return atomic_load_explicit(&l->taken, memory_order_acquire);
}

bool load_hurries(const struct load *l)
{
    return atomic_load_explicit(&l->hurry, memory_order_relaxed);
}

bool load_stops(const struct load *l)
{
    return atomic_load_explicit(&l->stop, memory_order_relaxed);
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    struct load *l = w->load;
    const uint64_t one = 1;
    worker_open(w);
    pthread_barrier_wait(&l->opened);
    pthread_barrier_wait(&l->go);
    if (!l->abandoned) {
        worker_run(w, l->start_us);
    }
    if (atomic_fetch_add(&l->done, 1) + 1 == l->n && write(l->done_fd, &one, sizeof(one)) < 0) {
        abort(); /* an eventfd that takes no 8 bytes */
    }
    return NULL;
}

static void allow_connections(uint32_t n)
{
    struct rlimit limit;
    /* To streams and other places there may be as many again, each. */
    n = n * 3 + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < n) {
        limit.rlim_cur = limit.rlim_max < n ? limit.rlim_max : n;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum status find_hosts(const struct options *o, struct pool *p)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    bool v6 = strchr(o->hosts[0].name, ':') != NULL;
    snprintf(p->host, sizeof(p->host), "%s%s%s:%s", v6 ? "[" : "", o->hosts[0].name, v6 ? "]" : "",
             o->hosts[0].port);
    p->hosts_n = o->hosts_n;
    for (uint32_t i = 0; i < o->hosts_n; i++) {
        if (getaddrinfo(o->hosts[i].name, o->hosts[i].port, &hints, &p->addresses[i]) != 0) {
            return ST_UNAVAILABLE;
        }
    }
    return ST_OK;
}

static enum status create_worker(struct load *l, uint32_t i)
{
    struct worker *w = &l->workers[i];
    w->conf = &l->conf;
    w->index = i;
    w->threads = l->n;
    w->load = l;
    w->pools_n = 2;
    enum status st = find_hosts(l->conf.options, &w->pools[0]);
    if (st == ST_OK) {
        st = find_hosts(l->conf.options, &w->pools[1]);
    }
    return st == ST_OK ? worker_init(w) : st;
}

enum status load_create(const struct load_conf *conf, struct load **out)
{
    struct load *l = calloc(1, sizeof(*l));
    if (!l) {
        return ST_INTERNAL;
    }
    l->conf = *conf;
    l->n = conf->scenario->threads;
    l->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->workers = calloc(l->n, sizeof(*l->workers));
    l->threads = calloc(l->n, sizeof(*l->threads));
    l->barriers = pthread_barrier_init(&l->opened, NULL, l->n + 1) == 0 &&
                  pthread_barrier_init(&l->go, NULL, l->n + 1) == 0;
    enum status st = l->done_fd >= 0 && l->workers && l->threads && l->barriers
                         ? figures_create(conf->scenario->steps_n, &l->sum)
                         : ST_INTERNAL;
    allow_connections(conf->scenario->connections);
    for (uint32_t i = 0; i < l->n && st == ST_OK; i++) {
        st = create_worker(l, i);
    }
    if (st != ST_OK) {
        load_destroy(&l);
        return st;
    }
    *out = l;
    return ST_OK;
}

void load_destroy(struct load **load)
{
    struct load *l = *load;
    if (!l) {
        return;
    }
    for (uint32_t i = 0; l->workers && i < l->n; i++) {
        worker_fini(&l->workers[i]);
    }
    if (l->barriers) {
        pthread_barrier_destroy(&l->opened);
        pthread_barrier_destroy(&l->go);
    }
    if (l->done_fd >= 0) {
        close(l->done_fd);
    }
    figures_destroy(&l->sum);
    free(l->workers);
    free(l->threads);
    free(l);
    *load = NULL;
}

static void join_all(struct load *l)
{
    for (uint32_t i = 0; i < l->started; i++) {
        pthread_join(l->threads[i], NULL);
    }
    l->started = 0;
}

enum status load_open(struct load *l)
{
    sigset_t all, before;
    uint64_t opened = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the thread that watches */
    for (uint32_t i = 0; i < l->n; i++) {
        /* Without this thread the others would wait at the barrier for ever. */
        if (pthread_create(&l->threads[i], NULL, thread_main, &l->workers[i]) != 0) {
            abort();
        }
        l->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_barrier_wait(&l->opened);
    for (uint32_t i = 0; i < l->n; i++) {
        opened += figures_get(l->workers[i].figures, COUNT_OPENED);
    }
    if (opened == 0) {
        l->abandoned = true;
        pthread_barrier_wait(&l->go);
        join_all(l);
        return ST_UNAVAILABLE;
    }
    return ST_OK;
}

int64_t load_start(struct load *l)
{
    l->start_us = clock_mono_us() + START_IN_US;
    pthread_barrier_wait(&l->go);
    return l->start_us;
}

int load_done_fd(const struct load *l)
{
    return l->done_fd;
}

void load_hurry(struct load *l)
{
    atomic_store_explicit(&l->hurry, true, memory_order_relaxed);
}

void load_stop(struct load *l)
{
    atomic_store_explicit(&l->stop, true, memory_order_relaxed);
}

void load_now(const struct load *l, struct load_now *now)
{
    *now = (struct load_now){0};
    for (uint32_t i = 0; i < l->n; i++) {
        const struct worker *w = &l->workers[i];
        for (int c = 0; c < COUNTS; c++) {
            now->counts[c] += figures_get(w->figures, (enum count)c);
        }
        for (int m = 0; m < MOMENTS; m++) {
            int64_t at = figures_moment(w->figures, (enum moment)m);
            now->moments[m] = at > now->moments[m] ? at : now->moments[m];
        }
        now->in_flight += atomic_load_explicit(&w->active, memory_order_relaxed);
    }
}

bool load_take_interval(struct load *l, uint32_t i, struct interval *out)
{
    bool ended = atomic_load(&l->done) == l->n;
    for (uint32_t k = 0; k < l->n && !ended; k++) {
        if (atomic_load_explicit(&l->workers[k].over, memory_order_acquire) <= i) {
            return false;
        }
    }
    *out = (struct interval){0};
    bool any = !ended;
    for (uint32_t k = 0; k < l->n; k++) {
        struct worker *w = &l->workers[k];
        struct interval *iv = &w->ring[i % RING];
        any |= i <= w->interval;
        out->sent += iv->sent;
        out->orders += iv->orders;
        out->refusals += iv->refusals;
        out->errors += iv->errors;
        out->in_flight += atomic_load_explicit(&w->active, memory_order_relaxed);
        hist_add(&out->latency, &iv->latency);
        *iv = (struct interval){0};
    }
    atomic_store_explicit(&l->taken, i + 1, memory_order_release);
    return any;
}

const struct figures *load_finish(struct load *l)
{
    join_all(l);
    for (uint32_t i = 0; i < l->n; i++) {
        figures_add(l->sum, l->workers[i].figures);
    }
    return l->sum;
}

void load_cpu(const struct load *l, int64_t *user_us, int64_t *system_us)
{
    *user_us = *system_us = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        *user_us += l->workers[i].user_us;
        *system_us += l->workers[i].system_us;
    }
}
