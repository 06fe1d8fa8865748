#include "load_priv.h"

#include "base/clock.h"
#include "base/loop.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_US_MAX = 100000, /* how often deadlines are looked at and lost connections opened again */
    TICK_US_MIN = 5000,
    /* How often an open load looks who is due and who was answered. A wake for each of 20,000 a second,
     * twice, would take the core from the service that shares it. Part of the latency, and far below
     * the lateness allowed. */
    GRAIN_US = 300,
    /* To give up a connection or to open one takes some 30 us: a thousand that time out at once would
     * make an open load late for everybody who is due meanwhile. */
    DEEDS_IN_GRAIN = 8,
};

/* --- intervals --------------------------------------------------------------------------------- */

struct interval *worker_interval(struct worker *w, int64_t now_us)
{
    if (now_us >= w->interval_end_us) {
        uint32_t ahead = (uint32_t)((now_us - w->interval_end_us) / LOAD_INTERVAL_US) + 1;
        /* Nobody takes them: the current one grows until somebody does. */
        if (w->interval + ahead < load_taken(w->load) + RING) {
            w->interval += ahead;
            w->interval_end_us += (int64_t)ahead * LOAD_INTERVAL_US;
            atomic_store_explicit(&w->over, w->interval, memory_order_release);
        }
    }
    return &w->ring[w->interval % RING];
}

/* --- turns and connections --------------------------------------------------------------------- */

static void queue_push(struct worker *w, struct pool *p, uint32_t shopper)
{
    w->visits[shopper].next = NOBODY;
    if (p->first == NOBODY) {
        p->first = shopper;
    } else {
        w->visits[p->last].next = shopper;
    }
    p->last = shopper;
    p->waiting++;
}

static uint32_t queue_pop(struct worker *w, struct pool *p)
{
    uint32_t shopper = p->first;
    p->first = w->visits[shopper].next;
    p->waiting--;
    return shopper;
}

static void request_leaves(struct worker *w, struct pool *p, uint32_t shopper, int64_t now_us)
{
    struct visit *v = &w->visits[shopper];
    struct figures *f = w->figures;
    if (w->closed) {
        v->planned_us = now_us;
    } else if (!w->hurried && v->planned_us >= p->free_since_us) {
        /* A connection was free when it was due, so all of the wait is the loop's own. */
        hist_record(&f->late, now_us - v->planned_us);
        f->very_late += now_us - v->planned_us > FIGURES_VERY_LATE_US;
    }
    v->first_us = v->first_us ? v->first_us : v->planned_us;
    if (worker_step(w, shopper)->orders) {
        journal_sent(w->conf->journal, worker_global(w, shopper));
    }
    figures_count(f, COUNT_SENT, 1);
    f->steps[v->step].sent++;
    if (figures_moment(f, AT_FIRST_SEND) == 0) {
        figures_at(f, AT_FIRST_SEND, now_us);
    }
    worker_interval(w, now_us)->sent++;
}

static void send_next(struct worker *w, struct pool *p, uint32_t shopper, int64_t now_us)
{
    size_t n = request_write(w, shopper, p);
    if (n == 0) {
        visit_failed(w, shopper, COUNT_BAD_ANSWERS); /* what it was told makes no request */
        return;
    }
    request_leaves(w, p, shopper, now_us);
    conn_send(TAILQ_FIRST(&p->free), shopper, (struct str){w->request, n}, now_us);
}

/* Whoever waits for this pool gets what is free; on demand, more is opened. */
static void pool_serve(struct worker *w, struct pool *p, int64_t now_us)
{
    while (p->waiting > 0 && !TAILQ_EMPTY(&p->free)) {
        send_next(w, p, queue_pop(w, p), now_us);
    }
    if (!p->on_demand) {
        return;
    }
    for (uint32_t i = 0; i < p->n && p->opening < p->waiting && now_us >= p->open_after_us; i++) {
        if (p->conns[i].state == CONN_CLOSED) {
            conn_open(&p->conns[i]);
        }
    }
}

static void take_in_hand(struct worker *w, uint32_t shopper, int64_t due_us)
{
    uint32_t n = atomic_load_explicit(&w->active, memory_order_relaxed);
    atomic_store_explicit(&w->active, n + 1, memory_order_relaxed);
    w->visits[shopper].planned_us = due_us;
}

static void take_backs(struct worker *w, int64_t now_us)
{
    uint32_t shopper;
    int64_t due_us;
    while (turns_take_back(&w->turns, now_us, &shopper, &due_us)) {
        struct pool *p = request_pool(w, shopper);
        take_in_hand(w, shopper, due_us);
        if (p) {
            queue_push(w, p, shopper);
        } else {
            visit_failed(w, shopper, COUNT_BAD_ANSWERS);
        }
    }
}

