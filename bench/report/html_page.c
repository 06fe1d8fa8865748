#include "html_priv.h"
#include "markup.h"
#include "run_json.h"

#include <math.h>
#include <string.h>

/* The generator's lateness past which a run's latencies are its own. */
static const double LATE_P99_US = 1000;

const struct measure html_measures[] = {
    {"durable orders", "rates/orders_per_s", UNIT_PER_S, .headline = true},
    {"checkouts", "rates/checkouts_per_s", UNIT_PER_S, .headline = true},
    {"refusals", "rates/refusals_per_s", UNIT_PER_S, .headline = true},
    {"requests", "rates/requests_per_s", UNIT_PER_S, .headline = false},
    {"orders, p50", "latency/orders/p50", UNIT_US, .less_is_better = true, .headline = true},
    {"orders, p99", "latency/orders/p99", UNIT_US, .less_is_better = true, .headline = true},
    {"orders, p99.9", "latency/orders/p99.9", UNIT_US, .less_is_better = true, .headline = true},
    {"refusals, p99", "latency/refusals/p99", UNIT_US, .less_is_better = true},
    {"all, p99", "latency/all/p99", UNIT_US, .less_is_better = true},
    {"all, longest", "latency/all/max", UNIT_US, .less_is_better = true},
    {"errors", "totals/errors", UNIT_COUNT, .less_is_better = true, .headline = true},
    {"service, processor per order", "cpu_us/service", UNIT_US, .per_order = true,
     .less_is_better = true},
    {"Redis, processor per order", "cpu_us/redis", UNIT_US, .per_order = true,
     .less_is_better = true},
    {"MariaDB, processor per order", "cpu_us/mariadb", UNIT_US, .per_order = true,
     .less_is_better = true},
    {"generator, processor per order", "cpu_us/generator", UNIT_US, .per_order = true,
     .less_is_better = true},
    {0},
};

double html_measure(const json_t *run, const struct measure *m)
{
    double v = run_number(run, m->path);
    if (!m->per_order) {
        return v;
    }
    double orders = run_number(run, "totals/orders");
    return orders > 0 ? v / orders : NAN;
}

void html_title(struct page *p, const char *title)
{
    fputs("<h2>", p->out);
    markup_text(p->out, title);
    fputs("</h2>\n", p->out);
}

void html_absent(struct page *p, const char *what)
{
    fputs("<p class=\"absent\">", p->out);
    markup_text(p->out, what);
    fputs(": the run has no figures for it.</p>\n", p->out);
}

static void badge(struct page *p, const char *kind, const char *text, const char *more)
{
    fprintf(p->out, "<span class=\"badge %s\">", kind);
    markup_text(p->out, text);
    markup_text(p->out, more);
    fputs("</span>\n", p->out);
}

/* Rows of a list that are not `ok`. */
static size_t not_ok(const json_t *list)
{
    size_t i;
    size_t n = 0;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        n += !json_is_true(json_object_get(row, "ok"));
    }
    return n;
}

static void verdict_badge(struct page *p, const json_t *run)
{
    static const struct {
        const char *kind, *text;
    } results[] = {
        /* by exit code */
        {"good", "Every promise was kept"},   {"bad", "A promise was broken"},
        {"bad", "The tool was used wrongly"}, {"bad", "Could not be set up or compared"},
        {"bad", "The run is not valid"},      {"bad", "It went past a limit"},
    };
    enum { BROKEN = 1 };
    const size_t n = sizeof(results) / sizeof(results[0]);
    const json_t *promises = run_at(run, "promises");
    /* A broken promise is never hidden behind another fault of the run. */
    double result = not_ok(promises) ? BROKEN : run_number(run, "exit");
    size_t i = 0;
    while (i < n && result != (double)i) {
        i++;
    }
    if (i == n) {
        badge(p, "bad", "Nothing says how it ended", "");
    } else if (i == 0 && json_array_size(promises) == 0) {
        badge(p, "good", "Ended well; no promise was put to the test", "");
    } else {
        badge(p, results[i].kind, results[i].text, "");
    }
}

