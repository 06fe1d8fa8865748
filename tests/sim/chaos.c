/* Faults: drawn at the schedule's beginning, injected at steps, since that is where things happen. */
#include "sim.h"
#include "vredis.h"
#include "world.h"

#include <string.h>

enum {
    SINGLES_MAX = 4,
    FAULTS_MAX = SINGLES_MAX + 2,
    FIRST_STEP = 60,
    HORIZON_STEPS = 800,
    CLOSE_STEPS = 80,
    AWAY_US = 400000
};

enum fault_kind {
    CRASH,
    CRASH_AND_RESTART,
    PAUSE,
    REDIS_RESTART,
    REDIS_WIPE,
    REDIS_FLUSH,
    REDIS_REFUSE,
    REDIS_SAVE,
    SQL_RESTART,
    SQL_REFUSE,
    REDIS_UNNOTICED, /* the last: only with --unnoticed */
    FAULT_KINDS
};

struct fault {
    uint64_t at_step;
    enum fault_kind kind;
    unsigned place;
};

static struct {
    const struct world_conf *conf;
    struct fault fault[FAULTS_MAX];
    unsigned n, done;
} chaos;

static void on_start(void *arg)
{
    unsigned place = (unsigned)(uintptr_t)arg;
    if (!instance_at(place))
        instance_start(place);
}

static void start_later(unsigned place)
{
    sched_at(sched_now() + sim_below(1500000), on_start, (void *)(uintptr_t)place);
}

static void crash(unsigned place, bool restart)
{
    if (!instance_at(place))
        return;
    instance_crash(place);
    /* Somebody must be left, or come back. */
    if (restart || instances_alive() == 0)
        start_later(place);
}

static void wipe_redis(void)
{
    switch (sim_below(3)) {
    case 0: vredis_restart(REDIS_EMPTY, sim_below(AWAY_US)); break;
    case 1: vredis_restart(REDIS_OLD, sim_below(AWAY_US)); break;
    default: vredis_flush(false);
    }
}

static void refuse_redis(void)
{
    static const char *const errors[] = {"READONLY", "MISCONF", "OOM", "NOREPLICAS"};
    vredis_refuse(errors[sim_below(4)], sim_below(AWAY_US));
}

/* Short ones, some past the leases of instances, and perhaps some past those of rebuilds. */
static int64_t draw_pause(void)
{
    static const uint32_t most_ms[] = {500, 500, 7000, 7000, 16000};
    return 1000 + (int64_t)sim_below(most_ms[sim_below(5)]) * 1000;
}

static void inject(const struct fault *f)
{
    static const char *const names[FAULT_KINDS] = {"an instance crashes",
                                                   "an instance crashes and returns",
                                                   "an instance pauses",
                                                   "Redis restarts",
                                                   "Redis loses data",
                                                   "Redis' functions are flushed",
                                                   "Redis refuses",
                                                   "Redis is copied",
                                                   "MariaDB restarts",
                                                   "MariaDB refuses writes",
                                                   "Redis is rolled back unnoticed"};
    TRACE("FAULT: %s", names[f->kind]);
    switch (f->kind) {
    case CRASH: crash(f->place, false); break;
    case CRASH_AND_RESTART: crash(f->place, true); break;
    case PAUSE: instance_pause(f->place, draw_pause()); break;
    case REDIS_RESTART: vredis_restart(REDIS_KEPT, sim_below(AWAY_US)); break;
    case REDIS_WIPE: wipe_redis(); break;
    case REDIS_FLUSH: vredis_flush(true); break;
    case REDIS_REFUSE: refuse_redis(); break;
    case REDIS_SAVE: vredis_save(); break;
    case SQL_RESTART: vsql_restart(sim_below(AWAY_US)); break;
    case SQL_REFUSE: vsql_refuse_writes(sim_below(AWAY_US)); break;
    case REDIS_UNNOTICED: vredis_roll_back(); break;
    case FAULT_KINDS: break;
    }
}

/* One schedule in three has a network that loses calls now and then. */
static struct store_faults draw_network(void)
{
    struct store_faults f = {0};
    if (!sim_chance(330))
        return f;
    f.cut_before = sim_below(15);
    f.cut_after = sim_below(15);
    f.late = sim_below(8);
    f.slow = sim_chance(300);
    return f;
}

static void add_fault(uint64_t at_step, enum fault_kind kind, unsigned place)
{
    unsigned at = chaos.n++;
    for (; at > 0 && chaos.fault[at - 1].at_step > at_step; at--)
        chaos.fault[at] = chaos.fault[at - 1];
    chaos.fault[at] = (struct fault){at_step, kind, place};
}

/* Troubles that are only together a trouble: whoever is stopped or waits misses what comes next. */
static void add_pair(void)
{
    static const enum fault_kind pairs[][2] = {{PAUSE, REDIS_WIPE},
                                               {SQL_RESTART, REDIS_WIPE},
                                               {SQL_REFUSE, REDIS_WIPE},
                                               {REDIS_SAVE, REDIS_WIPE},
                                               {PAUSE, CRASH}};
    const enum fault_kind *pair = pairs[sim_below(sizeof(pairs) / sizeof(pairs[0]))];
    uint64_t step = FIRST_STEP + sim_below(HORIZON_STEPS);
    add_fault(step, pair[0], sim_below(chaos.conf->instances));
    add_fault(step + sim_below(CLOSE_STEPS), pair[1], sim_below(chaos.conf->instances));
}

void chaos_reset(const struct world_conf *conf)
{
    struct store_faults redis = draw_network(), sql = draw_network();
    memset(&chaos, 0, sizeof(chaos));
    chaos.conf = conf;
    vredis_set_faults(&redis);
    vsql_set_faults(&sql);
    unsigned singles = sim_below(SINGLES_MAX + 1);
    uint64_t last = 0;
    for (unsigned i = 0; i < singles; i++) {
        bool close = i > 0 && sim_chance(500);
        last = close ? last + sim_below(CLOSE_STEPS) : FIRST_STEP + sim_below(HORIZON_STEPS);
        add_fault(last, (enum fault_kind)sim_below(sim_unnoticed ? FAULT_KINDS : REDIS_UNNOTICED),
                  sim_below(conf->instances));
    }
    if (sim_chance(400))
        add_pair();
}

void chaos_step(void)
{
    while (chaos.done < chaos.n && chaos.fault[chaos.done].at_step <= sched_steps())
        inject(&chaos.fault[chaos.done++]);
}

bool chaos_over(void)
{
    return chaos.done == chaos.n;
}

void chaos_heal(void)
{
    const struct store_faults none = {0};
    TRACE("no more faults");
    chaos.done = chaos.n;
    vredis_set_faults(&none);
    vsql_set_faults(&none);
    instances_resume();
    if (instances_alive() == 0)
        start_later(0);
}
