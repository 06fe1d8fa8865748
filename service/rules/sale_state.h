/* sale_state.h - what was decided about a sale, and what the clock makes of it.
 *
 * Pure. MariaDB stores the decision (draft, published, paused, ended); the API shows the phase.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum sale_state { SALE_DRAFT, SALE_PUBLISHED, SALE_PAUSED, SALE_OVER, SALE_STATES };
enum sale_event { SALE_PUBLISH, SALE_PAUSE, SALE_RESUME, SALE_END, SALE_EVENTS };
enum sale_phase { PHASE_DRAFT, PHASE_SCHEDULED, PHASE_OPEN, PHASE_PAUSED, PHASE_ENDED, PHASES };

struct sale_step {
    enum status st;     /* ST_OK, ST_INVALID_STATE, or ST_SALE_ENDED */
    enum sale_state to; /* the current state for a repetition */
    bool changes;
};

struct sale_step sale_step(enum sale_state state, enum sale_event event);

/* [starts_ms, ends_ms) is open; ended wins over paused, paused over scheduled. */
enum sale_phase sale_phase(enum sale_state state, int64_t starts_ms, int64_t ends_ms,
                           int64_t now_ms);
/* What a purchase is told in that phase: ST_OK when open; a draft does not exist for shoppers. */
enum status sale_phase_purchase(enum sale_phase phase);

const char *sale_state_text(enum sale_state state); /* as stored */
STATUS_MUSTCHECK
enum status sale_state_parse(struct str text, enum sale_state *state);
const char *sale_phase_text(enum sale_phase phase); /* as in the API */
