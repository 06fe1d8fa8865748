/* flatjson_test.c - texts that are taken, texts that are refused and whom the refusal blames. */
#include "base/flatjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_LEN = 8 };

/* The one shape all tests read: a required string, an optional integer, an optional string. */
struct read {
    char name[NAME_MAX_LEN + 1];
    char note[65];
    size_t name_len;
    int64_t qty;
    struct flat_field fields[3];
    struct flat_error error;
};

static enum status read_text(struct read *rd, struct str text, enum flat_unknown unknown)
{
    *rd = (struct read){.qty = 77};
    rd->fields[0] = (struct flat_field){"name",   FLAT_STR,      true, NAME_MAX_LEN,
                                        rd->name, &rd->name_len, NULL, false};
    rd->fields[1] =
        (struct flat_field){"qty", FLAT_INT, false, 0, NULL, NULL, &rd->qty, true /* stale */};
    rd->fields[2] = (struct flat_field){"note", FLAT_STR, false, 64, rd->note, NULL, NULL, false};
    /* A copy without room to spare, so that the sanitizer sees a read past the end. */
    char *copy = malloc(text.n ? text.n : 1);
    memcpy(copy, text.p, text.n);
    enum status st = flatjson_read((struct str){copy, text.n}, unknown, rd->fields, 3, &rd->error);
    free(copy);
    return st;
}

