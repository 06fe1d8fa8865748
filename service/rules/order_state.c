#include "rules/order_state.h"

#include <assert.h>

/* Pairs that are not listed are refused. A repetition (cancel of a cancelled order) leads back to
 * its own state and does nothing, so that the caller can give the same answer again. */
static const struct order_step steps[ORDER_STATES][ORDER_EVENTS] = {
    [ORDER_QUEUED] = {[ORDER_COMMIT] = {ST_OK, ORDER_PENDING, ORDER_DO_NOTHING}},
    [ORDER_PENDING] = {[ORDER_CANCEL] = {ST_OK, ORDER_CANCELLED, ORDER_DO_RELEASE},
                       [ORDER_EXPIRE] = {ST_OK, ORDER_EXPIRED, ORDER_DO_RELEASE},
                       [ORDER_PAY] = {ST_OK, ORDER_PAID, ORDER_DO_NOTHING}},
    [ORDER_CANCELLED] = {[ORDER_CANCEL] = {ST_OK, ORDER_CANCELLED, ORDER_DO_NOTHING}},
    [ORDER_EXPIRED] = {[ORDER_EXPIRE] = {ST_OK, ORDER_EXPIRED, ORDER_DO_NOTHING}},
};

static const struct {
    bool live;
    const char *text;
} rows[ORDER_STATES] = {
#define X(name, number, is_live, words) [number] = {is_live, words},
    ORDER_STATE_TABLE(X)
#undef X
};

struct order_step order_step(enum order_state state, enum order_event event)
{
    assert((unsigned)state < ORDER_STATES && (unsigned)event < ORDER_EVENTS);
    struct order_step s = steps[state][event];
    /* No listed step leads to QUEUED, so a zeroed row is a pair that the table leaves out. */
    if (s.to == ORDER_QUEUED)
        return (struct order_step){ST_INVALID_STATE, state, ORDER_DO_NOTHING};
    return s;
}

bool order_live(enum order_state state)
{
    assert((unsigned)state < ORDER_STATES);
    return rows[state].live;
}

const char *order_state_text(int number)
{
    return number >= 0 && number < ORDER_STATES ? rows[number].text : "unknown";
}