/* A newcomer stays in the plan, which costs nothing, until there is a connection for him. */
static void take_newcomers(struct worker *w, int64_t now_us)
{
    struct pool *service = &w->pools[0];
    while (turns_newcomer_due(&w->turns, now_us)) {
        uint32_t shopper = w->turns.next;
        w->visits[shopper].step = (uint8_t)visit_kind(w, shopper)->first;
        struct pool *p = request_pool(w, shopper);
        if (p == service && TAILQ_EMPTY(&p->free)) {
            break;
        }
        take_in_hand(w, shopper, turns_take_newcomer(&w->turns, now_us));
        figures_count(w->figures, COUNT_SHOPPERS, 1);
        if (p == service) {
            send_next(w, p, shopper, now_us);
        } else if (p) {
            queue_push(w, p, shopper);
        } else {
            visit_failed(w, shopper, COUNT_BAD_ANSWERS);
        }
    }
}

/* For those of a closed load who come back; an open one looks at the time anyway. */
static void arm_timer(struct worker *w, int64_t now_us)
{
    int64_t next_us = turns_back_us(&w->turns);
    if (next_us != TURNS_NEVER) {
        next_us += GRAIN_US - next_us % GRAIN_US;
    }
    /* An earlier alarm is left alone: one wake too many is cheaper than setting it anew each time. */
    if (!w->closed || next_us >= w->armed_us || next_us <= now_us) {
        return;
    }
    const struct itimerspec at = {
        .it_value = {.tv_sec = next_us / 1000000, .tv_nsec = next_us % 1000000 * 1000}};
    timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    w->armed_us = next_us;
}

void worker_dispatch(struct worker *w, int64_t now_us)
{
    if (turns_back_us(&w->turns) <= now_us) {
        take_backs(w, now_us);
    }
    for (unsigned i = 0; i < w->pools_n; i++) {
        if (w->pools[i].waiting > 0) {
            pool_serve(w, &w->pools[i], now_us);
        }
    }
    take_newcomers(w, now_us);
    if (w->pools_n > 1 && w->pools[1].waiting > 0) {
        pool_serve(w, &w->pools[1], now_us);
    }
    arm_timer(w, now_us);
    worker_check_end(w);
}