static void test_strings(void **state)
{
    static const struct {
        struct str json, want;
    } cases[] = {
        {STR("{\"name\":\"abc\"}"), STR("abc")},
        {STR("{\"name\":\"\"}"), STR("")},
        {STR(" \t\r\n{ \"name\" \n:\t\"abc\" \r} \n"), STR("abc")},
        {STR("{\"name\":\"12345678\"}"), STR("12345678")},
        {STR("{\"name\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"), STR("\"\\/\b\f\n\r\t")},
        {STR("{\"name\":\"\\u0041\\u00e9\"}"), STR("A\xc3\xa9")},
        {STR("{\"name\":\"\\u007f\\u0080\\u07fF\"}"), STR("\x7f\xc2\x80\xdf\xbf")},
        {STR("{\"name\":\"\\u0800\\uFFFF\"}"), STR("\xe0\xa0\x80\xef\xbf\xbf")},
        {STR("{\"name\":\"\\ud83d\\ude00\"}"), STR("\xf0\x9f\x98\x80")},
        {STR("{\"name\":\"\\uD800\\uDC00\"}"), STR("\xf0\x90\x80\x80")},
        {STR("{\"name\":\"\\udbff\\udfff\"}"), STR("\xf4\x8f\xbf\xbf")},
        {STR("{\"name\":\"\xf0\x9f\x98\x80\xe4\xb8\xad\x7f\"}"),
         STR("\xf0\x9f\x98\x80\xe4\xb8\xad\x7f")},
        {STR("{\"n\\u0061me\":\"abc\"}"), STR("abc")},
        {STR("{\"qty\":1,\"name\":\"abc\",\"note\":\"x\"}"), STR("abc")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct read rd;
        if (read_text(&rd, cases[i].json, FLAT_REFUSE_UNKNOWN) != ST_OK)
            fail_msg("%s: %s", cases[i].json.p, rd.error.why);
        if (!str_equal((struct str){rd.name, rd.name_len}, cases[i].want))
            fail_msg("%s: read '%s'", cases[i].json.p, rd.name);
        assert_int_equal(rd.name[rd.name_len], '\0');
        assert_true(rd.fields[0].seen);
    }
}

static void test_integers(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-1", true, -1},
        {"1234567890", true, 1234567890},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551617", false, 0},
        {"99999999999999999999999999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1.5", false, 0},
        {"1e2", false, 0},
        {"1E+2", false, 0},
        {"0e0", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
        {"{}", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct read rd;
        char json[128] = "{\"name\":\"a\",\"qty\":";
        strcat(json, cases[i].text);
        strcat(json, "}");
        enum status st = read_text(&rd, str_from(json), FLAT_REFUSE_UNKNOWN);
        if ((st == ST_OK) != cases[i].good || (st == ST_OK && rd.qty != cases[i].want))
            fail_msg("%s: %s, %lld", json, status_info(st)->name, (long long)rd.qty);
        if (st != ST_OK)
            assert_string_equal(rd.error.param, "qty");
    }
}

/* Refused whatever is done with unknown fields. */
static const struct {
    struct str json;
    const char *param; /* who is blamed; NULL: nobody */
    const char *why;
} refused[] = {
    /* not an object, or not only one */
    {STR(""), NULL, "not a JSON object"},
    {STR(" "), NULL, "not a JSON object"},
    {STR("null"), NULL, "not a JSON object"},
    {STR("[{\"name\":\"a\"}]"), NULL, "not a JSON object"},
    {STR("\xef\xbb\xbf{\"name\":\"a\"}"), NULL, "not a JSON object"},
    {STR("{\"name\":\"a\"}x"), NULL, "behind"},
    {STR("{\"name\":\"a\"}{}"), NULL, "behind"},
    {STR("{\"name\":\"a\"}\0"), NULL, "behind"},
    {STR("{\"name\":\"a\"}\f"), NULL, "behind"},
    /* grammar */
    {STR("{"), NULL, "not valid JSON"},
    {STR("{\"name"), NULL, "not valid JSON"},
    {STR("{\"name\""), NULL, "not valid JSON"},
    {STR("{\"name\":"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\""), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\","), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",}"), NULL, "not valid JSON"},
    {STR("{,\"name\":\"a\"}"), NULL, "not valid JSON"},
    {STR("{\"name\" \"a\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\" \"qty\":1}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\";\"qty\":1}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\"]"), NULL, "not valid JSON"},
    {STR("{name:\"a\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\"/**/}"), NULL, "not valid JSON"},
    {STR("{1:2}"), NULL, "not valid JSON"},
    /* strings */
    {STR("{\"name\":'a'}"), "name", "must be a string"},
    {STR("{\"name\":1}"), "name", "must be a string"},
    {STR("{\"name\":null}"), "name", "must be a string"},
    {STR("{\"name\":[\"a\"]}"), "name", "must be a string"},
    {STR("{\"name\":\"a\nb\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\x1f\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\0\"}"), NULL, "not valid JSON"},
    {STR("{\"na\0me\":\"a\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\\u0000\"}"), "name", "U+0000"},
    {STR("{\"name\":\"\\x\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\\0\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\U0041\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\u004"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\u004g\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\u+041\"}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"\\ud800\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800x\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\udc00\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\udc00\\ud800\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\udc00\\udc00\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800\\"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800\\u0041\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800\\ud800\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800\\n\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\\ud800\\udc0"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"123456789\"}"), "name", "too long"},
    {STR("{\"name\":\"1234567\\u00e9\"}"), "name", "too long"},
    {STR("{\"name\":\"123456789\\u00e9\\u00e9\"}"), "name", "too long"},
    /* UTF-8 */
    {STR("{\"name\":\"\x80\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\xc3\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\xc0\xaf\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\xed\xa0\x80\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\xf4\x90\x80\x80\"}"), NULL, "not valid UTF-8"},
    {STR("{\"name\":\"\xe4\xb8"), NULL, "not valid UTF-8"},
    {STR("{\"\xff\":\"a\"}"), NULL, "not valid UTF-8"},
    /* numbers */
    {STR("{\"name\":\"a\",\"qty\":01}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":-01}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":00}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":-}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":--1}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":1.}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":1e}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":1e+}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":0x1}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":1 2}"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":1"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":"), NULL, "not valid JSON"},
    {STR("{\"name\":\"a\",\"qty\":+1}"), "qty", "must be an integer"},
    {STR("{\"name\":\"a\",\"qty\":.5}"), "qty", "must be an integer"},
    {STR("{\"name\":\"a\",\"qty\":NaN}"), "qty", "must be an integer"},
    /* fields */
    {STR("{}"), "name", "required"},
    {STR("{\"qty\":1}"), "name", "required"},
    {STR("{\"name\":\"a\",\"name\":\"a\"}"), "name", "twice"},
    {STR("{\"name\":\"a\",\"n\\u0061me\":\"a\"}"), "name", "twice"},
    {STR("{\"qty\":1,\"name\":\"a\",\"qty\":1}"), "qty", "twice"},
};

static void test_refused(void **state)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        for (int unknown = FLAT_REFUSE_UNKNOWN; unknown <= FLAT_SKIP_UNKNOWN; unknown++) {
            struct read rd;
            if (read_text(&rd, refused[i].json, (enum flat_unknown)unknown) != ST_INVALID_REQUEST)
                fail_msg("%s was taken", refused[i].json.p);
            if (!strstr(rd.error.why, refused[i].why))
                fail_msg("%s: %s", refused[i].json.p, rd.error.why);
            if (refused[i].param && rd.error.param)
                assert_string_equal(rd.error.param, refused[i].param);
            else
                assert_true(!refused[i].param && !rd.error.param);
        }
    }
}

