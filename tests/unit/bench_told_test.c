#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/answer.c"   // NOLINT(bugprone-suspicious-include)
#include "../../bench/figures.c"  // NOLINT(bugprone-suspicious-include)
#include "../../bench/hist.c"     // NOLINT(bugprone-suspicious-include)
#include "../../bench/journal.c"  // NOLINT(bugprone-suspicious-include)
#include "../../bench/promises.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/scenario.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/template.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/told.c"     // NOLINT(bugprone-suspicious-include)
#include "../../bench/values.c"   // NOLINT(bugprone-suspicious-include)

#define BODY(id)      "{\"id\":\"ord_01JCZZZZZZ0123456789ABCDE" id "\"}"
#define PROBLEM(code) "{\"code\":\"" code "\"}"

/* One shopper's story: answers in order, what the tool wants next after each, what the journal says in
 * the end. */
struct story {
    const char *name;
    struct {
        unsigned http;
        const char *body;
        enum told_next next;
    } told[4];
    enum told end;
    bool changed, denied, requeued;
};

static const struct story stories[] = {
    {"bought", {{201, BODY("F"), NEXT_ON}}, TOLD_ORDER, false, false, false},
    {"refused", {{409, PROBLEM("sold_out"), NEXT_DONE}}, TOLD_REFUSAL, false, false, false},
    {"not open", {{409, PROBLEM("sale_ended"), NEXT_DONE}}, TOLD_REFUSAL, false, false, false},
    {"unsure", {{503, PROBLEM("recovering"), NEXT_RETRY}}, TOLD_RETRY, false, false, false},
    {"bought later",
     {{503, PROBLEM("recovering"), NEXT_RETRY},
      {429, PROBLEM("rate_limited"), NEXT_RETRY},
      {409, PROBLEM("idempotency_in_progress"), NEXT_RETRY},
      {201, BODY("F"), NEXT_ON}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"the same again",
     {{201, BODY("F"), NEXT_ON}, {201, BODY("F"), NEXT_ON}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"another one again",
     {{201, BODY("F"), NEXT_ON}, {201, BODY("G"), NEXT_ON}},
     TOLD_ORDER,
     true,
     false,
     false},
    {"taken back",
     {{201, BODY("F"), NEXT_ON},
      {503, PROBLEM("unavailable"), NEXT_RETRY},
      {409, PROBLEM("sold_out"), NEXT_DONE}},
     TOLD_ORDER,
     false,
     true,
     false},
    {"queued, then there",
     {{202, BODY("F"), NEXT_ON}, {201, BODY("F"), NEXT_ON}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"queued anew",
     {{202, BODY("F"), NEXT_ON}, {202, BODY("G"), NEXT_ON}},
     TOLD_QUEUED,
     false,
     false,
     true},
    {"not believed for a while",
     {{201, BODY("F"), NEXT_ON},
      {401, PROBLEM("unauthenticated"), NEXT_RETRY},
      {201, BODY("F"), NEXT_ON}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"no id", {{201, "{}", NEXT_ASTRAY}}, TOLD_NOTHING, false, false, false},
};

/* A scenario of one step that buys, one that looks whether it is paid, and what they are told. */
struct fixture {
    struct scenario scenario;
    struct journal journal;
    struct telling telling;
};

static struct fixture *begin(uint32_t shoppers)
{
    struct fixture *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    scenario_init(&x->scenario);
    x->scenario.steps_n = 2;
    x->scenario.steps[0] = (struct step){
        .orders = true,
        .expected = {{201, ""}, {202, ""}, {409, "sold_out"}},
        .expected_n = 3,
    };
    x->scenario.steps[1] = (struct step){
        .expected = {{200, ""}}, .expected_n = 1, .until_field = "state", .until_value = "paid"};
    assert_int_equal(journal_init(&x->journal, shoppers), ST_OK);
    x->telling = (struct telling){.scenario = &x->scenario, .journal = &x->journal};
    assert_int_equal(figures_create(2, &x->telling.figures), ST_OK);
    return x;
}

static void end(struct fixture *x)
{
    journal_fini(&x->journal);
    figures_destroy(&x->telling.figures);
    free(x);
}

static enum told_next tell(struct fixture *x, uint32_t shopper, unsigned step, unsigned http,
                           const char *body, int64_t since_us)
{
    const struct answer a = {.http = http, .body = str_from(body)};
    const struct told_request rq = {shopper, step, since_us - 3, since_us};
    if (step == 0) {
        journal_sent(&x->journal, shopper);
    }
    return told_answer(&x->telling, &rq, &a, 1000);
}

static void each_story_ends_as_it_should(void **state)
{
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        const struct story *s = &stories[i];
        struct fixture *x = begin(1);
        for (size_t k = 0; k < 4 && s->told[k].http; k++) {
            if (tell(x, 0, 0, s->told[k].http, s->told[k].body, 5) != s->told[k].next) {
                fail_msg("%s: answer %zu", s->name, k);
            }
        }
        const struct journal_entry *e = &x->journal.shoppers[0];
        if (e->told != s->end || e->changed != s->changed || e->denied != s->denied ||
            e->requeued != s->requeued) {
            fail_msg("%s: told %d", s->name, e->told);
        }
        end(x);
    }
}

static void only_the_first_order_is_a_shoppers_own(void **state)
{
    struct fixture *x = begin(1);
    tell(x, 0, 0, 201, BODY("F"), 5);
    assert_true(x->telling.got_one);
    tell(x, 0, 0, 201, BODY("F"), 6);
    assert_false(x->telling.got_one);
    assert_int_equal(figures_get(x->telling.figures, COUNT_ORDERS), 1);
    assert_int_equal(figures_get(x->telling.figures, COUNT_REPEATS), 1);
    end(x);
}

static void fresh_is_the_youngest_request_that_bought(void **state)
{
    struct fixture *x = begin(4);
    static const int64_t since_us[] = {100, 300, 200, 400};
    for (uint32_t i = 0; i < 4; i++) {
        tell(x, i, 0, i < 3 ? 201 : 503, i < 3 ? BODY("F") : PROBLEM("recovering"), since_us[i]);
    }
    assert_int_equal(figures_moment(x->telling.figures, AT_FRESH), 300);
    assert_int_equal(figures_get(x->telling.figures, COUNT_ORDERS), 3);
    end(x);
}

static void what_the_scenario_does_not_expect_is_an_error(void **state)
{
    struct fixture *x = begin(5);
    const struct figures *f = x->telling.figures;
    tell(x, 0, 0, 409, PROBLEM("sold_out"), 5);
    assert_int_equal(figures_get(f, COUNT_ERRORS), 0);
    assert_int_equal(figures_get(f, COUNT_REFUSALS), 1);
    tell(x, 1, 0, 409, PROBLEM("limit_reached"), 5);
    tell(x, 2, 0, 503, PROBLEM("overloaded"), 5);
    tell(x, 3, 0, 503, PROBLEM("overloaded"), 5);
    assert_int_equal(figures_get(f, COUNT_ERRORS), 3);
    assert_int_equal(f->steps[0].tallies_n, 3);
    assert_int_equal(f->steps[0].tallies[2].n, 2);
    assert_string_equal(f->steps[0].tallies[2].code, "overloaded");
    end(x);
}

static void latency_counts_from_the_plan_and_service_time_from_the_send(void **state)
{
    struct fixture *x = begin(1);
    tell(x, 0, 0, 201, BODY("F"), 400);
    assert_int_equal(x->telling.figures->latency[OF_ORDERS].max_us, 603);
    assert_int_equal(x->telling.figures->service[OF_ORDERS].max_us, 600);
    end(x);
}

static void it_is_asked_again_until_it_is_so(void **state)
{
    struct fixture *x = begin(1);
    assert_int_equal(tell(x, 0, 1, 200, "{\"state\":\"pending\"}", 5), NEXT_POLL);
    assert_int_equal(tell(x, 0, 1, 200, "{\"a\":\"state\",\"state\":\"paid\"}", 5), NEXT_ON);
    assert_int_equal(tell(x, 0, 1, 404, PROBLEM("order_not_found"), 5), NEXT_DONE);
    assert_int_equal(figures_get(x->telling.figures, COUNT_PAID), 1);
    assert_int_equal(x->telling.figures->steps[1].service.n, 3);
    assert_int_equal(x->telling.figures->steps[1].latency.n, 2);
    end(x);
}

/* More kinds of answers than there are rows: the last row takes the rest, and nothing is lost. */
static void every_answer_is_counted_somewhere(void **state)
{
    struct fixture *x = begin(1);
    char code[24];
    for (int i = 0; i < 40; i++) {
        snprintf(code, sizeof(code), "code_%d", i);
        figures_tally(&x->telling.figures->steps[0], 400, str_from(code), false);
    }
    struct figures *sum = NULL;
    assert_int_equal(figures_create(2, &sum), ST_OK);
    figures_add(sum, x->telling.figures);
    figures_add(sum, x->telling.figures);
    uint64_t n = 0;
    for (unsigned i = 0; i < sum->steps[0].tallies_n; i++) {
        n += sum->steps[0].tallies[i].n;
    }
    assert_int_equal(n, 80);
    assert_int_equal(sum->steps[0].tallies_n, FIGURES_TALLIES);
    figures_destroy(&sum);
    end(x);
}

/* A ledger in which all is well but for one count breaks one promise. */
static void every_count_breaks_its_promise(void **state)
{
    static const struct {
        struct ledger ledger;
        bool may_vanish;
        int broken; /* enum promise; PROMISE_COUNT: none */
    } cases[] = {
        {{.live_units = 1, .held = 1, .allocated = 2, .matched = 1}, false, PROMISE_COUNT},
        {{.live_units = 3, .held = 3, .allocated = 2, .matched = 1}, false, PROMISE_P1},
        {{.live_units = 1, .held = 1, .allocated = 2, .missing = 1}, false, PROMISE_P2},
        {{.live_units = 1, .held = 1, .allocated = 2, .queued_lost = 1}, false, PROMISE_P2},
        {{.live_units = 1, .held = 1, .allocated = 2, .queued_lost = 1}, true, PROMISE_COUNT},
        {{.live_units = 1, .held = 1, .allocated = 2, .doubles = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 1, .allocated = 2, .wrong_qty = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 1, .allocated = 2, .refused = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 1, .allocated = 2, .unsent = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 1, .allocated = 2, .strangers = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 1, .allocated = 2, .changed = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 1, .allocated = 2, .denied = 1}, false, PROMISE_P3},
        {{.live_units = 1, .held = 2, .allocated = 2}, false, PROMISE_P4},
        {{.live_units = 1, .held = 1, .allocated = 3}, false, PROMISE_P4},
    };
    struct journal none;
    assert_int_equal(journal_init(&none, 1), ST_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct options o = {.queue_may_vanish = cases[i].may_vanish};
        const struct scenario two = {.units = 2, .items = 1, .qty = 1};
        struct verdict verdicts[PROMISE_COUNT];
        promises_judge(&o, &two, &none, &cases[i].ledger, verdicts);
        for (int p = 0; p < PROMISE_COUNT; p++) {
            if (verdicts[p].kept != (p != cases[i].broken)) {
                fail_msg("case %zu: %s", i, verdicts[p].why);
            }
        }
    }
    journal_fini(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_story_ends_as_it_should),
        cmocka_unit_test(only_the_first_order_is_a_shoppers_own),
        cmocka_unit_test(fresh_is_the_youngest_request_that_bought),
        cmocka_unit_test(what_the_scenario_does_not_expect_is_an_error),
        cmocka_unit_test(latency_counts_from_the_plan_and_service_time_from_the_send),
        cmocka_unit_test(it_is_asked_again_until_it_is_so),
        cmocka_unit_test(every_answer_is_counted_somewhere),
        cmocka_unit_test(every_count_breaks_its_promise),
    };
    return cmocka_run_group_tests_name("bench_told", tests, NULL, NULL);
}
