/* progress.h - tells another program how a run is going, many times a second.
 *
 * A JSON line each, flushed: `t` (monotonic seconds, CLOCK_MONOTONIC), counters since the start, and
 * `fresh`: when the youngest request began that got a 201. A service that failed sells again by the
 * time of the first line whose `fresh` is later than its repair, whatever was still in flight then.
 * One thread.
 */
#pragma once

#include "load.h"

#include <stdio.h>

/* Opens path; NULL as path writes nothing. False when it cannot be written. */
bool progress_open(const char *path, FILE **out);
/* Writes one line; does nothing without a file. */
void progress_write(FILE *out, const struct load_now *now, int64_t now_us);
void progress_close(FILE **out);