#define EIGHT_OPEN  "[[[[[[[["
#define EIGHT_CLOSE "]]]]]]]]"

/* Members beside the known ones: always refused when asked to, else when they are no JSON. */
static const struct {
    struct str member;
    bool good; /* may be skipped */
} members[] = {
    {STR("\"x\":1"), true},
    {STR("\"\":1"), true},
    {STR("\"Name\":1"), true},
    {STR("\"name \":1"), true},
    {STR("\"name\\u0000\":1"), true},
    {STR("\"nam\":1"), true},
    {STR("\"x\":1,\"x\":2"), true},
    {STR("\"x\":-0.5e-7"), true},
    {STR("\"x\":1e999999"), true},
    {STR("\"x\":99999999999999999999999"), true},
    {STR("\"x\":true,\"y\":false,\"z\":null"), true},
    {STR("\"x\":\"\\u0000 \xc3\xa9 \\ud83d\\ude00\""), true},
    {STR("\"x\":[],\"y\":{}"), true},
    {STR("\"x\": [ 1 , \"]\" , { \"name\" : \"b\" , \"qty\" : 1.5 } ] "), true},
    {STR("\"x\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}"), true},
    {STR("\"x\":" EIGHT_OPEN EIGHT_CLOSE), true},
    {STR("\"x\":" EIGHT_OPEN "1" EIGHT_CLOSE ",\"y\":" EIGHT_OPEN "1" EIGHT_CLOSE), true},
    {STR("\"x\":[" EIGHT_OPEN EIGHT_CLOSE "]"), false},
    {STR("\"x\":{\"a\":" EIGHT_OPEN EIGHT_CLOSE "}"), false},
    {STR("\"x\":[1,]"), false},
    {STR("\"x\":[,1]"), false},
    {STR("\"x\":[1 2]"), false},
    {STR("\"x\":[1}"), false},
    {STR("\"x\":{\"a\":1]"), false},
    {STR("\"x\":{\"a\"}"), false},
    {STR("\"x\":{\"a\":1,}"), false},
    {STR("\"x\":{a:1}"), false},
    {STR("\"x\":tru"), false},
    {STR("\"x\":True"), false},
    {STR("\"x\":nul"), false},
    {STR("\"x\":nulll"), false},
    {STR("\"x\":01"), false},
    {STR("\"x\":1."), false},
    {STR("\"x\":.1"), false},
    {STR("\"x\":+1"), false},
    {STR("\"x\":NaN"), false},
    {STR("\"x\":"), false},
    {STR("\"x\":\"\\ud800\""), false},
    {STR("\"x\":\"\xc0\x80\""), false},
    {STR("\"x\":\"\t\""), false},
    {STR("\"x\":[\"\x01\"]"), false},
    {STR("\"x\":{\"\x01\":1}"), false},
};

static void test_unknown(void **state)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct read rd;
        char json[256] = "{\"name\":\"a\",";
        size_t n = strlen(json);
        memcpy(json + n, members[i].member.p, members[i].member.n);
        n += members[i].member.n;
        memcpy(json + n, ",\"qty\":5}", 9);
        struct str text = {json, n + 9};
        enum status st = read_text(&rd, text, FLAT_SKIP_UNKNOWN);
        if ((st == ST_OK) != members[i].good)
            fail_msg("%s: %s", json, status_info(st)->name);
        if (st == ST_OK)
            assert_true(rd.qty == 5 && strcmp(rd.name, "a") == 0);
        assert_int_equal(read_text(&rd, text, FLAT_REFUSE_UNKNOWN), ST_INVALID_REQUEST);
        assert_null(rd.error.param);
    }
}

/* A key is compared whole, up to the longest name a field may have and past it. */
static void test_long_key(void **state)
{
    char name[65], json[128];
    memset(name, 'q', 64);
    name[64] = '\0';
    for (size_t n = 63; n <= 66; n++) {
        int64_t value = 0;
        struct flat_error error;
        struct flat_field field = {name, FLAT_INT, false, 0, NULL, NULL, &value, false};
        memset(json, 'q', sizeof(json));
        memcpy(json, "{\"", 2);
        memcpy(json + 2 + n, "\":1}", 4);
        struct str text = {json, n + 6};
        assert_int_equal(flatjson_read(text, FLAT_SKIP_UNKNOWN, &field, 1, &error), ST_OK);
        assert_int_equal(field.seen, n == 64);
        assert_int_equal(value, n == 64);
    }
}