static void validity_badge(struct page *p, const json_t *run)
{
    const json_t *valid = run_at(run, "valid");
    if (json_is_true(valid)) {
        badge(p, "good", "Valid", "");
        return;
    }
    const char *why = run_text(run, "invalid");
    badge(p, "bad", json_is_false(valid) ? "Not valid" : "Nothing says whether it is valid", "");
    if (*why) {
        badge(p, "bad", "Why: ", why);
    }
}

/* Only a run at a planned pace has a generator that can be late. */
static void lateness_badge(struct page *p, const json_t *run)
{
    double p99 = run_number(run, "generator/late_p99_us");
    if (strcmp(run_text(run, "load"), "closed") == 0 || isnan(p99)) {
        return;
    }
    bool late = p99 > LATE_P99_US;
    char text[FIGURE_MAX];
    badge(p, late ? "bad" : "good", late ? "Generator late, p99 " : "Generator on time, p99 ",
          figure(UNIT_US, p99, text));
}

static void thresholds_badge(struct page *p, const json_t *run)
{
    const json_t *thresholds = run_at(run, "thresholds");
    bool missed = not_ok(thresholds) > 0;
    if (json_array_size(thresholds) > 0) {
        badge(p, missed ? "bad" : "good", missed ? "Not within its limits" : "Within its limits",
              "");
    }
}

static void tiles(struct page *p)
{
    fputs("<dl class=\"tiles\">\n", p->out);
    for (const struct measure *m = html_measures; m->name; m++) {
        double v = html_measure(p->run, m);
        if (!m->headline || isnan(v)) {
            continue;
        }
        char text[FIGURE_MAX];
        fputs("<div><dt>", p->out);
        markup_text(p->out, m->name);
        fprintf(p->out, "</dt><dd>%s", figure(m->unit, v, text));
        double other = p->other ? html_measure(p->other, m) : NAN;
        if (!isnan(other)) {
            fprintf(p->out, "<small>other %s</small>", figure(m->unit, other, text));
        }
        fputs("</dd></div>\n", p->out);
    }
    fputs("</dl>\n", p->out);
}

/* "rush, at 2026-11-24T12:00:00.000Z, 12.3 s, open load", and how it ended */
static void run_lines(struct page *p, const json_t *run, const char *name)
{
    char text[FIGURE_MAX];
    fprintf(p->out, "<p class=\"what\">%s", name);
    markup_text(p->out, run_text(run, "scenario"));
    fputs(" at <time>", p->out);
    markup_text(p->out, run_text(run, "started_at"));
    fprintf(p->out, "</time> for %s, ", figure(UNIT_SECONDS, run_number(run, "duration_s"), text));
    markup_text(p->out, run_text(run, "load"));
    fputs(" load, sale ", p->out);
    markup_text(p->out, run_text(run, "sale"));
    fputs(".</p>\n<p class=\"badges\">\n", p->out);
    verdict_badge(p, run);
    validity_badge(p, run);
    lateness_badge(p, run);
    thresholds_badge(p, run);
    fputs("</p>\n", p->out);
}

static void headline(struct page *p)
{
    fputs("<header>\n<h1>", p->out);
    markup_text(p->out, run_text(p->run, "scenario"));
    fputs("</h1>\n<p class=\"about\">", p->out);
    markup_text(p->out, run_text(p->run, "about"));
    fputs("</p>\n", p->out);
    run_lines(p, p->run, p->other ? "This run (solid): " : "");
    if (p->other) {
        run_lines(p, p->other, "Other run (dashed): ");
    }
    tiles(p);
    fputs("</header>\n", p->out);
}

enum status html_write(const json_t *run, const json_t *other, FILE *out)
{
    struct page page = {.run = run, .other = other, .out = out};
    html_head(&page);
    headline(&page);
    html_verdicts(&page);
    html_charts(&page);
    html_tables(&page);
    html_foot(&page);
    return page.failed || fflush(out) != 0 || ferror(out) ? ST_INTERNAL : ST_OK;
}
