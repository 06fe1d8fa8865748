#include "report_command.h"

#include "html.h"
#include "run_json.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: snapup-bench report RUN.json [--compare OTHER.json] [--output FILE]\n"
    "\n"
    "Writes a run of --json as one HTML page: charts, tables, verdicts.\n"
    "\n"
    "  --compare FILE      a second run, dashed in the charts, and a table of ratios\n"
    "  -o, --output FILE   where to (standard output)\n"
    "\n"
    "Exit code: 0 written, 2 wrong usage, 3 a file could not be read or written.\n";

struct request {
    const char *run, *other, *output; /* files; other and output may be NULL */
    bool help;
};

static enum bench_exit complain(enum bench_exit result, const char *why)
{
    fprintf(stderr, "snapup-bench report: %s\n", why);
    return result;
}

static enum bench_exit read_request(int argc, char **argv, struct request *rq)
{
    static const struct option options[] = {{"compare", required_argument, NULL, 'c'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        switch (c) {
        case 'c': rq->other = optarg; break;
        case 'o': rq->output = optarg; break;
        case 'h': rq->help = true; return BENCH_KEPT;
        default:
            return complain(BENCH_USAGE, "an unknown option, or one without its value; try --help");
        }
    }
    if (argc - optind != 1) {
        return complain(BENCH_USAGE, "want the JSON of one run; try --help");
    }
    rq->run = argv[optind];
    return BENCH_KEPT;
}

static enum bench_exit write_page(const char *output, const json_t *run, const json_t *other)
{
    char why[512];
    FILE *out = output ? fopen(output, "we") : stdout;
    if (!out) {
        snprintf(why, sizeof(why), "%s: %m", output);
        return complain(BENCH_SETUP, why);
    }
    enum status st = html_write(run, other, out);
    if (output && fclose(out) != 0) {
        st = ST_INTERNAL;
    }
    if (st != ST_OK) {
        snprintf(why, sizeof(why), "%s: could not be written", output ? output : "standard output");
        return complain(BENCH_SETUP, why);
    }
    return BENCH_KEPT;
}

enum bench_exit report_command(int argc, char **argv)
{
    struct request rq = {0};
    char why[512] = "";
    json_t *run = NULL;
    json_t *other = NULL;
    enum bench_exit result = read_request(argc, argv, &rq);
    if (result != BENCH_KEPT) {
        return result;
    }
    if (rq.help) {
        fputs(help, stdout);
        return BENCH_KEPT;
    }
    if (run_read(rq.run, &run, why, sizeof(why)) != ST_OK ||
        (rq.other && run_read(rq.other, &other, why, sizeof(why)) != ST_OK)) {
        result = complain(BENCH_SETUP, why);
    } else {
        result = write_page(rq.output, run, other);
    }
    json_decref(run);
    json_decref(other);
    return result;
}
