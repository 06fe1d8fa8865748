/* snapup-bench - load tool: rushes a running Snapup and proves what came of it.
 *
 * options.c: the command line. crowd.c: shoppers and their requests. client.c: connections and the
 * clock, with turns.c (who asks next), answer.c (reads), rush.c (what it means), hist.c (times) and
 * progress.c (how it goes). control.c: the storefront's calls around the rush. journal.c: what
 * shoppers were told. verify.c: what MariaDB has. promises.c: the verdicts. report.c: text and JSON.
 */
#include "client.h"
#include "control.h"
#include "report.h"
#include "report/report_command.h"

#include <curl/curl.h>

#include <stdlib.h>

/* Everything a run owns, in the order in which it comes to be. */
struct run {
    struct options options;
    struct crowd crowd;
    struct journal journal;
    struct rush *rush;
    struct verify *verify;
    struct control *control;
    struct ledger ledger;
    struct verdict verdicts[PROMISE_COUNT];
    json_t *audit;
};

static enum bench_exit setup_failed(const char *what, const char *why)
{
    fprintf(stderr, "snapup-bench: %s: %s\n", what, why);
    return BENCH_SETUP;
}

/* Everything that can be wrong is found before the first request leaves. */
static enum bench_exit run_prepare(struct run *run)
{
    const struct options *o = &run->options;
    char error[512] = "";
    if (verify_create(o, &run->verify, error, sizeof(error)) != ST_OK) {
        return setup_failed("set-up", error);
    }
    crowd_name(&run->crowd);
    if (crowd_fill(&run->crowd, o) != ST_OK) {
        return setup_failed("set-up", "could not make the shoppers' tokens; see --kid, --shoppers");
    }
    run->rush = calloc(1, sizeof(*run->rush));
    if (!run->rush || journal_init(&run->journal, o->shoppers) != ST_OK ||
        control_create(o, &run->control) != ST_OK) {
        return setup_failed("set-up", "no memory");
    }
    if (control_open_sale(run->control, run->crowd.sale) != ST_OK) {
        return setup_failed("could not open a sale", control_error(run->control));
    }
    return BENCH_KEPT;
}

static enum bench_exit run_compare(struct run *run)
{
    char error[512] = "";
    enum status st = control_audit(run->control, run->crowd.sale, &run->audit);
    if (st != ST_OK) {
        return setup_failed("audit", control_error(run->control));
    }
    st = verify_run(run->verify, &run->crowd, &run->journal, &run->ledger, error, sizeof(error));
    control_end_sale(run->control, run->crowd.sale);
    if (st != ST_OK) {
        return setup_failed("after the rush", error);
    }
    promises_judge(&run->options, &run->journal, &run->ledger, run->verdicts);
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

/* A test that shrank or never sold anything proves nothing, however well it looks. */
static const char *why_invalid(const struct run *run)
{
    const struct rush *r = run->rush;
    return r->interrupted                         ? "interrupted"
           : r->opened < run->options.connections ? "not every connection could be opened"
           : r->shoppers < run->options.shoppers  ? "not every shopper could try"
           : r->orders == 0                       ? "nothing was sold"
                                                  : NULL;
}

static enum bench_exit run_judge(const struct run *run)
{
    return !all_kept(run) ? BENCH_BROKEN : why_invalid(run) ? BENCH_INVALID : BENCH_KEPT;
}

static void run_report(const struct run *run, enum bench_exit result)
{
    bool compared = result != BENCH_SETUP;
    const struct report report = {
        .options = &run->options,
        .crowd = &run->crowd,
        .journal = &run->journal,
        .rush = run->rush,
        .ledger = compared ? &run->ledger : NULL,
        .verdicts = run->verdicts,
        .audit = compared ? run->audit : NULL,
        .result = result,
        .invalid = why_invalid(run),
    };
    (run->options.json ? report_json : report_text)(&report, stdout);
}

static enum bench_exit run_rush(struct run *run)
{
    enum bench_exit result = run_prepare(run);
    if (result != BENCH_KEPT) {
        return result;
    }
    if (rush_run(&run->options, &run->crowd, &run->journal, run->rush) != ST_OK) {
        fprintf(stderr, "snapup-bench: no connection to %s\n", run->options.url);
        return BENCH_INVALID;
    }
    result = run_compare(run);
    if (result == BENCH_KEPT) {
        result = run_judge(run);
    }
    run_report(run, result);
    return result;
}

static void run_fini(struct run *run)
{
    json_decref(run->audit);
    control_destroy(&run->control);
    verify_destroy(&run->verify);
    free(run->rush);
    journal_fini(&run->journal);
    crowd_fini(&run->crowd);
}

static enum bench_exit rush_main(int argc, char **argv)
{
    struct run run = {0};
    char error[512] = "";
    switch (options_read(&run.options, argc, argv, error, sizeof(error))) {
    case OPTIONS_HELP: fputs(options_help(), stdout); return BENCH_KEPT;
    case OPTIONS_WRONG:
        fprintf(stderr, "snapup-bench rush: %s\nTry snapup-bench --help.\n", error);
        return BENCH_USAGE;
    case OPTIONS_RUN: break;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum bench_exit result = run_rush(&run);
    run_fini(&run);
    curl_global_cleanup();
    return result;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "rush") == 0) {
        return rush_main(argc - 1, argv + 1);
    }
    if (strcmp(command, "report") == 0) {
        return report_command(argc - 1, argv + 1);
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0) {
        fputs(options_help(), stdout);
        return BENCH_KEPT;
    }
    fputs("snapup-bench: want the subcommand `rush` or `report`; try --help\n", stderr);
    return BENCH_USAGE;
}
