/* sale_body_test.c - the body of POST /v1/sales: what is taken, and which field is blamed
 * otherwise. */
#include "api/sale_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM "{\"sku\":\"tea\",\"name\":\"Tea\",\"price\":9900,\"stock\":10,\"limit\":2}"

static const char good[] =
    "{\"id\":\"sale_1\",\"name\":\"Singles' day\",\"kind\":\"flash\",\"currency\":\"CNY\","
    "\"starts_at\":\"2026-11-11T00:00:00Z\",\"ends_at\":\"2026-11-12T00:00:00Z\","
    "\"pay_within_s\":900,\"shards\":4,\"items\":[" ITEM "]}";

/* Parses and reads text; frees all. The text ends at a byte that may not be touched. */
static bool take(const char *text, size_t n, struct new_sale *sale, struct body_error *e)
{
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    memset(e, 0, sizeof(*e));
    *sale = (struct new_sale){0};
    json_t *root = body_parse((struct str){copy, n}, false, e);
    free(copy);
    bool ok = root && body_sale(root, sale, e);
    free((void *)sale->item);
    json_decref(root);
    return ok;
}

/* --- the JSON itself -----------------------------------------------------------------------------
 */

static void test_parse(void **state)
{
    static const struct {
        struct str body;
        bool ok;
    } cases[] = {
        {STR("{}"), true},
        {STR(" \t\r\n{ } \n"), true},
        {STR("{\"a\":{\"b\":[1,2.5,-3e4,true,false,null,\"\\u00e9\xc3\xa9\"]}}"), true},
        {STR("{\"a\":\"[[[[[[[[[[[[[[[[[[[[{{{{{{{{{{{{{{{{{{{{\\\"[[[[[[[[[[[[[[[[[[[[\"}"), true},
        {STR(""), false},
        {STR(" "), false},
        {STR("[]"), false},
        {STR("1"), false},
        {STR("\"a\""), false},
        {STR("null"), false},
        {STR("{"), false},
        {STR("{}}"), false},
        {STR("{} {}"), false},
        {STR("{\"a\":1,}"), false},
        {STR("{'a':1}"), false},
        {STR("{a:1}"), false},
        {STR("{\"a\":01}"), false},
        {STR("{\"a\":NaN}"), false},
        {STR("{/**/}"), false},
        {STR("\xef\xbb\xbf{}"), false},
        /* duplicates, at any depth and however they are spelled */
        {STR("{\"a\":1,\"a\":1}"), false},
        {STR("{\"b\":[{\"a\":1,\"\\u0061\":2}]}"), false},
        /* NUL, as a byte and as an escape */
        {STR("{\"a\":1\0}"), false},
        {STR("{}\0"), false},
        {STR("{\"a\":\"\\u0000\"}"), false},
        {STR("{\"\\u0000\":1}"), false},
        /* text that is not UTF-8 */
        {STR("{\"a\":\"\xff\"}"), false},
        {STR("{\"a\":\"\xc0\xaf\"}"), false},
        {STR("{\"a\":\"\xed\xa0\x80\"}"), false},
        {STR("{\"a\":\"\\ud800\"}"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct body_error e;
        json_t *root = body_parse(cases[i].body, false, &e);
        if (!!root != cases[i].ok)
            fail_msg("case %zu: %s", i, cases[i].body.p);
        if (!root) {
            assert_string_equal(e.param, "");
            assert_non_null(e.why);
        }
        json_decref(root);
    }
}

static void test_no_body(void **state)
{
    struct body_error e;
    json_t *root = body_parse((struct str){0}, true, &e);
    assert_true(json_is_object(root));
    assert_int_equal(json_object_size(root), 0);
    json_decref(root);
    assert_null(body_parse((struct str){0}, false, &e));
    assert_null(body_parse(STR(" "), true, &e)); /* white space is a body, and not an object */
}

/* Sixteen levels and no more, however they are made up. */
static void test_depth(void **state)
{
    static const struct {
        const char *open, *close;
    } kinds[] = {{"[", "]"}, {"{\"k\":", "}"}};
    for (int k = 0; k < 2; k++) {
        for (int depth = 1; depth <= 40; depth++) {
            char text[512] = "{\"a\":";
            for (int i = 1; i < depth; i++)
                strcat(text, kinds[k].open);
            strcat(text, "1");
            for (int i = 1; i < depth; i++)
                strcat(text, kinds[k].close);
            strcat(text, "}");
            struct body_error e;
            json_t *root = body_parse(str_from(text), false, &e);
            assert_int_equal(!!root, depth <= 16);
            json_decref(root);
        }
    }
}

static void test_deep_and_long(void **state)
{
    enum { N = 1 << 20 };
    char *text = malloc(N);
    struct body_error e;
    memset(text, '[', N);
    assert_null(body_parse((struct str){text, N}, false, &e));
    free(text);
}

/* --- a sale --------------------------------------------------------------------------------------
 */

static void test_good_sale(void **state)
{
    struct body_error e = {0};
    struct new_sale s = {0};
    json_t *root = body_parse(STR(good), false, &e);
    assert_true(body_sale(root, &s, &e));
    assert_true(str_equal(s.id, STR("sale_1")));
    assert_true(str_equal(s.name, STR("Singles' day")));
    assert_true(str_equal(s.currency, STR("CNY")));
    assert_true(s.starts_ms == 1794355200000);
    assert_true(s.ends_ms == 1794355200000 + 86400000);
    assert_int_equal(s.pay_within_s, 900);
    assert_int_equal(s.shards, 4);
    assert_int_equal(s.items, 1);
    assert_true(str_equal(s.item[0].sku, STR("tea")));
    assert_true(str_equal(s.item[0].name, STR("Tea")));
    assert_int_equal(s.item[0].price, 9900);
    assert_int_equal(s.item[0].list_price, -1);
    assert_int_equal(s.item[0].stock, 10);
    assert_int_equal(s.item[0].limit, 2);
    free((void *)s.item);
    json_decref(root);
}

/* The good body with one part put in the place of another. */
static void with(char *out, size_t size, const char *old, const char *new)
{
    const char *at = strstr(good, old);
    assert_non_null(at);
    int n = snprintf(out, size, "%.*s%s%s", (int)(at - good), good, new, at + strlen(old));
    assert_true(n > 0 && (size_t)n < size);
}

#define LONG_64 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._"
#define X10     "xxxxxxxxxx"
#define X100    X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static const struct {
    const char *old, *new; /* of the good body */
    const char *param;     /* to blame; NULL: taken */
} cases[] = {
    {"\"shards\":4,", "", NULL},
    {"\"id\":\"sale_1\",", "", NULL},
    {"\"id\":\"sale_1\"", "\"id\":null", NULL},
    {"sale_1", LONG_64, NULL},
    {"sale_1", LONG_64 "x", "id"},
    {"\"sale_1\"", "\"\"", "id"},
    {"\"sale_1\"", "7", "id"},
    {"sale_1", "sale 1", "id"},
    {"sale_1", "sale{1}", "id"},
    {"sale_1", "#epoch", "id"},

    {"\"name\":\"Singles' day\",", "", "name"},
    {"\"Singles' day\"", "null", "name"},
    {"\"Singles' day\"", "\"\"", "name"},
    {"\"Singles' day\"", "[\"a\"]", "name"},
    {"Singles' day", "a\\nb", "name"},
    {"Singles' day", "a\\u007fb", "name"},
    {"Singles' day", "\\u53cc\\u5341\\u4e00 \xe5\x8f\x8c", NULL},
    {"Singles' day", X100 X100, NULL},
    {"Singles' day", X100 X100 "x", "name"},
    {"Singles' day", X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxxxxxxxx\xe5\x8f\x8c", NULL},
    {"Singles' day", X100 X100 "\xe5\x8f\x8c", "name"},

    {"\"kind\":\"flash\",", "", "kind"},
    {"\"flash\"", "\"presale\"", "kind"},
    {"\"flash\"", "\"Flash\"", "kind"},
    {"\"flash\"", "1", "kind"},
    {"\"currency\":\"CNY\",", "", "currency"},
    {"CNY", "CN", "currency"},
    {"CNY", "CNYX", "currency"},
    {"CNY", "cny", "currency"},
    {"CNY", "C1Y", "currency"},
    {"CNY", "\xe5\x8f\x8c", "currency"},

    {"\"starts_at\":\"2026-11-11T00:00:00Z\",", "", "starts_at"},
    {"2026-11-11T00:00:00Z", "2026-11-11", "starts_at"},
    {"2026-11-11T00:00:00Z", "1970-01-01T00:00:00Z", "starts_at"},
    {"2026-11-11T00:00:00Z", "2026-11-11T08:00:00+08:00", NULL},
    {"\"2026-11-11T00:00:00Z\"", "1794355200000", "starts_at"},
    {"\"ends_at\":\"2026-11-12T00:00:00Z\",", "", "ends_at"},
    {"2026-11-12T00:00:00Z", "tomorrow", "ends_at"},
    {"2026-11-12T00:00:00Z", "2026-11-11T00:00:00Z", "ends_at"},
    {"2026-11-12T00:00:00Z", "2026-11-10T00:00:00Z", "ends_at"},
    {"2026-11-12T00:00:00Z", "2026-11-11T00:00:00.001Z", NULL},

    {"\"pay_within_s\":900,", "", "pay_within_s"},
    {":900", ":0", "pay_within_s"},
    {":900", ":1", NULL},
    {":900", ":604800", NULL},
    {":900", ":604801", "pay_within_s"},
    {":900", ":-1", "pay_within_s"},
    {":900", ":900.0", "pay_within_s"},
    {":900", ":\"900\"", "pay_within_s"},
    {":900", ":true", "pay_within_s"},
    {"\"shards\":4", "\"shards\":0", "shards"},
    {"\"shards\":4", "\"shards\":64", NULL},
    {"\"shards\":4", "\"shards\":65", "shards"},
    {"\"shards\":4", "\"shards\":null", NULL},
    {"\"shards\":4", "\"colour\":4", "colour"},
    {"\"shards\":4", "\"Shards\":4", "Shards"},
    {"\"shards\":4", "\"\":4", ""},

    {",\"items\":[" ITEM "]", "", "items"},
    {"[" ITEM "]", "[]", "items"},
    {"[" ITEM "]", "null", "items"},
    {"[" ITEM "]", ITEM, "items"},
    {ITEM, "7", "items[0]"},
    {ITEM, ITEM ",null", "items[1]"},
    {ITEM, ITEM "," ITEM, "items[1].sku"},
    {ITEM, ITEM ",{\"sku\":\"TEA\",\"name\":\"T\",\"price\":1,\"stock\":0,\"limit\":1}", NULL},
    {"\"sku\":\"tea\",", "", "items[0].sku"},
    {"\"tea\"", "\"\"", "items[0].sku"},
    {"\"tea\"", "\"te|a\"", "items[0].sku"},
    {"\"tea\"", "\"+tea\"", "items[0].sku"},
    {"\"tea\"", "\"" LONG_64 "\"", NULL},
    {"\"tea\"", "\"" LONG_64 "x\"", "items[0].sku"},
    {"\"name\":\"Tea\",", "", "items[0].name"},
    {"\"Tea\"", "\"\\t\"", "items[0].name"},
    {"\"price\":9900,", "", "items[0].price"},
    {":9900", ":0", "items[0].price"},
    {":9900", ":-9900", "items[0].price"},
    {":9900", ":99.00", "items[0].price"},
    {":9900", ":1000000000000", NULL},
    {":9900", ":1000000000001", "items[0].price"},
    {":9900", ":9900,\"list_price\":1", NULL},
    {":9900", ":9900,\"list_price\":null", NULL},
    {":9900", ":9900,\"list_price\":0", "items[0].list_price"},
    {":9900", ":9900,\"list_price\":-1", "items[0].list_price"},
    {"\"stock\":10,", "", "items[0].stock"},
    {":10,", ":0,", NULL},
    {":10,", ":-1,", "items[0].stock"},
    {":10,", ":1000000000,", NULL},
    {":10,", ":1000000001,", "items[0].stock"},
    {",\"limit\":2", "", "items[0].limit"},
    {"\"limit\":2", "\"limit\":0", "items[0].limit"},
    {"\"limit\":2", "\"limit\":10000", NULL},
    {"\"limit\":2", "\"limit\":10001", "items[0].limit"},
    {"\"limit\":2", "\"limit\":4294967297", "items[0].limit"},
    {"\"limit\":2", "\"limit\":2,\"deposit\":1", "items[0].deposit"},

    /* not JSON at all: no field is to blame */
    {":9900", ":9900,\"price\":1", ""},
    {":9900", ":99999999999999999999", ""},
    {"CNY", "C\\u0000Y", ""},
    {"]}", "]", ""},
};

static void test_sales(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        struct new_sale s;
        struct body_error e;
        with(text, sizeof(text), cases[i].old, cases[i].new);
        bool ok = take(text, strlen(text), &s, &e);
        if (ok != !cases[i].param)
            fail_msg("%s: %s %s", cases[i].new, ok ? "taken" : e.param, ok ? "" : e.why);
        if (ok)
            continue;
        if (strcmp(e.param, cases[i].param) != 0)
            fail_msg("%s: blamed %s (%s)", cases[i].new, e.param, e.why);
        assert_non_null(e.why);
    }
}

/* The first fault in the order of the contract is the one that is told. */
static void test_first_fault(void **state)
{
    static const struct {
        const char *body, *param;
    } faults[] = {
        {"{\"colour\":1,\"name\":7}", "colour"},
        {"{\"name\":7,\"kind\":7,\"items\":7}", "name"},
        {"{\"name\":\"n\",\"items\":7}", "kind"},
        {"{}", "name"},
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct new_sale s;
        struct body_error e;
        assert_false(take(faults[i].body, strlen(faults[i].body), &s, &e));
        assert_string_equal(e.param, faults[i].param);
    }
}

static void test_cut_anywhere(void **state)
{
    for (size_t n = 0; n < sizeof(good) - 1; n++) {
        struct new_sale s;
        struct body_error e;
        assert_false(take(good, n, &s, &e));
        assert_string_equal(e.param, "");
    }
}

static void items_text(char *out, unsigned n)
{
    char *p = out + sprintf(out, "{\"name\":\"n\",\"kind\":\"flash\",\"currency\":\"CNY\","
                                 "\"starts_at\":\"2026-11-11T00:00:00Z\","
                                 "\"ends_at\":\"2026-11-12T00:00:00Z\",\"pay_within_s\":1,"
                                 "\"items\":[");
    for (unsigned i = 0; i < n; i++)
        p += sprintf(p, "%s{\"sku\":\"s%u\",\"name\":\"n\",\"price\":1,\"stock\":1,\"limit\":1}",
                     i ? "," : "", i);
    strcpy(p, "]}");
}

static void test_number_of_items(void **state)
{
    char *text = malloc(200000);
    struct new_sale s;
    struct body_error e;
    items_text(text, SALE_ITEMS_MAX);
    assert_true(take(text, strlen(text), &s, &e));
    assert_int_equal(s.items, SALE_ITEMS_MAX);
    assert_int_equal(s.shards, 1); /* by default */
    items_text(text, SALE_ITEMS_MAX + 1);
    assert_false(take(text, strlen(text), &s, &e));
    assert_string_equal(e.param, "items");
    free(text);
}

/* Whatever a client calls its fields, the blame fits. */
static void test_long_unknown_field(void **state)
{
    char text[512];
    struct new_sale s;
    struct body_error e;
    snprintf(text, sizeof(text), "{\"%s\":1}", X100 X100);
    assert_false(take(text, strlen(text), &s, &e));
    assert_int_equal(strlen(e.param), sizeof(e.param) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),           cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_depth),           cmocka_unit_test(test_deep_and_long),
        cmocka_unit_test(test_good_sale),       cmocka_unit_test(test_sales),
        cmocka_unit_test(test_first_fault),     cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_number_of_items), cmocka_unit_test(test_long_unknown_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
