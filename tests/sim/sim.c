/* sim - runs schedules of the service's flows over simulated stores, each from a seed.
 *
 *   sim [--seconds N | --schedules N] [--from SEED] [--mutant NAME] [--unnoticed]
 *   sim --seed N       replays one with a trace
 *   sim --mutants      lists what --mutant can take out
 *
 * Ends with 1 when a promise was broken, and names the seed. Run at the repository's root, or with
 * --functions FILE.
 */
#include "sim.h"

#include "vmem.h"
#include "vos.h"
#include "vredis.h"
#include "world.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CROWD_US = 20000000, /* shoppers' time with faults */
    QUIET_US = 60000000, /* after that, until all must be quiet */
    UNNOTICED_US = 5000000,
    LOOK_US = 50000,
    STEPS_MAX = 400000
};

uint64_t sim_count[SIM_COUNT];
bool sim_tracing, sim_unnoticed;
const char *sim_mutant = "";

static struct {
    uint64_t seed, random;
    char failure[400];
    bool done, healed;
    int64_t until_us;
    const char *missing;
} run;

/* --- what the others use ----------------------------------------------------------------------- */

static uint64_t next_random(void)
{
    /* splitmix64 */
    uint64_t z = run.random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t sim_below(uint32_t n)
{
    return n == 0 ? 0 : (uint32_t)((next_random() >> 32) * n >> 32);
}

bool sim_chance(unsigned n)
{
    return n > 0 && sim_below(1000) < n;
}

void sim_bytes(void *out, size_t n)
{
    uint8_t *to = out;
    for (; n >= 8; n -= 8, to += 8) {
        uint64_t v = next_random();
        memcpy(to, &v, 8);
    }
    uint64_t v = next_random();
    memcpy(to, &v, n);
}

void sim_trace(const char *format, ...)
{
    va_list args;
    const struct fiber_owner *owner = fiber_owner_self();
    printf("%10.3f ms ", (double)sched_now() / 1000);
    if (owner) /* the first member of its instance */
        printf("[%u] ", ((const struct instance *)(const void *)owner)->place);
    else
        printf("    ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void sim_fail(const char *format, ...)
{
    va_list args;
    char text[sizeof(run.failure)];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    TRACE("FAILED: %s", text);
    if (run.failure[0] == '\0')
        memcpy(run.failure, text, sizeof(text));
}

bool sim_failed(void)
{
    return run.failure[0] != '\0';
}

void sim_abort(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "sim: seed %llu: ", (unsigned long long)run.seed);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

/* --- a schedule -------------------------------------------------------------------------------- */

static struct world_conf draw_conf(void)
{
    static const uint32_t terms[] = {1, 2, 3, 600};
    struct world_conf c = {.sale = {.shards = 1 + sim_chance(400),
                                    .items = 1 + sim_chance(300),
                                    .limit = 1 + sim_below(3),
                                    .pay_within_s = terms[sim_below(4)],
                                    .leases_lapse = sim_chance(150),
                                    .starts_ms = WALL_START_MS - (int64_t)sim_below(20000)},
                           .instances = 1 + sim_below(INSTANCES_MAX),
                           .shoppers = 2 + sim_below(4),
                           .intents = 1 + sim_below(3),
                           .commit_depth = sim_chance(200) ? 2 + sim_below(4) : 100,
                           .drag = 1 + sim_below(4),
                           .operator_moves = sim_chance(300)};
    for (unsigned i = 0; i < c.sale.items; i++)
        c.sale.stock[i] = 1 + sim_below(4);
    return c;
}

/* Looks whether all is over; moves on from the faults to the healing. */
static void on_look(void *arg)
{
    if (!run.healed &&
        ((crowd_done() && operator_done() && chaos_over()) || sched_now() > CROWD_US)) {
        run.healed = true;
        run.until_us = sched_now() + (sim_unnoticed ? UNNOTICED_US : QUIET_US);
        chaos_heal();
    }
    run.missing = run.healed ? promises_missing() : "faults are still to come";
    run.done = run.healed && (!run.missing || sched_now() > run.until_us);
    if (!run.done)
        sched_at(sched_now() + LOOK_US, on_look, NULL);
}

static void play(void)
{
    sched_reset();
    vmem_reset();
    vos_reset();
    struct world_conf conf = draw_conf();
    TRACE("%u instances, %u shoppers, %u items, %u shards, limit %u, stock %lld, pay within %u s",
          conf.instances, conf.shoppers, conf.sale.items, conf.sale.shards, conf.sale.limit,
          (long long)conf.sale.stock[0], conf.sale.pay_within_s);
    vsql_reset(&conf.sale);
    vredis_reset();
    instances_reset(&conf);
    crowd_reset(&conf);
    operator_reset(&conf);
    chaos_reset(&conf);
    for (unsigned i = 0; i < conf.instances; i++)
        instance_start(i);
    sched_at(LOOK_US, on_look, NULL);
    while (!run.done && !sim_failed()) {
        chaos_step();
        if (!sched_step() || sched_steps() > STEPS_MAX)
            break;
    }
    sim_count[SIM_SCHEDULES]++;
    sim_count[SIM_STEPS] += sched_steps();
    if (!run.done && !sim_failed())
        sim_fail("it did not come to rest in %d steps", STEPS_MAX);
    if (run.missing && !sim_failed() && !sim_unnoticed)
        sim_fail("not quiet after %d s: %s", QUIET_US / 1000000, run.missing);
    if (!sim_failed())
        promises_check_end();
}

/* Returns whether every promise was kept. */
static bool play_seed(uint64_t seed)
{
    memset(&run, 0, sizeof(run));
    run.seed = seed;
    run.random = seed * UINT64_C(0xd1342543de82ef95) + 1;
    play();
    return !sim_failed();
}

/* --- the program ------------------------------------------------------------------------------- */

static double seconds_now(void)
{
    struct timespec ts;
    timespec_get(&ts, TIME_UTC);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Of one core, whoever else is on it. */
static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void print_counts(void)
{
    static const char *const texts[] = {
#define X(id, text) text,
        SIM_COUNTS(X)
#undef X
    };
    for (unsigned i = 0; i < SIM_COUNT; i++)
        printf("%12llu  %s\n", (unsigned long long)sim_count[i], texts[i]);
    printf("%12.0f  schedules a minute of one core\n",
           (double)sim_count[SIM_SCHEDULES] * 60 / cpu_seconds());
}

struct options {
    double seconds;
    uint64_t seed, schedules;
    bool replay, list;
    const char *functions;
};

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"seconds", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"schedules", required_argument, NULL, 'n'},
                                          {"mutant", required_argument, NULL, 'm'},
                                          {"functions", required_argument, NULL, 'l'},
                                          {"unnoticed", no_argument, NULL, 'u'},
                                          {"mutants", no_argument, NULL, 'M'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 's': o->seconds = strtod(optarg, NULL); break;
        case 'r':
            o->replay = true;
            o->seed = strtoull(optarg, NULL, 10);
            break;
        case 'f': o->seed = strtoull(optarg, NULL, 10); break;
        case 'n': o->schedules = strtoull(optarg, NULL, 10); break;
        case 'm': sim_mutant = optarg; break;
        case 'u': sim_unnoticed = true; break;
        case 'M': o->list = true; break;
        case 'l': o->functions = optarg; break;
        default: return false;
        }
    }
    if (sim_mutant[0] != '\0' && !sim_mutant_known(sim_mutant))
        return false;
    sim_unnoticed = sim_unnoticed || sim_mutant_unnoticed(sim_mutant);
    return optind == argc;
}

/* The service broke, not a promise: which seed was it? */
static void on_signal(int number)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "seed %llu: signal %d\n", (unsigned long long)run.seed,
                     number);
    (void)!fwrite(text, 1, (size_t)n, stderr);
    _exit(1);
}

