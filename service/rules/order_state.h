/* order_state.h - what may happen to an order: a table of (state, event) -> state.
 *
 * Pure: no I/O, no clock, no threads. The numbers are those in MariaDB (orders.state, mirrored by
 * its CHECK); `queued` exists only between Redis and MariaDB. Drawn in service/README.md.
 */
#pragma once

#include "base/status.h"

/* X(name, number, live, text): live orders hold units and count against the limit */
#define ORDER_STATE_TABLE(X)               \
    X(QUEUED, 0, true, "queued")           \
    X(PENDING, 1, true, "pending_payment") \
    X(PAID, 2, true, "paid")               \
    X(CANCELLED, 3, false, "cancelled")    \
    X(EXPIRED, 4, false, "expired")        \
    X(REFUNDING, 5, false, "refunding")    \
    X(REFUNDED, 6, false, "refunded")

enum order_state {
#define X(name, number, live, text) ORDER_##name = number,
    ORDER_STATE_TABLE(X)
#undef X
        ORDER_STATES
};

enum order_event { ORDER_COMMIT, ORDER_CANCEL, ORDER_EXPIRE, ORDER_PAY, ORDER_EVENTS };

/* What follows from a transition, in the same transaction. */
enum order_action { ORDER_DO_NOTHING = 0, ORDER_DO_RELEASE = 1 };

struct order_step {
    enum status st;      /* ST_OK: go to `to`; ST_INVALID_STATE: refused */
    enum order_state to; /* equals the current state when the event is a repetition */
    enum order_action action;
};

struct order_step order_step(enum order_state state, enum order_event event);
bool order_live(enum order_state state);
/* Name in the API. Numbers that are no state give "unknown". */
const char *order_state_text(int number);
