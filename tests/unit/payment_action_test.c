/* payment_action_test.c - the words of the API, and the numbers that MariaDB has of them. */
#include "rules/payment_action.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_words(void **state)
{
    static const struct {
        const char *text;
        int number;
    } cases[] = {{"redirect", 1}, {"qr_code", 2},   {"", 0},      {"none", 0},
                 {"Redirect", 0}, {"redirect ", 0}, {"qr_cod", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if ((int)payment_action_of(str_from(cases[i].text)) != cases[i].number)
            fail_msg("%s", cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
