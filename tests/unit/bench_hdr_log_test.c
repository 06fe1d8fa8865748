#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/hdr_code.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/hdr_log.c"  // NOLINT(bugprone-suspicious-include)
#include "../../bench/hist.c"     // NOLINT(bugprone-suspicious-include)
#include "../../bench/text.c"     // NOLINT(bugprone-suspicious-include)

static struct hist *fresh(void)
{
    struct hist *h = calloc(1, sizeof(*h));
    assert_non_null(h);
    return h;
}

/* --- the encoding ----------------------------------------------------------------------------- */

static void test_what_is_written_is_read(void **state)
{
    struct hist *h = fresh(), *back = fresh();
    uint8_t *bytes;
    size_t n;
    for (int64_t us = 0; us < HIST_MAX_US; us += 1 + us / 3) {
        hist_record_n(h, us, 1 + (uint64_t)us % 1000);
    }
    hist_record_n(h, 77, UINT64_C(1) << 40);
    assert_int_equal(hdr_encode(h, &bytes, &n), ST_OK);
    assert_null(hdr_decode(bytes, n, back));
    assert_memory_equal(back->counts, h->counts, sizeof(h->counts));
    assert_int_equal(back->n, h->n);
    assert_null(hdr_decode(bytes, n, back)); /* adds */
    assert_int_equal(back->n, 2 * h->n);
    free(bytes);
    free(h);
    free(back);
}

static void test_counters_of_any_size(void **state)
{
    static const int64_t values[] = {0,    1,     -1,        63,        -64,       64,          -65,
                                     8191, -8192, INT64_MAX, INT64_MIN, 1LL << 62, -(1LL << 55)};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t bytes[LEB_MAX];
        const uint8_t *at = bytes;
        int64_t v = 0;
        const uint8_t *end = put_leb(bytes, values[i]);
        assert_true(end <= bytes + LEB_MAX);
        assert_true(get_leb(&at, end, &v));
        assert_int_equal(v, values[i]);
        assert_ptr_equal(at, end);
        at = bytes;
        assert_false(get_leb(&at, end - 1, &v));
    }
}

/* A line that HdrHistogram's documentation shows as an example of its format. */
static void test_a_log_of_others(void **state)
{
    static const char line[] =
        "HISTFAAAAEV42pNpmSzMwMCgyAABTBDKT4GBgdnNYMcCBvsPEBEJISEuATEZMQ4uASkhIR4nrxg9v2lMaxhvMekIL"
        "GZkKmcCAEf2CsI=";
    uint8_t bytes[sizeof(line)];
    size_t n = 0;
    struct hist *h = fresh();
    assert_true(decode_base64(line, bytes, &n));
    assert_null(hdr_decode(bytes, n, h));
    assert_true(h->n > 0);
    free(h);
}

static void test_broken_bytes_are_refused(void **state)
{
    struct hist *h = fresh();
    uint8_t *bytes, copy[256];
    size_t n;
    hist_record_n(h, 5, 3);
    hist_record_n(h, 5000, 1);
    assert_int_equal(hdr_encode(h, &bytes, &n), ST_OK);
    assert_true(n < sizeof(copy));
    for (size_t cut = 0; cut < n; cut++) {
        assert_non_null(hdr_decode(bytes, cut, h));
    }
    for (size_t i = 0; i < n; i++) { /* whatever it makes of it, it stays inside its bounds */
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, bytes, n);
            copy[i] = (uint8_t)(copy[i] ^ 1u << bit);
            (void)hdr_decode(copy, n, h);
        }
    }
    free(bytes);
    free(h);
}