void worker_check_end(struct worker *w)
{
    const struct pool *service = &w->pools[0];
    bool over = w->running
                    ? (w->active == 0 && turns_over(&w->turns)) || service->gone == service->n
                    : service->opening == 0;
    if (over) {
        w->done = true;
        event_base_loopbreak(w->base);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    w->armed_us = TURNS_NEVER;
    if (w->running) {
        worker_dispatch(w, clock_mono_us());
    }
}

/* Who waits for a place that cannot be reached is not kept waiting for ever. */
static void give_up_waiting(struct worker *w, struct pool *p, int64_t now_us)
{
    while (p->waiting > 0 && (w->stopped || (p->on_demand && w->visits[p->first].planned_us +
                                                                     w->conf->scenario->timeout_us <
                                                                 now_us))) {
        visit_failed(w, queue_pop(w, p), COUNT_TIMEOUTS);
    }
}

static void look_after_conns(struct worker *w, int64_t now_us)
{
    for (unsigned i = 0; i < w->pools_n; i++) {
        pool_look(&w->pools[i], now_us, w->running && !w->closed ? DEEDS_IN_GRAIN : UINT32_MAX);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    int64_t now_us = clock_mono_us();
    for (struct pool *p = w->pools; p < w->pools + w->pools_n; p++) {
        p->seen = p->seen == p->n ? 0 : p->seen;
    }
    look_after_conns(w, now_us);
    if (!w->running) {
        return;
    }
    if (load_hurries(w->load) && !w->hurried) {
        w->hurried = true;
        turns_hurry(&w->turns, now_us);
    }
    if (load_stops(w->load) && !w->stopped) {
        w->stopped = true;
        turns_stop(&w->turns);
    }
    for (unsigned i = 0; i < w->pools_n; i++) {
        give_up_waiting(w, &w->pools[i], now_us);
    }
    worker_interval(w, now_us);
    worker_dispatch(w, now_us);
}

/* --- the thread -------------------------------------------------------------------------------- */

static enum status create_loop(struct worker *w)
{
    int64_t tick_us = w->conf->scenario->timeout_us / 8;
    tick_us = tick_us < TICK_US_MIN ? TICK_US_MIN : tick_us > TICK_US_MAX ? TICK_US_MAX : tick_us;
    const struct timeval every = {0, tick_us};
    w->base = loop_create_alone();
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!w->base || w->timer_fd < 0) {
        return ST_INTERNAL;
    }
    w->tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
    /* Edge-triggered: an alarm that went off need not be read. libevent's own timers only know
     * milliseconds. */
    w->timer = event_new(w->base, w->timer_fd, EV_READ | EV_PERSIST | EV_ET, on_timer, w);
    if (!w->tick || !w->timer || event_add(w->tick, &every) != 0 ||
        event_add(w->timer, NULL) != 0) {
        return ST_INTERNAL;
    }
    return ST_OK;
}

enum status worker_init(struct worker *w)
{
    const struct scenario *s = w->conf->scenario;
    uint32_t conns = s->connections / w->threads + (w->index < s->connections % w->threads);
    w->shoppers = w->conf->crowd->n / w->threads + (w->index < w->conf->crowd->n % w->threads);
    const struct turns_conf turns = {
        w->shoppers,  w->conf->arrivals,        w->index, w->threads, s->persist_us,
        s->impatient, (uint64_t)clock_wall_ms()};
    enum status st = turns_init(&w->turns, &turns);
    if (st == ST_OK) {
        st = figures_create(s->steps_n, &w->figures);
    }
    w->visits = calloc(w->shoppers ? w->shoppers : 1, sizeof(*w->visits));
    w->ring = calloc(RING, sizeof(*w->ring));
    w->read = malloc(READ_MAX);
    if (st != ST_OK || !w->visits || !w->ring || !w->read) {
        return ST_INTERNAL;
    }
    w->closed = arrivals_closed(w->conf->arrivals);
    w->armed_us = TURNS_NEVER;
    w->telling = (struct telling){s, w->figures, w->conf->journal, false};
    for (unsigned i = 0; i < w->pools_n && st == ST_OK; i++) {
        st = pool_init(&w->pools[i], w, conns, i > 0);
    }
    return st == ST_OK ? create_loop(w) : st;
}

void worker_fini(struct worker *w)
{
    for (unsigned i = 0; i < w->pools_n; i++) {
        pool_fini(&w->pools[i]);
    }
    if (w->tick) {
        event_free(w->tick);
    }
    if (w->timer) {
        event_free(w->timer);
    }
    if (w->timer_fd > 0) {
        close(w->timer_fd);
    }
    if (w->base) {
        event_base_free(w->base);
    }
    for (uint32_t i = 0; w->visits && i < w->shoppers; i++) {
        visit_leave(w, i);
    }
    free(w->visits);
    free(w->ring);
    free(w->read);
    figures_destroy(&w->figures);
    turns_fini(&w->turns);
}

void worker_open(struct worker *w)
{
    struct pool *service = &w->pools[0];
    for (uint32_t i = 0; i < service->n; i++) {
        conn_open(&service->conns[i]);
    }
    if (service->opening > 0) {
        event_base_dispatch(w->base);
    }
    figures_count(w->figures, COUNT_OPENED, service->n - service->gone);
}

static int64_t time_us(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

/* On a machine that it shares with the service, a generator that waits for a core measures its own
 * wait: both when it sends and when it reads. Where it is not allowed to go first (it takes root, or
 * an rtprio limit), it stays as it is, and its lateness tells. A closed load has no plan to keep. */
static void take_precedence(void)
{
    const struct sched_param first = {.sched_priority = 1};
    (void)pthread_setschedparam(pthread_self(), SCHED_RR, &first);
}

/* Not at each answer and each alarm, but every GRAIN_US. */
static void run_by_the_clock(struct worker *w)
{
    while (!w->done) {
        int64_t next_us = clock_mono_us();
        next_us += GRAIN_US - next_us % GRAIN_US;
        const struct timespec at = {next_us / 1000000, next_us % 1000000 * 1000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        event_base_loop(w->base, EVLOOP_NONBLOCK);
        if (!w->done) {
            look_after_conns(w, clock_mono_us());
            worker_dispatch(w, clock_mono_us());
        }
    }
}

void worker_run(struct worker *w, int64_t start_us)
{
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    if (!w->closed) {
        take_precedence();
    }
    w->running = true;
    w->done = false;
    w->interval_end_us = start_us + LOAD_INTERVAL_US;
    turns_start(&w->turns, start_us);
    for (int64_t now_us; (now_us = clock_mono_us()) < start_us;) {
        usleep((useconds_t)(start_us - now_us));
    }
    worker_dispatch(w, clock_mono_us());
    if (!w->closed) {
        run_by_the_clock(w);
    } else if (!w->done) {
        event_base_dispatch(w->base);
    }
    getrusage(RUSAGE_THREAD, &after);
    w->user_us = time_us(after.ru_utime) - time_us(before.ru_utime);
    w->system_us = time_us(after.ru_stime) - time_us(before.ru_stime);
}
