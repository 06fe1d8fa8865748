/* scale.h - where a value lies on an axis, and which values the axis is marked with.
 *
 * Pure; any thread. Sound for every double: what an axis cannot show is NAN or lies at its end.
 */
#pragma once

enum { SCALE_TICKS_MAX = 24 };

enum scale_kind {
    SCALE_LINEAR,
    SCALE_LOG,  /* what is not above zero has no place */
    SCALE_NINES /* shares below 1, by their nines: 0.9, 0.99 and 0.999 are equally far apart */
};

struct scale {
    enum scale_kind kind;
    double min, max; /* min < max; SCALE_LINEAR and SCALE_NINES begin at 0 */
};

/* From zero to a round value at or above high. */
struct scale scale_from_zero(double high);
/* From zero to high itself. */
struct scale scale_exact(double high);
/* From a round value at or below low to one at or above high. */
struct scale scale_log(double low, double high);
/* From zero to the share with so many nines: 3.5 is between 99.9 % and 99.99 %. */
struct scale scale_nines(double nines);

/* 0 at min, 1 at max, never outside; NAN if v has no place. */
double scale_at(const struct scale *s, double v);
/* Round values from min to max, ascending, about `most` of them. Their number. */
unsigned scale_ticks(const struct scale *s, unsigned most, double ticks[SCALE_TICKS_MAX]);
