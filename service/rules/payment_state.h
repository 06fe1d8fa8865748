/* payment_state.h - what may happen to an attempt to pay: a table of (state, event) -> state.
 *
 * Pure. Numbers are those in MariaDB (payments.state). `unapplied` is money that a channel captured
 * for an order that could not take it (cancelled, expired, or paid by another attempt): never lost,
 * shown by the audit until it is refunded.
 */
#pragma once

#include "base/status.h"

/* X(name, number, text) */
#define PAYMENT_STATE_TABLE(X)                                            \
    X(CREATED, 1, "pending") /* recorded, not yet known to the channel */ \
    X(PENDING, 2, "pending")                                              \
    X(SUCCEEDED, 3, "succeeded")                                          \
    X(FAILED, 4, "failed")                                                \
    X(UNAPPLIED, 5, "unapplied")

enum payment_state {
    PAYMENT_NONE = 0,
#define X(name, number, text) PAYMENT_##name = number,
    PAYMENT_STATE_TABLE(X)
#undef X
        PAYMENT_STATES
};

enum payment_event {
    PAYMENT_SENT,          /* the channel knows it */
    PAYMENT_CAPTURED,      /* money arrived and the order takes it */
    PAYMENT_CAPTURED_LATE, /* money arrived and the order cannot take it */
    PAYMENT_DECLINED,      /* definitely not taken */
    PAYMENT_EVENTS
};

struct payment_step {
    enum status st;        /* ST_OK or ST_INVALID_STATE */
    enum payment_state to; /* the current state for a repetition */
    bool changes;
};

/* A capture wins over an earlier decline: channels deliver out of order (research/commerce.md
 * section 6).
 */
struct payment_step payment_step(enum payment_state state, enum payment_event event);
/* Still able to take money by the shopper's hand. */
bool payment_open(enum payment_state state);
const char *payment_state_text(int number);
