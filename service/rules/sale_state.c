#include "rules/sale_state.h"

#include <assert.h>

#define GO(to)          \
    {                   \
        ST_OK, to, true \
    }
#define STAY(to)         \
    {                    \
        ST_OK, to, false \
    }
#define NO(at)                      \
    {                               \
        ST_INVALID_STATE, at, false \
    }
#define OVER                            \
    {                                   \
        ST_SALE_ENDED, SALE_OVER, false \
    }

static const struct sale_step steps[SALE_STATES][SALE_EVENTS] = {
    /*                  publish               pause             resume                end         */
    [SALE_DRAFT] = {GO(SALE_PUBLISHED), NO(SALE_DRAFT), NO(SALE_DRAFT), GO(SALE_OVER)},
    [SALE_PUBLISHED] = {STAY(SALE_PUBLISHED), GO(SALE_PAUSED), STAY(SALE_PUBLISHED), GO(SALE_OVER)},
    [SALE_PAUSED] = {NO(SALE_PAUSED), STAY(SALE_PAUSED), GO(SALE_PUBLISHED), GO(SALE_OVER)},
    [SALE_OVER] = {OVER, OVER, OVER, STAY(SALE_OVER)},
};

static const struct {
    enum status purchase;
    const char *text;
} phases[PHASES] = {
    [PHASE_DRAFT] = {ST_SALE_NOT_FOUND, "draft"},
    [PHASE_SCHEDULED] = {ST_SALE_NOT_OPEN, "scheduled"},
    [PHASE_OPEN] = {ST_OK, "open"},
    [PHASE_PAUSED] = {ST_SALE_PAUSED, "paused"},
    [PHASE_ENDED] = {ST_SALE_ENDED, "ended"},
};

static const char *const state_text[SALE_STATES] = {"draft", "published", "paused", "ended"};

struct sale_step sale_step(enum sale_state state, enum sale_event event)
{
    assert((unsigned)state < SALE_STATES && (unsigned)event < SALE_EVENTS);
    return steps[state][event];
}

enum sale_phase sale_phase(enum sale_state state, int64_t starts_ms, int64_t ends_ms,
                           int64_t now_ms)
{
    if (state == SALE_DRAFT)
        return PHASE_DRAFT;
    if (state == SALE_OVER || now_ms >= ends_ms)
        return PHASE_ENDED;
    if (state == SALE_PAUSED)
        return PHASE_PAUSED;
    return now_ms < starts_ms ? PHASE_SCHEDULED : PHASE_OPEN;
}

enum status sale_phase_purchase(enum sale_phase phase)
{
    assert((unsigned)phase < PHASES);
    return phases[phase].purchase;
}

const char *sale_state_text(enum sale_state state)
{
    assert((unsigned)state < SALE_STATES);
    return state_text[state];
}

enum status sale_state_parse(struct str text, enum sale_state *state)
{
    for (int i = 0; i < SALE_STATES; i++) {
        if (str_equal(text, str_from(state_text[i]))) {
            *state = (enum sale_state)i;
            return ST_OK;
        }
    }
    return ST_INVALID_REQUEST;
}

const char *sale_phase_text(enum sale_phase phase)
{
    assert((unsigned)phase < PHASES);
    return phases[phase].text;
}
