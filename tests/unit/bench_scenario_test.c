#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/scenario.c"      // NOLINT(bugprone-suspicious-include)
#include "../../bench/scenario_read.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/template.c"      // NOLINT(bugprone-suspicious-include)
#include "../../bench/text.c"          // NOLINT(bugprone-suspicious-include)
#include "../../bench/values.c"        // NOLINT(bugprone-suspicious-include)

#include <unistd.h>

static const char path[] = "build/bench_scenario_test.ini";

static enum status read_text(const char *text, struct scenario *s, char *error, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    scenario_init(s);
    enum status st = scenario_read(s, path, error, size);
    unlink(path);
    return st == ST_OK ? scenario_check(s, error, size) : st;
}

static void a_whole_scenario_is_read(void **state)
{
    struct scenario s;
    char error[512] = "";
    const char *text = "# who comes\n"
                       "[scenario]\nabout = Two kinds\n"
                       "[sale]\nitems = 3\nunits = enough\nzipf = 0.9\npay-within = 60\n"
                       "[load]\narrivals = poisson 10/s for 1s\ntimeout = 200ms\nimpatient = yes\n"
                       "[shopper buyer]\nweight = 4\n"
                       "[step order]\nsend = POST /v1/orders\nkey = ${shopper}\n"
                       "body = {\"sale\":\"${sale}\",\"qty\":${qty}}\n"
                       "expect = 201, 409 sold_out\nkeep = order from id\n"
                       "[step paid]\nsend = GET /v1/orders/${order}\nthink = 200ms to 2s\n"
                       "until = state paid\nevery = 50ms\nwithin = 10s\n"
                       "[shopper looker]\n"
                       "[step watch]\nsend = GET /v1/sales/${sale}/events\nas = nobody\n"
                       "stream = 5s\n";
    if (read_text(text, &s, error, sizeof(error)) != ST_OK) {
        fail_msg("%s", error);
    }
    assert_string_equal(s.name, "bench_scenario_test");
    assert_string_equal(s.about, "Two kinds");
    assert_true(s.enough && s.impatient && scenario_sells(&s) && scenario_lapses(&s));
    assert_int_equal(s.items, 3);
    assert_int_equal(s.pay_within_s, 60);
    assert_int_equal(s.timeout_us, 200000);
    assert_int_equal(s.limit, 1);
    assert_int_equal(s.kinds_n, 2);
    assert_int_equal(s.kinds[0].steps, 2);
    assert_int_equal(s.kinds[1].first, 2);
    assert_int_equal(s.kinds[1].weight, 1);
    assert_int_equal(s.weight, 5);
    assert_true(s.steps[0].orders);
    assert_int_equal(s.steps[0].expected_n, 2);
    assert_string_equal(s.steps[0].expected[1].code, "sold_out");
    assert_int_equal(s.steps[1].think_to_us, 2000000);
    assert_int_equal(s.steps[1].expected[0].http, 200);
    assert_int_equal(s.steps[2].stream_us, 5000000);
    assert_int_equal(s.steps[2].as, AS_NOBODY);
}

#define STEP "[step order]\nsend = POST /v1/orders\n"

/* Each fault, the line where it is (0: of the file as a whole), and a word of what is said. */
static const struct {
    const char *text;
    unsigned line;
    const char *says;
} faults[] = {
    {"", 0, "no [step NAME]"},
    {"[scenario]\nabout = x\n", 0, "no [step NAME]"},
    {"shoppers = 3\n", 1, "before the first [section]"},
    {"[lode]\n", 1, "want [scenario]"},
    {"[step]\n", 1, "want [scenario]"},
    {"[step two words]\n", 1, "want [scenario]"},
    {"[sale now]\n", 1, "want [scenario]"},
    {"[sale]\nitems\n", 2, "neither key = value"},
    {"[sale]\nitems = 0\n", 2, "items: want a whole number from 1 to 1000, got \"0\""},
    {"[sale]\nitems = 1001\n", 2, "1 to 1000"},
    {"[sale]\nitems = -1\n", 2, "1 to 1000"},
    {"[sale]\nunits = plenty\n", 2, "\"enough\" or a whole number"},
    {"[sale]\nzipf = 0x2\n", 2, "zipf: want a decimal"},
    {"[sale]\nshoppers = 3\n", 2, "no key of [sale]"},
    {"[sale]\nqty = 1\nqty = 2\n", 3, "given twice"},
    {"[sale]\nqty = 1\n  2\n", 3, "given twice"},
    {"[load]\ntimeout = 30\n", 2, "a duration such as 200ms"},
    {"[load]\nimpatient = perhaps\n", 2, "yes or no"},
    {"[load]\narrivals =\n", 2, "arrivals: want a text"},
    {"[shopper x]\nwait = 3\n", 2, "there is weight"},
    {"[shopper x]\nweight = much\n", 2, "weight: want a whole number"},
    {"[shopper x]\n" STEP "[shopper y]\n", 0, "a shopper without a step"},
    {"[shopper x]\nweight = 0\n" STEP, 0, "weights of all shoppers are 0"},
    {"[step a]\nsend = FETCH /x\n", 2, "a method and a path"},
    {"[step a]\nsend = HEAD /x\n", 2, "a method and a path"},
    {"[step a]\nsend = GET x\n", 2, "a method and a path"},
    {"[step a]\nsend = GET /x y\n", 2, "a method and a path"},
    {"[step a]\nsend = GET /${order}\n", 2, "nothing called ${order} here; there are ${sale}"},
    {"[step a]\nsend = GET /${order\n", 2, "without its }"},
    {STEP "colour = red\n", 3, "no key of a step"},
    {STEP "as = king\n", 3, "shopper, storefront or nobody"},
    {STEP "think = a while\n", 3, "think: want a duration"},
    {STEP "think = 2s to 1s\n", 3, "think: want a duration"},
    {STEP "expect = fine\n", 3, "expect: want statuses"},
    {STEP "expect = 201 409\n", 3, "expect: want statuses"},
    {STEP "keep = id\n", 3, "keep: want a name and a field"},
    {STEP "keep = sale from id\n", 3, "something else already"},
    {STEP "until = paid\n", 3, "until: want a field"},
    {STEP "until = state paid\n[sale]\n", 4, "needs every and within"},
    {STEP "until = state paid\nevery = 1s\n", 4, "needs every and within"},
    {STEP "every = 0\n", 3, "every: want a duration"},
    {STEP "repeat = 0\n", 3, "repeat: want a whole number"},
    {STEP "repeat = 2\n", 0, "cannot be repeated"},
    {STEP "until = state paid\nevery = 1s\nwithin = 9s\n", 0, "cannot be repeated"},
    {"[step a]\nsend = GET /\nuntil = state paid\nevery = 1s\nwithin = 9s\nstream = 1s\n[sale]\n",
     7, "either until, or"},
    {"[step a]\nas = nobody\n[step b]\n", 3, "[step a] above has no send"},
    {STEP STEP, 3, "is there twice"},
    {STEP "[step more]\nsend = POST /v1/orders\n", 0, "buys twice"},
    {"[load]\nagain = 5\n" STEP "[step b]\nsend = GET /\n", 0, "the last step"},
    {"[sale]\nqty = 2\nlimit = 1\n" STEP, 0, "limit: fewer than qty"},
    {"[load]\ntimeout = 0\n" STEP, 0, "leaves no time"},
    {"[load]\nconnections = 1\nthreads = 2\n" STEP, 0, "fewer than threads"},
};

