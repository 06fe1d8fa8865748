#include "svg.h"

#include "markup.h"

#include <math.h>
#include <string.h>

enum {
    PLOT_HEIGHT = 220, /* px */
    VIEW = 1000,       /* of the nested viewBox, both ways */
    X_TICKS = 8,
    Y_TICKS = 5,
    BAR_LABELS = 11
};

static const char *const scale_names[] = {
    [SCALE_LINEAR] = "linear", [SCALE_LOG] = "log", [SCALE_NINES] = "nines"};

static const char *const unit_names[] = {
    [UNIT_COUNT] = "count", [UNIT_PER_S] = "per_s", [UNIT_SECONDS] = "s",
    [UNIT_US] = "us",       [UNIT_SHARE] = "share", [UNIT_RATIO] = "ratio"};

static bool is_point(double x, double y)
{
    return isfinite(x) && isfinite(y);
}

size_t svg_thin(const double *x, const double *y, size_t n, double *out_x, double *out_y)
{
    size_t stretches = n <= SVG_POINTS_MAX ? n : SVG_POINTS_MAX / 2;
    size_t kept = 0;
    for (size_t s = 0; s < stretches; s++) {
        size_t from = s * n / stretches;
        size_t to = (s + 1) * n / stretches;
        size_t low = from;
        size_t high = from;
        for (size_t i = from + 1; i < to; i++) {
            /* A gap loses against any point: a stretch is empty only if all of it is. */
            low = is_point(x[i], y[i]) && !(y[low] <= y[i]) ? i : low;
            high = is_point(x[i], y[i]) && !(y[high] >= y[i]) ? i : high;
        }
        size_t first = low < high ? low : high;
        size_t second = low < high ? high : low;
        out_x[kept] = x[first];
        out_y[kept++] = y[first];
        if (second != first) {
            out_x[kept] = x[second];
            out_y[kept++] = y[second];
        }
    }
    return kept;
}

static void write_line(const struct svg_chart *c, const struct svg_line *line, FILE *out)
{
    double x[SVG_POINTS_MAX];
    double y[SVG_POINTS_MAX];
    size_t n = svg_thin(line->x, line->y, line->n, x, y);
    fprintf(out, "<path class=\"c%u%s%s\" data-name=\"", line->colour % SVG_COLOURS,
            line->dashed ? " other" : "", line->broad ? " broad" : "");
    markup_text(out, line->name);
    fputs("\" d=\"", out);
    size_t run = 0; /* points since the last gap */
    for (size_t i = 0; i < n; i++) {
        double at_x = scale_at(&c->x.scale, x[i]) * VIEW;
        double at_y = (1 - scale_at(&c->y.scale, y[i])) * VIEW;
        if (!is_point(at_x, at_y)) {
            run = 0;
            continue;
        }
        fprintf(out, "%c%.1f %.1f", run++ ? 'L' : 'M', at_x, at_y);
        bool last = i + 1 == n || isnan(scale_at(&c->x.scale, x[i + 1])) ||
                    isnan(scale_at(&c->y.scale, y[i + 1]));
        if (run == 1 && last) {
            fprintf(out, "L%.1f %.1f", at_x, at_y); /* alone: a dot */
        }
    }
    fputs("\"/>\n", out);
}

static void write_title(const char *id, const char *title, FILE *out)
{
    fprintf(out,
            "<svg class=\"chart\" role=\"img\" width=\"100%%\" height=\"%d\" "
            "aria-labelledby=\"%s-title %s-desc\"",
            PLOT_HEIGHT, id, id);
    fprintf(out, ">\n<title id=\"%s-title\">", id);
    markup_text(out, title);
    fprintf(out, "</title>\n<desc id=\"%s-desc\">", id);
}

/* "orders from 0 to 12,400; " */
static void describe(const struct svg_line *line, enum unit unit, FILE *out)
{
    double low = NAN;
    double high = NAN;
    for (size_t i = 0; i < line->n; i++) {
        low = fmin(low, line->y[i]);
        high = fmax(high, line->y[i]);
    }
    char from[FIGURE_MAX];
    char to[FIGURE_MAX];
    markup_text(out, line->name);
    fprintf(out, "%s from %s to %s; ", line->dashed ? " of the other run" : "",
            figure(unit, low, from), figure(unit, high, to));
}

static void write_y_axis(const struct svg_axis *y, FILE *out)
{
    double ticks[SCALE_TICKS_MAX];
    unsigned n = scale_ticks(&y->scale, Y_TICKS, ticks);
    for (unsigned i = 0; i < n; i++) {
        double at = (1 - scale_at(&y->scale, ticks[i])) * PLOT_HEIGHT;
        char text[FIGURE_MAX];
        fprintf(out,
                "<line class=\"grid\" x1=\"0\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text class=\"y\" x=\"-8\" y=\"%.1f\">%s</text>\n",
                at, at, at + 4, figure_tick(y->unit, ticks[i], text));
    }
    fputs("<text class=\"axis\" x=\"-56\" y=\"-14\">", out);
    markup_text(out, y->label);
    fputs("</text>\n", out);
}