/* Counters that no clock shows, in bytes that are otherwise right. */
static void test_absurd_contents_are_refused(void **state)
{
    struct hist *h = fresh();
    uint8_t plain[HEADER + 4 * LEB_MAX] = {0};
    static const struct {
        uint64_t digits, lowest;
        int64_t counters[2];
        bool fits;
    } cases[] = {
        {3, 1, {5, 7}, true},
        {3, 1000, {5, 7}, true},
        {6, 1, {5, 7}, false},
        {3, 0, {5, 7}, false},
        {3, 1, {-5, 7}, true},
        {3, 1, {-1000000, 7}, false},
        {3, 1, {INT64_MIN, 7}, false},
        {0, 1, {-30, 7}, true},
        {3, 1LL << 33, {5, 7}, false},
        {3, 1, {-5, -5}, true},
        {3, 1, {-5000000000, 5}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *end = put_leb(plain + HEADER, cases[i].counters[0]);
        end = put_leb(end, cases[i].counters[1]);
        put(plain, COOKIE, 4);
        put(plain + 4, (uint64_t)(end - plain - HEADER), 4);
        put(plain + 12, cases[i].digits, 4);
        put(plain + 16, cases[i].lowest, 8);
        const char *why = read_plain(plain, (size_t)(end - plain), h);
        if (cases[i].fits != (why == NULL)) {
            fail_msg("case %zu: %s", i, why ? why : "taken");
        }
    }
    free(h);
}

/* --- the log ---------------------------------------------------------------------------------- */

struct seen {
    unsigned n;
    char tag[4][HDR_TAG_MAX + 1];
    uint64_t values[4];
    double start_s[4];
};

static enum status note(void *arg, const struct hdr_log_entry *e)
{
    struct seen *s = arg;
    assert_true(s->n < 4);
    memcpy(s->tag[s->n], e->tag, sizeof(e->tag));
    s->start_s[s->n] = e->start_s;
    s->values[s->n++] = e->hist->n;
    return ST_OK;
}

static void test_a_log_is_read_as_it_was_written(void **state)
{
    char error[160] = "", *text = NULL;
    size_t size = 0;
    struct hist *h = fresh();
    struct seen seen = {0};
    FILE *out = open_memstream(&text, &size);
    hdr_log_begin(out, 1700000000123);
    hist_record(h, 1234);
    assert_int_equal(hdr_log_write(out, "orders", 0, 1, h), ST_OK);
    hist_record(h, 5678);
    assert_int_equal(hdr_log_write(out, "", 1, 0.5, h), ST_OK);
    fclose(out);
    assert_non_null(strstr(text, "#[StartTime: 1700000000.123 "));
    FILE *in = fmemopen(text, size, "r");
    assert_int_equal(hdr_log_read(in, note, &seen, error, sizeof(error)), ST_OK);
    fclose(in);
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.tag[0], "orders");
    assert_string_equal(seen.tag[1], "");
    assert_int_equal(seen.values[0], 1);
    assert_int_equal(seen.values[1], 2);
    assert_true(seen.start_s[1] == 1);
    free(text);
    free(h);
}

static const struct {
    const char *line, *why;
} faults[] = {
    {"nonsense", "commas"},
    {"1,2", "commas"},
    {"1,x,3,HIST", "commas"},
    {"-1,2,3,HIST", "commas"},
    {"1,2,3,", "base64"},
    {"1,2,3,!!!!", "base64"},
    {"1,2,3,AAAA", "another version"},
    {"Tag=x", "nothing follows"},
    {"Tag=12345678901234567890123456789012,1,2,3,AAAA", "too long"},
};

static void test_faults_have_their_line(void **state)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char text[256], error[160] = "";
        struct seen seen = {0};
        int n = snprintf(text, sizeof(text), "#[comment]\n\n%s\n", faults[i].line);
        FILE *in = fmemopen(text, (size_t)n, "r");
        assert_int_equal(hdr_log_read(in, note, &seen, error, sizeof(error)), ST_INVALID_REQUEST);
        fclose(in);
        if (!strstr(error, "line 3: ") || !strstr(error, faults[i].why)) {
            fail_msg("%s: %s", faults[i].line, error);
        }
    }
}

static void test_what_has_no_lines_is_not_read_for_ever(void **state)
{
    char error[160] = "";
    struct seen seen = {0};
    FILE *in = fopen("/dev/zero", "re");
    assert_int_equal(hdr_log_read(in, note, &seen, error, sizeof(error)), ST_INVALID_REQUEST);
    fclose(in);
    assert_string_equal(error, "line 1: is too long, or no text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_counters_of_any_size),
        cmocka_unit_test(test_a_log_of_others),
        cmocka_unit_test(test_broken_bytes_are_refused),
        cmocka_unit_test(test_absurd_contents_are_refused),
        cmocka_unit_test(test_a_log_is_read_as_it_was_written),
        cmocka_unit_test(test_faults_have_their_line),
        cmocka_unit_test(test_what_has_no_lines_is_not_read_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
