#include "report.h"

#include <inttypes.h>

struct quantile {
    const char *name;
    uint32_t per_100k;
};

static const struct quantile quantiles[] = {
    {"p50", 50000}, {"p90", 90000}, {"p99", 99000}, {"p99.9", 99900}, {"max", 100000},
};

static const char *const promise_names[PROMISE_COUNT] = {
#define X(name, text) [PROMISE_##name] = #name,
    PROMISES(X)
#undef X
};

static const char *const promise_texts[PROMISE_COUNT] = {
#define X(name, text) [PROMISE_##name] = text,
    PROMISES(X)
#undef X
};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

/* A span of less than a millisecond says nothing about a rate (wrk2 issue 138). */
static double rate(uint64_t n, int64_t from_us, int64_t to_us)
{
    int64_t span_us = to_us - from_us;
    return from_us > 0 && span_us >= 1000 ? (double)n * 1e6 / (double)span_us : 0;
}

static double orders_per_s(const struct rush *r)
{
    return rate(r->orders, r->first_send_us, r->last_order_us);
}

static double refusals_per_s(const struct rush *r)
{
    return rate(r->refusals, r->first_refusal_us, r->last_answer_us);
}

static double seconds(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? (double)(to_us - from_us) / 1e6 : 0;
}

static int64_t quantile_us(const struct hist *h, unsigned i)
{
    return quantiles[i].per_100k == 100000 ? h->max_us : hist_quantile(h, quantiles[i].per_100k);
}

/* 1234567 -> "1,234,567"; out holds 32 bytes. Returned for use in printf. */
static const char *grouped(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void print_rates(const struct rush *r, FILE *out)
{
    char n[32];
    char per_s[32];
    fprintf(out, "  %-10s %11s in %6.2f s %10s/s  durable\n", "orders", grouped(r->orders, n),
            seconds(r->first_send_us, r->last_order_us), grouped((uint64_t)orders_per_s(r), per_s));
    fprintf(out, "  %-10s %11s in %6.2f s %10s/s  sold out\n", "refusals", grouped(r->refusals, n),
            r->refusals ? seconds(r->first_refusal_us, r->last_answer_us) : 0,
            grouped((uint64_t)refusals_per_s(r), per_s));
}

static void print_latency(const char *name, const struct hist *h, FILE *out)
{
    fprintf(out, "  %-12s", name);
    for (unsigned i = 0; i < QUANTILES; i++) {
        if (h->n > 0) {
            fprintf(out, " %9.2f", (double)quantile_us(h, i) / 1000);
        } else {
            fprintf(out, " %9s", "-");
        }
    }
    fputc('\n', out);
}

static void print_latencies(const struct rush *r, FILE *out)
{
    fprintf(out, "\n  %-12s", "latency, ms");
    for (unsigned i = 0; i < QUANTILES; i++) {
        fprintf(out, " %9s", quantiles[i].name);
    }
    fputc('\n', out);
    print_latency("orders", &r->orders_us, out);
    print_latency("refusals", &r->refusals_us, out);
}

static void print_errors(const struct rush *r, FILE *out)
{
    char n[32];
    fprintf(out, "\n  errors%s\n", r->errors_n ? "" : "       none");
    for (unsigned i = 0; i < r->errors_n; i++) {
        fprintf(out, "  %11s  %u %s\n", grouped(r->errors[i].n, n), r->errors[i].http,
                r->errors[i].code);
    }
    fprintf(out,
            "  connections  %" PRIu64 " open at the start, %" PRIu64
            " failures to connect, %" PRIu64 " lost under a request, %" PRIu64 " timeouts, %" PRIu64
            " bad answers\n",
            r->opened, r->connect_failures, r->lost, r->timeouts, r->bad_answers);
    double cpu = (double)(r->user_us + r->system_us) / 1e6;
    double wall = seconds(r->first_send_us, r->last_answer_us);
    fprintf(out, "  generator    %.2f s of processor (user %.2f, system %.2f), %.0f %% of a core\n",
            cpu, (double)r->user_us / 1e6, (double)r->system_us / 1e6,
            wall > 0 ? cpu / wall * 100 : 0);
}

static void print_audit(const json_t *audit, FILE *out)
{
    size_t i;
    json_t *check;
    fprintf(out, "  audit %s\n", json_is_true(json_object_get(audit, "ok")) ? "ok" : "BROKEN");
    json_array_foreach(json_object_get(audit, "checks"), i, check)
    {
        if (!json_is_true(json_object_get(check, "ok"))) {
            char *text = json_dumps(check, JSON_COMPACT | JSON_ENCODE_ANY);
            fprintf(out, "    %s\n", text ? text : "?");
            free(text);
        }
    }
}

static void print_verdicts(const struct report *rp, FILE *out)
{
    const struct ledger *l = rp->ledger;
    fputc('\n', out);
    for (int i = 0; i < PROMISE_COUNT; i++) {
        fprintf(out, "  %s %-7s %-33s %s\n", promise_names[i],
                rp->verdicts[i].kept ? "kept" : "BROKEN", promise_texts[i], rp->verdicts[i].why);
    }
    fprintf(out,
            "  journal = MariaDB: %" PRIu64 " matched, %" PRIu64 " missing; of %" PRIu64
            " requests without an answer %" PRIu64 " have an order, of %" PRIu64
            " asked to try again %" PRIu64 "\n",
            l->matched, l->missing, journal_count(rp->journal, TOLD_NOTHING), l->untold,
            journal_count(rp->journal, TOLD_RETRY), l->retryable);
    if (rp->rush->repeats || rp->rush->queued) {
        fprintf(out,
                "  asked again: %" PRIu64 " answered with an order; promised by 202: %" PRIu64
                " in MariaDB, %" PRIu64 " lost\n",
                rp->rush->repeats, l->queued_found, l->queued_lost);
    }
    print_audit(rp->audit, out);
}

void report_text(const struct report *rp, FILE *out)
{
    static const char *const results[] = {[BENCH_KEPT] = "every promise kept",
                                          [BENCH_BROKEN] = "A PROMISE IS BROKEN",
                                          [BENCH_SETUP] = "not compared",
                                          [BENCH_INVALID] = "the run is not valid"};
    const struct options *o = rp->options;
    char shoppers[32];
    char units[32];
    fprintf(out, "rush: %s shoppers for %s units over %u connections, sale %s\n\n",
            grouped(o->shoppers, shoppers), grouped(o->units, units), o->connections,
            rp->crowd->sale);
    print_rates(rp->rush, out);
    print_latencies(rp->rush, out);
    print_errors(rp->rush, out);
    if (rp->ledger) {
        print_verdicts(rp, out);
    }
    fprintf(out, "\n%s%s%s\n", results[rp->result], rp->invalid ? ": " : "",
            rp->invalid ? rp->invalid : "");
}

static json_t *latency_json(const struct hist *h)
{
    json_t *j = json_object();
    for (unsigned i = 0; i < QUANTILES; i++) {
        json_object_set_new(j, quantiles[i].name, json_integer(quantile_us(h, i)));
    }
    return j;
}

static json_t *errors_json(const struct rush *r)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < r->errors_n; i++) {
        json_array_append_new(list,
                              json_pack("{s:i, s:s, s:I}", "status", (int)r->errors[i].http, "code",
                                        r->errors[i].code, "n", (json_int_t)r->errors[i].n));
    }
    return list;
}