static void write_x_label(const char *label, FILE *out)
{
    fprintf(out, "<text class=\"axis end\" x=\"100%%\" y=\"%d\">", PLOT_HEIGHT + 38);
    markup_text(out, label);
    fputs("</text>\n", out);
}

/* Every second label is `minor`: a narrow page leaves it out. */
static void write_x_tick(double at, const char *text, bool minor, FILE *out)
{
    fprintf(out,
            "<line class=\"grid\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\"/>"
            "<text class=\"x%s\" x=\"%.2f%%\" y=\"%d\">",
            at * 100, at * 100, PLOT_HEIGHT + 4, minor ? " minor" : "", at * 100, PLOT_HEIGHT + 18);
    markup_text(out, text);
    fputs("</text>\n", out);
}

static void write_x_axis(const struct svg_axis *x, FILE *out)
{
    double ticks[SCALE_TICKS_MAX];
    unsigned n = scale_ticks(&x->scale, X_TICKS, ticks);
    for (unsigned i = 0; i < n; i++) {
        char text[FIGURE_MAX];
        write_x_tick(scale_at(&x->scale, ticks[i]), figure_tick(x->unit, ticks[i], text), i % 2,
                     out);
    }
    write_x_label(x->label, out);
}

static void write_data(const char *axis, const struct svg_axis *a, FILE *out)
{
    fprintf(out, " data-%s=\"%s %s %.17g %.17g\"", axis, scale_names[a->scale.kind],
            unit_names[a->unit], a->scale.min, a->scale.max);
}

void svg_chart(const struct svg_chart *c, FILE *out)
{
    fputs("<div class=\"plot\">", out);
    write_title(c->id, c->title, out);
    for (size_t i = 0; i < c->lines_n; i++) {
        describe(&c->lines[i], c->y.unit, out);
    }
    fputs("</desc>\n", out);
    write_y_axis(&c->y, out);
    write_x_axis(&c->x, out);
    fprintf(out,
            "<svg class=\"lines\" width=\"100%%\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "preserveAspectRatio=\"none\"",
            PLOT_HEIGHT, VIEW, VIEW);
    write_data("x", &c->x, out);
    write_data("y", &c->y, out);
    fputs(">\n", out);
    for (size_t i = 0; i < c->lines_n; i++) {
        write_line(c, &c->lines[i], out);
    }
    fputs("</svg>\n</svg></div>\n", out);
}

static void write_bar(const struct svg_bars *b, const struct svg_axis *y, size_t i, bool other,
                      FILE *out)
{
    double v = other ? b->others[i] : b->values[i];
    double height = scale_at(&y->scale, v) * PLOT_HEIGHT;
    if (!isfinite(height)) {
        return;
    }
    double slot = 100.0 / (double)b->n;
    double width = slot * (b->others ? 0.4 : 0.8);
    double x = slot * ((double)i + 0.1) + (other ? width : 0);
    char text[FIGURE_MAX];
    fprintf(out,
            "<rect class=\"%s\" x=\"%.2f%%\" y=\"%.1f\" width=\"%.2f%%\" height=\"%.1f\"><title>",
            other ? "c1 other" : "c0", x, PLOT_HEIGHT - height, width, height);
    markup_text(out, b->labels[i]);
    fprintf(out, ": %s%s</title></rect>\n", figure(UNIT_COUNT, v, text),
            other ? " in the other run" : "");
}

void svg_bars(const struct svg_bars *b, FILE *out)
{
    double high = 0;
    size_t highest = 0;
    for (size_t i = 0; i < b->n; i++) {
        highest = b->values[i] > b->values[highest] ? i : highest;
        high = fmax(high, fmax(b->values[i], b->others ? b->others[i] : 0));
    }
    char text[FIGURE_MAX];
    struct svg_axis y = {b->y_label, UNIT_COUNT, scale_from_zero(high)};
    fputs("<div class=\"plot\">", out);
    write_title(b->id, b->title, out);
    if (b->n > 0) {
        fprintf(out, "%s at most, at ", figure(UNIT_COUNT, b->values[highest], text));
        markup_text(out, b->labels[highest]);
    }
    fputs("</desc>\n", out);
    write_y_axis(&y, out);
    size_t stride = (b->n + BAR_LABELS - 1) / BAR_LABELS;
    for (size_t i = 0; i < b->n; i += stride) {
        write_x_tick(((double)i + 0.5) / (double)b->n, b->labels[i], i / stride % 2, out);
    }
    for (size_t i = 0; i < b->n; i++) {
        write_bar(b, &y, i, false, out);
        if (b->others) {
            write_bar(b, &y, i, true, out);
        }
    }
    write_x_label(b->x_label, out);
    fputs("</svg></div>\n", out);
}

void svg_legend(const struct svg_line *lines, size_t n, FILE *out)
{
    fputs("<p class=\"legend\">", out);
    for (size_t i = 0; i < n; i++) {
        bool named = false;
        for (size_t k = 0; k < i; k++) {
            named = named || strcmp(lines[k].name, lines[i].name) == 0;
        }
        if (!named) {
            fprintf(out, "<span><i class=\"c%u\"></i>", lines[i].colour % SVG_COLOURS);
            markup_text(out, lines[i].name);
            fputs("</span> ", out);
        }
    }
    fputs("</p>\n", out);
}
