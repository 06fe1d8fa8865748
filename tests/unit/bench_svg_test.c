#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/report/figure.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/report/markup.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/report/scale.c"  // NOLINT(bugprone-suspicious-include)
#include "../../bench/report/svg.c"    // NOLINT(bugprone-suspicious-include)

#include <float.h>
#include <stdlib.h>

enum { MANY = 100000 };

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void figures_are_grouped_and_carry_their_unit(void **state)
{
    static const struct {
        enum unit unit;
        double v;
        const char *text;
    } rows[] = {
        {UNIT_COUNT, 0, "0"},
        {UNIT_COUNT, 999, "999"},
        {UNIT_COUNT, 1234567, "1,234,567"},
        {UNIT_COUNT, -1234, "-1,234"},
        {UNIT_COUNT, 12.345, "12.3"},
        {UNIT_COUNT, 123.6, "124"},
        {UNIT_COUNT, 1e300, "1e+300"},
        {UNIT_COUNT, NAN, "–"},
        {UNIT_COUNT, INFINITY, "–"},
        {UNIT_PER_S, 40400, "40,400/s"},
        {UNIT_SECONDS, 12.5, "12.5 s"},
        {UNIT_US, 310, "310 µs"},
        {UNIT_US, 5200, "5.2 ms"},
        {UNIT_US, 2.5e6, "2.5 s"},
        {UNIT_SHARE, 0.5, "50 %"},
        {UNIT_SHARE, 0.99999, "99.999 %"},
        {UNIT_SHARE, 1, "100 %"},
        {UNIT_SHARE, 0.00012, "0.012 %"},
        {UNIT_RATIO, 1.254, "1.25 ×"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[FIGURE_MAX];
        assert_string_equal(figure(rows[i].unit, rows[i].v, text), rows[i].text);
    }
}

static void no_number_is_too_long_for_a_figure(void **state)
{
    static const double hard[] = {DBL_MAX, -DBL_MAX, DBL_MIN, -999999999999999.0, 1e15, 5e-324};
    for (size_t i = 0; i < sizeof(hard) / sizeof(hard[0]); i++) {
        for (int unit = UNIT_COUNT; unit <= UNIT_RATIO; unit++) {
            char text[FIGURE_MAX];
            assert_in_range(strlen(figure((enum unit)unit, hard[i], text)), 1, FIGURE_MAX - 2);
            assert_in_range(strlen(figure_tick((enum unit)unit, hard[i], text)), 1, FIGURE_MAX - 2);
        }
    }
}

static void a_scale_from_zero_ends_at_a_round_value(void **state)
{
    static const struct {
        double high, max;
    } rows[] = {{83, 100}, {100, 100}, {101, 150}, {0.62, 0.8}, {40400, 50000}, {0, 1}, {-5, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scale s = scale_from_zero(rows[i].high);
        print_message("%g\n", rows[i].high);
        assert_true(near(s.max, rows[i].max));
    }
    assert_true(near(scale_from_zero(NAN).max, 1));
}

static void values_lie_where_the_scale_says(void **state)
{
    struct scale linear = scale_exact(50);
    struct scale log = scale_log(120, 90000);
    struct scale nines = scale_nines(4);
    assert_true(near(log.min, 100) && near(log.max, 100000));
    assert_true(near(scale_at(&linear, 12.5), 0.25));
    assert_true(near(scale_at(&log, 1000), 1.0 / 3));
    assert_true(near(scale_at(&nines, 0), 0));
    assert_true(near(scale_at(&nines, 0.9), 0.25));
    assert_true(near(scale_at(&nines, 0.99), 0.5));
    assert_true(near(scale_at(&nines, 0.9999), 1));
    assert_true(near(scale_at(&nines, 1), 1)); /* beyond: at the end */
    assert_true(near(scale_at(&linear, 1e300), 1));
    assert_true(near(scale_at(&linear, -1), 0));
    assert_true(isnan(scale_at(&log, 0)));
    assert_true(isnan(scale_at(&log, -3)));
    assert_true(isnan(scale_at(&linear, NAN)));
}

static void assert_ticks(struct scale s, unsigned most, const double *want, unsigned want_n)
{
    double ticks[SCALE_TICKS_MAX];
    unsigned n = scale_ticks(&s, most, ticks);
    assert_int_equal(n, want_n);
    for (unsigned i = 0; i < n; i++) {
        assert_true(fabs(ticks[i] - want[i]) <= fabs(want[i]) * 1e-9);
    }
}

#define TICKS(scale, most, ...)                                              \
    do {                                                                     \
        const double want[] = {__VA_ARGS__};                                 \
        assert_ticks((scale), (most), want, sizeof(want) / sizeof(want[0])); \
    } while (0)

static void axes_are_marked_at_round_values(void **state)
{
    TICKS(scale_from_zero(83), 5, 0, 20, 40, 60, 80, 100);
    TICKS(scale_exact(12.3), 8, 0, 2, 4, 6, 8, 10, 12);
    TICKS(scale_log(120, 900), 5, 100, 200, 500, 1000);
    TICKS(scale_log(1, 1e6), 5, 1, 100, 1e4, 1e6);
    TICKS(scale_nines(3.2), 8, 0, 0.5, 0.9, 0.99, 0.999);
}

static void every_scale_stands_any_number(void **state)
{
    static const double hard[] = {DBL_MAX, -DBL_MAX, DBL_MIN, 5e-324, 0, NAN, INFINITY, -INFINITY};
    enum { HARD = sizeof(hard) / sizeof(hard[0]) };
    for (size_t i = 0; i < HARD; i++) {
        for (size_t k = 0; k < HARD; k++) {
            const struct scale scales[] = {scale_exact(hard[i]), scale_from_zero(hard[i]),
                                           scale_log(hard[i], hard[k]), scale_nines(hard[i])};
            for (size_t j = 0; j < sizeof(scales) / sizeof(scales[0]); j++) {
                double ticks[SCALE_TICKS_MAX];
                assert_true(scales[j].min < scales[j].max && isfinite(scales[j].max));
                assert_in_range(scale_ticks(&scales[j], 5, ticks), 1, SCALE_TICKS_MAX);
                double at = scale_at(&scales[j], hard[k]);
                assert_true(isnan(at) || (at >= 0 && at <= 1));
            }
        }
    }
}

static void a_long_line_is_thinned_and_keeps_its_peaks(void **state)
{
    double *x = calloc(MANY, sizeof(*x));
    double *y = calloc(MANY, sizeof(*y));
    double out_x[SVG_POINTS_MAX];
    double out_y[SVG_POINTS_MAX];
    assert_non_null(x);
    assert_non_null(y);
    for (int i = 0; i < MANY; i++) {
        x[i] = i;
        y[i] = i % 7;
    }
    y[31234] = 1000;
    y[70001] = -1000;
    size_t n = svg_thin(x, y, MANY, out_x, out_y);
    assert_in_range(n, SVG_POINTS_MAX / 2, SVG_POINTS_MAX);
    bool high = false;
    bool low = false;
    for (size_t i = 0; i < n; i++) {
        high = high || (out_x[i] == 31234 && out_y[i] == 1000);
        low = low || (out_x[i] == 70001 && out_y[i] == -1000);
        assert_true(i == 0 || out_x[i] > out_x[i - 1]);
    }
    assert_true(high && low);
    free(x);
    free(y);
}

static void a_short_line_stays_as_it_is(void **state)
{
    const double x[] = {0, 1, 2};
    const double y[] = {5, NAN, 6};
    double out_x[SVG_POINTS_MAX];
    double out_y[SVG_POINTS_MAX];
    assert_int_equal(svg_thin(x, y, 3, out_x, out_y), 3);
    assert_true(out_y[0] == 5 && isnan(out_y[1]) && out_y[2] == 6);
    assert_int_equal(svg_thin(x, y, 0, out_x, out_y), 0);
}

static char *drawn(const struct svg_line *lines, size_t n)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    const struct svg_chart chart = {"id",
                                    "A <title>",
                                    {"time", UNIT_SECONDS, scale_exact(10)},
                                    {"n", UNIT_COUNT, scale_from_zero(100)},
                                    lines,
                                    n};
    svg_chart(&chart, out);
    svg_legend(lines, n, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void lines_are_drawn_with_their_gaps(void **state)
{
    const double x[] = {0, 5, 6, 7, 8, 10};
    const double y[] = {0, 50, NAN, 100, NAN, 25};
    const struct svg_line lines[] = {{.name = "a&b", .colour = 2, .n = 6, .x = x, .y = y},
                                     {.name = "a&b", .dashed = true, .n = 1, .x = x, .y = y}};
    char *text = drawn(lines, 2);
    assert_non_null(strstr(text,
                           "<path class=\"c2\" data-name=\"a&amp;b\" d=\"M0.0 1000.0L500.0 500.0"
                           "M700.0 0.0L700.0 0.0M1000.0 750.0L1000.0 750.0\"/>"));
    assert_non_null(strstr(text, "class=\"c0 other\""));
    assert_non_null(strstr(text, "<title id=\"id-title\">A &lt;title&gt;</title>"));
    assert_non_null(strstr(text, "a&amp;b from 0 to 100; a&amp;b of the other run from 0 to 0; "));
    char *legend = strstr(text, "class=\"legend\"");
    assert_non_null(legend);
    char *name = strstr(legend, "a&amp;b");
    assert_non_null(name);
    assert_null(strstr(name + 1, "a&amp;b"));
    free(text);
}

static void hostile_text_is_escaped(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    markup_text(out, "</svg><script>\"'&\x01\x7f\xef\xbf\xbf\n\xc3\xa9");
    markup_text(out, NULL);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "&lt;/svg&gt;&lt;script&gt;&quot;&#39;&amp;\xef\xbf\xbd\xef\xbf\xbd"
                              "\xef\xbf\xbd\n\xc3\xa9");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_grouped_and_carry_their_unit),
        cmocka_unit_test(no_number_is_too_long_for_a_figure),
        cmocka_unit_test(a_scale_from_zero_ends_at_a_round_value),
        cmocka_unit_test(values_lie_where_the_scale_says),
        cmocka_unit_test(axes_are_marked_at_round_values),
        cmocka_unit_test(every_scale_stands_any_number),
        cmocka_unit_test(a_long_line_is_thinned_and_keeps_its_peaks),
        cmocka_unit_test(a_short_line_stays_as_it_is),
        cmocka_unit_test(lines_are_drawn_with_their_gaps),
        cmocka_unit_test(hostile_text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
