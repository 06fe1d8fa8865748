/* values.h - the values that people write in scenarios and on the command line.
 *
 * Numbers without signs, durations with their unit. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* "200ms", "1.5 s", "2min", "4h"; a bare 0 needs no unit. At most a week. False: anything else. */
bool value_duration(const char *text, int64_t *us);
/* A whole number from min to max. */
bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* A decimal from min to max. */
bool value_decimal(const char *text, double min, double max, double *out);
/* yes or no. */
bool value_flag(const char *text, bool *out);
