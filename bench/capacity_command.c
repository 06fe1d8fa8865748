#include "capacity_command.h"

#include "capacity.h"
#include "capacity_cause.h"
#include "control.h"
#include "fail_if.h"
#include "run.h"
#include "values.h"

#include "base/clock.h"

#include <curl/curl.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DRAIN_MS = 60000,
    GET_MS = 1000,
    PEEK_US = 100000,
    SEED_SHOPPERS = 10000,
    ARRIVALS_MIN = 200, /* of one probe: a p99 of fewer is one or two values */
    TRIES = 3,          /* a rate is missed when it was missed so often in a row */
};

/* Answers that are owed and never came right are no latency, so they have a limit of their own. */
static const double unserved_max = 0.001;
static const double tolerance = 0.03;

#define PROBE_MIN_US INT64_C(1000000)
#define PROBE_MAX_US INT64_C(600000000)

struct search {
    struct options options;
    struct scenario scenario;
    struct fail_if slo[FAIL_IF_MAX];
    unsigned slo_n;
    int64_t probe_us;
    double cores;
    double closed_per_s; /* what the last closed load completed */
    struct control *control;
    FILE *text; /* standard output, unless that is for JSON */
    json_t *probes;
    enum bench_exit failed; /* what ended the search */
    char cause[512];        /* of the last miss */
};

static const char usage[] =
    "Usage: snapup-bench capacity SCENARIO --slo LIMIT [--slo LIMIT]... [--probe DURATION] "
    "[option]...\n"
    "\n"
    "Finds the highest rate of arrivals at which the SLO holds: a closed load to begin with, then\n"
    "open load (shoppers by chance, enough units for all), by halves down to 5 %, and twice as "
    "long\n"
    "at both ends. A miss counts when it comes three times in a row. Each probe is proved like any "
    "run.\n"
    "\n"
    "  --slo LIMIT       what must hold, such as 'p99<20ms' (as for --fail-if); whatever it is, "
    "at\n"
    "                    most 0.1 % of requests may be lost, time out or get an unexpected answer\n"
    "  --probe DURATION  how long a probe lasts  [10s]\n"
    "  --json FILE       the result as JSON; - for standard output\n"
    "  other options as for `snapup-bench run`, but --arrivals, --shoppers, --units, --fail-if,\n"
    "  --hdr and --progress\n"
    "\n"
    "Exit code: 0 found, 1 a promise broken, 2 usage, 3 a probe could not be set up or compared,\n"
    "4 it could not be told (interrupted, too much noise), 5 the SLO is not met at any rate.\n"
    "\n"
    "Example\n"
    "  snapup-bench capacity rush --slo 'p99<20ms' --probe 5s\n";

/* --- one probe --------------------------------------------------------------------------------- */

static bool read_metrics(struct search *s, struct capacity_metrics *out)
{
    struct str body;
    *out = (struct capacity_metrics){0};
    if (!control_get(s->control, "/metrics", GET_MS, &body)) {
        return false;
    }
    capacity_metrics_read(body, out);
    return true;
}

/* Waits until nothing is under way in the service, so that a probe does not pay for the one before.
 * A service without /metrics is taken at its audit's word. */
static bool drain(struct search *s, struct capacity_metrics *out)
{
    for (int64_t end_us = clock_mono_us() + DRAIN_MS * INT64_C(1000);;) {
        if (!read_metrics(s, out) || capacity_drained(out)) {
            return true;
        }
        if (clock_mono_us() > end_us) {
            fputs("snapup-bench capacity: the service's queues do not drain\n", stderr);
            return false;
        }
        usleep(PEEK_US);
    }
}

static double number(const json_t *run, const char *object, const char *name)
{
    return json_number_value(json_object_get(json_object_get(run, object), name));
}

/* NULL: everything that is owed was kept; else what was not. */
static const char *why_missed(const struct search *s, const json_t *run, char *out, size_t size)
{
    const char *invalid = json_string_value(json_object_get(run, "invalid"));
    if (invalid) {
        return invalid;
    }
    for (unsigned i = 0; i < s->slo_n; i++) {
        double value = 0;
        const struct fail_if *f = &s->slo[i];
        if (fail_if_judge(f, run, &value) != LIMIT_HOLDS) {
            snprintf(out, size, "%s", f->text);
            return out;
        }
    }
    double unserved = number(run, "totals", "errors") + number(run, "totals", "lost") +
                      number(run, "totals", "timeouts") + number(run, "totals", "bad_answers");
    if (unserved > unserved_max * number(run, "totals", "sent")) {
        snprintf(out, size, "%.2f %% not served", 100 * unserved / number(run, "totals", "sent"));
        return out;
    }
    return NULL;
}