static void test_long_string(void **state)
{
    static char json[100000];
    struct read rd;
    memset(json, 'x', sizeof(json));
    memcpy(json, "{\"name\":\"", 9);
    memcpy(json + sizeof(json) - 2, "\"}", 2);
    struct str text = {json, sizeof(json)};
    assert_int_equal(read_text(&rd, text, FLAT_REFUSE_UNKNOWN), ST_INVALID_REQUEST);
    assert_string_equal(rd.error.param, "name");
    assert_string_equal(rd.error.why, "This field is too long.");
}

static void test_deep_nesting_is_refused(void **state)
{
    static char json[2100];
    struct read rd;
    static const char opening[2] = {'[', '{'};
    for (size_t i = 0; i < 2; i++) {
        size_t n = (size_t)sprintf(json, "{\"name\":\"a\",\"x\":");
        for (int k = 0; k < 1000; k++)
            json[n++] = opening[i];
        assert_int_equal(read_text(&rd, (struct str){json, n}, FLAT_SKIP_UNKNOWN),
                         ST_INVALID_REQUEST);
    }
    size_t n = (size_t)sprintf(json, "{\"name\":\"a\",\"x\":");
    memset(json + n, '[', 1000);
    memset(json + n + 1000, ']', 1000);
    json[n + 2000] = '}';
    assert_int_equal(read_text(&rd, (struct str){json, n + 2001}, FLAT_SKIP_UNKNOWN),
                     ST_INVALID_REQUEST);
    assert_string_equal(rd.error.why, "The JSON is nested too deep.");
}

/* Every text cut short anywhere is refused; every byte of it set to anything is at least survived.
 */
static void test_cut_and_damaged(void **state)
{
    char json[] = "{\"name\":\"\\u0041\xc3\xa9\",\"x\":[{\"y\":-1.5e3},true],\"qty\":12}";
    struct read rd;
    assert_int_equal(read_text(&rd, str_from(json), FLAT_SKIP_UNKNOWN), ST_OK);
    for (size_t n = 0; n < sizeof(json) - 1; n++)
        assert_int_equal(read_text(&rd, (struct str){json, n}, FLAT_SKIP_UNKNOWN),
                         ST_INVALID_REQUEST);
    for (size_t i = 0; i < sizeof(json) - 1; i++) {
        char was = json[i];
        for (int c = 0; c < 256; c++) {
            json[i] = (char)c;
            enum status st =
                read_text(&rd, (struct str){json, sizeof(json) - 1}, FLAT_SKIP_UNKNOWN);
            assert_true(st == ST_OK || st == ST_INVALID_REQUEST);
        }
        json[i] = was;
    }
}

static void test_optional_fields_keep_their_value(void **state)
{
    struct read rd;
    assert_int_equal(read_text(&rd, STR("{\"name\":\"a\"}"), FLAT_REFUSE_UNKNOWN), ST_OK);
    assert_int_equal(rd.qty, 77);
    assert_true(rd.fields[0].seen);
    assert_false(rd.fields[1].seen);
    assert_false(rd.fields[2].seen);
}

static const struct {
    struct str text;
    bool valid;
} texts[] = {
    {{NULL, 0}, true},
    {STR("plain \0 and DEL \x7f"), true},
    {STR("\xc2\x80\xdf\xbf"), true},
    {STR("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"), true},
    {STR("\xf0\x90\x80\x80\xf3\xbf\xbf\xbf\xf4\x8f\xbf\xbf"), true},
    {STR("\x80"), false},
    {STR("\xbf"), false},
    {STR("\xc0\x80"), false},
    {STR("\xc1\xbf"), false},
    {STR("\xc2"), false},
    {STR("\xc2\x7f"), false},
    {STR("\xc2\xc0"), false},
    {STR("\xe0\x9f\xbf"), false},
    {STR("\xe1\x80"), false},
    {STR("\xe1\x80\xc0"), false},
    {STR("\xed\xa0\x80"), false},
    {STR("\xed\xbf\xbf"), false},
    {STR("\xf0\x8f\xbf\xbf"), false},
    {STR("\xf1\x80\x80"), false},
    {STR("\xf1\x80\x80\x7f"), false},
    {STR("\xf4\x90\x80\x80"), false},
    {STR("\xf5\x80\x80\x80"), false},
    {STR("\xfe"), false},
    {STR("\xff"), false},
    {STR("ok\xc3\xa9\xc3"), false},
};

static void test_utf8(void **state)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (utf8_valid(texts[i].text) != texts[i].valid)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_long_string),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_cut_and_damaged),
        cmocka_unit_test(test_optional_fields_keep_their_value),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
