#include "report.h"

#include "hdr_log.h"

#include "base/clock.h"

#include <math.h>

struct quantile {
    const char *name;
    uint32_t per_100k;
};

static const struct quantile quantiles[] = {
    {"p50", 50000}, {"p90", 90000}, {"p99", 99000}, {"p99.9", 99900}, {"p99.99", 99990},
};

static const char *const promise_names[PROMISE_COUNT] = {
#define X(name, text) [PROMISE_##name] = #name,
    PROMISES(X)
#undef X
};

/* A span of less than a millisecond says nothing about a rate (wrk2 issue 138). */
static double rate(uint64_t n, int64_t from_us, int64_t to_us)
{
    int64_t span_us = to_us - from_us;
    return from_us > 0 && span_us >= 1000 ? (double)n * 1e6 / (double)span_us : 0;
}

static json_t *integer(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *latency_json(const struct hist *h)
{
    json_t *j = json_object();
    json_object_set_new(j, "n", integer(h->n));
    json_object_set_new(j, "mean", json_real(hist_mean(h)));
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        json_object_set_new(j, quantiles[i].name,
                            json_integer(hist_quantile(h, quantiles[i].per_100k)));
    }
    json_object_set_new(j, "max", json_integer(h->max_us));
    return j;
}

static json_t *latencies_json(const struct hist of[OFS])
{
    return json_pack("{s:o, s:o, s:o}", "orders", latency_json(&of[OF_ORDERS]), "refusals",
                     latency_json(&of[OF_REFUSALS]), "all", latency_json(&of[OF_ALL]));
}

/* Sixteen points for each nine: equally far apart on the scale that shows the tail. */
static json_t *spectrum_json(const struct hist *h)
{
    json_t *list = json_array();
    int64_t before_us = -1;
    for (int k = 0; k <= 80 && h->n > 0; k++) {
        double share = 1 - pow(10, -k / 16.0);
        int64_t us = hist_quantile(h, (uint32_t)lround(share * 100000));
        if (us > before_us && us < h->max_us) {
            json_array_append_new(list, json_pack("[I, f]", (json_int_t)us, share));
            before_us = us;
        }
    }
    if (h->n > 0) {
        json_array_append_new(list, json_pack("[I, i]", (json_int_t)h->max_us, 1));
    }
    return list;
}

static json_t *settings_json(const struct report *rp)
{
    const struct scenario *s = rp->scenario;
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:b}", "url",
        rp->options->url, "arrivals", s->arrivals, "shoppers", (json_int_t)s->shoppers, "units",
        (json_int_t)s->units * s->items, "items", (json_int_t)s->items, "qty", (json_int_t)s->qty,
        "limit", (json_int_t)s->limit, "shards", (json_int_t)s->shards, "connections",
        (json_int_t)s->connections, "threads", (json_int_t)s->threads, "timeout_ms",
        (json_int_t)(s->timeout_us / 1000), "persist_ms", (json_int_t)(s->persist_us / 1000),
        "zipf", s->zipf, "again_percent", (json_int_t)s->again_percent, "async_percent",
        (json_int_t)s->async_percent, "impatient", s->impatient);
}

static json_t *generator_json(const struct report *rp)
{
    const struct figures *f = rp->figures;
    double wall_us = (double)(figures_moment(f, AT_LAST_ANSWER) - figures_moment(f, AT_FIRST_SEND));
    double cpu_us = (double)(rp->user_us + rp->system_us);
    json_t *j =
        json_pack("{s:I, s:I, s:f}", "cpu_user_us", (json_int_t)rp->user_us, "cpu_system_us",
                  (json_int_t)rp->system_us, "cpu_share", wall_us > 0 ? cpu_us / wall_us : 0);
    if (!rp->closed) {
        const struct hist *late = &f->late;
        json_object_set_new(j, "late_p50_us", json_integer(hist_quantile(late, 50000)));
        json_object_set_new(j, "late_p99_us", json_integer(hist_quantile(late, 99000)));
        json_object_set_new(j, "late_max_us", json_integer(late->max_us));
        json_object_set_new(j, "late_share",
                            json_real(late->n > 0 ? (double)f->very_late / (double)late->n : 0));
    }
    return j;
}

static json_t *totals_json(const struct figures *f)
{
    static const char *const names[COUNTS] = {
#define X(id, name) [COUNT_##id] = name,
        FIGURES_COUNTS(X)
#undef X
    };
    json_t *j = json_object();
    for (int c = 0; c < COUNTS; c++) {
        json_object_set_new(j, names[c], integer(figures_get(f, (enum count)c)));
    }
    return j;
}

