#include "rules/payment_state.h"

#include <assert.h>

static const enum payment_state steps[PAYMENT_STATES][PAYMENT_EVENTS] = {
    [PAYMENT_CREATED] = {[PAYMENT_SENT] = PAYMENT_PENDING,
                         [PAYMENT_CAPTURED] = PAYMENT_SUCCEEDED,
                         [PAYMENT_CAPTURED_LATE] = PAYMENT_UNAPPLIED,
                         [PAYMENT_DECLINED] = PAYMENT_FAILED},
    [PAYMENT_PENDING] = {[PAYMENT_SENT] = PAYMENT_PENDING,
                         [PAYMENT_CAPTURED] = PAYMENT_SUCCEEDED,
                         [PAYMENT_CAPTURED_LATE] = PAYMENT_UNAPPLIED,
                         [PAYMENT_DECLINED] = PAYMENT_FAILED},
    [PAYMENT_SUCCEEDED] = {[PAYMENT_SENT] = PAYMENT_SUCCEEDED,
                           [PAYMENT_CAPTURED] = PAYMENT_SUCCEEDED,
                           [PAYMENT_CAPTURED_LATE] = PAYMENT_SUCCEEDED,
                           [PAYMENT_DECLINED] = PAYMENT_SUCCEEDED},
    [PAYMENT_FAILED] = {[PAYMENT_SENT] = PAYMENT_FAILED,
                        [PAYMENT_CAPTURED] = PAYMENT_SUCCEEDED,
                        [PAYMENT_CAPTURED_LATE] = PAYMENT_UNAPPLIED,
                        [PAYMENT_DECLINED] = PAYMENT_FAILED},
    [PAYMENT_UNAPPLIED] = {[PAYMENT_SENT] = PAYMENT_UNAPPLIED,
                           [PAYMENT_CAPTURED] = PAYMENT_UNAPPLIED,
                           [PAYMENT_CAPTURED_LATE] = PAYMENT_UNAPPLIED,
                           [PAYMENT_DECLINED] = PAYMENT_UNAPPLIED},
};

struct payment_step payment_step(enum payment_state state, enum payment_event event)
{
    assert((unsigned)state < PAYMENT_STATES && (unsigned)event < PAYMENT_EVENTS);
    enum payment_state to = steps[state][event];
    if (to == PAYMENT_NONE)
        return (struct payment_step){ST_INVALID_STATE, state, false};
    return (struct payment_step){ST_OK, to, to != state};
}

bool payment_open(enum payment_state state)
{
    return state == PAYMENT_CREATED || state == PAYMENT_PENDING;
}

const char *payment_state_text(int number)
{
    static const char *const text[PAYMENT_STATES] = {
#define X(name, n, words) [n] = words,
        PAYMENT_STATE_TABLE(X)
#undef X
    };
    return number > 0 && number < PAYMENT_STATES ? text[number] : "unknown";
}
