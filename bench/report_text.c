#include "report.h"

#include "report/figure.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const quantiles[] = {"p50", "p90", "p99", "p99.9", "p99.99", "max"};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static json_int_t number(const json_t *j, const char *name)
{
    return json_integer_value(json_object_get(j, name));
}

static double real(const json_t *j, const char *name)
{
    return json_number_value(json_object_get(j, name));
}

static const char *text(const json_t *j, const char *name)
{
    const char *s = json_string_value(json_object_get(j, name));
    return s ? s : "";
}

static void print_head(const json_t *run, FILE *out)
{
    const json_t *s = json_object_get(run, "settings");
    char shoppers[32], units[32];
    fprintf(out, "%s: %s shoppers for %s units, %s load (%s), %" PRId64 " connections, sale %s\n\n",
            text(run, "scenario"), text_grouped((uint64_t)number(s, "shoppers"), shoppers),
            text_grouped((uint64_t)number(s, "units"), units), text(run, "load"),
            text(s, "arrivals"), (int64_t)number(s, "connections"), text(run, "sale"));
}

static void print_rate(FILE *out, const char *name, json_int_t n, double per_s, const char *what)
{
    char count[32], each[32];
    fprintf(out, "  %-10s %13s %12s/s  %s\n", name, text_grouped((uint64_t)n, count),
            text_grouped((uint64_t)per_s, each), what);
}

static void print_rates(const json_t *run, FILE *out)
{
    const json_t *t = json_object_get(run, "totals");
    const json_t *r = json_object_get(run, "rates");
    print_rate(out, "answers", number(t, "answers"), real(r, "requests_per_s"), "");
    print_rate(out, "orders", number(t, "orders"), real(r, "orders_per_s"), "durable");
    print_rate(out, "refusals", number(t, "refusals"), real(r, "refusals_per_s"), "sold out");
    if (number(t, "paid") > 0) {
        print_rate(out, "paid", number(t, "paid"), real(r, "checkouts_per_s"), "whole checkouts");
    }
}

static void print_latency(FILE *out, const char *name, const json_t *q)
{
    fprintf(out, "  %-20s", name);
    for (unsigned i = 0; i < QUANTILES; i++) {
        if (number(q, "n") > 0) {
            fprintf(out, " %9.2f", (double)number(q, quantiles[i]) / 1000);
        } else {
            fprintf(out, " %9s", "-");
        }
    }
    fputc('\n', out);
}

static void print_latencies(const json_t *run, FILE *out)
{
    const json_t *latency = json_object_get(run, "latency");
    const json_t *service = json_object_get(run, "service_time");
    bool open = json_object_get(json_object_get(run, "generator"), "late_p99_us") != NULL;
    size_t i;
    json_t *step;
    fprintf(out, "\n  %-20s", "latency, ms");
    for (unsigned k = 0; k < QUANTILES; k++) {
        fprintf(out, " %9s", quantiles[k]);
    }
    fputc('\n', out);
    print_latency(out, "orders", json_object_get(latency, "orders"));
    print_latency(out, "refusals", json_object_get(latency, "refusals"));
    json_array_foreach(json_object_get(run, "steps"), i, step)
    {
        if (json_array_size(json_object_get(run, "steps")) > 1) {
            print_latency(out, text(step, "name"), json_object_get(step, "latency"));
        }
    }
    if (open) {
        print_latency(out, "service time, all", json_object_get(service, "all"));
    }
}

static void print_errors(const json_t *run, FILE *out)
{
    const json_t *t = json_object_get(run, "totals");
    const json_t *g = json_object_get(run, "generator");
    size_t i, k;
    json_t *step, *answer;
    char n[32];
    fprintf(out, "\n  errors%s\n", number(t, "errors") ? "" : "       none");
    json_array_foreach(json_object_get(run, "steps"), i, step)
    {
        json_array_foreach(json_object_get(step, "answers"), k, answer)
        {
            if (!json_is_true(json_object_get(answer, "expected"))) {
                fprintf(out, "  %11s  %s: %" PRId64 " %s\n",
                        text_grouped((uint64_t)number(answer, "n"), n), text(step, "name"),
                        (int64_t)number(answer, "status"), text(answer, "code"));
            }
        }
    }
    fprintf(out,
            "  connections  %" PRId64 " open at the start, %" PRId64
            " failures to connect, %" PRId64 " lost under a request, %" PRId64 " timeouts, %" PRId64
            " bad answers\n",
            (int64_t)number(t, "opened"), (int64_t)number(t, "connect_failures"),
            (int64_t)number(t, "lost"), (int64_t)number(t, "timeouts"),
            (int64_t)number(t, "bad_answers"));
    fprintf(out, "  generator    %.2f s of processor (user %.2f, system %.2f), %.0f %% of a core",
            (double)(number(g, "cpu_user_us") + number(g, "cpu_system_us")) / 1e6,
            (double)number(g, "cpu_user_us") / 1e6, (double)number(g, "cpu_system_us") / 1e6,
            real(g, "cpu_share") * 100);
    if (json_object_get(g, "late_p99_us")) {
        fprintf(out, "; late by p50 %.3f, p99 %.3f, max %.1f ms",
                (double)number(g, "late_p50_us") / 1000, (double)number(g, "late_p99_us") / 1000,
                (double)number(g, "late_max_us") / 1000);
    }
    fputc('\n', out);
}

