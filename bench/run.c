#include "run.h"

#include "control.h"
#include "observer.h"
#include "panel.h"
#include "progress.h"
#include "report.h"

#include "base/clock.h"

#include <event2/event.h>

#include <signal.h>
#include <stdlib.h>

enum { LOOK_MS = 50 };

/* Everything a run owns, in the order in which it comes to be. */
struct run {
    const struct options *options;
    const struct scenario *scenario;
    struct scenario own; /* with units and shoppers settled */
    struct arrivals *arrivals;
    struct verify *verify;
    struct crowd crowd;
    struct journal journal;
    struct control *control;
    struct load *load;
    FILE *progress, *hdr;
    struct observer *observer;
    struct panel panel;
    struct event_base *base; /* of the thread that watches */
    struct report report;
    struct ledger ledger;
    struct verdict verdicts[PROMISE_COUNT];
    json_t *audit;
    bool interrupted;
};

static enum bench_exit setup_failed(const char *what, const char *why)
{
    fprintf(stderr, "snapup-bench: %s: %s\n", what, why);
    return BENCH_SETUP;
}

/* How many come, and how many units that takes. */
static enum bench_exit settle(struct run *run)
{
    char error[512] = "";
    struct scenario *s = &run->own;
    uint64_t seed = (uint64_t)clock_wall_ms();
    if (arrivals_parse(s->arrivals, seed, &run->arrivals, error, sizeof(error)) != ST_OK) {
        fprintf(stderr, "snapup-bench: %s\n", error);
        return BENCH_USAGE;
    }
    uint64_t count = arrivals_closed(run->arrivals) ? s->shoppers : arrivals_count(run->arrivals);
    if (s->shoppers == 0 || count < s->shoppers) {
        s->shoppers = count < SCENARIO_SHOPPERS_MAX ? (uint32_t)count : SCENARIO_SHOPPERS_MAX;
    }
    if (s->shoppers == 0) {
        fputs("snapup-bench: shoppers: a closed load needs a number of them\n", stderr);
        return BENCH_USAGE;
    }
    if (s->enough) {
        s->units = s->shoppers * s->qty;
    }
    return BENCH_KEPT;
}

/* Everything that can be wrong is found before the first request leaves. */
static enum bench_exit prepare(struct run *run)
{
    const struct options *o = run->options;
    const struct scenario *s = run->scenario;
    char error[512] = "";
    enum bench_exit settled = settle(run);
    if (settled != BENCH_KEPT) {
        return settled;
    }
    if (!o->no_proof && verify_create(o, s, &run->verify, error, sizeof(error)) != ST_OK) {
        return setup_failed("set-up", error);
    }
    if (crowd_create(&run->crowd, o, s, s->shoppers) != ST_OK) {
        return setup_failed("set-up", "could not make the shoppers' tokens; see --kid, --shoppers");
    }
    if (!progress_open(o->progress, &run->progress)) {
        return setup_failed("--progress", "the file cannot be written");
    }
    run->hdr = o->hdr ? fopen(o->hdr, "we") : NULL;
    if (o->hdr && !run->hdr) {
        return setup_failed("--hdr", "the file cannot be written");
    }
    if (journal_init(&run->journal, s->shoppers) != ST_OK ||
        control_create(o, &run->control) != ST_OK) {
        return setup_failed("set-up", "no memory");
    }
    if (control_open_sale(run->control, s, run->crowd.sale) != ST_OK) {
        return setup_failed("could not open a sale", control_error(run->control));
    }
    const struct load_conf conf = {o, s, &run->crowd, run->arrivals, &run->journal};
    enum status st = load_create(&conf, &run->load);
    return st == ST_OK
               ? BENCH_KEPT
               : setup_failed("set-up", st == ST_UNAVAILABLE ? "a host is not found" : "no memory");
}

