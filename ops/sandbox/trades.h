/* trades.h - the trades that the sandbox channel knows, found by payment.
 *
 * At most TRADES_MAX; when full, the oldest trade whose notification is over makes room, and while
 * there is none, new trades are refused. In memory only: it is a play channel, and a trade that made
 * room or went with a restart is opened anew by its page, to be paid once more (a real one keeps a
 * merchant's number unique). One thread.
 */
#pragma once

#include "base/ids.h"
#include "base/status.h"
#include "base/token.h"

#include <event2/event.h>

#include <stdint.h>
#include <sys/queue.h>

enum { TRADES_MAX = 100000, RETURN_URL_MAX = 1024 };

/* X(name, text) */
#define TRADE_STATES(X) \
    X(OPEN, "open")     \
    X(PAID, "paid")     \
    X(DECLINED, "declined")

enum trade_state {
#define X(name, text) TRADE_##name,
    TRADE_STATES(X)
#undef X
};

struct trade {
    char payment[ID_MAX + 1];
    char order[ID_MAX + 1];
    char reference[ID_MAX + 1]; /* sbx_ and the payment's number: known before the trade is */
    char event[ID_MAX + 1];     /* evt_…, set when settled; the same for every try */
    char currency[4];
    int64_t amount;   /* minor units */
    char *return_url; /* owned; NULL: none */
    enum trade_state state;
    int64_t settled_s; /* unix time */

    unsigned tries;      /* to notify */
    bool delivered;      /* a try was answered 2xx */
    bool over;           /* delivered or given up; listed in `over` */
    struct event *timer; /* approval by itself, later the next try; owned, may be NULL */
    void *timer_for;     /* what the timer's callback works on beside the trade */

    struct trade *chain;          /* next in the hash bucket */
    TAILQ_ENTRY(trade) by_age;    /* every trade, newest first */
    TAILQ_ENTRY(trade) by_over;   /* those that are over, in that order */
    STAILQ_ENTRY(trade) in_queue; /* waiting to be notified */
};

TAILQ_HEAD(trade_list, trade);

struct trades {
    struct trade **buckets;
    struct trade_list all;
    struct trade_list over;
    size_t n;
};

STATUS_MUSTCHECK
enum status trades_init(struct trades *t);
void trades_fini(struct trades *t);

/* NULL when unknown. Valid until the loop turns. */
struct trade *trades_find(struct trades *t, const char *payment);
/* Adds a trade with a valid payment id that is not there yet; all else is zero and for the caller
 * to fill. NULL when full or without memory. */
struct trade *trades_add(struct trades *t, const char *payment);
/* Its notification is over: it may make room from now on. */
void trades_over(struct trades *t, struct trade *trade);

/* Runs fn(trade) once in ms milliseconds; `for_whom` is put into timer_for. Replaces a timer that
 * is set. False without memory. */
bool trade_set_timer(struct trade *trade, struct event_base *base, int64_t ms,
                     void (*fn)(evutil_socket_t, short, void *), void *for_whom);
/* Nothing runs any more; harmless without a timer. */
void trade_clear_timer(struct trade *trade);

const char *trade_state_text(enum trade_state state);