static void print_audit(const json_t *audit, FILE *out)
{
    size_t i;
    json_t *check;
    fprintf(out, "  audit %s\n", json_is_true(json_object_get(audit, "ok")) ? "ok" : "BROKEN");
    json_array_foreach(json_object_get(audit, "checks"), i, check)
    {
        if (!json_is_true(json_object_get(check, "ok"))) {
            char *said = json_dumps(check, JSON_COMPACT | JSON_ENCODE_ANY);
            fprintf(out, "    %s\n", said ? said : "?");
            free(said);
        }
    }
}

static const char *promise_text(const char *name)
{
#define X(id, text)               \
    if (strcmp(name, #id) == 0) { \
        return text;              \
    }
    PROMISES(X)
#undef X
    return "";
}

static void print_proof(const json_t *run, FILE *out)
{
    const json_t *l = json_object_get(run, "ledger");
    const json_t *t = json_object_get(run, "totals");
    size_t i;
    json_t *promise;
    if (!l) {
        return;
    }
    fputc('\n', out);
    json_array_foreach(json_object_get(run, "promises"), i, promise)
    {
        bool ok = json_is_true(json_object_get(promise, "ok"));
        fprintf(out, "  %s %-7s %-33s %s\n", text(promise, "promise"), ok ? "kept" : "BROKEN",
                promise_text(text(promise, "promise")), text(promise, "found"));
    }
    fprintf(out,
            "  journal = MariaDB: %" PRId64 " matched, %" PRId64 " missing; of %" PRId64
            " shoppers without an answer %" PRId64 " have an order, of %" PRId64
            " asked to try again %" PRId64 "\n",
            (int64_t)number(l, "matched"), (int64_t)number(l, "missing"),
            (int64_t)number(l, "unanswered"), (int64_t)number(l, "untold"),
            (int64_t)number(l, "put_off"), (int64_t)number(l, "retryable"));
    if (number(t, "repeats") || number(t, "queued")) {
        fprintf(out,
                "  asked again: %" PRId64 " answered with an order; promised by 202: %" PRId64
                " in MariaDB, %" PRId64 " lost\n",
                (int64_t)number(t, "repeats"), (int64_t)number(l, "queued_found"),
                (int64_t)number(l, "queued_lost"));
    }
    print_audit(json_object_get(run, "audit"), out);
}

static void print_limits(const json_t *run, FILE *out)
{
    size_t i;
    json_t *limit;
    json_array_foreach(json_object_get(run, "thresholds"), i, limit)
    {
        char found[FIGURE_MAX];
        fprintf(out, "%s  --fail-if '%s' ", i == 0 ? "\n" : "", text(limit, "text"));
        if (json_object_get(limit, "value")) {
            fprintf(out, "%s: found %s\n",
                    json_is_true(json_object_get(limit, "ok")) ? "does not hold" : "HOLDS",
                    figure(figure_unit(text(limit, "unit")), real(limit, "value"), found));
        } else {
            fputs("was not measured\n", out);
        }
    }
}

void report_text(const json_t *run, FILE *out)
{
    static const char *const results[] = {[BENCH_KEPT] = "every promise kept",
                                          [BENCH_BROKEN] = "A PROMISE IS BROKEN",
                                          [BENCH_USAGE] = "",
                                          [BENCH_SETUP] = "not compared",
                                          [BENCH_INVALID] = "the run is not valid",
                                          [BENCH_THRESHOLD] = "past a limit of --fail-if"};
    json_int_t code = number(run, "exit");
    const char *invalid = text(run, "invalid");
    print_head(run, out);
    print_rates(run, out);
    print_latencies(run, out);
    print_errors(run, out);
    print_proof(run, out);
    print_limits(run, out);
    fprintf(out, "\n%s%s%s\n",
            code == BENCH_KEPT && !json_object_get(run, "ledger") ? "done, nothing compared"
                                                                  : results[code],
            *invalid ? ": " : "", invalid);
}
