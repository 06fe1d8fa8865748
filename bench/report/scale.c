#include "scale.h"

#include <math.h>
#include <stdbool.h>

/* No axis shows less or more: far beyond every measure, and safe to multiply. */
static const double SMALLEST = 1e-9;
static const double LARGEST = 1e18;

static double nines_of(double share)
{
    return -log10(1 - share);
}

static double bounded(double v, double low, double high)
{
    return v > low ? fmin(v, high) : low; /* NAN: low */
}

/* The nearest 1, 2 or 5 times a power of ten: at or above v, or at or below it. */
static double round_to_125(double v, bool up)
{
    static const double steps[] = {1, 2, 5, 10};
    double decade = pow(10, floor(log10(v)));
    double below = decade;
    for (unsigned i = 0; i < 4; i++) {
        double at = steps[i] * decade;
        /* A hair's breadth, since powers of ten are not exact. */
        if (up && at >= v * (1 - 1e-9)) {
            return at;
        }
        if (!up && at <= v * (1 + 1e-9)) {
            below = at;
        }
    }
    return up ? 10 * decade : below;
}

struct scale scale_exact(double high)
{
    return (struct scale){SCALE_LINEAR, 0, high > 0 ? bounded(high, SMALLEST, LARGEST) : 1};
}

struct scale scale_from_zero(double high)
{
    struct scale s = scale_exact(high);
    double step = round_to_125(s.max / 5, true);
    s.max = step * ceil(s.max / step * (1 - 1e-9));
    return s;
}

struct scale scale_log(double low, double high)
{
    low = bounded(low, SMALLEST, LARGEST / 10);
    high = bounded(high, low, LARGEST);
    struct scale s = {SCALE_LOG, round_to_125(low, false), round_to_125(high, true)};
    if (s.max < s.min * 2) {
        s.max = s.min * 10;
    }
    return s;
}

struct scale scale_nines(double nines)
{
    return (struct scale){SCALE_NINES, 0, 1 - pow(10, -bounded(nines, 1, 9))};
}

double scale_at(const struct scale *s, double v)
{
    if (isnan(v) || (s->kind == SCALE_LOG && v <= 0)) {
        return NAN;
    }
    v = bounded(v, s->min, s->max);
    switch (s->kind) {
    case SCALE_LOG: return log(v / s->min) / log(s->max / s->min);
    case SCALE_NINES: return nines_of(v) / nines_of(s->max);
    default: return (v - s->min) / (s->max - s->min);
    }
}

static unsigned linear_ticks(const struct scale *s, unsigned most, double *ticks)
{
    double step = round_to_125(s->max / most, true);
    unsigned n = 0;
    while (n < SCALE_TICKS_MAX && n * step <= s->max * (1 + 1e-9)) {
        ticks[n] = n * step;
        n++;
    }
    return n;
}

/* Decades, with 2 and 5 between them where there is room; every second or third one where there is
 * none. */
static unsigned log_ticks(const struct scale *s, unsigned most, double *ticks)
{
    static const double steps[] = {1, 2, 5};
    int first = (int)floor(log10(s->min) + 1e-9);
    double decades = log10(s->max / s->min);
    unsigned in_decade = decades * 3 <= most + 5 ? 3 : 1;
    int stride = (int)fmax(1, ceil(decades / most));
    unsigned n = 0;
    for (int k = first; k <= first + (int)decades + 1; k += stride) {
        for (unsigned i = 0; i < in_decade && n < SCALE_TICKS_MAX; i++) {
            double v = steps[i] * pow(10, k);
            if (v >= s->min * (1 - 1e-9) && v <= s->max * (1 + 1e-9)) {
                ticks[n++] = v;
            }
        }
    }
    return n;
}

static unsigned nines_ticks(const struct scale *s, double *ticks)
{
    unsigned n = 0;
    ticks[n++] = 0;
    ticks[n++] = 0.5;
    for (int k = 1; n < SCALE_TICKS_MAX; k++) {
        double v = 1 - pow(10, -k);
        if (v > s->max + (1 - s->max) * 1e-6) {
            break;
        }
        ticks[n++] = v;
    }
    return n;
}

unsigned scale_ticks(const struct scale *s, unsigned most, double ticks[SCALE_TICKS_MAX])
{
    switch (s->kind) {
    case SCALE_LOG: return log_ticks(s, most, ticks);
    case SCALE_NINES: return nines_ticks(s, ticks);
    default: return linear_ticks(s, most, ticks);
    }
}
