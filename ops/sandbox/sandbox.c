#include "sandbox.h"

#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void new_id(struct sandbox *sb, const char *prefix, char out[ID_MAX + 1])
{
    struct uid id = uid_make(sb->ids, clock_wall_ms());
    uid_format(prefix, &id, out);
}

static void on_approve(evutil_socket_t fd, short what, void *arg)
{
    struct trade *trade = arg;
    sandbox_settle(trade->timer_for, trade, TRADE_PAID);
}

static bool same_request(const struct trade *t, const struct trade_request *rq)
{
    return t->amount == rq->amount && strcmp(t->currency, rq->currency) == 0 &&
           strcmp(t->order, rq->order) == 0;
}

/* Every string was bounded by server.c. */
static void copy(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);
    assert(n < size);
    memcpy(to, from, n + 1);
}

enum status sandbox_trade(struct sandbox *sb, const struct trade_request *rq, struct trade **out)
{
    struct trade *t = trades_find(&sb->trades, rq->payment);
    if (t) {
        if (!same_request(t, rq)) {
            return ST_IDEMPOTENCY_MISMATCH;
        }
        *out = t;
        return ST_OK;
    }
    char *return_url = rq->return_url ? strdup(rq->return_url) : NULL;
    t = rq->return_url && !return_url ? NULL : trades_add(&sb->trades, rq->payment);
    if (!t) {
        free(return_url);
        return ST_OVERLOADED;
    }
    t->return_url = return_url;
    t->amount = rq->amount;
    copy(t->order, sizeof(t->order), rq->order);
    copy(t->currency, sizeof(t->currency), rq->currency);
    snprintf(t->reference, sizeof(t->reference), "sbx_%s", rq->payment + strlen("pay_"));
    /* Without memory for the timer a person can still press the button. */
    if (sb->conf->auto_ms >= 0) {
        (void)trade_set_timer(t, sb->base, sb->conf->auto_ms, on_approve, sb);
    }
    *out = t;
    return ST_OK;
}

void sandbox_settle(struct sandbox *sb, struct trade *trade, enum trade_state outcome)
{
    assert(outcome != TRADE_OPEN);
    if (trade->state != TRADE_OPEN) {
        return;
    }
    trade_clear_timer(trade);
    trade->state = outcome;
    trade->settled_s = clock_wall_ms() / 1000;
    new_id(sb, "evt_", trade->event);
    notifier_send(sb->notifier, trade);
}
