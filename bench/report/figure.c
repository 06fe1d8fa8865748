#include "figure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Past this a double no longer tells one unit from the next. */
static const double COUNT_MAX = 1e15;

/* 1234567 -> "1,234,567" */
static void grouped(double v, char out[FIGURE_MAX])
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%.0f", fabs(v));
    int at = 0;
    if (v <= -0.5) {
        out[at++] = '-';
    }
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

static void count(double v, char out[FIGURE_MAX])
{
    if (fabs(v) < COUNT_MAX && (fabs(v) >= 100 || v == rint(v))) {
        grouped(v, out);
    } else {
        snprintf(out, FIGURE_MAX, "%.3g", v);
    }
}

static void duration(double us, char out[FIGURE_MAX])
{
    double size = fabs(us);
    double v = size < 1e3 ? us : size < 1e6 ? us / 1e3 : us / 1e6;
    const char *name = size < 1e3 ? "µs" : size < 1e6 ? "ms" : "s";
    char text[FIGURE_MAX];
    count(v, text);
    snprintf(out, FIGURE_MAX, "%.24s %s", text, name);
}

/* As many decimals as tell 99.99 % from 100 %, and no zeros behind them. */
static void percent(double share, char out[FIGURE_MAX])
{
    double v = share * 100;
    char text[FIGURE_MAX];
    if (fabs(v) >= 1000) {
        count(v, text);
    } else {
        snprintf(text, sizeof(text), v > 99 && v < 100 ? "%.6g" : "%.3g", v);
    }
    snprintf(out, FIGURE_MAX, "%.24s %%", text);
}

enum unit figure_unit(const char *name)
{
    return strcmp(name, "us") == 0      ? UNIT_US
           : strcmp(name, "share") == 0 ? UNIT_SHARE
           : strcmp(name, "per_s") == 0 ? UNIT_PER_S
                                        : UNIT_COUNT;
}

const char *figure(enum unit unit, double v, char out[FIGURE_MAX])
{
    char text[FIGURE_MAX];
    if (!isfinite(v)) {
        snprintf(out, FIGURE_MAX, "–");
        return out;
    }
    switch (unit) {
    case UNIT_US: duration(v, out); return out;
    case UNIT_SHARE: percent(v, out); return out;
    default: break;
    }
    count(v, text);
    const char *after = unit == UNIT_PER_S     ? "/s"
                        : unit == UNIT_SECONDS ? " s"
                        : unit == UNIT_RATIO   ? " ×"
                                               : "";
    snprintf(out, FIGURE_MAX, "%.24s%s", text, after);
    return out;
}

const char *figure_tick(enum unit unit, double v, char out[FIGURE_MAX])
{
    if (unit != UNIT_COUNT && unit != UNIT_PER_S) {
        return figure(unit, v, out);
    }
    if (fabs(v) < 1e6 || !isfinite(v)) {
        return figure(UNIT_COUNT, v, out);
    }
    snprintf(out, FIGURE_MAX, fabs(v) < 1e9 ? "%.4g M" : "%.3g", fabs(v) < 1e9 ? v / 1e6 : v);
    return out;
}