/* What closed load did not measure, no rate will: the scenario has no such thing. */
static bool is_measured(const struct search *s, const json_t *run)
{
    double value = 0;
    for (unsigned i = 0; i < s->slo_n; i++) {
        if (fail_if_judge(&s->slo[i], run, &value) == LIMIT_UNKNOWN) {
            fprintf(stderr, "snapup-bench capacity: --slo %s: this is not measured here\n",
                    s->slo[i].text);
            return false;
        }
    }
    return true;
}

/* A run that ends the search, whatever it measured. */
static bool ends_search(const json_t *run, enum bench_exit result)
{
    const char *invalid = json_string_value(json_object_get(run, "invalid"));
    return !run || result == BENCH_BROKEN || result == BENCH_SETUP || result == BENCH_USAGE ||
           (invalid && strcmp(invalid, "interrupted") == 0);
}

static double completed_rate(const json_t *run)
{
    double seconds = json_number_value(json_object_get(run, "duration_s"));
    return seconds >= 0.001 ? number(run, "totals", "shoppers") / seconds : 0;
}

static void print_probe(struct search *s, enum capacity_phase phase, double rate, const json_t *run,
                        const char *missed)
{
    static const char *const names[] = {"closed", "open", "confirm"};
    const char *kind = scenario_sells(&s->scenario) ? "orders" : "all";
    const json_t *latency = json_object_get(run, "latency");
    fprintf(s->text, "%-8s %10.0f %10.0f %10.2f %10.2f %10.2f  %s%s\n", names[phase], rate,
            completed_rate(run), number(latency, kind, "p50") / 1e3,
            number(latency, kind, "p99") / 1e3, number(latency, kind, "p99.9") / 1e3,
            phase == CAPACITY_SEED ? "-"
            : missed               ? "missed: "
                                   : "met",
            phase != CAPACITY_SEED && missed ? missed : "");
    fflush(s->text);
    json_t *j = json_pack("{s:s, s:f, s:f, s:b, s:o, s:O*}", "phase", names[phase], "rate", rate,
                          "completed_per_s", completed_rate(run), "met", !missed, "latency",
                          json_deep_copy(json_object_get(latency, kind)), "cpu_us",
                          json_object_get(run, "cpu_us"));
    if (missed) {
        json_object_set_new(j, "missed", json_string(missed));
    }
    json_array_append_new(s->probes, j);
}

/* Runs one plan on a sale of its own. */
static enum capacity_found run_probe(struct search *s, enum capacity_phase phase, double *rate,
                                     const struct scenario *plan)
{
    char why[FAIL_IF_TEXT_MAX + 1];
    struct capacity_metrics before;
    struct capacity_metrics after;
    json_t *run = NULL;
    if (!drain(s, &before)) {
        s->failed = BENCH_INVALID;
        return CAPACITY_GAVE_UP;
    }
    enum bench_exit result = run_once(&s->options, plan, &run);
    if (ends_search(run, result)) {
        s->failed = result == BENCH_KEPT ? BENCH_INVALID : result;
        json_decref(run);
        return CAPACITY_GAVE_UP;
    }
    if (phase == CAPACITY_SEED && !is_measured(s, run)) {
        s->failed = BENCH_USAGE;
        json_decref(run);
        return CAPACITY_GAVE_UP;
    }
    const char *missed = why_missed(s, run, why, sizeof(why));
    if (phase == CAPACITY_SEED) {
        *rate = completed_rate(run);
        s->closed_per_s = *rate;
    } else if (missed) {
        read_metrics(s, &after);
        capacity_cause(run, &before, &after, s->cores, s->cause, sizeof(s->cause));
    }
    print_probe(s, phase, *rate, run, missed);
    json_decref(run);
    return missed ? CAPACITY_MISSED : CAPACITY_MET;
}