static json_t *rates_json(const struct figures *f)
{
    int64_t from = figures_moment(f, AT_FIRST_SEND);
    int64_t to = figures_moment(f, AT_LAST_ANSWER);
    json_t *j = json_pack(
        "{s:f, s:f, s:f}", "requests_per_s", rate(figures_get(f, COUNT_ANSWERS), from, to),
        "orders_per_s", rate(figures_get(f, COUNT_ORDERS), from, figures_moment(f, AT_LAST_ORDER)),
        "refusals_per_s",
        rate(figures_get(f, COUNT_REFUSALS), figures_moment(f, AT_FIRST_REFUSAL), to));
    if (figures_get(f, COUNT_PAID) > 0) {
        json_object_set_new(
            j, "checkouts_per_s",
            json_real(rate(figures_get(f, COUNT_PAID), from, figures_moment(f, AT_LAST_PAID))));
    }
    return j;
}

static json_t *answers_json(const struct step_figures *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->tallies_n; i++) {
        const struct tally *t = &s->tallies[i];
        json_array_append_new(list,
                              json_pack("{s:i, s:s, s:I, s:b}", "status", (int)t->http, "code",
                                        t->code, "n", (json_int_t)t->n, "expected", t->expected));
    }
    return list;
}

static json_t *steps_json(const struct report *rp)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < rp->scenario->steps_n; i++) {
        char request[TEMPLATE_MAX + 16];
        const struct step *step = &rp->scenario->steps[i];
        const struct step_figures *s = &rp->figures->steps[i];
        snprintf(request, sizeof(request), "%s %s", step->method, step->target.text);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "name", step->name,
                                        "request", request, "sent", (json_int_t)s->sent, "latency",
                                        latency_json(&s->latency), "service_time",
                                        latency_json(&s->service), "answers", answers_json(s)));
    }
    return list;
}

static json_t *verdicts_json(const struct verdict *verdicts)
{
    json_t *list = json_array();
    for (int i = 0; i < PROMISE_COUNT; i++) {
        json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "promise", promise_names[i], "ok",
                                              verdicts[i].kept, "found", verdicts[i].why));
    }
    return list;
}

static json_t *ledger_json(const struct report *rp)
{
    const struct ledger *l = rp->ledger;
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
        {"unanswered", (int64_t)journal_count(rp->journal, TOLD_NOTHING)},
        {"untold", (int64_t)l->untold},
        {"put_off", (int64_t)journal_count(rp->journal, TOLD_RETRY)},
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

json_t *report_json(const struct report *rp)
{
    const struct figures *f = rp->figures;
    char started[CLOCK_TEXT_LEN + 1] = "";
    int64_t end_us = figures_moment(f, AT_LAST_ANSWER);
    clock_format(rp->started_ms, started);
    json_t *j = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:f, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:[]}",
        "object", "run", "version", 1, "tool", SNAPUP_VERSION, "scenario", rp->scenario->name,
        "about", rp->scenario->about, "started_at", started, "duration_s",
        end_us > rp->start_us ? (double)(end_us - rp->start_us) / 1e6 : 0.0, "sale", rp->sale,
        "load", rp->closed ? "closed" : "open", "settings", settings_json(rp), "generator",
        generator_json(rp), "totals", totals_json(f), "rates", rates_json(f), "latency",
        latencies_json(f->latency), "service_time", latencies_json(f->service), "steps",
        steps_json(rp), "spectrum", spectrum_json(&f->latency[OF_ALL]), "thresholds");
    if (rp->ledger) {
        json_object_set_new(j, "ledger", ledger_json(rp));
        json_object_set_new(j, "promises", verdicts_json(rp->verdicts));
        json_object_set(j, "audit", rp->audit);
    }
    json_object_set_new(j, "valid", json_boolean(!rp->invalid));
    if (rp->invalid) {
        json_object_set_new(j, "invalid", json_string(rp->invalid));
    }
    json_object_set_new(j, "exit", json_integer(rp->result));
    return j;
}

bool report_hdr(const struct report *rp, FILE *out)
{
    static const char *const names[OFS] = {
        [OF_ALL] = "all", [OF_ORDERS] = "orders", [OF_REFUSALS] = "refusals"};
    const struct figures *f = rp->figures;
    double length_s = (double)(figures_moment(f, AT_LAST_ANSWER) - rp->start_us) / 1e6;
    bool good = true;
    hdr_log_begin(out, rp->started_ms);
    for (int of = 0; of < OFS; of++) {
        good = good && hdr_log_write(out, names[of], 0, length_s, &f->latency[of]) == ST_OK;
    }
    for (unsigned i = 0; i < f->steps_n; i++) {
        char tag[HDR_TAG_MAX + 1];
        snprintf(tag, sizeof(tag), "step.%.*s", HDR_TAG_MAX - 5, rp->scenario->steps[i].name);
        good = good && hdr_log_write(out, tag, 0, length_s, &f->steps[i].latency) == ST_OK;
    }
    return good;
}
