/* clock.h - the two clocks and the text form of times.
 *
 * Wall time is milliseconds since 1970 UTC, for what the world sees; monotonic time is
 * microseconds, for durations and deadlines. Any thread.
 *
 * Orders are named and expire by wall time, so instances have to agree on it: each follows
 * MariaDB's clock when its own is off (clock_follow). The correction is this process' one opinion
 * of what time it is, like the machine's clock itself, and so the one state that no struct owns.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum { CLOCK_TEXT_LEN = 24 }; /* "2026-11-11T00:00:00.000Z" */

int64_t clock_wall_ms(void);
int64_t clock_mono_us(void);
/* Another clock, which instances share, showed shared_ms when this one showed wall_ms (of
 * clock_wall_ms), exact to within_ms. Differences under CLOCK_SLACK_MS are left alone. Returns the
 * step that the wall clock made, mostly 0. */
enum { CLOCK_SLACK_MS = 500 };
int64_t clock_follow(int64_t shared_ms, int64_t wall_ms, int64_t within_ms);

/* Writes exactly CLOCK_TEXT_LEN bytes, no NUL. ms must lie in years 1970..9999 (clamped otherwise).
 */
void clock_format(int64_t ms, char out[CLOCK_TEXT_LEN]);
/* RFC 3339 date-time with any offset and 0..9 fraction digits (past milliseconds cut off).
 * Returns false on anything else, leap second 60 and impossible dates included. */
bool clock_parse(struct str text, int64_t *ms);
/* IMF-fixdate for the HTTP Date header: writes 29 bytes and a NUL. */
void clock_http_date(int64_t ms, char out[30]);
