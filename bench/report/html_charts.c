#include "html_priv.h"
#include "markup.h"
#include "run_json.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SERIES_MAX = 5, LINES_MAX = 2 * SVG_COLOURS, BARS_MAX = 64 };

/* What one chart over time shows. */
struct over_time {
    const char *id, *title, *y_label, *absent;
    enum unit unit;
    enum scale_kind scale;
    bool per_second;  /* counts of an interval, drawn as a rate */
    bool zero_is_gap; /* a mean of nothing */
    struct series {
        const char *name, *path;
        unsigned colour;
        bool broad;
    } series[SERIES_MAX];
    const char *members; /* an object, each array in it a line */
};

static const struct over_time over_time[] = {
    {.id = "rate",
     .title = "Requests sent and answered, each second",
     .y_label = "per second",
     .absent = "How many requests were sent and answered each second",
     .unit = UNIT_PER_S,
     .per_second = true,
     .series = {{"sent", "series/sent", 4, .broad = true},
                {"orders", "series/orders", 0},
                {"refusals", "series/refusals", 1},
                {"errors", "series/errors", 3}}},
    {.id = "latency",
     .title = "How long answers took, over time",
     .y_label = "latency",
     .absent = "How long answers took over time",
     .unit = UNIT_US,
     .scale = SCALE_LOG,
     .series = {{"p50", "series/p50_us", 0},
                {"p90", "series/p90_us", 2},
                {"p99", "series/p99_us", 1},
                {"p99.9", "series/p999_us", 3},
                {"longest", "series/max_us", 4}}},
    {.id = "stock",
     .title = "Units left",
     .y_label = "units",
     .absent = "How the stock went",
     .unit = UNIT_COUNT,
     .series = {{"units left", "series/stock", 0}}},
    {.id = "cpu",
     .title = "Processor of each process",
     .y_label = "share of one core",
     .absent = "How much processor each process took",
     .unit = UNIT_SHARE,
     .members = "series/cpu"},
    {.id = "groups",
     .title = "Orders in one transaction, over time",
     .y_label = "orders, mean",
     .absent = "How many orders were committed together over time",
     .unit = UNIT_COUNT,
     .zero_is_gap = true,
     .series = {{"orders per transaction", "series/commit_group", 0}}},
    {.id = "flight",
     .title = "Requests without an answer yet",
     .y_label = "requests",
     .absent = "How many requests were under way",
     .unit = UNIT_COUNT,
     .series = {{"in flight", "series/in_flight", 0}}},
};

struct lines {
    struct svg_line line[LINES_MAX];
    size_t n;
};

/* Room for the n points of a line: *x and *y of it to fill. False: no memory. */
static bool lines_add(struct lines *lines, struct svg_line line, double **x, double **y)
{
    double *both = calloc(2 * line.n + 1, sizeof(*both));
    if (!both) {
        return false;
    }
    line.x = *x = both;
    line.y = *y = both + line.n;
    lines->line[lines->n++] = line;
    return true;
}

static void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->n; i++) {
        free((void *)lines->line[i].x);
    }
}

static double highest(double so_far, const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        so_far = fmax(so_far, v[i]);
    }
    return so_far;
}

/* Of what is above zero, for a logarithmic scale. */
static double lowest(double so_far, const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        so_far = v[i] > 0 ? fmin(so_far, v[i]) : so_far;
    }
    return so_far;
}

static struct scale scale_of(const struct lines *lines, enum scale_kind kind)
{
    double low = NAN;
    double high = NAN;
    for (size_t i = 0; i < lines->n; i++) {
        low = lowest(low, lines->line[i].y, lines->line[i].n);
        high = highest(high, lines->line[i].y, lines->line[i].n);
    }
    return kind == SCALE_LOG ? scale_log(low, high) : scale_from_zero(high);
}

