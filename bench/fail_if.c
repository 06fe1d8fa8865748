#include "fail_if.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_LATENCY, KIND_COUNT, KIND_RATE, KIND_CPU };

struct metric {
    const char *name; /* as people write it */
    enum kind kind;
    const char *member; /* in the run */
};

static const struct metric metrics[] = {
    {"p50", KIND_LATENCY, "p50"},
    {"p90", KIND_LATENCY, "p90"},
    {"p99", KIND_LATENCY, "p99"},
    {"p99.9", KIND_LATENCY, "p99.9"},
    {"p99.99", KIND_LATENCY, "p99.99"},
    {"max", KIND_LATENCY, "max"},
    {"mean", KIND_LATENCY, "mean"},
    {"errors", KIND_COUNT, "errors"},
    {"timeouts", KIND_COUNT, "timeouts"},
    {"lost", KIND_COUNT, "lost"},
    {"bad-answers", KIND_COUNT, "bad_answers"},
    {"orders/s", KIND_RATE, "orders_per_s"},
    {"requests/s", KIND_RATE, "requests_per_s"},
    {"refusals/s", KIND_RATE, "refusals_per_s"},
    {"checkouts/s", KIND_RATE, "checkouts_per_s"},
};

static const char *const processes[] = {"service", "redis", "mariadb", "sandbox", "generator"};

enum {
    METRICS = sizeof(metrics) / sizeof(metrics[0]),
    PROCESSES = sizeof(processes) / sizeof(processes[0])
};

static const struct metric *find_metric(const char *name)
{
    for (size_t i = 0; i < METRICS; i++) {
        if (strcmp(metrics[i].name, name) == 0) {
            return &metrics[i];
        }
    }
    return NULL;
}

static const char *find_process(const char *name)
{
    for (size_t i = 0; i < PROCESSES; i++) {
        if (strcmp(processes[i], name) == 0) {
            return processes[i];
        }
    }
    return NULL;
}

static enum kind kind_of(const struct fail_if *f)
{
    const struct metric *m = find_metric(f->metric);
    return m ? m->kind : KIND_CPU;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool wrong(char *error, size_t size, const char *text, const char *why)
{
    snprintf(error, size, "\"%s\": %s", text, why);
    return false;
}

/* Copies without surrounding blanks; false when it does not fit. */
static bool copy_trimmed(const char *from, size_t n, char *out, size_t size)
{
    while (n > 0 && isspace((unsigned char)*from)) {
        from++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)from[n - 1])) {
        n--;
    }
    if (n >= size) {
        return false;
    }
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

/* Splits `WHAT.METRIC`. Names of quantiles hold a point, too, so the longest metric wins. */
static bool read_subject(struct fail_if *f, const char *subject)
{
    const char *process = strncmp(subject, "cpu.", 4) == 0 ? find_process(subject + 4) : NULL;
    if (process) {
        snprintf(f->metric, sizeof(f->metric), "%s", process);
        return true;
    }
    const struct metric *m = find_metric(subject);
    for (const char *dot = subject; !m && (dot = strchr(dot, '.')) != NULL; dot++) {
        m = find_metric(dot + 1);
        if (m && m->kind != KIND_LATENCY) {
            return false;
        }
        if (m) {
            snprintf(f->what, sizeof(f->what), "%.*s", (int)(dot - subject), subject);
        }
    }
    if (!m) {
        return false;
    }
    snprintf(f->metric, sizeof(f->metric), "%s", m->name);
    if (m->kind == KIND_LATENCY && f->what[0] == '\0') {
        snprintf(f->what, sizeof(f->what), "orders");
    }
    return true;
}

struct unit {
    const char *name;
    double times;
};

/* The factor of a unit for a kind of metric; 0: it makes no sense there. */
static double unit_times(enum kind kind, const char *unit, bool *share)
{
    static const struct unit durations[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}};
    *share = strcmp(unit, "%") == 0;
    switch (kind) {
    case KIND_LATENCY:
        for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
            if (strcmp(durations[i].name, unit) == 0) {
                return durations[i].times;
            }
        }
        return 0;
    case KIND_COUNT: return *share ? 0.01 : unit[0] == '\0' ? 1 : 0;
    case KIND_RATE: return unit[0] == '\0' || strcmp(unit, "/s") == 0 ? 1 : 0;
    case KIND_CPU: return *share ? 0.01 : 0;
    }
    return 0;
}

static const char *unit_wanted(enum kind kind)
{
    static const char *const wanted[] = {
        [KIND_LATENCY] = "a latency needs a number with us, ms or s",
        [KIND_COUNT] = "wants a whole number, or a share with %",
        [KIND_RATE] = "wants a number, with or without /s",
        [KIND_CPU] = "wants a share of a core, with %",
    };
    return wanted[kind];
}

