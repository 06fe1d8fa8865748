/* snapup-bench - load tool: plays a crowd against a running Snapup and proves what came of it.
 *
 * Read in this order: options.c (the command line), scenario.c and scenario_read.c (what is played),
 * run.c (a run from beginning to end). README.md has the map of the rest.
 */
#include "capacity_command.h"
#include "merge_command.h"
#include "report.h"
#include "report/html.h"
#include "report/report_command.h"
#include "run.h"

#include <curl/curl.h>

#include <errno.h>

/* Before the run, so that a wrong path does not cost its result. */
static bool open_report(const char *option, const char *path, FILE **out)
{
    *out = !path ? NULL : strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (path && !*out) {
        fprintf(stderr, "snapup-bench: %s %s: %s\n", option, path, strerror(errno));
    }
    return !path || *out;
}

/* False: it could not be written in whole. */
static bool close_report(FILE *out)
{
    return !out || (out == stdout ? fflush(out) : fclose(out)) == 0;
}

static bool write_reports(const json_t *run, FILE *json, FILE *html)
{
    if (json != stdout && html != stdout) {
        report_text(run, stdout);
    }
    if (json) {
        json_dumpf(run, json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        fputc('\n', json);
    }
    return !html || html_write(run, NULL, html) == ST_OK;
}

static enum bench_exit run_and_report(const struct options *o, const struct scenario *s)
{
    FILE *json = NULL;
    FILE *html = NULL;
    json_t *run = NULL;
    enum bench_exit result = BENCH_USAGE;
    bool written = true;
    if (open_report("--json", o->json, &json) && open_report("--html", o->html, &html)) {
        result = run_once(o, s, &run);
        written = !run || write_reports(run, json, html);
    }
    written = close_report(json) && written;
    written = close_report(html) && written;
    json_decref(run);
    if (!written) {
        fputs("snapup-bench: the report could not be written\n", stderr);
        return BENCH_SETUP;
    }
    return result;
}

static enum bench_exit run_main(int argc, char **argv)
{
    struct options options;
    struct scenario scenario;
    char error[1024] = "";
    switch (options_read(&options, &scenario, argc, argv, error, sizeof(error))) {
    case OPTIONS_HELP: options_help(); return BENCH_KEPT;
    case OPTIONS_WRONG:
        fprintf(stderr, "snapup-bench: %s\nTry snapup-bench --help.\n", error);
        return BENCH_USAGE;
    case OPTIONS_RUN: break;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum bench_exit result = run_and_report(&options, &scenario);
    curl_global_cleanup();
    return result;
}

/* Whatever is none of these is a scenario. */
static const struct {
    const char *name;
    enum bench_exit (*main)(int argc, char **argv);
} commands[] = {
    {"capacity", capacity_main},
    {"merge", merge_main},
    {"report", report_command},
};

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0) {
        options_help();
        return BENCH_KEPT;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(command, commands[i].name) == 0) {
            return commands[i].main(argc - 1, argv + 1);
        }
    }
    if (strcmp(command, "run") == 0 && argc > 2 && argv[2][0] != '-') {
        return run_main(argc - 2, argv + 2);
    }
    if (strcmp(command, "run") != 0 && *command != '\0' && *command != '-') {
        return run_main(argc - 1, argv + 1);
    }
    fputs("snapup-bench: want a scenario, such as rush; try --help\n", stderr);
    return BENCH_USAGE;
}
