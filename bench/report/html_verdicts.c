#include "html_priv.h"
#include "markup.h"
#include "run_json.h"

#include <math.h>

static void verdict_cell(struct page *p, const json_t *row, const char *good, const char *bad)
{
    bool ok = json_is_true(json_object_get(row, "ok"));
    markup_verdict(p->out, ok, ok ? good : bad);
}

static void promise_row(struct page *p, const json_t *run, const json_t *row, const void *arg)
{
    html_row(p, run, run_text(row, "promise"));
    verdict_cell(p, row, "kept", "BROKEN");
    markup_cell(p->out, run_text(row, "found"));
    markup_row_end(p->out);
}

static void table_promises(struct page *p)
{
    static const char *const heads[] = {"Promise", "", "Found", NULL};
    static const char *const keys[] = {"promise", NULL};
    const json_t *promises = run_at(p->run, "promises");
    const json_t *others = run_at(p->other, "promises");
    html_title(p, "Promises");
    if (json_array_size(promises) + json_array_size(others) == 0) {
        html_absent(p, "Whether the promises were kept");
        return;
    }
    html_table(p, "What shoppers were told, against MariaDB", heads);
    html_each(p, promises, others, keys, promise_row, NULL);
    markup_table_end(p->out);
}

static void threshold_row(struct page *p, const json_t *run, const json_t *row, const void *arg)
{
    html_row(p, run, run_text(row, "text"));
    verdict_cell(p, row, "does not hold", json_object_get(row, "value") ? "HOLDS" : "not measured");
    markup_number(p->out, figure_unit(run_text(row, "unit")), run_number(row, "value"));
    markup_row_end(p->out);
}

static void table_thresholds(struct page *p)
{
    static const char *const heads[] = {"Fails if", "", "#Found", NULL};
    static const char *const keys[] = {"text", NULL};
    const json_t *thresholds = run_at(p->run, "thresholds");
    const json_t *others = run_at(p->other, "thresholds");
    if (json_array_size(thresholds) + json_array_size(others) == 0) {
        return;
    }
    html_title(p, "Limits");
    html_table(p, "A limit that holds fails the run, and so does one that nothing was held against",
               heads);
    html_each(p, thresholds, others, keys, threshold_row, NULL);
    markup_table_end(p->out);
}

static void ratio_row(struct page *p, const struct measure *m)
{
    double run = html_measure(p->run, m);
    double other = html_measure(p->other, m);
    if (isnan(run) || isnan(other)) {
        return;
    }
    double ratio = other > 0 ? run / other : NAN;
    bool same = run == other || fabs(ratio - 1) < 0.01;
    markup_row(p->out, m->name);
    markup_number(p->out, m->unit, run);
    markup_number(p->out, m->unit, other);
    markup_number(p->out, UNIT_RATIO, ratio);
    if (same) {
        markup_cell(p->out, "same");
    } else {
        bool better = (run < other) == m->less_is_better;
        markup_verdict(p->out, better, better ? "better" : "worse");
    }
    markup_row_end(p->out);
}

static void table_ratios(struct page *p)
{
    static const char *const heads[] = {"Measure", "#This run", "#Other run", "#Ratio", "", NULL};
    html_title(p, "This run beside the other");
    markup_table(p->out, "Ratio: this run by the other. Within one in a hundred: the same.", heads);
    for (const struct measure *m = html_measures; m->name; m++) {
        ratio_row(p, m);
    }
    markup_table_end(p->out);
}

static void check_row(struct page *p, const json_t *run, const json_t *row, const void *arg)
{
    html_row(p, run, run_text(row, "name"));
    markup_cell(p->out, run_text(row, "promise"));
    verdict_cell(p, row, "ok", "BROKEN");
    markup_number(p->out, UNIT_COUNT, run_number(row, "expected"));
    markup_number(p->out, UNIT_COUNT, run_number(row, "found"));
    markup_row_end(p->out);
}

/* No audit is not one that found something. */
static bool is_in_order(const json_t *run)
{
    const json_t *ok = run_at(run, "audit/ok");
    return !ok || json_is_true(ok);
}

void html_audit(struct page *p)
{
    static const char *const heads[] = {"Check", "Promise", "", "#Expected", "#Found", NULL};
    static const char *const keys[] = {"name", NULL};
    const json_t *checks = run_at(p->run, "audit/checks");
    const json_t *others = run_at(p->other, "audit/checks");
    html_title(p, "The service's own audit");
    if (json_array_size(checks) + json_array_size(others) == 0) {
        html_absent(p, "What the service's audit found");
        return;
    }
    html_table(p, is_in_order(p->run) && is_in_order(p->other) ? "All in order" : "Not in order",
               heads);
    html_each(p, checks, others, keys, check_row, NULL);
    markup_table_end(p->out);
}

void html_verdicts(struct page *p)
{
    table_promises(p);
    table_thresholds(p);
    if (p->other) {
        table_ratios(p);
    }
}
