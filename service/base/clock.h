/* clock.h - the two clocks and the text form of times.
 *
 * Wall time is milliseconds since 1970 UTC, for what the world sees; monotonic time is
 * microseconds, for durations and deadlines. Any thread.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum { CLOCK_TEXT_LEN = 24 }; /* "2026-11-11T00:00:00.000Z" */

int64_t clock_wall_ms(void);
int64_t clock_mono_us(void);

/* Writes exactly CLOCK_TEXT_LEN bytes, no NUL. ms must lie in years 1970..9999 (clamped otherwise).
 */
void clock_format(int64_t ms, char out[CLOCK_TEXT_LEN]);
/* RFC 3339 date-time with any offset and 0..9 fraction digits (past milliseconds cut off).
 * Returns false on anything else, leap second 60 and impossible dates included. */
bool clock_parse(struct str text, int64_t *ms);
/* IMF-fixdate for the HTTP Date header: writes 29 bytes and a NUL. */
void clock_http_date(int64_t ms, char out[30]);
