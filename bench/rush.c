#include "rush.h"

#include <stdio.h>

enum {
    HTTP_CREATED = 201,
    HTTP_ACCEPTED = 202,
    HTTP_UNAUTHORIZED = 401,
    HTTP_CONFLICT = 409,
    HTTP_TOO_MANY = 429
};

static void tally_add(struct rush *r, unsigned http, struct str code)
{
    char text[RUSH_CODE_MAX];
    snprintf(text, sizeof(text), "%.*s", (int)(code.n < sizeof(text) ? code.n : 0), code.p);
    r->errors_all++;
    for (unsigned i = 0; i < r->errors_n; i++) {
        if (r->errors[i].http == http && strcmp(r->errors[i].code, text) == 0) {
            r->errors[i].n++;
            return;
        }
    }
    bool last = r->errors_n >= RUSH_TALLIES - 1;
    struct tally *t = last ? &r->errors[RUSH_TALLIES - 1] : &r->errors[r->errors_n];
    r->errors_n = last ? RUSH_TALLIES : r->errors_n + 1;
    t->http = last ? 0 : http;
    snprintf(t->code, sizeof(t->code), "%s", last ? "others" : text);
    t->n++;
}

/* 201, and 202 whose order comes to be later. */
static enum rush_next told_order(struct rush *r, struct journal *journal, uint32_t shopper,
                                 const struct answer *a, int64_t since_us, int64_t now_us)
{
    struct uid order;
    if (!answer_order_id(a->body, &order)) {
        return RUSH_ASTRAY;
    }
    bool created = a->http == HTTP_CREATED;
    bool had_one = journal_has_order(journal, shopper);
    if (created && since_us > r->fresh_us) {
        r->fresh_us = since_us;
    }
    if (created) {
        r->orders += journal_ack(journal, shopper, &order);
        hist_record(&r->orders_us, now_us - since_us);
        r->last_order_us = now_us;
    } else {
        r->queued += journal_queued(journal, shopper, &order);
    }
    r->repeats += had_one;
    return had_one ? RUSH_DONE : RUSH_GOT_ONE;
}

enum rush_next rush_told(struct rush *r, struct journal *journal, uint32_t shopper,
                         const struct answer *a, int64_t since_us, int64_t now_us)
{
    r->last_answer_us = now_us;
    if (a->http == HTTP_CREATED || a->http == HTTP_ACCEPTED) {
        return told_order(r, journal, shopper, a, since_us, now_us);
    }
    struct str code = answer_code(a->body);
    if (a->http == HTTP_CONFLICT && str_equal(code, STR("sold_out"))) {
        journal_refused(journal, shopper, false);
        hist_record(&r->refusals_us, now_us - since_us);
        r->refusals++;
        r->first_refusal_us = r->first_refusal_us ? r->first_refusal_us : now_us;
        return RUSH_DONE;
    }
    /* 401 says nothing of the order: a service with a wrong clock takes good tokens for bad ones. */
    bool retry = a->http >= 500 || a->http == HTTP_TOO_MANY || a->http == HTTP_UNAUTHORIZED ||
                 str_equal(code, STR("idempotency_in_progress"));
    journal_refused(journal, shopper, retry);
    tally_add(r, a->http, code);
    return retry ? RUSH_RETRY : RUSH_DONE;
}
