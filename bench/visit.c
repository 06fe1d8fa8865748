#include "load_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>

enum { AGAIN_WITHIN_US = 2000000 }; /* of an order, who asks for it once more */

const struct shopper_kind *visit_kind(const struct worker *w, uint32_t shopper)
{
    const struct scenario *s = w->conf->scenario;
    if (s->kinds_n == 1) {
        return &s->kinds[0];
    }
    uint32_t at = crowd_draw(worker_global(w, shopper), CROWD_KIND, s->weight);
    unsigned i = 0;
    while (at >= s->kinds[i].weight) {
        at -= s->kinds[i].weight;
        i++;
    }
    return &s->kinds[i];
}

void visit_leave(struct worker *w, uint32_t shopper)
{
    free(w->visits[shopper].kept);
    w->visits[shopper].kept = NULL;
}

static void hand_back(struct worker *w)
{
    uint32_t n = atomic_load_explicit(&w->active, memory_order_relaxed);
    assert(n > 0);
    atomic_store_explicit(&w->active, n - 1, memory_order_relaxed);
}

/* The same step again, or the next, after the time to think. */
static void go_on(struct worker *w, uint32_t shopper, int64_t now_us)
{
    struct visit *v = &w->visits[shopper];
    const struct shopper_kind *kind = visit_kind(w, shopper);
    const struct step *step = worker_step(w, shopper);
    v->first_us = 0;
    if (++v->repeats >= step->repeat) {
        v->repeats = 0;
        if (++v->step == kind->first + kind->steps) {
            visit_leave(w, shopper);
            return;
        }
        step = worker_step(w, shopper);
    }
    int64_t think_us =
        step->think_to_us > 0 ? turns_chance(&w->turns, step->think_from_us, step->think_to_us) : 0;
    turns_plan(&w->turns, shopper, now_us + think_us);
}

/* Letters that could not break a request that they are put into. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '\\') {
            return false;
        }
    }
    return s.n > 0 && s.n <= KEPT_LEN_MAX;
}

static bool keep_values(struct worker *w, uint32_t shopper, struct str body)
{
    struct visit *v = &w->visits[shopper];
    const struct step *step = worker_step(w, shopper);
    for (unsigned i = 0; i < step->keep_n; i++) {
        const struct keep *keep = &step->keep[i];
        struct str value = answer_text(body, keep->field);
        if (!is_plain(value)) {
            return false;
        }
        v->kept = v->kept ? v->kept : calloc(1, sizeof(*v->kept));
        if (!v->kept) {
            return false;
        }
        memcpy(v->kept->text[keep->kept], value.p, value.n);
        v->kept->n[keep->kept] = (uint16_t)value.n;
    }
    return true;
}

/* It is asked again until it is as the step wants it, or until that takes too long. */
static void poll_again(struct worker *w, uint32_t shopper, int64_t now_us)
{
    const struct visit *v = &w->visits[shopper];
    const struct step *step = worker_step(w, shopper);
    if (now_us + step->every_us > v->first_us + step->within_us) {
        figures_count(w->figures, COUNT_ERRORS, 1);
        figures_tally(&w->figures->steps[v->step], 200, STR("not_in_time"), false);
        visit_leave(w, shopper);
        return;
    }
    turns_plan(&w->turns, shopper, now_us + step->every_us);
}

int64_t visit_streams_us(const struct conn *c)
{
    return worker_step(c->worker, c->shopper)->stream_us;
}

static void count_interval(struct worker *w, const uint64_t before[COUNTS], int64_t latency_us,
                           int64_t now_us)
{
    struct interval *iv = worker_interval(w, now_us);
    iv->orders += figures_get(w->figures, COUNT_ORDERS) - before[COUNT_ORDERS];
    iv->refusals += figures_get(w->figures, COUNT_REFUSALS) - before[COUNT_REFUSALS];
    iv->errors += figures_get(w->figures, COUNT_ERRORS) - before[COUNT_ERRORS];
    hist_record(&iv->latency, latency_us);
}

bool visit_answered(struct conn *c, const struct answer *a, int64_t now_us)
{
    struct worker *w = c->worker;
    uint32_t shopper = c->shopper;
    struct visit *v = &w->visits[shopper];
    const struct step *step = worker_step(w, shopper);
    struct told_request rq = {worker_global(w, shopper), v->step, v->planned_us, c->since_us};
    uint64_t before[COUNTS] = {
        [COUNT_ORDERS] = figures_get(w->figures, COUNT_ORDERS),
        [COUNT_REFUSALS] = figures_get(w->figures, COUNT_REFUSALS),
        [COUNT_ERRORS] = figures_get(w->figures, COUNT_ERRORS),
    };
    if (step->until_field[0] != '\0') {
        rq.planned_us = v->first_us;
    }
    enum told_next next = told_answer(&w->telling, &rq, a, now_us);
    if (next == NEXT_ASTRAY || (next == NEXT_ON && !keep_values(w, shopper, a->body))) {
        return false;
    }
    count_interval(w, before, now_us - v->planned_us, now_us);
    if (step->stream_us > 0 && next == NEXT_ON) {
        return true; /* still in hand, until it ends */
    }
    hand_back(w);
    if (w->telling.got_one &&
        crowd_share(rq.shopper, CROWD_AGAIN, w->conf->scenario->again_percent)) {
        v->first_us = 0;
        turns_plan(&w->turns, shopper, now_us + turns_chance(&w->turns, 0, AGAIN_WITHIN_US));
        return true;
    }
    switch (next) {
    case NEXT_ON: go_on(w, shopper, now_us); break;
    case NEXT_POLL: poll_again(w, shopper, now_us); break;
    case NEXT_RETRY:
        if (!turns_retry(&w->turns, shopper, now_us, a->after_s)) {
            visit_leave(w, shopper);
        }
        break;
    default: visit_leave(w, shopper); break;
    }
    return true;
}

void visit_failed(struct worker *w, uint32_t shopper, enum count why)
{
    int64_t now_us = clock_mono_us();
    figures_count(w->figures, why, 1);
    worker_interval(w, now_us)->errors++;
    hand_back(w);
    if (!turns_retry(&w->turns, shopper, now_us, 0)) {
        visit_leave(w, shopper);
    }
    worker_check_end(w);
}

void visit_stream_ended(struct worker *w, uint32_t shopper, int64_t now_us)
{
    hand_back(w);
    go_on(w, shopper, now_us);
    worker_check_end(w);
}
