#include "net/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static const struct route routes[] = {
    {.method = HTTP_GET, .pattern = "/", .name = "home"},
    {.method = HTTP_GET, .pattern = "/ops/", .name = "ops"},
    {.method = HTTP_GET, .pattern = "/v1/sales", .name = "sales.list"},
    {.method = HTTP_POST, .pattern = "/v1/sales", .name = "sales.create"},
    {.method = HTTP_GET, .pattern = "/v1/sales/{sale}", .name = "sales.get"},
    {.method = HTTP_POST, .pattern = "/v1/sales/{sale}/items/{sku}/stock", .name = "stock"},
    {.method = HTTP_POST, .pattern = "/v1/sales/mine", .name = "sales.mine"},
    {.method = HTTP_GET, .pattern = "/v1/sales/mine/old", .name = "sales.old"},
    {.method = HTTP_DELETE, .pattern = "/v1/sales/{sale}/queue", .name = "queue.leave"},
    {.method = HTTP_PUT, .pattern = "/t/{a}/{b}/{c}", .name = "three"},
    {.method = HTTP_GET, .pattern = "/c/w/{x}/b", .name = "deep"},
    {.method = HTTP_GET, .pattern = "/c/{p}/{q}", .name = "pair"},
    {.method = HTTP_HEAD, .pattern = "/h", .name = "head"},
    {.method = HTTP_GET, .pattern = "/h", .name = "get"},
};

enum { ROUTES = sizeof(routes) / sizeof(*routes) };

static int setup(void **state)
{
    struct router *r = NULL;
    if (router_create(routes, ROUTES, &r) != ST_OK)
        return -1;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct router *r = *state;
    router_destroy(&r);
    return r != NULL;
}

#define X64  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256 X64 X64 X64 X64

struct row {
    enum http_method method;
    const char *path;
    enum status st;
    const char *name;                    /* of the route */
    const char *param[ROUTE_PARAMS_MAX]; /* decoded */
};