/* --- while it runs ----------------------------------------------------------------------------- */

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct run *run = arg;
    struct load_now now;
    struct sample latest;
    int64_t now_us = clock_mono_us();
    load_now(run->load, &now);
    progress_write(run->progress, &now, now_us);
    panel_show(&run->panel, &now, observer_latest(run->observer, &latest) ? &latest : NULL, now_us);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    struct run *run = arg;
    event_base_loopbreak(run->base);
}

static void on_sigint(evutil_socket_t fd, short what, void *arg)
{
    struct run *run = arg;
    run->interrupted = true;
    load_stop(run->load);
}

static void on_sigusr1(evutil_socket_t fd, short what, void *arg)
{
    struct run *run = arg;
    load_hurry(run->load);
}

/* Waits for the threads; signals and what is shown meanwhile are this thread's. */
static bool watch(struct run *run)
{
    static const struct timeval every = {0, LOOK_MS * 1000};
    run->base = event_base_new();
    if (!run->base) {
        return false;
    }
    struct event *events[] = {
        event_new(run->base, -1, EV_PERSIST, on_look, run),
        event_new(run->base, load_done_fd(run->load), EV_READ, on_done, run),
        evsignal_new(run->base, SIGINT, on_sigint, run),
        evsignal_new(run->base, SIGUSR1, on_sigusr1, run),
    };
    bool good = true;
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        good = good && events[i] && event_add(events[i], i == 0 ? &every : NULL) == 0;
    }
    if (good) {
        event_base_dispatch(run->base);
        on_look(-1, 0, run);
    }
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i]) {
            event_free(events[i]);
        }
    }
    event_base_free(run->base);
    return good;
}

static enum bench_exit play(struct run *run)
{
    enum status st = load_open(run->load);
    if (st != ST_OK) {
        fprintf(stderr, "snapup-bench: no connection to %s\n", run->options->url);
        return BENCH_INVALID;
    }
    run->report.started_ms = clock_wall_ms();
    run->report.start_us = load_start(run->load);
    const struct observer_conf conf = {run->options, run->crowd.sale,
                                       (uint64_t)run->scenario->units * run->scenario->items,
                                       run->load, run->report.start_us};
    panel_init(&run->panel, run->options, run->scenario, run->report.start_us);
    st = observer_start(&conf, &run->observer);
    bool watched = st == ST_OK && watch(run);
    if (!watched) {
        load_stop(run->load);
    }
    run->report.figures = load_finish(run->load);
    load_cpu(run->load, &run->report.user_us, &run->report.system_us);
    if (st == ST_OK) {
        observer_stop(run->observer);
    }
    panel_end(&run->panel);
    return watched ? BENCH_KEPT : setup_failed("set-up", "no memory");
}

/* --- after it ---------------------------------------------------------------------------------- */

static enum bench_exit compare(struct run *run)
{
    char error[512] = "";
    enum status st = control_audit(run->control, run->crowd.sale, &run->audit);
    if (st != ST_OK) {
        return setup_failed("audit", control_error(run->control));
    }
    st = verify_run(run->verify, &run->crowd, &run->journal, &run->ledger, error, sizeof(error));
    if (st != ST_OK) {
        return setup_failed("after the run", error);
    }
    promises_judge(run->options, run->scenario, &run->journal, &run->ledger, run->verdicts);
    run->report.ledger = &run->ledger;
    run->report.verdicts = run->verdicts;
    run->report.audit = run->audit;
    return BENCH_KEPT;
}

static bool all_kept(const struct run *run)
{
    bool kept = json_is_true(json_object_get(run->audit, "ok"));
    for (int i = 0; i < PROMISE_COUNT; i++) {
        kept = kept && run->verdicts[i].kept;
    }
    return kept;
}

