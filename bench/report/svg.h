/* svg.h - charts as inline SVG: lines over one pair of axes, and bars.
 *
 * The plot stretches to the width it is given while text and strokes keep their size: lines are
 * drawn in a nested viewBox of 1000 x 1000 without a fixed aspect, everything else is placed by
 * percentages. Colours are classes (c0, c1, ...) that the page's style sheet gives a meaning, and
 * the `data-` attributes let its script read values back. Writes to a stream; errors stay there.
 */
#pragma once

#include "figure.h"
#include "scale.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    SVG_POINTS_MAX = 1000, /* of a line; one with more is thinned out */
    SVG_COLOURS = 7
};

struct svg_line {
    const char *name;
    unsigned colour; /* modulo SVG_COLOURS */
    bool dashed;     /* of the run to compare with */
    bool broad;      /* pale and broad, behind others that may cover it */
    size_t n;
    const double *x, *y; /* [n]; NAN in either is a gap */
};

struct svg_axis {
    const char *label;
    enum unit unit;
    struct scale scale;
};

struct svg_chart {
    const char *id; /* unique on the page, a word */
    const char *title;
    struct svg_axis x, y;
    const struct svg_line *lines;
    size_t lines_n;
};

/* Bars from zero, one or two beside each other under each label. */
struct svg_bars {
    const char *id, *title;
    const char *x_label, *y_label;
    size_t n;
    const char *const *labels; /* [n] */
    const double *values;      /* [n] */
    const double *others;      /* [n], or NULL */
};

/* At most SVG_POINTS_MAX of the n points, such that the highest and the lowest of every stretch are
 * among them, in order of x. Fills out_x and out_y ([SVG_POINTS_MAX]); their number. */
size_t svg_thin(const double *x, const double *y, size_t n, double *out_x, double *out_y);

/* The chart with a description of what each line does. */
void svg_chart(const struct svg_chart *chart, FILE *out);
void svg_bars(const struct svg_bars *bars, FILE *out);
/* The names and colours of lines, each name once: HTML to stand above the chart. */
void svg_legend(const struct svg_line *lines, size_t n, FILE *out);
