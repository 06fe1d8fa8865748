#include "told.h"

enum {
    HTTP_CREATED = 201,
    HTTP_ACCEPTED = 202,
    HTTP_UNAUTHORIZED = 401,
    HTTP_CONFLICT = 409,
    HTTP_TOO_MANY = 429
};

static bool is_expected(const struct step *step, unsigned http, struct str code)
{
    for (unsigned i = 0; i < step->expected_n; i++) {
        const struct expected *e = &step->expected[i];
        if (e->http == http && (e->code[0] == '\0' || str_equal(str_from(e->code), code))) {
            return true;
        }
    }
    return false;
}

/* 401 says nothing of the order: a service with a wrong clock takes good tokens for bad ones. */
static bool asks_again(unsigned http, struct str code)
{
    return http >= 500 || http == HTTP_TOO_MANY || http == HTTP_UNAUTHORIZED ||
           str_equal(code, STR("idempotency_in_progress"));
}

static void record(struct telling *t, const struct told_request *rq, enum of of, int64_t now_us)
{
    hist_record(&t->figures->latency[of], now_us - rq->planned_us);
    hist_record(&t->figures->service[of], now_us - rq->since_us);
}

/* 201, and 202 whose order comes to be later. */
static bool told_order(struct telling *t, const struct told_request *rq, const struct answer *a,
                       int64_t now_us)
{
    struct uid order;
    struct figures *f = t->figures;
    if (!answer_order_id(a->body, &order)) {
        return false;
    }
    bool had_one = journal_has_order(t->journal, rq->shopper);
    if (a->http == HTTP_CREATED) {
        if (rq->since_us > figures_moment(f, AT_FRESH)) {
            figures_at(f, AT_FRESH, rq->since_us);
        }
        figures_count(f, COUNT_ORDERS, journal_ack(t->journal, rq->shopper, &order));
        record(t, rq, OF_ORDERS, now_us);
        figures_at(f, AT_LAST_ORDER, now_us);
    } else {
        figures_count(f, COUNT_QUEUED, journal_queued(t->journal, rq->shopper, &order));
    }
    figures_count(f, COUNT_REPEATS, had_one);
    t->got_one = !had_one;
    return true;
}

static void told_refusal(struct telling *t, const struct told_request *rq, int64_t now_us)
{
    record(t, rq, OF_REFUSALS, now_us);
    figures_count(t->figures, COUNT_REFUSALS, 1);
    if (figures_moment(t->figures, AT_FIRST_REFUSAL) == 0) {
        figures_at(t->figures, AT_FIRST_REFUSAL, now_us);
    }
}

static bool is_there(const struct step *step, const struct answer *a)
{
    return str_equal(answer_text(a->body, step->until_field), str_from(step->until_value));
}

enum told_next told_answer(struct telling *t, const struct told_request *rq, const struct answer *a,
                           int64_t now_us)
{
    const struct step *step = &t->scenario->steps[rq->step];
    struct figures *f = t->figures;
    bool good = a->http < 300;
    struct str code = good ? (struct str){0} : answer_text(a->body, "code");
    t->got_one = false;
    if (step->orders && good && !told_order(t, rq, a, now_us)) {
        return NEXT_ASTRAY;
    }
    bool expected = is_expected(step, a->http, code);
    bool retry = asks_again(a->http, code);
    figures_count(f, COUNT_ANSWERS, 1);
    figures_at(f, AT_LAST_ANSWER, now_us);
    figures_count(f, COUNT_ERRORS, !expected);
    figures_tally(&f->steps[rq->step], a->http, code, expected);
    record(t, rq, OF_ALL, now_us);
    hist_record(&f->steps[rq->step].service, now_us - rq->since_us);
    if (good && step->until_field[0] != '\0' && !is_there(step, a)) {
        return NEXT_POLL;
    }
    hist_record(&f->steps[rq->step].latency, now_us - rq->planned_us);
    if (step->orders && !good) {
        journal_refused(t->journal, rq->shopper, retry);
        if (a->http == HTTP_CONFLICT && str_equal(code, STR("sold_out"))) {
            told_refusal(t, rq, now_us);
        }
    }
    if (good && strcmp(step->until_value, "paid") == 0) {
        figures_count(f, COUNT_PAID, 1);
        figures_at(f, AT_LAST_PAID, now_us);
    }
    return retry ? NEXT_RETRY : good && expected ? NEXT_ON : NEXT_DONE;
}