/* A test that shrank, was late itself or never sold anything proves nothing, however well it looks. */
static const char *why_invalid(const struct run *run)
{
    const struct figures *f = run->report.figures;
    const struct scenario *s = run->scenario;
    bool late = f->late.n > 0 && hist_quantile(&f->late, 99000) > run->options->late_max_us;
    return run->interrupted                                ? "interrupted"
           : figures_get(f, COUNT_OPENED) < s->connections ? "not every connection could be opened"
           : figures_get(f, COUNT_SHOPPERS) < s->shoppers  ? "not every shopper could try"
           : figures_get(f, COUNT_ANSWERS) == 0            ? "nothing was answered"
           : scenario_sells(s) && figures_get(f, COUNT_ORDERS) + figures_get(f, COUNT_QUEUED) == 0
               ? "nothing was sold"
           : late ? "the load tool itself was late"
                  : NULL;
}

static enum bench_exit prove(struct run *run)
{
    enum bench_exit result = run->options->no_proof ? BENCH_KEPT : compare(run);
    control_end_sale(run->control, run->crowd.sale);
    if (result != BENCH_KEPT) {
        return result;
    }
    bool kept = run->options->no_proof || all_kept(run);
    return !kept ? BENCH_BROKEN : why_invalid(run) ? BENCH_INVALID : BENCH_KEPT;
}

/* The limits of --fail-if against the report. One that was not measured proves nothing. */
static enum bench_exit judge_limits(const struct options *o, json_t *report, enum bench_exit result)
{
    json_t *list = json_object_get(report, "thresholds");
    for (unsigned i = 0; i < o->limits_n; i++) {
        double value = 0;
        enum fail_if_found found = fail_if_judge(&o->limits[i], report, &value);
        json_t *row = json_pack("{s:s, s:s, s:b}", "text", o->limits[i].text, "unit",
                                fail_if_unit(&o->limits[i]), "ok", found == LIMIT_HOLDS_NOT);
        if (found != LIMIT_UNKNOWN) {
            json_object_set_new(row, "value", json_real(value));
        }
        json_array_append_new(list, row);
        if (found == LIMIT_UNKNOWN && (result == BENCH_KEPT || result == BENCH_THRESHOLD)) {
            result = BENCH_INVALID;
            json_object_set_new(report, "valid", json_false());
            json_object_set_new(report, "invalid",
                                json_sprintf("%s was not measured", o->limits[i].text));
        } else if (found == LIMIT_HOLDS && result == BENCH_KEPT) {
            result = BENCH_THRESHOLD;
        }
    }
    json_object_set_new(report, "exit", json_integer(result));
    return result;
}

static void run_fini(struct run *run)
{
    json_decref(run->audit);
    observer_destroy(&run->observer);
    load_destroy(&run->load);
    control_destroy(&run->control);
    progress_close(&run->progress);
    if (run->hdr) {
        fclose(run->hdr);
    }
    journal_fini(&run->journal);
    crowd_fini(&run->crowd);
    verify_destroy(&run->verify);
    arrivals_destroy(&run->arrivals);
}

enum bench_exit run_once(const struct options *o, const struct scenario *s, json_t **report)
{
    struct run *run = calloc(1, sizeof(*run));
    if (!run) {
        return setup_failed("set-up", "no memory");
    }
    run->options = o;
    run->own = *s;
    run->scenario = &run->own;
    *report = NULL;
    enum bench_exit result = prepare(run);
    if (result == BENCH_KEPT) {
        result = play(run);
    }
    if (result == BENCH_KEPT) {
        result = prove(run);
        run->report.options = o;
        run->report.scenario = run->scenario;
        run->report.closed = arrivals_closed(run->arrivals);
        run->report.sale = run->crowd.sale;
        run->report.journal = &run->journal;
        run->report.invalid = why_invalid(run);
        run->report.result = result;
        *report = report_json(&run->report);
        observer_report(run->observer, *report);
        result = judge_limits(o, *report, result);
        if (run->hdr && !report_hdr(&run->report, run->hdr)) {
            result = setup_failed("--hdr", "no memory");
        }
    }
    run_fini(run);
    free(run);
    return result;
}
