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

/* Open load has a planned send; in closed load a shopper sets out when a connection is free. */
static bool is_closed(const json_t *run)
{
    return strcmp(run_text(run, "load"), "closed") == 0;
}

static void latency_rows(struct page *p, const json_t *run, const char *kind, bool service)
{
    const json_t *times = run_at(run_at(run, service ? "service_time" : "latency"), kind);
    if (!times) {
        return;
    }
    html_row(p, run, kind);
    markup_cell(p->out, service ? "sent" : is_closed(run) ? "free connection" : "planned");
    markup_number(p->out, UNIT_COUNT, run_number(times, "n"));
    quantile_cells(p, times);
    markup_row_end(p->out);
}

static void table_latencies(struct page *p)
{
    static const char *const heads[] = {"Answers", "Counted from", "#Number", "#Mean",
                                        "#p50",    "#p90",         "#p99",    "#p99.9",
                                        "#p99.99", "#Longest",     NULL};
    static const char *const kinds[] = {"orders", "refusals", "all"};
    html_title(p, "Latency and service time");
    if (json_object_size(run_at(p->run, "latency")) +
            json_object_size(run_at(p->other, "latency")) ==
        0) {
        html_absent(p, "How long answers took");
        return;
    }
    html_table(p,
               is_closed(p->run) ? "Closed load: a shopper sets out when a connection is free, so "
                                   "that nobody waits for one."
                                 : "Open load: latency counts from when a shopper meant to ask, "
                                   "service time from when the request left.",
               heads);
    for (unsigned i = 0; i < 2 * sizeof(kinds) / sizeof(kinds[0]); i++) {
        latency_rows(p, p->run, kinds[i / 2], i % 2);
        latency_rows(p, p->other, kinds[i / 2], i % 2);
    }
    markup_table_end(p->out);
}

/* What a step is known by, and an answer within it. */
static const char *const step_keys[] = {"name", NULL};
static const char *const answer_keys[] = {"status", "code", NULL};

static void step_row(struct page *p, const json_t *run, const json_t *step, const void *arg)
{
    html_row(p, run, run_text(step, "name"));
    markup_cell(p->out, run_text(step, "request"));
    markup_number(p->out, UNIT_COUNT, run_number(step, "sent"));
    quantile_cells(p, run_at(step, "latency"));
    markup_row_end(p->out);
}

static void table_steps(struct page *p)
{
    static const char *const heads[] = {"Step", "Request", "#Sent",   "#Mean",    "#p50", "#p90",
                                        "#p99", "#p99.9",  "#p99.99", "#Longest", NULL};
    const json_t *steps = run_at(p->run, "steps");
    const json_t *others = run_at(p->other, "steps");
    html_title(p, "Steps");
    if (json_array_size(steps) + json_array_size(others) == 0) {
        html_absent(p, "The steps of a shopper");
        return;
    }
    html_table(p, "Latency of each step", heads);
    html_each(p, steps, others, step_keys, step_row, NULL);
    markup_table_end(p->out);
}

/* A bar as long as the share, which the number beside it says, too. */
static void bar_cell(struct page *p, double share, bool expected, bool other)
{
    double length = share > 0 ? fmin(share, 1) * 100 : 0;
    fprintf(p->out,
            "<td class=\"bar%s\"><svg aria-hidden=\"true\" width=\"100%%\" height=\"14\"><rect%s "
            "width=\"%.2f%%\" height=\"14\"/></svg></td>",
            expected ? "" : " bad", other ? " class=\"other\"" : "", length);
}

/* The same step in both runs. */
struct step_pair {
    const json_t *mine, *others;
};

static void answer_row(struct page *p, const json_t *run, const json_t *answer, const void *arg)
{
    const struct step_pair *steps = arg;
    const json_t *step = run == p->other ? steps->others : steps->mine;
    char status[FIGURE_MAX];
    bool expected = json_is_true(json_object_get(answer, "expected"));
    double n = run_number(answer, "n");
    double sent = run_number(step, "sent");
    double share = sent > 0 ? n / sent : NAN;
    double http = run_number(answer, "status");
    html_row(p, run, run_text(step, "name"));
    markup_cell(p->out, http > 0 ? figure(UNIT_COUNT, http, status) : "none");
    markup_cell(p->out, run_text(answer, "code"));
    markup_number(p->out, UNIT_COUNT, n);
    markup_number(p->out, UNIT_SHARE, share);
    bar_cell(p, share, expected, run == p->other);
    markup_verdict(p->out, expected, expected ? "expected" : "not expected");
    markup_row_end(p->out);
}

