#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its sources are taken in whole. */
#include "../../bench/answer.c"   // NOLINT(bugprone-suspicious-include)
#include "../../bench/hist.c"     // NOLINT(bugprone-suspicious-include)
#include "../../bench/journal.c"  // NOLINT(bugprone-suspicious-include)
#include "../../bench/promises.c" // NOLINT(bugprone-suspicious-include)
#include "../../bench/rush.c"     // NOLINT(bugprone-suspicious-include)

#define BODY(id)      "{\"id\":\"ord_01JCZZZZZZ0123456789ABCDE" id "\"}"
#define PROBLEM(code) "{\"code\":\"" code "\"}"

/* One shopper's story: answers in order, what the tool wants next after each, what the journal says in
 * the end. */
struct story {
    const char *name;
    struct {
        unsigned http;
        const char *body;
        enum rush_next next;
    } told[4];
    enum told end;
    bool changed, denied, requeued;
};

static const struct story stories[] = {
    {"bought", {{201, BODY("F"), RUSH_GOT_ONE}}, TOLD_ORDER, false, false, false},
    {"refused", {{409, PROBLEM("sold_out"), RUSH_DONE}}, TOLD_REFUSAL, false, false, false},
    {"not open", {{409, PROBLEM("sale_ended"), RUSH_DONE}}, TOLD_REFUSAL, false, false, false},
    {"unsure", {{503, PROBLEM("recovering"), RUSH_RETRY}}, TOLD_RETRY, false, false, false},
    {"bought later",
     {{503, PROBLEM("recovering"), RUSH_RETRY},
      {429, PROBLEM("rate_limited"), RUSH_RETRY},
      {409, PROBLEM("idempotency_in_progress"), RUSH_RETRY},
      {201, BODY("F"), RUSH_GOT_ONE}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"the same again",
     {{201, BODY("F"), RUSH_GOT_ONE}, {201, BODY("F"), RUSH_DONE}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"another one again",
     {{201, BODY("F"), RUSH_GOT_ONE}, {201, BODY("G"), RUSH_DONE}},
     TOLD_ORDER,
     true,
     false,
     false},
    {"taken back",
     {{201, BODY("F"), RUSH_GOT_ONE},
      {503, PROBLEM("unavailable"), RUSH_RETRY},
      {409, PROBLEM("sold_out"), RUSH_DONE}},
     TOLD_ORDER,
     false,
     true,
     false},
    {"queued, then there",
     {{202, BODY("F"), RUSH_GOT_ONE}, {201, BODY("F"), RUSH_DONE}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"queued anew",
     {{202, BODY("F"), RUSH_GOT_ONE}, {202, BODY("G"), RUSH_DONE}},
     TOLD_QUEUED,
     false,
     false,
     true},
    {"not believed for a while",
     {{201, BODY("F"), RUSH_GOT_ONE},
      {401, PROBLEM("unauthenticated"), RUSH_RETRY},
      {201, BODY("F"), RUSH_DONE}},
     TOLD_ORDER,
     false,
     false,
     false},
    {"no id", {{201, "{}", RUSH_ASTRAY}}, TOLD_NOTHING, false, false, false},
};

static void each_story_ends_as_it_should(void **state)
{
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        const struct story *s = &stories[i];
        struct rush *r = calloc(1, sizeof(*r));
        struct journal j;
        assert_non_null(r);
        assert_int_equal(journal_init(&j, 1), ST_OK);
        for (size_t k = 0; k < 4 && s->told[k].http; k++) {
            struct answer a = {.http = s->told[k].http, .body = str_from(s->told[k].body)};
            journal_sent(&j, 0);
            if (rush_told(r, &j, 0, &a, 5, 9) != s->told[k].next) {
                fail_msg("%s: answer %zu", s->name, k);
            }
        }
        const struct journal_entry *e = &j.shoppers[0];
        if (e->told != s->end || e->changed != s->changed || e->denied != s->denied ||
            e->requeued != s->requeued) {
            fail_msg("%s: told %d", s->name, e->told);
        }
        journal_fini(&j);
        free(r);
    }
}

static void fresh_is_the_youngest_request_that_bought(void **state)
{
    struct rush *r = calloc(1, sizeof(*r));
    struct journal j;
    const struct answer bought = {.http = 201, .body = STR(BODY("F"))};
    const struct answer refused = {.http = 503, .body = STR(PROBLEM("recovering"))};
    assert_non_null(r);
    assert_int_equal(journal_init(&j, 4), ST_OK);
    static const int64_t since_us[] = {100, 300, 200, 400};
    for (uint32_t i = 0; i < 4; i++) {
        journal_sent(&j, i);
        rush_told(r, &j, i, i < 3 ? &bought : &refused, since_us[i], 1000);
    }
    assert_int_equal(r->fresh_us, 300);
    assert_int_equal(r->orders, 3);
    journal_fini(&j);
    free(r);
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
        const struct options o = {.units = 2, .qty = 1, .queue_may_vanish = cases[i].may_vanish};
        struct verdict verdicts[PROMISE_COUNT];
        promises_judge(&o, &none, &cases[i].ledger, verdicts);
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
        cmocka_unit_test(fresh_is_the_youngest_request_that_bought),
        cmocka_unit_test(every_count_breaks_its_promise),
    };
    return cmocka_run_group_tests_name("bench_rush", tests, NULL, NULL);
}