static void every_fault_is_told_with_its_line(void **state)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct scenario s;
        char error[512] = "";
        char where[64] = "";
        if (faults[i].line > 0) {
            snprintf(where, sizeof(where), "%s:%u: ", path, faults[i].line);
        }
        if (read_text(faults[i].text, &s, error, sizeof(error)) != ST_INVALID_REQUEST) {
            fail_msg("not seen: %s", faults[i].text);
        }
        if (strncmp(error, where, strlen(where)) != 0 || !strstr(error, faults[i].says)) {
            fail_msg("fault %zu, want \"%s\" in line %u, said: %s", i, faults[i].says,
                     faults[i].line, error);
        }
    }
}

static void what_has_no_lines_is_not_read_for_ever(void **state)
{
    struct scenario s;
    char error[512] = "";
    scenario_init(&s);
    assert_int_equal(scenario_read(&s, "/dev/zero", error, sizeof(error)), ST_INVALID_REQUEST);
    assert_non_null(strstr(error, "/dev/zero:1: longer than"));
}

static void the_command_line_uses_the_same_settings(void **state)
{
    struct scenario s;
    char error[256] = "";
    scenario_init(&s);
    assert_int_equal(scenario_set(&s, "shoppers", "12", error, sizeof(error)), ST_OK);
    assert_int_equal(s.shoppers, 12);
    assert_int_equal(scenario_set(&s, "units", "enough", error, sizeof(error)), ST_OK);
    assert_int_equal(scenario_set(&s, "units", "7", error, sizeof(error)), ST_OK);
    assert_false(s.enough);
    assert_int_equal(scenario_set(&s, "about", "x", error, sizeof(error)), ST_INVALID_REQUEST);
    assert_non_null(strstr(error, "no setting"));
}

static void names_are_filled_in(void **state)
{
    const struct template_names names = {{"sale", "qty"}, 2};
    const struct str values[TEMPLATE_NAMES] = {STR("s1"), STR("")};
    struct template t;
    char error[256];
    char out[32];
    assert_true(template_parse("/${sale}/x${qty}y/${sale}", &names, &t, error, sizeof(error)));
    size_t n = template_render(&t, values, out, sizeof(out));
    assert_true(str_equal((struct str){out, n}, STR("/s1/xy/s1")));
    assert_int_equal(template_render(&t, values, out, 8), SIZE_MAX);
    assert_int_equal(template_render(&t, values, out, 9), 9);
}

static void durations_have_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t us; /* -1: not one */
    } cases[] = {
        {"200ms", 200000}, {"1.5s", 1500000}, {"2 min", 120000000}, {"1h", 3600000000},
        {"7us", 7},        {"0", 0},          {"30", -1},           {"", -1},
        {"-1s", -1},       {"1e3s", -1},      {"1 day", -1},        {"200h", -1},
        {"1.2.3s", -1},    {"s", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = -1;
        bool good = value_duration(cases[i].text, &us);
        if (good != (cases[i].us >= 0) || us != cases[i].us) {
            fail_msg("%s: %lld", cases[i].text, (long long)us);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_scenario_is_read),
        cmocka_unit_test(every_fault_is_told_with_its_line),
        cmocka_unit_test(what_has_no_lines_is_not_read_for_ever),
        cmocka_unit_test(the_command_line_uses_the_same_settings),
        cmocka_unit_test(names_are_filled_in),
        cmocka_unit_test(durations_have_a_unit),
    };
    return cmocka_run_group_tests_name("bench_scenario", tests, NULL, NULL);
}
