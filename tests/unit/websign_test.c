/* websign_test.c - what a channel's signature header may look like, and what it may not. */
#include "base/websign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOW_S = 1492774577 };

#define BODY "{\"id\":\"evt_1\"}"
/* HMAC-SHA256 under whsec_test_secret of "1492774577." BODY, made with Python's hmac. */
#define MAC       "799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f"
#define MAC_UPPER "799C4BA7BB339F3C8601ADFD112F0E477C930A268BE1243D341ABB8286501C2F"
#define OTHER     "0000000000000000000000000000000000000000000000000000000000000000"

static int make_key(void **state)
{
    return hmac_key_create(STR("whsec_test_secret"), (struct hmac_key **)state) != ST_OK;
}

static int drop_key(void **state)
{
    hmac_key_destroy((struct hmac_key **)state);
    return 0;
}

#define FIFTEEN(x) \
    x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x "," x

static void test_headers(void **state)
{
    static const struct {
        struct str header;
        const char *why; /* NULL: the signature holds */
    } cases[] = {
        {STR("t=1492774577,v1=" MAC), NULL},
        {STR("t=1492774577,v1=" MAC ",v0=" OTHER), NULL},
        {STR("v1=" MAC ",t=1492774577"), NULL},
        {STR("t=1492774577,v1=" OTHER ",v1=" MAC), NULL},
        {STR("t=1492774577,v1=" MAC ",v1=" OTHER), NULL},
        {STR("t=1492774577,v1=short,v1=" MAC), NULL},
        {STR("t=1492774577,v1=" MAC_UPPER), NULL},
        {STR("x=y=z,t=1492774577,v1=" MAC), NULL},
        {STR(FIFTEEN("x=") ",t=1492774577,v1=" MAC), "no v1"},
        {STR("t=1492774577," FIFTEEN("x=") ",v1=" MAC), "no v1"},
        {STR("t=1492774577,v1=" MAC "," FIFTEEN("x=") ",malformed"), NULL},
        {STR(""), "missing"},
        {STR(","), "malformed"},
        {STR("t"), "malformed"},
        {STR("t=1492774577,v1=" MAC ","), "malformed"},
        {STR("t=1492774577,,v1=" MAC), "malformed"},
        {STR("t=1492774577"), "no v1"},
        {STR("t=1492774577,v0=" MAC), "no v1"},
        {STR("t=1492774577,V1=" MAC), "no v1"},
        {STR("t=1492774577, v1=" MAC), "no v1"},
        {STR("t=1492774577;v1=" MAC), "no valid time"},
        {STR("v1=" MAC), "no valid time"},
        {STR("t=,v1=" MAC), "no valid time"},
        {STR("t=+1492774577,v1=" MAC), "no valid time"},
        {STR("t=-1492774577,v1=" MAC), "no valid time"},
        {STR("t= 1492774577,v1=" MAC), "no valid time"},
        {STR("t=1492774577.0,v1=" MAC), "no valid time"},
        {STR("t=1492774577\0,v1=" MAC), "no valid time"},
        {STR("t=1234567890123,v1=" MAC), "no valid time"},
        {STR("t=18446744075202325,v1=" MAC), "no valid time"},
        {STR("t=1492774577,t=1492774577,v1=" MAC), "more than one"},
        {STR("t=1492774577,t=9,v1=" MAC), "more than one"},
        {STR("t=01492774577,v1=" MAC), "matches"}, /* the text of t is signed, not its value */
        {STR("t=1492774578,v1=" MAC), "matches"},
        {STR("t=1492774577,v1=" OTHER), "matches"},
        {STR("t=1492774577,v1=" MAC "00"), "no v1"},
        {STR("t=1492774577,v1=" MAC " "), "no v1"},
        {STR("t=1492774577,v1="), "no v1"},
        {STR("t=0,v1=" MAC), "too far"},
        {STR("t=999999999999,v1=" MAC), "too far"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = NULL;
        enum status st = websign_verify(*state, cases[i].header, STR(BODY), NOW_S, &why);
        bool as_wanted = cases[i].why ? st == ST_BAD_SIGNATURE && why && strstr(why, cases[i].why)
                                      : st == ST_OK && !why;
        if (!as_wanted)
            fail_msg("'%s': %s, %s", cases[i].header.p, status_info(st)->name, why ? why : "-");
    }
}

static void test_many_signatures(void **state)
{
    /* The time and 14 signatures, the last of them right, are all that fits into 1,024 bytes. */
    char header[WEBSIGN_MAX + 1] = "t=1492774577";
    const char *why = NULL;
    for (int i = 0; i < 13; i++)
        strcat(header, ",v1=" OTHER);
    strcat(header, ",v1=" MAC);
    assert_int_equal(websign_verify(*state, str_from(header), STR(BODY), NOW_S, &why), ST_OK);
}

static void test_length(void **state)
{
    char header[WEBSIGN_MAX + 1];
    const char *why = NULL;
    memset(header, 'x', sizeof(header));
    static const char start[] = "t=1492774577,v1=" MAC ",x=";
    memcpy(header, start, sizeof(start) - 1);
    struct str longest = {header, WEBSIGN_MAX}, longer = {header, WEBSIGN_MAX + 1};
    assert_int_equal(websign_verify(*state, longest, STR(BODY), NOW_S, &why), ST_OK);
    assert_int_equal(websign_verify(*state, longer, STR(BODY), NOW_S, &why), ST_BAD_SIGNATURE);
    assert_non_null(strstr(why, "too long"));
}

static void test_tolerance(void **state)
{
    static const struct {
        int64_t now_s;
        enum status want;
    } cases[] = {{NOW_S - 301, ST_BAD_SIGNATURE},
                 {NOW_S - 300, ST_OK},
                 {NOW_S + 300, ST_OK},
                 {NOW_S + 301, ST_BAD_SIGNATURE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why;
        assert_int_equal(
            websign_verify(*state, STR("t=1492774577,v1=" MAC), STR(BODY), cases[i].now_s, &why),
            cases[i].want);
    }
}

static void test_body_and_key(void **state)
{
    struct str header = STR("t=1492774577,v1=" MAC);
    const char *why;
    struct hmac_key *other = NULL;
    assert_int_equal(hmac_key_create(STR("another secret"), &other), ST_OK);
    assert_int_equal(websign_verify(other, header, STR(BODY), NOW_S, &why), ST_BAD_SIGNATURE);
    assert_int_equal(websign_verify(*state, header, STR(BODY "\n"), NOW_S, &why), ST_BAD_SIGNATURE);
    assert_int_equal(websign_verify(*state, header, STR(""), NOW_S, &why), ST_BAD_SIGNATURE);
    /* The dot belongs to the time: moving it into the body must not help. */
    assert_int_equal(
        websign_verify(*state, STR("t=149277457,v1=" MAC), STR("7." BODY), 149277457, &why),
        ST_BAD_SIGNATURE);
    hmac_key_destroy(&other);
}

static void test_make(void **state)
{
    char header[96];
    const char *why;
    size_t n = websign_make(*state, STR(BODY), NOW_S, header);
    assert_string_equal(header, "t=1492774577,v1=" MAC);
    assert_int_equal(n, strlen(header));
    n = websign_make(*state, (struct str){0}, INT64_C(999999999999), header);
    assert_int_equal(websign_verify(*state, (struct str){header, n}, (struct str){0},
                                    INT64_C(999999999999), &why),
                     ST_OK);
}

/* base64url of HMAC-SHA256 under whsec_test_secret of "pay_1?" LINK, made with Python's hmac. */
#define LINK      "order=ord_1&amount=9900"
#define LINK_SIGN "hJGlDj97m2Wje9DrQ1QEsBQ9Qp68cSzDtZxt2AGJIfA"

static void test_links(void **state)
{
    static const struct {
        const char *subject, *query;
        bool holds;
    } cases[] = {
        {"pay_1", LINK "&sign=" LINK_SIGN, true},
        {"pay_2", LINK "&sign=" LINK_SIGN, false},
        {"pay_1", "order=ord_1&amount=9901&sign=" LINK_SIGN, false},
        {"pay_1", LINK "&sign=" LINK_SIGN "&amount=1", false},
        {"pay_1", LINK "&amount=1&sign=" LINK_SIGN, false},
        {"pay_1", LINK "&Sign=" LINK_SIGN, false},
        {"pay_1", LINK "&sign=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false},
        {"pay_1", LINK "&sign=", false},
        {"pay_1", LINK "&sign=A" LINK_SIGN, false},
        {"pay_1", "&sign=" LINK_SIGN, false},
        {"pay_1", LINK, false},
        {"pay_1", "", false},
        {"a subject that is longer than any id can be, so long that it fits nowhere",
         LINK "&sign=" LINK_SIGN, false},
    };
    char sign[WEBSIGN_LINK_LEN + 1];
    websign_link(*state, STR("pay_1"), STR(LINK), sign);
    assert_string_equal(sign, LINK_SIGN);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (websign_link_holds(*state, str_from(cases[i].subject), str_from(cases[i].query)) !=
            cases[i].holds)
            fail_msg("%s?%s", cases[i].subject, cases[i].query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_headers, make_key, drop_key),
        cmocka_unit_test_setup_teardown(test_many_signatures, make_key, drop_key),
        cmocka_unit_test_setup_teardown(test_length, make_key, drop_key),
        cmocka_unit_test_setup_teardown(test_tolerance, make_key, drop_key),
        cmocka_unit_test_setup_teardown(test_body_and_key, make_key, drop_key),
        cmocka_unit_test_setup_teardown(test_make, make_key, drop_key),
        cmocka_unit_test_setup_teardown(test_links, make_key, drop_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
