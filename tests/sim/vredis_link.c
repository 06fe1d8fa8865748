/* redis/link.h over the virtual Redis. */
#include "fiber.h"
#include "vevent.h"
#include "vmem.h"
#include "vredis_network.h"

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000, GREET_AGAIN_US = 100000 };

enum link_state { LINK_DOWN, LINK_GREETING, LINK_READY };

struct redis_link {
    struct redis_link *next;
    struct fiber_owner *owner;
    enum link_state state;
    struct event_base *base;
    struct redis_conf conf;
    redis_state_fn on_state;
    void *arg;
    unsigned generation; /* counts connections */
    unsigned process;    /* at the other end */
    struct call *first, **last;
    int64_t backoff_ms, greeted_us;
    int64_t done_until_us, answered_until_us; /* calls and answers keep their order */
    bool closed;
    bool broken; /* what is sent from now on does not arrive */
};

static struct redis_link *links; /* all there are */

static void on_greeted(void *arg);

static void connect_later(struct redis_link *l, int64_t in_us)
{
    vevent_post(l->base, sched_now() + in_us, on_greeted, l);
}

/* On the loop: nothing that was sent on this connection will be answered. */
static void link_down(struct redis_link *l)
{
    bool was_ready = l->state == LINK_READY;
    struct call *c = l->first, *next;
    l->state = LINK_DOWN;
    l->broken = false;
    l->generation++;
    l->first = NULL;
    l->last = &l->first;
    TRACE("  link down");
    if (was_ready)
        l->on_state(l->arg, NULL);
    for (; c; c = next) {
        next = c->next;
        c->fn(c->arg, ST_UNKNOWN, NULL);
    }
    if (l->closed)
        return;
    connect_later(l, l->backoff_ms * 1000);
    l->backoff_ms = l->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : l->backoff_ms * 2;
}

static void on_greeted(void *arg)
{
    struct redis_link *l = arg;
    if (l->closed || l->state == LINK_READY)
        return;
    if (vredis_is_away()) {
        link_down(l);
        return;
    }
    struct redis_identity id = vredis_identity();
    l->state = LINK_READY;
    l->process = vredis_server.process;
    l->backoff_ms = BACKOFF_MIN_MS;
    l->on_state(l->arg, &id);
}

void redis_link_greet(struct redis_link *link)
{
    int64_t now = sched_now();
    if (link->state != LINK_READY || now - link->greeted_us < GREET_AGAIN_US)
        return;
    link->state = LINK_GREETING;
    link->greeted_us = now;
    connect_later(link, vredis_latency());
}

struct cut {
    struct redis_link *link;
    unsigned generation;
};

static void on_cut(void *arg)
{
    struct cut *cut = arg;
    if (!cut->link->closed && cut->link->state != LINK_DOWN &&
        cut->link->generation == cut->generation)
        link_down(cut->link);
}

/* The loop learns of it at its next turn. */
static void link_cut(struct redis_link *l, int64_t at_us)
{
    struct cut *cut = vmem_new(sizeof(*cut));
    *cut = (struct cut){l, l->generation};
    vevent_post(l->base, at_us, on_cut, cut);
}

static void on_answer(void *arg)
{
    struct call *c = arg;
    struct redis_link *l = c->link;
    if (l->closed || c->generation != l->generation)
        return;
    l->first = c->next;
    if (!l->first)
        l->last = &l->first;
    if (redis_reply_moved(c->reply))
        redis_link_greet(l);
    c->fn(c->arg, ST_OK, c->reply);
}

/* On the scheduler: the server does it, whether the link still lives or not. */
static void on_execute(void *arg)
{
    struct call *c = arg;
    struct redis_link *l = c->link;
    if (c->process != vredis_server.process)
        return;
    vredis_execute(c);
    if (l->closed || l->owner->dead || c->generation != l->generation)
        return;
    if (c->cut_after) {
        sim_count[SIM_REDIS_CUT_AFTER]++;
        TRACE("  redis: answer lost");
        link_cut(l, sched_now());
        return;
    }
    int64_t at = sched_now() + vredis_latency() / 2;
    if (at < l->answered_until_us)
        at = l->answered_until_us;
    l->answered_until_us = at;
    vevent_post(l->base, at, on_answer, c);
}

enum status redis_link_create(struct event_base *base, const struct redis_conf *conf,
                              struct log *log, redis_state_fn on_state, void *arg,
                              struct redis_link **out)
{
    struct redis_link *l = vmem_new(sizeof(*l));
    *l = (struct redis_link){.owner = fiber_owner_self(),
                             .base = base,
                             .conf = *conf,
                             .on_state = on_state,
                             .arg = arg,
                             .backoff_ms = BACKOFF_MIN_MS,
                             .next = links};
    l->last = &l->first;
    links = l;
    connect_later(l, vredis_latency());
    *out = l;
    return ST_OK;
}

void redis_link_destroy(struct redis_link **link)
{
    struct redis_link *l = *link;
    if (!l)
        return;
    l->closed = true;
    l->state = LINK_DOWN;
    link_down(l);
    *link = NULL;
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->state == LINK_READY;
}

enum status redis_link_call(struct redis_link *link, const struct args *args, redis_reply_fn fn,
                            void *arg)
{
    struct redis_link *l = link;
    if (l->state != LINK_READY || args->overflow)
        return ST_UNAVAILABLE;
    const struct store_faults *f = &vredis_server.faults;
    struct call *c = vredis_call_new(args);
    c->link = l;
    c->generation = l->generation;
    c->process = l->process;
    c->fn = fn;
    c->arg = arg;
    *l->last = c;
    l->last = &c->next;
    int64_t at = sched_now() + vredis_latency(), limit_us = l->conf.timeout_ms * 1000;
    if (at < l->done_until_us)
        at = l->done_until_us;
    if (l->broken || sim_chance(f->cut_before)) {
        sim_count[SIM_REDIS_CUT_BEFORE]++;
        TRACE("  redis: call lost");
        l->broken = true;
        link_cut(l, at);
        return ST_OK;
    }
    if (sim_chance(f->late)) {
        sim_count[SIM_REDIS_LATE]++;
        TRACE("  redis: call comes late");
        link_cut(l, sched_now() + limit_us);
        at = sched_now() + limit_us + sim_below(VREDIS_LATE_US);
    }
    c->cut_after = sim_chance(f->cut_after);
    l->done_until_us = at + 1;
    sched_at(at, on_execute, c);
    return ST_OK;
}

void vredis_cut_links(void)
{
    for (struct redis_link *l = links; l; l = l->next)
        if (!l->closed && !l->owner->dead)
            link_cut(l, sched_now() + sim_below(2000));
}

void vredis_forget_links(void)
{
    links = NULL;
}
