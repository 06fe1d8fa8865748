/* The operator, who adds stock and takes it back while it sells. */
#include "flow/stock.h"
#include "sim.h"
#include "vmem.h"
#include "vsql.h"
#include "world.h"

#include <string.h>

enum { MOVES_MAX = 2, TRIES_MAX = 7, LOOK_US = 100000 };

struct move {
    int64_t delta;
    uint32_t item;
    struct uid id;
    unsigned tries, asked;
    bool done, moved;
};

static struct {
    const struct world_conf *conf;
    struct move move[MOVES_MAX];
    unsigned moves;
} operator;

struct ask {
    struct job job;
    struct instance *in;
    struct move *move;
    unsigned number; /* of the request; older ones are not waited for any more */
    bool resumed;
    enum status st;
};

static void move_go(void *arg);

static void move_later(struct move *m)
{
    if (++m->tries >= TRIES_MAX)
        m->done = true;
    else
        sched_at(sched_now() + 1000 + sim_below(300000), move_go, m);
}

static void on_moved(void *arg)
{
    struct ask *a = arg;
    struct move *m = a->move;
    if (a->number != m->asked)
        return;
    m->asked++;
    TRACE("the operator is told %s", status_info(a->st)->name);
    if (a->st != ST_OK && world_passing(world_outward(a->st))) {
        move_later(m);
        return;
    }
    m->done = true;
    m->moved = a->st == ST_OK;
    sim_count[SIM_MOVED] += m->moved;
}

static void move_work(struct job *job, struct session *s)
{
    struct ask *a = CONTAINER_OF(job, struct ask, job);
    const struct snapshot *snap;
    const struct sale_item *item;
    struct stock_movement out = {.id = a->move->id};
    a->st = session_catalog(s, &snap);
    if (a->st != ST_OK)
        return;
    const struct sale *sale = snapshot_item(snap, a->move->item, &item);
    a->st = stock_change(s, sale, item, a->move->delta, STR("operator"), a->resumed, &out);
}

static void on_move_done(struct task *task)
{
    struct ask *a = CONTAINER_OF(task, struct ask, job.task);
    sched_at(sched_now() + 100 + sim_below(400), on_moved, a);
}

static void on_move(void *arg)
{
    struct ask *a = arg;
    a->job = (struct job){.work = move_work, .done = on_move_done, .reply_to = a->in->replies};
    if (jobs_submit(a->in->engine.queries, &a->job) == ST_OK)
        return;
    a->st = ST_OVERLOADED;
    on_move_done(&a->job.task);
}

/* Never two tries at once, as flow/idempotency.h sees to: only a dead instance is not waited for. */
static void on_patience(void *arg)
{
    struct ask *a = arg;
    if (a->number != a->move->asked)
        return;
    if (!a->in->owner.dead) {
        sched_at(sched_now() + LOOK_US, on_patience, a);
        return;
    }
    a->move->asked++;
    move_later(a->move);
}

static void move_go(void *arg)
{
    struct move *m = arg;
    struct ask *a = vmem_new(sizeof(*a));
    a->in = instance_at(sim_below(operator.conf->instances));
    a->move = m;
    a->number = m->asked;
    a->resumed = m->tries > 0;
    if (!instance_ask(a->in, on_move, a)) {
        move_later(m);
        return;
    }
    TRACE("the operator asks instance %u for %+lld %s", a->in->place, (long long)m->delta,
          vsql_sku(m->item - 1));
    sched_at(sched_now() + LOOK_US, on_patience, a);
}

void operator_reset(const struct world_conf *conf)
{
    memset(&operator, 0, sizeof(operator));
    operator.conf = conf;
    operator.moves = conf->operator_moves ? 1 + sim_below(MOVES_MAX) : 0;
    for (unsigned k = 0; k < operator.moves; k++) {
        struct move *m = &operator.move[k];
        *m = (struct move){.delta = sim_chance(500) ? 1 + (int64_t)sim_below(3)
                                                    : -1 - (int64_t)sim_below(2),
                           .item = 1 + sim_below(conf->sale.items)};
        sim_bytes(m->id.b, UID_LEN);
        sched_at(5000 + sim_below(200000), move_go, m);
    }
}

bool operator_done(void)
{
    for (unsigned k = 0; k < operator.moves; k++)
        if (!operator.move[k].done)
            return false;
    return true;
}

/* Units moved under the ids of m. */
static int64_t units_moved(const struct move *m)
{
    int64_t moved = 0;
    for (unsigned i = 0; i < row_places(T_movement); i++) {
        const struct movement_row *r = &vsql_db.movement[i];
        /* A movement over several shards has an id per shard: see flow/stock.c. */
        struct uid id = m->id;
        id.b[UID_LEN - 1] ^= (uint8_t)r->shard;
        moved += r->on && uid_equal(&r->id, &id) ? r->delta : 0;
    }
    return moved;
}

void operator_check(void)
{
    for (unsigned k = 0; k < operator.moves; k++) {
        const struct move *m = &operator.move[k];
        int64_t moved = units_moved(m);
        if (m->moved && moved != m->delta)
            sim_fail("the operator was told of %+lld units, moved were %+lld", (long long)m->delta,
                     (long long)moved);
    }
}
