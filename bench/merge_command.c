#include "merge_command.h"

#include "hdr_log.h"

#include "base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { TAGS_MAX = 64 };

static const char help[] = "Usage: snapup-bench merge [-o FILE] FILE.hlog...\n"
                           "\n"
                           "Adds up HdrHistogram logs, tag by tag, and prints their percentiles. "
                           "-o writes the sums as one\n"
                           "log. Values are taken for microseconds.\n";

struct merged {
    char tag[HDR_TAG_MAX + 1];
    double from_s, to_s;
    struct hist hist;
};

struct merge {
    struct merged *tags[TAGS_MAX];
    unsigned n;
    uint64_t entries; /* read so far */
};

static struct merged *merged_of(struct merge *m, const char *tag)
{
    for (unsigned i = 0; i < m->n; i++) {
        if (strcmp(m->tags[i]->tag, tag) == 0) {
            return m->tags[i];
        }
    }
    struct merged *one = m->n < TAGS_MAX ? calloc(1, sizeof(*one)) : NULL;
    if (one) {
        snprintf(one->tag, sizeof(one->tag), "%s", tag);
        one->from_s = -1;
        m->tags[m->n++] = one;
    }
    return one;
}

static enum status on_entry(void *arg, const struct hdr_log_entry *e)
{
    struct merge *m = arg;
    struct merged *to = merged_of(m, e->tag);
    if (!to) {
        return ST_BUSY;
    }
    m->entries++;
    hist_add(&to->hist, e->hist);
    to->from_s = to->from_s < 0 || e->start_s < to->from_s ? e->start_s : to->from_s;
    to->to_s = e->start_s + e->length_s > to->to_s ? e->start_s + e->length_s : to->to_s;
    return ST_OK;
}

static bool read_file(struct merge *m, const char *path)
{
    char error[160] = "no memory";
    FILE *in = fopen(path, "re");
    if (!in) {
        fprintf(stderr, "snapup-bench merge: %s: %s\n", path, strerror(errno));
        return false;
    }
    uint64_t before = m->entries;
    enum status st = hdr_log_read(in, on_entry, m, error, sizeof(error));
    fclose(in);
    if (st == ST_BUSY) {
        snprintf(error, sizeof(error), "more than %d tags", TAGS_MAX);
    }
    if (st == ST_OK && m->entries == before) {
        snprintf(error, sizeof(error), "holds no histogram");
        st = ST_INVALID_REQUEST;
    }
    if (st != ST_OK) {
        fprintf(stderr, "snapup-bench merge: %s: %s\n", path, error);
    }
    return st == ST_OK;
}

static void print_table(const struct merge *m)
{
    static const uint32_t quantiles[] = {50000, 90000, 99000, 99900, 99990};
    printf("%-16s %12s %10s %10s %10s %10s %10s %10s %10s\n", "latency, ms", "n", "mean", "p50",
           "p90", "p99", "p99.9", "p99.99", "max");
    for (unsigned i = 0; i < m->n; i++) {
        const struct hist *h = &m->tags[i]->hist;
        printf("%-16s %12" PRIu64 " %10.3f", m->tags[i]->tag[0] ? m->tags[i]->tag : "(no tag)",
               h->n, hist_mean(h) / 1e3);
        for (unsigned q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
            printf(" %10.3f", (double)hist_quantile(h, quantiles[q]) / 1e3);
        }
        printf(" %10.3f\n", (double)h->max_us / 1e3);
    }
}

static bool write_log(const struct merge *m, const char *path)
{
    FILE *out = fopen(path, "we");
    bool good = out != NULL;
    if (good) {
        hdr_log_begin(out, clock_wall_ms());
    }
    for (unsigned i = 0; good && i < m->n; i++) {
        const struct merged *one = m->tags[i];
        good =
            hdr_log_write(out, one->tag, one->from_s, one->to_s - one->from_s, &one->hist) == ST_OK;
    }
    if (out) {
        good = fclose(out) == 0 && good;
    }
    if (!good) {
        fprintf(stderr, "snapup-bench merge: %s: cannot be written\n", path);
    }
    return good;
}

static enum bench_exit merge_files(struct merge *m, char **paths, int n, const char *out)
{
    for (int i = 0; i < n; i++) {
        if (!read_file(m, paths[i])) {
            return BENCH_SETUP;
        }
    }
    print_table(m);
    return out && !write_log(m, out) ? BENCH_SETUP : BENCH_KEPT;
}

enum bench_exit merge_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'}, {"output", required_argument, NULL, 'o'}, {0}};
    const char *out = NULL;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(help, stdout);
            return BENCH_KEPT;
        }
        if (c != 'o') {
            return BENCH_USAGE; /* getopt has said why */
        }
        out = optarg;
    }
    if (optind == argc) {
        fputs(help, stderr);
        return BENCH_USAGE;
    }
    struct merge m = {0};
    enum bench_exit result = merge_files(&m, argv + optind, argc - optind, out);
    for (unsigned i = 0; i < m.n; i++) {
        free(m.tags[i]);
    }
    return result;
}