/* One series of a run as a line, unless it is missing or empty. The line says how it looks. */
static void add_one(struct page *p, struct lines *lines, const json_t *run, const json_t *values,
                    struct svg_line line, const struct over_time *c)
{
    const json_t *t = run_at(run, "series/t");
    double interval = run_number(run, "series/interval_s");
    double factor = !c->per_second ? 1 : interval > 0 ? 1 / interval : NAN;
    double *x;
    double *y;
    line.n = json_array_size(values);
    line.n = line.n < json_array_size(t) ? line.n : json_array_size(t);
    line.dashed = run == p->other;
    if (line.n == 0 || lines->n == LINES_MAX) {
        return;
    }
    if (!lines_add(lines, line, &x, &y)) {
        p->failed = true;
        return;
    }
    for (size_t i = 0; i < line.n; i++) {
        x[i] = run_value(json_array_get(t, i));
        y[i] = run_value(json_array_get(values, i)) * factor;
        y[i] = y[i] == 0 && c->zero_is_gap ? NAN : y[i];
    }
}

/* A name has one colour, in both runs. */
static unsigned colour_of(const struct lines *lines, const char *name)
{
    unsigned next = 0;
    for (size_t i = 0; i < lines->n; i++) {
        if (strcmp(lines->line[i].name, name) == 0) {
            return lines->line[i].colour;
        }
        next = lines->line[i].colour >= next ? lines->line[i].colour + 1 : next;
    }
    return next;
}

static void add_members(struct page *p, struct lines *lines, const struct over_time *c,
                        const json_t *run)
{
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)run_at(run, c->members), name, values)
    {
        const struct svg_line line = {.name = name, .colour = colour_of(lines, name)};
        add_one(p, lines, run, values, line, c);
    }
}

static void add_series(struct page *p, struct lines *lines, const struct over_time *c,
                       const json_t *run)
{
    for (const struct series *s = c->series; s < c->series + SERIES_MAX && s->name; s++) {
        const struct svg_line line = {.name = s->name, .colour = s->colour, .broad = s->broad};
        add_one(p, lines, run, run_at(run, s->path), line, c);
    }
    if (c->members) {
        add_members(p, lines, c, run);
    }
}

static void chart_over_time(struct page *p, const struct over_time *c)
{
    struct lines lines = {0};
    add_series(p, &lines, c, p->run);
    if (p->other) {
        add_series(p, &lines, c, p->other);
    }
    html_title(p, c->title);
    double end = NAN;
    for (size_t i = 0; i < lines.n; i++) {
        end = highest(end, lines.line[i].x, lines.line[i].n);
    }
    if (lines.n == 0) {
        html_absent(p, c->absent);
    } else {
        svg_legend(lines.line, lines.n, p->out);
        const struct svg_chart chart = {c->id,
                                        c->title,
                                        {"time since the start", UNIT_SECONDS, scale_exact(end)},
                                        {c->y_label, c->unit, scale_of(&lines, c->scale)},
                                        lines.line,
                                        lines.n};
        svg_chart(&chart, p->out);
    }
    lines_free(&lines);
}

/* How far to the right the spectrum of a run goes: the last request that it can tell apart. */
static double nines_shown(const json_t *run)
{
    double n = run_number(run, "latency/all/n");
    return n > 10 ? log10(n) : 1;
}

static void add_spectrum(struct page *p, struct lines *lines, const json_t *run)
{
    const json_t *spectrum = run_at(run, "spectrum");
    size_t n = json_array_size(spectrum);
    double *x;
    double *y;
    if (n == 0) {
        return;
    }
    const struct svg_line line = {.name = "latency", .dashed = run == p->other, .n = n};
    if (!lines_add(lines, line, &x, &y)) {
        p->failed = true;
        return;
    }
    double last = 1 - pow(10, -nines_shown(run));
    for (size_t i = 0; i < n; i++) {
        const json_t *point = json_array_get(spectrum, i);
        double share = run_value(json_array_get(point, 1));
        x[i] = share < last ? share : isnan(share) ? NAN : last;
        y[i] = run_value(json_array_get(point, 0));
    }
}