static bool read_limit(struct fail_if *f, const char *text)
{
    char *end;
    char unit[8];
    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    double number = strtod(text, &end);
    if (!copy_trimmed(end, strlen(end), unit, sizeof(unit)) || !isfinite(number)) {
        return false;
    }
    double times = unit_times(kind_of(f), unit, &f->share);
    f->limit = number * times;
    return times > 0;
}

bool fail_if_parse(const char *text, struct fail_if *out, char *error, size_t size)
{
    char subject[FAIL_IF_TEXT_MAX + 1] = "";
    char limit[FAIL_IF_TEXT_MAX + 1] = "";
    *out = (struct fail_if){0};
    if (!copy_trimmed(text, strlen(text), out->text, sizeof(out->text))) {
        return wrong(error, size, text, "is too long");
    }
    const char *op = strpbrk(out->text, "<>");
    if (!op) {
        return wrong(error, size, text, "wants a comparison: > >= < or <=");
    }
    const bool equal = op[1] == '=';
    out->op = *op == '>' ? (equal ? AT_LEAST : OVER) : (equal ? AT_MOST : UNDER);
    copy_trimmed(out->text, (size_t)(op - out->text), subject, sizeof(subject));
    copy_trimmed(op + 1 + equal, strlen(op + 1 + equal), limit, sizeof(limit));
    if (strlen(subject) > FAIL_IF_NAME_MAX || !read_subject(out, subject)) {
        return wrong(
            error, size, text,
            "wants p50 p90 p99 p99.9 p99.99 max mean (also as STEP.p99), errors, timeouts, "
            "lost, bad-answers, orders/s, requests/s, refusals/s, checkouts/s or cpu.PROCESS");
    }
    return read_limit(out, limit) || wrong(error, size, text, unit_wanted(kind_of(out)));
}

/* --- judging ---------------------------------------------------------------------------------- */

static bool number_of(const json_t *object, const char *name, double *out)
{
    const json_t *v = json_object_get(object, name);
    *out = json_number_value(v);
    return json_is_number(v);
}

static const json_t *latency_of(const json_t *run, const char *what)
{
    size_t i;
    json_t *step;
    const json_t *found = json_object_get(json_object_get(run, "latency"), what);
    json_array_foreach(json_object_get(run, "steps"), i, step)
    {
        const char *name = json_string_value(json_object_get(step, "name"));
        if (!found && name && strcmp(name, what) == 0) {
            found = json_object_get(step, "latency");
        }
    }
    double n = 0;
    return found && number_of(found, "n", &n) && n > 0 ? found : NULL;
}

static bool share_of(const json_t *totals, const char *of, double *value)
{
    double all = 0;
    if (!number_of(totals, of, &all) || all <= 0) {
        return false;
    }
    *value /= all;
    return true;
}

static bool find_value(const struct fail_if *f, const json_t *run, double *value)
{
    const struct metric *m = find_metric(f->metric);
    const json_t *totals = json_object_get(run, "totals");
    switch (kind_of(f)) {
    case KIND_LATENCY: return number_of(latency_of(run, f->what), m->member, value);
    case KIND_COUNT:
        return number_of(totals, m->member, value) &&
               (!f->share || share_of(totals, "sent", value));
    case KIND_RATE: return number_of(json_object_get(run, "rates"), m->member, value);
    case KIND_CPU: {
        double seconds = 0;
        bool found = number_of(json_object_get(run, "cpu_us"), f->metric, value) &&
                     number_of(run, "duration_s", &seconds) && seconds > 0;
        *value = found ? *value / 1e6 / seconds : 0;
        return found;
    }
    }
    return false;
}

const char *fail_if_unit(const struct fail_if *f)
{
    static const char *const units[] = {
        [KIND_LATENCY] = "us", [KIND_COUNT] = "count", [KIND_RATE] = "per_s", [KIND_CPU] = "share"};
    return f->share ? "share" : units[kind_of(f)];
}

enum fail_if_found fail_if_judge(const struct fail_if *f, const json_t *run, double *value)
{
    *value = 0;
    if (!find_value(f, run, value)) {
        return LIMIT_UNKNOWN;
    }
    const bool holds = f->op == OVER       ? *value > f->limit
                       : f->op == AT_LEAST ? *value >= f->limit
                       : f->op == UNDER    ? *value < f->limit
                                           : *value <= f->limit;
    return holds ? LIMIT_HOLDS : LIMIT_HOLDS_NOT;
}