static json_t *verdicts_json(const struct report *rp)
{
    json_t *list = json_array();
    for (int i = 0; i < PROMISE_COUNT; i++) {
        json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "promise", promise_names[i], "ok",
                                              rp->verdicts[i].kept, "found", rp->verdicts[i].why));
    }
    return list;
}

static json_t *rush_json(const struct rush *r)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I}",
        "shoppers", (json_int_t)r->shoppers, "sent", (json_int_t)r->sent, "orders",
        (json_int_t)r->orders, "repeats", (json_int_t)r->repeats, "queued", (json_int_t)r->queued,
        "refusals", (json_int_t)r->refusals, "orders_per_s", orders_per_s(r), "refusals_per_s",
        refusals_per_s(r), "orders_us", latency_json(&r->orders_us), "refusals_us",
        latency_json(&r->refusals_us), "errors", errors_json(r), "opened", (json_int_t)r->opened,
        "connect_failures", (json_int_t)r->connect_failures, "lost", (json_int_t)r->lost,
        "timeouts", (json_int_t)r->timeouts, "bad_answers", (json_int_t)r->bad_answers,
        "cpu_user_us", (json_int_t)r->user_us, "cpu_system_us", (json_int_t)r->system_us);
}

static json_t *ledger_json(const struct ledger *l)
{
    const struct {
        const char *name;
        int64_t n;
    } rows[] = {
        {"rows", (int64_t)l->rows},
        {"live", (int64_t)l->live},
        {"live_units", (int64_t)l->live_units},
        {"allocated", l->allocated},
        {"held", l->held},
        {"matched", (int64_t)l->matched},
        {"missing", (int64_t)l->missing},
        {"doubles", (int64_t)l->doubles},
        {"wrong_qty", (int64_t)l->wrong_qty},
        {"strangers", (int64_t)l->strangers},
        {"untold", (int64_t)l->untold},
        {"retryable", (int64_t)l->retryable},
        {"refused", (int64_t)l->refused},
        {"unsent", (int64_t)l->unsent},
        {"denied", (int64_t)l->denied},
        {"changed", (int64_t)l->changed},
        {"queued_found", (int64_t)l->queued_found},
        {"queued_lost", (int64_t)l->queued_lost},
    };
    json_t *j = json_object();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_object_set_new(j, rows[i].name, json_integer(rows[i].n));
    }
    return j;
}

void report_json(const struct report *rp, FILE *out)
{
    const struct options *o = rp->options;
    json_t *j = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o*, s:o*, s:O*, s:i, s:s*}", "object", "rush",
        "sale", rp->crowd->sale, "shoppers", (json_int_t)o->shoppers, "units", (json_int_t)o->units,
        "connections", (json_int_t)o->connections, "qty", (json_int_t)o->qty, "rush",
        rush_json(rp->rush), "ledger", rp->ledger ? ledger_json(rp->ledger) : NULL, "promises",
        rp->ledger ? verdicts_json(rp) : NULL, "audit", rp->audit, "exit", (int)rp->result,
        "invalid", rp->invalid);
    if (j) {
        json_dumpf(j, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        fputc('\n', out);
    }
    json_decref(j);
}
