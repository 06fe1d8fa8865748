/* figure.h - numbers as people read them: grouped, and in the unit that fits.
 *
 * Pure; any thread. Never longer than FIGURE_MAX bytes, whatever the number.
 */
#pragma once

enum { FIGURE_MAX = 40 };

enum unit {
    UNIT_COUNT,   /* 1,234,567 */
    UNIT_PER_S,   /* 1,234,567/s */
    UNIT_SECONDS, /* 12.5 s */
    UNIT_US,      /* microseconds, as µs, ms or s */
    UNIT_SHARE,   /* 0.995 as 99.5 % */
    UNIT_RATIO    /* 1.25 × */
};

/* What a run's JSON calls us, share or per_s; anything else is a count. */
enum unit figure_unit(const char *name);
/* v in the unit, UTF-8. "–" when v is not finite. Returns out. */
const char *figure(enum unit unit, double v, char out[FIGURE_MAX]);
/* The same for the marks of an axis, where the axis names the unit of counts: 1.2 M. */
const char *figure_tick(enum unit unit, double v, char out[FIGURE_MAX]);