static void chart_spectrum(struct page *p)
{
    static const char title[] = "Latency by percentile";
    struct lines lines = {0};
    add_spectrum(p, &lines, p->run);
    if (p->other) {
        add_spectrum(p, &lines, p->other);
    }
    html_title(p, title);
    if (lines.n == 0) {
        html_absent(p, "The spectrum of latencies");
    } else {
        double nines = fmax(nines_shown(p->run), p->other ? nines_shown(p->other) : 0);
        const struct svg_chart chart = {
            "spectrum",
            title,
            {"share of requests that took at most so long", UNIT_SHARE, scale_nines(nines)},
            {"latency", UNIT_US, scale_of(&lines, SCALE_LOG)},
            lines.line,
            lines.n};
        svg_legend(lines.line, lines.n, p->out);
        svg_chart(&chart, p->out);
    }
    lines_free(&lines);
}

/* "9–16" between the bounds of two buckets, "over 512" for the last. */
static void bucket_label(double from, const json_t *le, char *label, size_t size)
{
    char below[FIGURE_MAX];
    char upto[FIGURE_MAX];
    double to = run_value(le);
    if (isnan(to)) {
        snprintf(label, size, "over %s", figure_tick(UNIT_COUNT, from, below));
    } else if (to <= from + 1) {
        snprintf(label, size, "%s", figure_tick(UNIT_COUNT, to, upto));
    } else {
        snprintf(label, size, "%s–%s", figure_tick(UNIT_COUNT, from + 1, below),
                 figure_tick(UNIT_COUNT, to, upto));
    }
}

/* The count of the bucket of `groups` with that bound. */
static double bucket_count(const json_t *groups, const json_t *le)
{
    size_t i;
    json_t *bucket;
    json_array_foreach(groups, i, bucket)
    {
        if (le && json_equal(json_object_get(bucket, "le"), le)) {
            return run_number(bucket, "n");
        }
    }
    return 0;
}

static void chart_groups(struct page *p)
{
    static const char title[] = "Orders committed in one transaction";
    const json_t *counts = run_at(p->run, "commit_groups");
    const json_t *others = run_at(p->other, "commit_groups");
    /* One service has the same buckets in all runs; the other run's serve when this one has none. */
    const json_t *groups = json_array_size(counts) ? counts : others;
    char text[BARS_MAX][2 * FIGURE_MAX + 4];
    const char *labels[BARS_MAX];
    double values[BARS_MAX];
    double other_values[BARS_MAX];
    size_t n = json_array_size(groups) < BARS_MAX ? json_array_size(groups) : BARS_MAX;
    html_title(p, title);
    if (n == 0) {
        html_absent(p, "How many orders were committed together");
        return;
    }
    double from = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *le = json_object_get(json_array_get(groups, i), "le");
        bucket_label(from, le, text[i], sizeof(text[i]));
        labels[i] = text[i];
        values[i] = bucket_count(counts, le);
        other_values[i] = bucket_count(others, le);
        from = run_value(le);
    }
    /* The largest transactions that there could have been, but were not, are no part of the story. */
    while (n > 1 && values[n - 1] == 0 && other_values[n - 1] == 0) {
        n--;
    }
    const struct svg_bars bars = {"commits",
                                  title,
                                  "orders in the transaction",
                                  "transactions",
                                  n,
                                  labels,
                                  values,
                                  json_array_size(others) ? other_values : NULL};
    if (bars.others) {
        fputs("<p class=\"note\">Pale: the other run.</p>\n", p->out);
    }
    svg_bars(&bars, p->out);
}

void html_charts(struct page *p)
{
    chart_over_time(p, &over_time[0]);
    chart_over_time(p, &over_time[1]);
    chart_spectrum(p);
    for (size_t i = 2; i < sizeof(over_time) / sizeof(over_time[0]); i++) {
        chart_over_time(p, &over_time[i]);
    }
    chart_groups(p);
}
