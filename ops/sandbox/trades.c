#include "trades.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS = 1 << 17 };

_Static_assert((int)BUCKETS > (int)TRADES_MAX, "chains stay short");

static const char *const state_texts[] = {
#define X(name, text) [TRADE_##name] = text,
    TRADE_STATES(X)
#undef X
};

const char *trade_state_text(enum trade_state state)
{
    assert((unsigned)state < sizeof(state_texts) / sizeof(state_texts[0]));
    return state_texts[state];
}

enum status trades_init(struct trades *t)
{
    t->buckets = calloc(BUCKETS, sizeof(*t->buckets));
    t->n = 0;
    TAILQ_INIT(&t->all);
    TAILQ_INIT(&t->over);
    return t->buckets ? ST_OK : ST_INTERNAL;
}

/* FNV-1a. Payment ids arrive signed, so nobody can aim at one bucket. */
static struct trade **bucket_of(struct trades *t, const char *payment)
{
    uint32_t h = 2166136261u;
    for (const char *p = payment; *p; p++) {
        h = (h ^ (uint8_t)*p) * 16777619u;
    }
    return &t->buckets[h % BUCKETS];
}

bool trade_set_timer(struct trade *trade, struct event_base *base, int64_t ms,
                     void (*fn)(evutil_socket_t, short, void *), void *for_whom)
{
    const struct timeval after = {ms / 1000, ms % 1000 * 1000};
    trade_clear_timer(trade);
    trade->timer = event_new(base, -1, 0, fn, trade);
    trade->timer_for = for_whom;
    return trade->timer && event_add(trade->timer, &after) == 0;
}

void trade_clear_timer(struct trade *trade)
{
    if (trade->timer) {
        event_free(trade->timer);
        trade->timer = NULL;
    }
}

static void trade_remove(struct trades *t, struct trade *trade)
{
    struct trade **at = bucket_of(t, trade->payment);
    while (*at != trade) {
        assert(*at);
        at = &(*at)->chain;
    }
    *at = trade->chain;
    TAILQ_REMOVE(&t->all, trade, by_age);
    if (trade->over) {
        TAILQ_REMOVE(&t->over, trade, by_over);
    }
    trade_clear_timer(trade);
    free(trade->return_url);
    free(trade);
    t->n--;
}

void trades_fini(struct trades *t)
{
    while (t->buckets && !TAILQ_EMPTY(&t->all)) {
        trade_remove(t, TAILQ_FIRST(&t->all));
    }
    free(t->buckets);
    t->buckets = NULL;
}

struct trade *trades_find(struct trades *t, const char *payment)
{
    struct trade *trade = *bucket_of(t, payment);
    while (trade && strcmp(trade->payment, payment) != 0) {
        trade = trade->chain;
    }
    return trade;
}

struct trade *trades_add(struct trades *t, const char *payment)
{
    assert(!trades_find(t, payment));
    if (t->n == TRADES_MAX && !TAILQ_EMPTY(&t->over)) {
        trade_remove(t, TAILQ_FIRST(&t->over));
    }
    struct trade *trade = t->n < TRADES_MAX ? calloc(1, sizeof(*trade)) : NULL;
    if (!trade) {
        return NULL;
    }
    snprintf(trade->payment, sizeof(trade->payment), "%s", payment);
    struct trade **bucket = bucket_of(t, payment);
    trade->chain = *bucket;
    *bucket = trade;
    TAILQ_INSERT_HEAD(&t->all, trade, by_age);
    t->n++;
    return trade;
}

void trades_over(struct trades *t, struct trade *trade)
{
    assert(!trade->over);
    trade->over = true;
    TAILQ_INSERT_TAIL(&t->over, trade, by_over);
}
