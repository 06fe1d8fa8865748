#include "vevent.h"

#include "fiber.h"
#include "sim.h"
#include "vmem.h"
#include "vos.h"

#include <event2/event.h>

enum { EVENTS_MAX = 16 };

struct event {
    struct event_base *base;
    int fd; /* -1: a timer */
    short what;
    event_callback_fn fn;
    void *arg;
    bool added;
    int64_t every_us, next_us;
};

struct post {
    struct post *next;
    int64_t at_us;
    post_fn fn;
    void *arg;
};

struct event_base {
    struct event *event[EVENTS_MAX];
    unsigned events;
    struct post *posts; /* by time */
    bool ended;
    unsigned drag;
};

static unsigned drag_now = 1;

void vevent_drag(unsigned drag)
{
    drag_now = drag;
}

struct event_base *event_base_new(void)
{
    struct event_base *base = vmem_new(sizeof(*base));
    base->drag = drag_now;
    return base;
}

void event_base_free(struct event_base *base)
{
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short what,
                        event_callback_fn fn, void *arg)
{
    if (base->events == EVENTS_MAX)
        sim_abort("too many events on a loop");
    struct event *ev = vmem_new(sizeof(*ev));
    *ev = (struct event){.base = base, .fd = fd, .what = what, .fn = fn, .arg = arg};
    base->event[base->events++] = ev;
    return ev;
}

static int64_t timer_length(const struct event *ev)
{
    unsigned drag = ev->base->drag;
    return drag > 1 ? ev->every_us * (1 + (int64_t)sim_below(drag)) : ev->every_us;
}

int event_add(struct event *ev, const struct timeval *every)
{
    ev->added = true;
    if (every) {
        ev->every_us = every->tv_sec * 1000000 + every->tv_usec;
        ev->next_us = sched_now() + timer_length(ev);
    }
    if (ev->fd >= 0)
        vos_fd_watch(ev->fd, ev->base);
    return 0;
}

int event_del(struct event *ev)
{
    ev->added = false;
    return 0;
}

void event_free(struct event *ev)
{
    struct event_base *base = ev->base;
    for (unsigned i = 0; i < base->events; i++)
        if (base->event[i] == ev)
            base->event[i] = base->event[--base->events];
}

void vevent_post(struct event_base *base, int64_t at_us, post_fn fn, void *arg)
{
    struct post *p = vmem_new(sizeof(*p)), **at = &base->posts;
    while (*at && (*at)->at_us <= at_us)
        at = &(*at)->next;
    *p = (struct post){*at, at_us, fn, arg};
    *at = p;
    if (base->posts == p)
        fiber_wake(base);
}

static bool is_due(const struct event *ev)
{
    if (!ev->added)
        return false;
    return ev->fd >= 0 ? vos_fd_ready(ev->fd) : ev->next_us <= sched_now();
}

static void run_event(struct event *ev)
{
    if (!(ev->what & EV_PERSIST))
        ev->added = false;
    else if (ev->fd < 0)
        ev->next_us = sched_now() + timer_length(ev);
    ev->fn(ev->fd, ev->fd >= 0 ? EV_READ : EV_TIMEOUT, ev->arg);
}

static bool run_due(struct event_base *base)
{
    bool ran = false;
    unsigned first = base->events > 1 ? sim_below(base->events) : 0;
    for (unsigned i = 0; i < base->events; i++) {
        struct event *ev = base->event[(first + i) % base->events];
        if (is_due(ev)) {
            run_event(ev);
            ran = true;
        }
    }
    while (base->posts && base->posts->at_us <= sched_now()) {
        struct post *p = base->posts;
        base->posts = p->next;
        p->fn(p->arg);
        ran = true;
    }
    return ran;
}

static int64_t next_time(const struct event_base *base)
{
    int64_t at = base->posts ? base->posts->at_us : FOREVER;
    for (unsigned i = 0; i < base->events; i++) {
        const struct event *ev = base->event[i];
        if (ev->added && ev->fd < 0 && (at == FOREVER || ev->next_us < at))
            at = ev->next_us;
    }
    return at;
}

int event_base_loop(struct event_base *base, int flags)
{
    for (;;) {
        bool ran = run_due(base);
        if (base->ended || (ran && (flags & EVLOOP_ONCE)))
            return 0;
        if (!ran)
            (void)fiber_wait(base, next_time(base));
    }
}

int event_base_dispatch(struct event_base *base)
{
    return event_base_loop(base, 0);
}

int event_base_loopbreak(struct event_base *base)
{
    base->ended = true;
    fiber_wake(base);
    return 0;
}