/* Closed load of so many shoppers that it lasts about as long as a probe; the first is a guess. */
static enum capacity_found probe_closed(struct search *s, double *rate)
{
    struct scenario plan = s->scenario;
    snprintf(plan.arrivals, sizeof(plan.arrivals), "closed");
    plan.shoppers = SEED_SHOPPERS;
    enum capacity_found found = run_probe(s, CAPACITY_SEED, rate, &plan);
    double wanted = *rate * (double)s->probe_us / 1e6;
    if (found != CAPACITY_GAVE_UP && wanted > 2.0 * SEED_SHOPPERS) {
        plan.shoppers = wanted < SCENARIO_SHOPPERS_MAX ? (uint32_t)wanted : SCENARIO_SHOPPERS_MAX;
        found = run_probe(s, CAPACITY_SEED, rate, &plan);
    }
    if (found != CAPACITY_GAVE_UP && *rate <= 0) {
        fputs("snapup-bench capacity: nothing was completed\n", stderr);
        s->failed = BENCH_INVALID;
        return CAPACITY_GAVE_UP;
    }
    return found;
}

static enum capacity_found probe(void *arg, enum capacity_phase phase, double *rate)
{
    struct search *s = arg;
    if (phase == CAPACITY_SEED) {
        return probe_closed(s, rate);
    }
    struct scenario plan = s->scenario;
    int64_t us = phase == CAPACITY_CONFIRM ? 2 * s->probe_us : s->probe_us;
    snprintf(plan.arrivals, sizeof(plan.arrivals), "poisson %.3f/s for %.0fms", *rate,
             (double)us / 1e3);
    plan.shoppers = 0;
    /* A disk or a core that stops for a moment is over the next time. On the way no time is spent on
     * what closed load could not complete. */
    int tries = phase == CAPACITY_CONFIRM || *rate < s->closed_per_s ? TRIES : 1;
    enum capacity_found found = CAPACITY_MISSED;
    for (int i = 0; i < tries && found == CAPACITY_MISSED; i++) {
        found = run_probe(s, phase, rate, &plan);
    }
    return found;
}

/* --- all of it --------------------------------------------------------------------------------- */

static enum bench_exit conclude(const struct search *s, const struct capacity *c)
{
    switch (c->end) {
    case CAPACITY_KNEE:
        fprintf(s->text, "\nknee: %.0f shoppers/s; missed at %.0f/s\n", c->met, c->missed);
        fprintf(s->text, "bottleneck: %s\n", s->cause);
        return BENCH_KEPT;
    case CAPACITY_ALWAYS_MET:
        fprintf(s->text, "\nmet even at %.0f shoppers/s, the most that is tried\n", c->met);
        return BENCH_KEPT;
    case CAPACITY_NEVER_MET:
        fprintf(s->text, "\nmissed even at %.1f shoppers/s\nbottleneck: %s\n", c->missed, s->cause);
        return BENCH_THRESHOLD;
    case CAPACITY_UNSETTLED:
        fprintf(s->text, "\nnot settled after %u probes: between %.0f and %.0f shoppers/s\n", c->n,
                c->met, c->missed);
        return BENCH_INVALID;
    case CAPACITY_ENDED: break;
    }
    return s->failed;
}

static bool write_json(const struct search *s, const struct capacity *c, enum bench_exit result,
                       FILE *out)
{
    json_t *slo = json_array();
    for (unsigned i = 0; i < s->slo_n; i++) {
        json_array_append_new(slo, json_string(s->slo[i].text));
    }
    json_t *j = json_pack("{s:s, s:i, s:s, s:s, s:o, s:f, s:f, s:b, s:s, s:O, s:i}", "object",
                          "capacity", "version", 1, "tool", SNAPUP_VERSION, "scenario",
                          s->scenario.name, "slo", slo, "met_per_s", c->met, "missed_per_s",
                          c->missed, "confirmed", c->end == CAPACITY_KNEE, "bottleneck", s->cause,
                          "probes", s->probes, "exit", (int)result);
    bool good = j && json_dumpf(j, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 &&
                fputc('\n', out) != EOF;
    json_decref(j);
    return good;
}

static enum bench_exit search_all(struct search *s, FILE *out)
{
    double seconds = (double)s->probe_us / 1e6;
    struct capacity found;
    const struct capacity_conf conf = {
        .tolerance = tolerance,
        .rate_min = ARRIVALS_MIN / seconds,
        .rate_max = SCENARIO_SHOPPERS_MAX / (seconds * 2.5), /* chance brings some more */
        .probes_max = CAPACITY_PROBES_MAX,
        .probe = probe,
        .arg = s,
    };
    fprintf(s->text, "%-8s %10s %10s %10s %10s %10s\n", "load", "asked/s", "done/s", "p50 ms",
            "p99 ms", "p99.9 ms");
    capacity_search(&conf, &found);
    enum bench_exit result = conclude(s, &found);
    if (out && !write_json(s, &found, result, out)) {
        fputs("snapup-bench capacity: --json: it cannot be written\n", stderr);
        return BENCH_SETUP;
    }
    return result;
}

static enum bench_exit begin(struct search *s)
{
    FILE *out = NULL;
    if (s->options.json) {
        out = strcmp(s->options.json, "-") == 0 ? stdout : fopen(s->options.json, "we");
        if (!out) {
            fprintf(stderr, "snapup-bench capacity: --json %s: %s\n", s->options.json,
                    strerror(errno));
            return BENCH_USAGE;
        }
    }
    s->cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    s->text = out == stdout ? stderr : stdout;
    s->probes = json_array();
    s->scenario.enough = true;
    s->options.quiet = true;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum bench_exit result = BENCH_SETUP;
    if (s->probes && control_create(&s->options, &s->control) == ST_OK) {
        result = search_all(s, out);
    }
    control_destroy(&s->control);
    json_decref(s->probes);
    curl_global_cleanup();
    if (out && out != stdout && fclose(out) != 0) {
        result = BENCH_SETUP;
    }
    return result;
}

/* --- command line ------------------------------------------------------------------------------ */

/* How many arguments an option of ours takes up, `--name value` or `--name=value`; 0: it is another. */
static int own_option(const char *arg, const char *following, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0 || (arg[n] != '\0' && arg[n] != '=')) {
        return 0;
    }
    *value = arg[n] == '=' ? arg + n + 1 : following ? following : "";
    return arg[n] == '=' || !following ? 1 : 2;
}

