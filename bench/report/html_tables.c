#include "html_priv.h"
#include "markup.h"
#include "run_json.h"

#include <math.h>
#include <string.h>

enum { VALUE_MAX = 512 }; /* bytes shown of a text */

static const char *const quantiles[] = {"mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static void quantile_cells(struct page *p, const json_t *times)
{
    for (unsigned i = 0; i < QUANTILES; i++) {
        markup_number(p->out, UNIT_US, run_number(times, quantiles[i]));
    }
}

static void verdict_cell(struct page *p, const json_t *row, const char *good, const char *bad)
{
    bool ok = json_is_true(json_object_get(row, "ok"));
    markup_verdict(p->out, ok, ok ? good : bad);
}

static void table_promises(struct page *p)
{
    static const char *const heads[] = {"Promise", "", "Found", NULL};
    size_t i;
    json_t *row;
    const json_t *promises = run_at(p->run, "promises");
    html_title(p, "Promises");
    if (json_array_size(promises) == 0) {
        html_absent(p, "Whether the promises were kept");
        return;
    }
    markup_table(p->out, "What shoppers were told, against MariaDB", heads);
    json_array_foreach(promises, i, row)
    {
        markup_row(p->out, run_text(row, "promise"));
        verdict_cell(p, row, "kept", "BROKEN");
        markup_cell(p->out, run_text(row, "found"));
        markup_row_end(p->out);
    }
    markup_table_end(p->out);
}

static void table_thresholds(struct page *p)
{
    static const char *const heads[] = {"Fails if", "", "#Found", NULL};
    size_t i;
    json_t *row;
    const json_t *thresholds = run_at(p->run, "thresholds");
    if (json_array_size(thresholds) == 0) {
        return;
    }
    html_title(p, "Limits");
    markup_table(p->out,
                 "A limit that holds fails the run, and so does one that nothing was held against",
                 heads);
    json_array_foreach(thresholds, i, row)
    {
        markup_row(p->out, run_text(row, "text"));
        verdict_cell(p, row, "does not hold",
                     json_object_get(row, "value") ? "HOLDS" : "not measured");
        markup_number(p->out, figure_unit(run_text(row, "unit")), run_number(row, "value"));
        markup_row_end(p->out);
    }
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

static void table_latencies(struct page *p)
{
    static const char *const heads[] = {"Answers", "Counted from", "#Number", "#Mean",
                                        "#p50",    "#p90",         "#p99",    "#p99.9",
                                        "#p99.99", "#Longest",     NULL};
    static const char *const kinds[] = {"orders", "refusals", "all"};
    bool closed = strcmp(run_text(p->run, "load"), "closed") == 0;
    html_title(p, "Latency and service time");
    if (json_object_size(run_at(p->run, "latency")) == 0) {
        html_absent(p, "How long answers took");
        return;
    }
    markup_table(p->out,
                 closed ? "Closed load: a shopper sets out when a connection is free, so that "
                          "nobody waits for one."
                        : "Open load: latency counts from when a shopper meant to ask, service "
                          "time from when the request left.",
                 heads);
    for (unsigned i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *from = i % 2 ? "service_time" : "latency";
        const json_t *times = run_at(run_at(p->run, from), kinds[i / 2]);
        if (!times) {
            continue;
        }
        markup_row(p->out, kinds[i / 2]);
        markup_cell(p->out, i % 2 ? "sent" : closed ? "free connection" : "planned");
        markup_number(p->out, UNIT_COUNT, run_number(times, "n"));
        quantile_cells(p, times);
        markup_row_end(p->out);
    }
    markup_table_end(p->out);
}

static void table_steps(struct page *p)
{
    static const char *const heads[] = {"Step", "Request", "#Sent",   "#Mean",    "#p50", "#p90",
                                        "#p99", "#p99.9",  "#p99.99", "#Longest", NULL};
    size_t i;
    json_t *step;
    const json_t *steps = run_at(p->run, "steps");
    html_title(p, "Steps");
    if (json_array_size(steps) == 0) {
        html_absent(p, "The steps of a shopper");
        return;
    }
    markup_table(p->out, "Latency of each step", heads);
    json_array_foreach(steps, i, step)
    {
        markup_row(p->out, run_text(step, "name"));
        markup_cell(p->out, run_text(step, "request"));
        markup_number(p->out, UNIT_COUNT, run_number(step, "sent"));
        quantile_cells(p, run_at(step, "latency"));
        markup_row_end(p->out);
    }
    markup_table_end(p->out);
}

/* A bar as long as the share, which the number beside it says, too. */
static void bar_cell(struct page *p, double share, bool expected)
{
    double length = share > 0 ? fmin(share, 1) * 100 : 0;
    fprintf(p->out,
            "<td class=\"bar%s\"><svg aria-hidden=\"true\" width=\"100%%\" height=\"14\"><rect "
            "width=\"%.2f%%\" height=\"14\"/></svg></td>",
            expected ? "" : " bad", length);
}

static void answer_row(struct page *p, const json_t *step, const json_t *answer)
{
    char status[FIGURE_MAX];
    bool expected = json_is_true(json_object_get(answer, "expected"));
    double n = run_number(answer, "n");
    double sent = run_number(step, "sent");
    double share = sent > 0 ? n / sent : NAN;
    double http = run_number(answer, "status");
    markup_row(p->out, run_text(step, "name"));
    markup_cell(p->out, http > 0 ? figure(UNIT_COUNT, http, status) : "none");
    markup_cell(p->out, run_text(answer, "code"));
    markup_number(p->out, UNIT_COUNT, n);
    markup_number(p->out, UNIT_SHARE, share);
    bar_cell(p, share, expected);
    markup_verdict(p->out, expected, expected ? "expected" : "not expected");
    markup_row_end(p->out);
}

static void table_answers(struct page *p)
{
    static const char *const heads[] = {"Step",   "Status", "Code", "#Number",
                                        "#Share", "",       "",     NULL};
    size_t i;
    size_t k;
    json_t *step;
    json_t *answer;
    const json_t *steps = run_at(p->run, "steps");
    html_title(p, "What was answered");
    if (json_array_size(steps) == 0) {
        html_absent(p, "Which answers came");
        return;
    }
    markup_table(p->out, "Answers by status and code, as shares of the step's requests", heads);
    json_array_foreach(steps, i, step)
    {
        json_array_foreach(json_object_get(step, "answers"), k, answer)
        {
            answer_row(p, step, answer);
        }
    }
    markup_table_end(p->out);
}

/* What the end of a member's name says of its value. */
static const struct suffix {
    const char *text;
    enum unit unit;
    double factor;
} suffixes[] = {
    {"_us", UNIT_US, 1}, {"_ms", UNIT_US, 1e3}, {"_s", UNIT_US, 1e6}, {"_share", UNIT_SHARE, 1}};

static const struct suffix *suffix_of(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t length = strlen(suffixes[i].text);
        if (n > length && strcmp(name + n - length, suffixes[i].text) == 0) {
            return &suffixes[i];
        }
    }
    return NULL;
}

/* Any value as a cell; objects and arrays as they are written. */
static void value_cell(struct page *p, const struct suffix *suffix, const json_t *value)
{
    char text[VALUE_MAX] = "";
    char number[FIGURE_MAX];
    if (json_is_number(value)) {
        enum unit unit = suffix ? suffix->unit : UNIT_COUNT;
        double factor = suffix ? suffix->factor : 1;
        markup_cell(p->out, figure(unit, run_value(value) * factor, number));
    } else if (json_is_string(value)) {
        markup_cell(p->out, json_string_value(value));
    } else if (value) {
        size_t n = json_dumpb(value, text, sizeof(text) - 1,
                              JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        text[n < sizeof(text) ? n : 0] = '\0';
        markup_cell(p->out, n < sizeof(text) ? text : "(long)");
    } else {
        markup_cell(p->out, "");
    }
}

/* "late_p99_us" -> "late p99" */
static void member_row(struct page *p, const char *name, const struct suffix *suffix)
{
    char text[VALUE_MAX];
    size_t n = strlen(name) - (suffix ? strlen(suffix->text) : 0);
    snprintf(text, sizeof(text), "%.*s", n < sizeof(text) ? (int)n : 0, name);
    for (char *at = text; *at; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
    markup_row(p->out, *text ? text : name);
}

/* The members of an object, those of the other run beside them. */
static void table_members(struct page *p, const char *title, const char *caption,
                          const char *member)
{
    static const char *const one[] = {"Name", "Value", NULL};
    static const char *const two[] = {"Name", "This run", "Other run", NULL};
    const char *name;
    json_t *value;
    json_t *object = (json_t *)run_at(p->run, member);
    html_title(p, title);
    if (json_object_size(object) == 0) {
        html_absent(p, caption);
        return;
    }
    markup_table(p->out, caption, p->other ? two : one);
    json_object_foreach(object, name, value)
    {
        const struct suffix *suffix = suffix_of(name);
        member_row(p, name, suffix);
        value_cell(p, suffix, value);
        if (p->other) {
            value_cell(p, suffix, json_object_get(run_at(p->other, member), name));
        }
        markup_row_end(p->out);
    }
    markup_table_end(p->out);
}

static void table_audit(struct page *p)
{
    static const char *const heads[] = {"Check", "Promise", "", "#Expected", "#Found", NULL};
    size_t i;
    json_t *row;
    const json_t *checks = run_at(p->run, "audit/checks");
    html_title(p, "The service's own audit");
    if (json_array_size(checks) == 0) {
        html_absent(p, "What the service's audit found");
        return;
    }
    bool ok = json_is_true(run_at(p->run, "audit/ok"));
    markup_table(p->out, ok ? "All in order" : "Not in order", heads);
    json_array_foreach(checks, i, row)
    {
        markup_row(p->out, run_text(row, "name"));
        markup_cell(p->out, run_text(row, "promise"));
        verdict_cell(p, row, "ok", "BROKEN");
        markup_number(p->out, UNIT_COUNT, run_number(row, "expected"));
        markup_number(p->out, UNIT_COUNT, run_number(row, "found"));
        markup_row_end(p->out);
    }
    markup_table_end(p->out);
}

static void processor_row(struct page *p, const char *name, double us)
{
    double orders = run_number(p->run, "totals/orders");
    markup_row(p->out, name);
    markup_number(p->out, UNIT_US, us);
    markup_number(p->out, UNIT_US, orders > 0 ? us / orders : NAN);
    markup_row_end(p->out);
}

static void table_processors(struct page *p)
{
    static const char *const heads[] = {"Process", "#Processor", "#Per order", NULL};
    const char *name;
    json_t *us;
    json_t *processes = (json_t *)run_at(p->run, "cpu_us");
    html_title(p, "Processor time");
    if (json_object_size(processes) == 0) {
        html_absent(p, "How much processor each process took in all");
        return;
    }
    double sum = 0;
    markup_table(p->out, "Of the whole run", heads);
    json_object_foreach(processes, name, us)
    {
        processor_row(p, name, run_value(us));
        sum += strcmp(name, "generator") == 0 ? 0 : run_value(us);
    }
    processor_row(p, "all but the generator", sum);
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

void html_tables(struct page *p)
{
    table_latencies(p);
    table_steps(p);
    table_answers(p);
    table_processors(p);
    table_audit(p);
    table_members(p, "Orders in MariaDB", "What the comparison counted", "ledger");
    table_members(p, "Counts", "All answers and failures", "totals");
    table_members(p, "The load generator", "How it fared itself", "generator");
    table_members(p, "Settings", "What the run was asked to do", "settings");
}