static void answers_of_step(struct page *p, const json_t *mine, const json_t *others,
                            const void *arg)
{
    const struct step_pair steps = {mine, others};
    html_each(p, run_at(mine, "answers"), run_at(others, "answers"), answer_keys, answer_row,
              &steps);
}

static void table_answers(struct page *p)
{
    static const char *const heads[] = {"Step",   "Status", "Code", "#Number",
                                        "#Share", "",       "",     NULL};
    const json_t *steps = run_at(p->run, "steps");
    const json_t *others = run_at(p->other, "steps");
    html_title(p, "What was answered");
    if (json_array_size(steps) + json_array_size(others) == 0) {
        html_absent(p, "Which answers came");
        return;
    }
    html_table(p, "Answers by status and code, as shares of the step's requests", heads);
    html_pairs(p, steps, others, step_keys, answers_of_step, NULL);
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

static void member_pair(struct page *p, const json_t *mine, const json_t *others, const void *arg)
{
    const struct suffix *suffix = suffix_of(arg);
    member_row(p, arg, suffix);
    value_cell(p, suffix, mine);
    if (p->other) {
        value_cell(p, suffix, others);
    }
    markup_row_end(p->out);
}

/* The members of an object, those of the other run beside them. */
static void table_members(struct page *p, const char *title, const char *caption,
                          const char *member)
{
    static const char *const one[] = {"Name", "Value", NULL};
    static const char *const two[] = {"Name", "This run", "Other run", NULL};
    html_title(p, title);
    if (json_object_size(run_at(p->run, member)) + json_object_size(run_at(p->other, member)) ==
        0) {
        html_absent(p, caption);
        return;
    }
    markup_table(p->out, caption, p->other ? two : one);
    html_members(p, member, member_pair);
    markup_table_end(p->out);
}

static void processor_row(struct page *p, const json_t *run, const char *name, double us)
{
    double orders = run_number(run, "totals/orders");
    html_row(p, run, name);
    markup_number(p->out, UNIT_US, us);
    markup_number(p->out, UNIT_US, orders > 0 ? us / orders : NAN);
    markup_row_end(p->out);
}

static void processor_pair(struct page *p, const json_t *mine, const json_t *others,
                           const void *arg)
{
    if (mine) {
        processor_row(p, p->run, arg, run_value(mine));
    }
    if (others) {
        processor_row(p, p->other, arg, run_value(others));
    }
}

/* Of the service and its stores: what a run costs, whoever asks. */
static void processor_sum(struct page *p, const json_t *run)
{
    const char *name;
    json_t *us;
    double sum = 0;
    json_t *processes = (json_t *)run_at(run, "cpu_us");
    if (json_object_size(processes) == 0) {
        return;
    }
    json_object_foreach(processes, name, us)
    {
        sum += strcmp(name, "generator") == 0 ? 0 : run_value(us);
    }
    processor_row(p, run, "all but the generator", sum);
}

static void table_processors(struct page *p)
{
    static const char *const heads[] = {"Process", "#Processor", "#Per order", NULL};
    html_title(p, "Processor time");
    if (json_object_size(run_at(p->run, "cpu_us")) + json_object_size(run_at(p->other, "cpu_us")) ==
        0) {
        html_absent(p, "How much processor each process took in all");
        return;
    }
    html_table(p, "Of the whole run", heads);
    html_members(p, "cpu_us", processor_pair);
    processor_sum(p, p->run);
    processor_sum(p, p->other);
    markup_table_end(p->out);
}

void html_tables(struct page *p)
{
    table_latencies(p);
    table_steps(p);
    table_answers(p);
    table_processors(p);
    html_audit(p);
    table_members(p, "Orders in MariaDB", "What the comparison counted", "ledger");
    table_members(p, "Counts", "All answers and failures", "totals");
    table_members(p, "The load generator", "How it fared itself", "generator");
    table_members(p, "Settings", "What the run was asked to do", "settings");
}
