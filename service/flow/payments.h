/* payments.h - attempts to pay: recorded before the channel is told, settled by its notifications.
 *
 * Channels are called outside any transaction. A notification has its effect once: it is recorded
 * by (channel, event) in the transaction that applies it.
 */
#pragma once

#include "flow/idempotency.h"
#include "flow/orders.h"
#include "pay/channel.h"

/* Fills o->payment, newest first; the caller frees with order_free. */
STATUS_MUSTCHECK
enum status payments_of_order(struct session *s, struct order *o);
/* Of a row of PAYMENT_COLUMNS, behind those that o has; the ones it has no room to show are left
 * out. False: no memory. */
bool payment_append(struct order *o, const struct sql_val *cols);

/* One payment within scope; order is filled, too (free it). */
STATUS_MUSTCHECK
enum status payment_get(struct session *s, const struct uid *id, const struct order_scope *scope,
                        struct payment *out);

/* Columns that payment_from_row expects, in order. */
#define PAYMENT_COLUMNS PAYMENT_COLUMNS_OF("")
/* t: "" or a table's alias and a dot. */
#define PAYMENT_COLUMNS_OF(t)                                                                     \
    t "id, " t "order_id, " t "state, " t "amount, " t "created_ms, " t "channel, " t "phase, " t \
      "currency, " t "channel_ref, " t "action_url, " t "return_url, " t "action"
void payment_from_row(struct payment *p, const struct sql_val *cols);

struct payment_wish {
    struct uid order;
    struct order_scope scope;
    const struct channel *channel;
    struct channel_state *state; /* the channel's */
    enum payment_action action;
    struct str return_url; /* may be empty */
    struct uid id;         /* of the payment to make */
};

/* A wish on its way: recorded with others in one transaction and answered. Where the channel has to
 * be told first, it is, and what it said is noted with others before the answer. An order has at
 * most one open attempt per channel: if there is one, that is the answer, whatever its action.
 * Strings of wish and key are borrowed until `done`. */
struct payment_try {
    struct job job; /* of engine->payments */
    struct payment_wish wish;
    const struct idem_key *key; /* the answer is kept under it, if it is given */
    /* The answer to be kept; body also gets one from before. */
    void (*render)(struct buf *body, const struct payment *p);
    struct buf *body;
    /* Out. ST_INVALID_STATE: the order cannot be paid; ST_UNAVAILABLE: a store or the channel did
     * not answer: an attempt may be there, and the same wish may be made again. */
    enum status st;
    bool replayed;      /* body is an answer from before */
    struct payment out; /* when ST_OK and not replayed */
    /* payment_create.c's and its parts' own. */
    bool told;     /* the channel was called */
    struct uid id; /* the wish's, or of the try that is taken up */
    const struct engine *engine;
    struct channel_call call;
    int64_t call_us;
};
enum { PAYMENT_GROUP_MAX = 512 };
/* For engine->payments. */
extern const struct jobs_group payments_group;

enum webhook_outcome {
    WEBHOOK_APPLIED,   /* the payment changed its state, perhaps the order, too */
    WEBHOOK_REPEATED,  /* this event was here before, or said what was known */
    WEBHOOK_UNMATCHED, /* no such payment: recorded, shown by the audit */
    WEBHOOK_UNAPPLIED, /* money for an order that cannot take it: recorded, shown by the audit */
    WEBHOOK_MISMATCH, /* amount, currency or order is not the payment's: recorded, shown by audit */
    WEBHOOK_IGNORED   /* an event of no consequence */
};
const char *webhook_outcome_text(enum webhook_outcome o);

/* A notification on its way: in, channel and event; out, the rest. */
struct webhook {
    struct job job;
    const struct channel *channel;
    struct channel_event event;
    enum webhook_outcome outcome;
    enum status st; /* not ST_OK: not recorded, to be sent again */
    bool paid;      /* the order became paid */
};

/* Applies all of them (their jobs), in one transaction if it can. Each has its own outcome; several
 * may be the same one, or for the same payment or order. */
enum { WEBHOOK_GROUP_MAX = 512 };
void webhooks_apply(struct session *s, struct job **jobs, unsigned n);
/* For a pool of them. */
extern const struct jobs_group webhooks_group;