/* On a stack of its own: the fiber's may be the trouble. */
static void catch_signals(void)
{
    static char stack[64 * 1024];
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE};
    const stack_t on = {.ss_sp = stack, .ss_size = sizeof(stack)};
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaltstack(&on, NULL);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
}

static int replay(const struct options *o)
{
    sim_tracing = true;
    bool kept = play_seed(o->seed);
    printf("seed %llu: %s\n", (unsigned long long)o->seed,
           kept ? "every promise kept" : run.failure);
    return !kept;
}

int main(int argc, char **argv)
{
    struct options o = {.seconds = 10, .seed = 1, .functions = "service/redis/functions.lua"};
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: sim [--seconds N | --schedules N] [--from SEED] [--mutant NAME] "
                        "[--unnoticed] [--functions FILE]\n"
                        "       sim --seed N    sim --mutants\n");
        return 2;
    }
    if (o.list) {
        sim_mutants_list();
        return 0;
    }
    catch_signals();
    vsql_on_commit = promises_check_ledger;
    vredis_lua_start(o.functions);
    if (o.replay)
        return replay(&o);
    double began = seconds_now();
    for (uint64_t seed = o.seed;; seed++) {
        if (!play_seed(seed)) {
            printf("seed %llu: %s\nmake sim SEED=%llu shows how\n", (unsigned long long)seed,
                   run.failure, (unsigned long long)seed);
            return 1;
        }
        bool enough = o.schedules > 0 ? sim_count[SIM_SCHEDULES] >= o.schedules
                                      : seconds_now() - began >= o.seconds;
        if (enough)
            break;
    }
    print_counts();
    return 0;
}