static const struct row rows[] = {
    {HTTP_GET, "/", ST_OK, "home", {0}},
    {HTTP_HEAD, "/", ST_OK, "home", {0}},
    {HTTP_GET, "/ops/", ST_OK, "ops", {0}},
    {HTTP_GET, "/ops", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales", ST_OK, "sales.list", {0}},
    {HTTP_POST, "/v1/sales", ST_OK, "sales.create", {0}},
    {HTTP_PUT, "/v1/sales", ST_METHOD, NULL, {0}},
    {HTTP_METHOD_OTHER, "/v1/sales", ST_METHOD, NULL, {0}},
    {HTTP_GET, "/v1/sales/s1", ST_OK, "sales.get", {"s1"}},
    {HTTP_GET, "/v1/sales/a%20b%C3%a9", ST_OK, "sales.get", {"a b\xc3\xa9"}},
    {HTTP_GET, "/v1/sales/%7bsale%7d", ST_OK, "sales.get", {"{sale}"}},
    {HTTP_POST, "/v1/sales/s/items/i.1/stock", ST_OK, "stock", {"s", "i.1"}},
    {HTTP_PUT, "/t/1/2/3", ST_OK, "three", {"1", "2", "3"}},
    /* literals first, captures where no literal leads on */
    {HTTP_POST, "/v1/sales/mine", ST_OK, "sales.mine", {0}},
    {HTTP_GET, "/v1/sales/mine", ST_OK, "sales.get", {"mine"}},
    {HTTP_DELETE, "/v1/sales/mine/queue", ST_OK, "queue.leave", {"mine"}},
    {HTTP_GET, "/c/w/1/b", ST_OK, "deep", {"1"}},
    {HTTP_GET, "/c/w/1", ST_OK, "pair", {"w", "1"}},
    {HTTP_HEAD, "/h", ST_OK, "head", {0}},
    {HTTP_GET, "/h", ST_OK, "get", {0}},
    /* nothing is folded */
    {HTTP_GET, "", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "v1/sales", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "//", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1//sales", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales/", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/./sales", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/x/../sales", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales/.", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales/..", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales/%2e%2E", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales/...", ST_OK, "sales.get", {"..."}},
    {HTTP_GET, "/V1/sales", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/%761/sales", ST_NOT_FOUND, NULL, {0}},
    {HTTP_GET, "/v1/sales/s1/none", ST_NOT_FOUND, NULL, {0}},
    /* encoding of captured segments */
    {HTTP_GET, "/v1/sales/%", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/a%4", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/%4g", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/%00", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/a%2fb", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/a%0Ab", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/%7f", ST_INVALID_REQUEST, NULL, {0}},
    {HTTP_GET, "/v1/sales/" X256, ST_OK, "sales.get", {X256}},
    {HTTP_GET, "/v1/sales/" X256 "x", ST_NOT_FOUND, NULL, {0}},
};

static void matches(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct row *row = &rows[i];
        struct route_match m;
        memset(&m, 0xee, sizeof(m));
        enum status st = router_match(*state, row->method, str_from(row->path), &m);
        if (st != row->st)
            fail_msg("%s: %s", row->path, status_info(st)->name);
        if (st != ST_OK) {
            assert_null(m.route);
            continue;
        }
        assert_string_equal(m.route->name, row->name);
        for (unsigned k = 0; k < ROUTE_PARAMS_MAX; k++)
            assert_true(str_equal(m.param[k], str_from(row->param[k])));
    }
}

static void params_outlive_the_path(void **state)
{
    struct route_match m;
    char path[] = "/v1/sales/s1";
    assert_int_equal(router_match(*state, HTTP_GET, str_from(path), &m), ST_OK);
    memset(path, 'z', sizeof(path));
    assert_true(str_equal(m.param[0], STR("s1")));
}

static void tells_what_is_allowed(void **state)
{
    struct route_match m;
    assert_int_equal(router_match(*state, HTTP_PUT, STR("/v1/sales"), &m), ST_METHOD);
    assert_int_equal(m.allowed, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST);
    assert_int_equal(router_match(*state, HTTP_PUT, STR("/v1/sales/mine"), &m), ST_METHOD);
    assert_int_equal(m.allowed, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST);
    assert_int_equal(router_match(*state, HTTP_HEAD, STR("/t/1/2/3"), &m), ST_METHOD);
    assert_int_equal(m.allowed, 1u << HTTP_PUT);
}

static void refuses_broken_tables(void **state)
{
    static const struct route broken[][2] = {
        {{.method = HTTP_GET, .pattern = "/a"}, {.method = HTTP_GET, .pattern = "/a"}},
        {{.method = HTTP_GET, .pattern = "/a/{x}"}, {.method = HTTP_GET, .pattern = "/a/{y}"}},
        {{.method = HTTP_GET, .pattern = "/a"}, {.method = HTTP_GET, .pattern = "b"}},
        {{.method = HTTP_GET, .pattern = "/a"}, {.method = HTTP_GET, .pattern = ""}},
        {{.method = HTTP_GET, .pattern = "/a"}, {.method = HTTP_METHOD_OTHER, .pattern = "/b"}},
        {{.method = HTTP_GET, .pattern = "/a"},
         {.method = HTTP_GET, .pattern = "/{a}/{b}/{c}/{d}"}},
        {{.method = HTTP_GET, .pattern = "/a"},
         {.method = HTTP_GET, .pattern = "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"}},
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        struct router *r = NULL;
        assert_int_equal(router_create(broken[i], 2, &r), ST_INVALID_REQUEST);
        assert_null(r);
    }
    struct router *empty = NULL;
    assert_int_equal(router_create(NULL, 0, &empty), ST_OK);
    struct route_match m;
    assert_int_equal(router_match(empty, HTTP_GET, STR("/"), &m), ST_NOT_FOUND);
    router_destroy(&empty);
    router_destroy(&empty);
}

static void reads_query_values(void **state)
{
    static const struct {
        const char *query, *key;
        enum status st;
        const char *value;
    } cases[] = {
        {"limit=20", "limit", ST_OK, "20"},
        {"a=1&limit=2&b=3", "limit", ST_OK, "2"},
        {"a=1&b=%32%20+&c", "b", ST_OK, "2 +"},
        {"a", "a", ST_OK, ""},
        {"a=", "a", ST_OK, ""},
        {"&&a=b=c&&", "a", ST_OK, "b=c"},
        {"", "a", ST_NOT_FOUND, NULL},
        {"aa=1&Limit=2", "limit", ST_NOT_FOUND, NULL},
        {"l%69mit=1", "limit", ST_NOT_FOUND, NULL},
        {"a=1&a=1", "a", ST_INVALID_REQUEST, NULL},
        {"a&a", "a", ST_INVALID_REQUEST, NULL},
        {"a=1234567", "a", ST_OK, "1234567"},
        {"a=12345678", "a", ST_INVALID_REQUEST, NULL},
        {"a=%3", "a", ST_INVALID_REQUEST, NULL},
        {"a=%zz", "a", ST_INVALID_REQUEST, NULL},
        {"a=%00", "a", ST_INVALID_REQUEST, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[8];
        enum status st = query_get(str_from(cases[i].query), cases[i].key, out, sizeof(out));
        assert_int_equal(st, cases[i].st);
        if (st == ST_OK)
            assert_string_equal(out, cases[i].value);
    }
}

static void names_the_unknown_parameter(void **state)
{
    static const char *const keys[] = {"limit", "after", NULL};
    struct str param = {0};
    assert_true(query_only(STR(""), keys, &param));
    assert_true(query_only(STR("after=x&&limit=1"), keys, &param));
    assert_false(query_only(STR("limit=1&before=x&other"), keys, &param));
    assert_true(str_equal(param, STR("before")));
    assert_false(query_only(STR("=1"), keys, &param));
    assert_int_equal(param.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(params_outlive_the_path),
        cmocka_unit_test(tells_what_is_allowed),
        cmocka_unit_test(refuses_broken_tables),
        cmocka_unit_test(reads_query_values),
        cmocka_unit_test(names_the_unknown_parameter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