static bool add_slo(struct search *s, const char *text, char *error, size_t size)
{
    if (s->slo_n == FAIL_IF_MAX) {
        snprintf(error, size, "--slo: more than %d", FAIL_IF_MAX);
        return false;
    }
    return fail_if_parse(text, &s->slo[s->slo_n++], error, size);
}

static bool set_probe(struct search *s, const char *text, char *error, size_t size)
{
    bool good = value_duration(text, &s->probe_us) && s->probe_us >= PROBE_MIN_US &&
                s->probe_us <= PROBE_MAX_US;
    if (!good) {
        snprintf(error, size, "--probe: want a duration from 1s to 10min");
    }
    return good;
}

/* Takes our options out of argv; false: error says why. */
static bool take_own(struct search *s, int *argc, char **argv, char *error, size_t size)
{
    int kept = 1;
    int n;
    for (int i = 1; i < *argc; i += n) {
        const char *v = NULL;
        const char *following = i + 1 < *argc ? argv[i + 1] : NULL;
        bool good = true;
        if ((n = own_option(argv[i], following, "--slo", &v)) > 0) {
            good = add_slo(s, v, error, size);
        } else if ((n = own_option(argv[i], following, "--probe", &v)) > 0) {
            good = set_probe(s, v, error, size);
        } else {
            argv[kept++] = argv[i];
            n = 1;
        }
        if (!good) {
            return false;
        }
    }
    *argc = kept;
    argv[kept] = NULL;
    return true;
}

static bool check(const struct search *s, char *error, size_t size)
{
    const struct options *o = &s->options;
    const char *why = s->slo_n == 0 ? "--slo: what must hold, such as 'p99<20ms'?"
                      : o->limits_n > 0 || o->hdr || o->progress
                          ? "--fail-if, --hdr and --progress are of a single run"
                          : NULL;
    if (why) {
        snprintf(error, size, "%s", why);
    }
    return !why;
}

enum bench_exit capacity_main(int argc, char **argv)
{
    char error[1024] = "";
    struct search *s = calloc(1, sizeof(*s));
    enum bench_exit result = BENCH_USAGE;
    if (!s) {
        fputs("snapup-bench capacity: no memory\n", stderr);
        return BENCH_SETUP;
    }
    s->probe_us = INT64_C(10000000);
    enum options_found found = OPTIONS_WRONG;
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        found = argc < 2 ? OPTIONS_WRONG : OPTIONS_HELP;
        snprintf(error, sizeof(error), "want a scenario, such as rush");
    } else if (take_own(s, &argc, argv, error, sizeof(error)) && argc > 1) {
        found = options_read(&s->options, &s->scenario, argc - 1, argv + 1, error, sizeof(error));
    }
    if (found == OPTIONS_HELP) {
        fputs(usage, stdout);
        result = BENCH_KEPT;
    } else if (found == OPTIONS_WRONG || !check(s, error, sizeof(error))) {
        fprintf(stderr, "snapup-bench capacity: %s\nTry snapup-bench capacity --help.\n", error);
    } else {
        result = begin(s);
    }
    free(s);
    return result;
}
