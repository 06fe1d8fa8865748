/* payment_priv.h - what recording and noting attempts to pay share: a group on its way.
 *
 * Between payment_create.c (the pool), payment_record.c and payment_note.c. One thread.
 */
#pragma once

#include "flow/group.h"
#include "flow/payments.h"

enum step {
    STEP_OPEN,    /* nothing is known yet */
    STEP_ENDED,   /* refused, or an answer from before */
    STEP_KNOWN,   /* out is an attempt that was there */
    STEP_NEW,     /* out is to be inserted */
    STEP_FOLLOWS, /* out is an attempt that another one of the group inserts */
};

/* A payment for a bulk statement; strings point into it. */
struct bulk_row {
    struct uid id, order;
    struct str channel, phase, currency, ref, action_url, return_url;
    uint32_t state, action;
    int64_t amount, created_ms;
};

struct making {
    struct session *s;
    const struct snapshot *snap;
    struct payment_try *t[PAYMENT_GROUP_MAX];
    enum step step[PAYMENT_GROUP_MAX];
    unsigned n, keyed, orders, claims, answers;
    struct uid id[PAYMENT_GROUP_MAX]; /* of payments, while they are asked for */
    struct uid order_id[PAYMENT_GROUP_MAX];
    struct order order[PAYMENT_GROUP_MAX]; /* of order_id[] */
    struct idem_claim claim[PAYMENT_GROUP_MAX];
    struct payment_try *claimant[PAYMENT_GROUP_MAX];
    struct idem_answer answer[PAYMENT_GROUP_MAX];
    struct bulk_row row[PAYMENT_GROUP_MAX];
};

extern const struct group_kind payment_recording, payment_noting;

struct bulk_row making_row_of(const struct payment *p);
#define MAKING_VALUES "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" /* of PAYMENT_COLUMNS */
/* Runs text, with MAKING_VALUES in it, over the first n of m->row. */
STATUS_MUSTCHECK
enum status making_run(struct making *m, const char *text, unsigned n, uint64_t *changed);
/* A row of PAYMENT_COLUMNS becomes `out` of the open tries with its id. arg: the making. */
bool making_on_same_id(void *arg, const struct sql_val *c, unsigned n);

bool making_has_key(const struct payment_try *t);
/* Refusals free their keys. */
void making_refuse(struct making *m, unsigned i, enum status why);
/* It is known where the shopper pays. */
void making_take_answer(struct payment *p, const struct channel_answer *said);
/* Renders the try's answer, which making_finish_keys keeps under its key. */
void making_keep_answer(struct making *m, struct payment_try *t);
STATUS_MUSTCHECK
enum status making_finish_keys(struct making *m);
/* Keys of tries that failed are to be taken up at once, unless MariaDB is away: asking it for each
 * would keep all of them waiting, each for a time-out more than the one before. */
void making_let_go(struct session *s, struct job **jobs, unsigned n);

void making_take(struct making *m, struct job **jobs, unsigned n);
/* Commits when st is ST_OK, else rolls back; returns how it ended. */
STATUS_MUSTCHECK
enum status making_end(struct making *m, enum status st);
/* What callers are told of a group that failed. */
enum status making_shown(enum status st);
