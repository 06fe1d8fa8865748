#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/answer.c" // NOLINT(bugprone-suspicious-include)

#include <stdlib.h>

#define ORDER "ord_01JCZZZZZZ0123456789ABCDEF"

static const struct {
    const char *in;
    enum answer_found found;
    unsigned http;
    bool close;
    const char *body;
} cases[] = {
    {"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", ANSWER_DONE, 201, false, "{}"},
    {"HTTP/1.1 409 Conflict\r\ncontent-LENGTH:3 \r\nX: y\r\n\r\nabc", ANSWER_DONE, 409, false,
     "abc"},
    {"HTTP/1.1 409\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", ANSWER_DONE, 409, true, ""},
    {"HTTP/1.1 204 No Content\r\n\r\n", ANSWER_DONE, 204, false, ""},
    {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", ANSWER_DONE, 200,
     false, "x"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", ANSWER_MORE, 0, false, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", ANSWER_MORE, 0, false, NULL},
    {"HTTP/1.1 2", ANSWER_MORE, 0, false, NULL},
    {"", ANSWER_MORE, 0, false, NULL},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"HTTP/1.1 200 OK\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", ANSWER_BAD, 0, false,
     NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ANSWER_BAD, 0, false, NULL},
    {"SSH-2.0-OpenSSH\r\n", ANSWER_BAD, 0, false, NULL},
};

static void answers_are_read(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* On the heap and exactly as long, so that ASan sees a byte read too far. */
        size_t n = strlen(cases[i].in);
        char *in = malloc(n ? n : 1);
        assert_non_null(in);
        memcpy(in, cases[i].in, n);
        struct answer a = {0};
        print_message("%s\n", cases[i].in);
        assert_int_equal(answer_read((struct str){in, n}, &a), cases[i].found);
        if (cases[i].found == ANSWER_DONE) {
            assert_int_equal(a.http, cases[i].http);
            assert_int_equal(a.close, cases[i].close);
            assert_true(str_equal(a.body, str_from(cases[i].body)));
            assert_int_equal(a.len, n);
        }
        free(in);
    }
}

static void a_second_answer_is_left_alone(void **state)
{
    struct answer a = {0};
    struct str in = STR("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1");
    assert_int_equal(answer_read(in, &a), ANSWER_DONE);
    assert_int_equal(a.len, in.n - strlen("HTTP/1.1"));
}

static void order_ids_are_found(void **state)
{
    struct uid id;
    char text[64];
    assert_true(answer_order_id(STR("{\"object\":\"order\",\"id\":\"" ORDER "\",\"x\":1}"), &id));
    uid_format("ord_", &id, text);
    assert_string_equal(text, ORDER);
    assert_true(answer_order_id(STR("{\"id\": \"" ORDER "\"}"), &id));
    static const char *const none[] = {
        "",
        "{}",
        "{\"id\"",
        "{\"id\":",
        "{\"id\":\"",
        "{\"id\":\"" ORDER,
        "{\"id\":\"pay_01JCZZZZZZ0123456789ABCDEF\"}",
        "{\"id\":\"ord_01JC\"}",
        "{\"order\":\"" ORDER "\"}",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_false(answer_order_id(str_from(none[i]), &id));
    }
}

static void codes_are_found(void **state)
{
    struct str body =
        STR("{\"type\":\"about:blank\",\"status\":409,\"code\":\"sold_out\",\"left\":0}");
    assert_true(str_equal(answer_text(body, "code"), STR("sold_out")));
    assert_int_equal(answer_text(STR("{\"status\":409}"), "code").n, 0);
    assert_int_equal(answer_text(STR("{\"code\":null}"), "code").n, 0);
}

static void a_word_that_is_no_name_is_passed_over(void **state)
{
    struct str body = STR("{\"why\":\"code\",\"code\" : \"late\",\"codes\":\"x\"}");
    assert_true(str_equal(answer_text(body, "code"), STR("late")));
    assert_int_equal(answer_text(STR("[\"code\",\"x\"]"), "code").n, 0);
}

static void a_stream_begins_with_its_head(void **state)
{
    struct answer a = {0};
    struct str in = STR("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nevent: state\n");
    assert_int_equal(answer_read_stream((struct str){in.p, 20}, &a), ANSWER_MORE);
    assert_int_equal(answer_read_stream(in, &a), ANSWER_DONE);
    assert_true(str_equal(a.body, STR("event: state\n")));
    assert_int_equal(a.len, in.n);
    assert_int_equal(answer_read(in, &a), ANSWER_BAD);
}

static void waits_are_read(void **state)
{
    static const struct {
        const char *in;
        uint32_t after_s;
    } waits[] = {
        {"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 2\r\n\r\n", 2},
        {"HTTP/1.1 503 X\r\nretry-after:17 \r\nContent-Length: 0\r\n\r\n", 17},
        {"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", 0},
        {"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: soon\r\n\r\n", 0},
    };
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        struct answer a = {0};
        assert_int_equal(answer_read(str_from(waits[i].in), &a), ANSWER_DONE);
        assert_int_equal(a.after_s, waits[i].after_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(a_second_answer_is_left_alone),
        cmocka_unit_test(order_ids_are_found),
        cmocka_unit_test(codes_are_found),
        cmocka_unit_test(waits_are_read),
        cmocka_unit_test(a_word_that_is_no_name_is_passed_over),
        cmocka_unit_test(a_stream_begins_with_its_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
