/* Instances of the service: the parts of a process, built in app.c's order. */
#include "base/config.h"
#include "flow/lease.h"
#include "sim.h"
#include "vevent.h"
#include "vmem.h"
#include "vos.h"
#include "vsql.h"
#include "world.h"

#include <event2/event.h>
#include <string.h>
#include <unistd.h>

enum { TASKS_PER_TURN = 64, HTTP_US = 300 };

static struct {
    struct instance *life[INSTANCES_MAX];
    struct config conf;
    const struct world_conf *world;
} all;

void instances_reset(const struct world_conf *conf)
{
    memset(all.life, 0, sizeof(all.life));
    all.world = conf;
    all.conf = (struct config){.commit_depth_max = conf->commit_depth,
                               .commit_group_max = 4,
                               .reserve_batch_max = 4,
                               .query_depth_max = 20,
                               .redis_timeout_ms = 500,
                               .sql_timeout_ms = 2000,
                               .functions_file = "functions.lua"};
}

static void on_replies(evutil_socket_t fd, short what, void *arg)
{
    struct instance *in = arg;
    struct task *t = queue_take(in->replies, TASKS_PER_TURN), *next;
    for (; t; t = next) {
        next = t->next;
        t->run(t);
    }
}

/* As in api/worker.c. */
static void *worker_main(void *arg)
{
    struct instance *in = arg;
    struct engine *e = &in->engine;
    in->base = event_base_new();
    in->ids = uid_source_create();
    catalog_reader_init(&in->reader, e->catalog);
    if (queue_create(TASKS_PER_TURN, &in->replies) != ST_OK)
        sim_abort("no queue");
    struct event *ev =
        event_new(in->base, queue_fd(in->replies), EV_READ | EV_PERSIST, on_replies, in);
    event_add(ev, NULL);
    if (reserve_create(e, in->base, in->replies, NULL, &in->reader, &in->reserve) != ST_OK)
        sim_abort("no reserve");
    in->serving = true;
    for (;;) {
        event_base_loop(in->base, EVLOOP_ONCE);
        reserve_turn(in->reserve);
    }
    return NULL;
}

static void prepare(struct engine *e)
{
    struct session *s = NULL;
    if (session_create(e, &s) != ST_OK)
        sim_abort("no session");
    while (catalog_reload(e->catalog, s->sql) != ST_OK || lease_follow_clock(s) != ST_OK ||
           lease_renew(s) != ST_OK)
        fiber_sleep(100000);
    session_destroy(&s);
}

/* As in app.c. */
static void *boot(void *arg)
{
    struct instance *in = arg;
    struct engine *e = &in->engine;
    const unsigned jobs_max = (unsigned)e->conf->query_depth_max;
    prepare(e);
    if (committers_create(&e->sql, 1 + sim_below(2), (unsigned)e->conf->commit_group_max,
                          (unsigned)e->conf->commit_depth_max, NULL, NULL,
                          &e->committers) != ST_OK ||
        jobs_create(e, 1 + sim_below(2), jobs_max, &e->queries) != ST_OK ||
        jobs_create(e, sim_chance(500) ? 2 : KEEPER_CHORES, jobs_max, &e->chores) != ST_OK ||
        jobs_create(e, 1 + sim_below(2), jobs_max, &e->rebuilds) != ST_OK ||
        jobs_create(e, 1, jobs_max, &e->idle_rebuilds) != ST_OK ||
        jobs_create(e, 0, jobs_max, &e->audits) != ST_OK) /* full audits wait for ever */
        sim_abort("no threads");
    vevent_drag(all.world->drag);
    if (keeper_start(e, &in->view, &in->keeper) != ST_OK)
        sim_abort("no keeper");
    vevent_drag(1);
    (void)fiber_start(&in->owner, worker_main, in);
    return NULL;
}

/* Most clocks agree; some are a little off, and some far. */
static int64_t draw_skew(void)
{
    if (sim_chance(700))
        return 0;
    return sim_chance(700) ? (int64_t)sim_below(900) - 450 : (int64_t)sim_below(20000) - 10000;
}

void instance_start(unsigned place)
{
    static const uint8_t key[SEAL_KEY_LEN];
    struct instance *in = vmem_new(sizeof(*in));
    struct engine *e = &in->engine;
    in->place = place;
    in->owner.skew_ms = draw_skew();
    e->conf = &all.conf;
    e->sql = (struct sql_conf){"unix:sql", "", "", "", all.conf.sql_timeout_ms};
    e->redis = (struct redis_conf){"unix:redis", "", all.conf.redis_timeout_ms};
    sim_bytes(e->instance.b, UID_LEN);
    if (catalog_create(key, false, NULL, &e->catalog) != ST_OK)
        sim_abort("no catalogue");
    all.life[place] = in;
    sim_count[SIM_STARTS]++;
    TRACE("instance %u starts", place);
    (void)fiber_start(&in->owner, boot, in);
}

struct instance *instance_at(unsigned place)
{
    return all.life[place];
}

void instance_crash(unsigned place)
{
    struct instance *in = all.life[place];
    if (!in)
        return;
    sim_count[SIM_CRASHES]++;
    TRACE("instance %u CRASHES", place);
    sched_kill(&in->owner);
    vsql_owner_died(&in->owner);
    all.life[place] = NULL;
}

static void on_resume(void *arg)
{
    struct instance *in = arg;
    if (in->owner.dead || !in->owner.paused)
        return;
    TRACE("instance %u goes on", in->place);
    sched_resume(&in->owner);
}

void instance_pause(unsigned place, int64_t for_us)
{
    struct instance *in = all.life[place];
    if (!in || in->owner.paused)
        return;
    sim_count[SIM_PAUSES]++;
    TRACE("instance %u PAUSED for %lld ms", place, (long long)for_us / 1000);
    in->owner.paused = true;
    vsql_owner_paused(&in->owner);
    sched_at(sched_now() + for_us, on_resume, in);
}

void instances_resume(void)
{
    for (unsigned i = 0; i < INSTANCES_MAX; i++)
        if (all.life[i] && all.life[i]->owner.paused)
            sched_at(sched_now() + sim_below(200000), on_resume, all.life[i]);
}

unsigned instances_alive(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < INSTANCES_MAX; i++)
        n += all.life[i] != NULL;
    return n;
}

bool instances_idle(void)
{
    for (unsigned i = 0; i < INSTANCES_MAX; i++) {
        const struct instance *in = all.life[i];
        if (in && (!in->serving || in->owner.paused || reserve_busy(in->reserve) > 0 ||
                   committers_depth(in->engine.committers) > 0))
            return false;
    }
    return true;
}

bool instance_ask(struct instance *in, void (*fn)(void *), void *arg)
{
    if (!in || !in->serving)
        return false;
    vevent_post(in->base, sched_now() + HTTP_US + sim_below(HTTP_US), fn, arg);
    return true;
}

/* What api/api_job.c makes of a status before it leaves. */
enum status world_outward(enum status st)
{
    switch (st) {
    case ST_UNKNOWN:
    case ST_CONFLICT:
    case ST_BUSY: return ST_UNAVAILABLE;
    case ST_FENCED: return ST_RECOVERING;
    case ST_DUPLICATE: return ST_INTERNAL;
    default: return st;
    }
}

bool world_passing(enum status st)
{
    return status_info(st)->http == 503 || st == ST_IDEMPOTENCY_IN_PROGRESS || st == ST_INTERNAL;
}
