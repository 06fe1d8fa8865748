/* sale_state_test.c - every (state, event) of a sale, and its phase at the edges of its time. */
#include "rules/sale_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define GO(to)                 \
    {                          \
        ST_OK, SALE_##to, true \
    }
#define STAY(to)                \
    {                           \
        ST_OK, SALE_##to, false \
    }
#define NO(at)                             \
    {                                      \
        ST_INVALID_STATE, SALE_##at, false \
    }
#define ENDED                           \
    {                                   \
        ST_SALE_ENDED, SALE_OVER, false \
    }

static const struct sale_step expected[SALE_STATES][SALE_EVENTS] = {
    /*                  publish           pause           resume           end      */
    [SALE_DRAFT] = {GO(PUBLISHED), NO(DRAFT), NO(DRAFT), GO(OVER)},
    [SALE_PUBLISHED] = {STAY(PUBLISHED), GO(PAUSED), STAY(PUBLISHED), GO(OVER)},
    [SALE_PAUSED] = {NO(PAUSED), STAY(PAUSED), GO(PUBLISHED), GO(OVER)},
    [SALE_OVER] = {ENDED, ENDED, ENDED, STAY(OVER)},
};
_Static_assert(SALE_STATES == 4 && SALE_EVENTS == 4, "a cell for every pair");

static void test_every_pair(void **state)
{
    for (int s = 0; s < SALE_STATES; s++) {
        for (int e = 0; e < SALE_EVENTS; e++) {
            struct sale_step step = sale_step((enum sale_state)s, (enum sale_event)e);
            const struct sale_step *want = &expected[s][e];
            if (step.st != want->st || step.to != want->to || step.changes != want->changes)
                fail_msg("%s, event %d: status %d to %s, changes %d",
                         sale_state_text((enum sale_state)s), e, step.st, sale_state_text(step.to),
                         step.changes);
            assert_int_equal(step.changes, (int)step.to != s);
        }
    }
}

enum { START = 1000, END = 2000 };

static void test_phases(void **state)
{
    static const struct {
        enum sale_state state;
        int64_t now_ms;
        enum sale_phase phase;
    } cases[] = {
        {SALE_DRAFT, START - 1, PHASE_DRAFT},
        {SALE_DRAFT, START, PHASE_DRAFT},
        {SALE_DRAFT, END, PHASE_DRAFT},
        {SALE_PUBLISHED, INT64_MIN, PHASE_SCHEDULED},
        {SALE_PUBLISHED, START - 1, PHASE_SCHEDULED},
        {SALE_PUBLISHED, START, PHASE_OPEN},
        {SALE_PUBLISHED, START + 1, PHASE_OPEN},
        {SALE_PUBLISHED, END - 1, PHASE_OPEN},
        {SALE_PUBLISHED, END, PHASE_ENDED},
        {SALE_PUBLISHED, INT64_MAX, PHASE_ENDED},
        {SALE_PAUSED, START - 1, PHASE_PAUSED},
        {SALE_PAUSED, START, PHASE_PAUSED},
        {SALE_PAUSED, END - 1, PHASE_PAUSED},
        {SALE_PAUSED, END, PHASE_ENDED},
        {SALE_OVER, START - 1, PHASE_ENDED},
        {SALE_OVER, START, PHASE_ENDED},
        {SALE_OVER, END - 1, PHASE_ENDED},
        {SALE_OVER, END, PHASE_ENDED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum sale_phase phase = sale_phase(cases[i].state, START, END, cases[i].now_ms);
        if (phase != cases[i].phase)
            fail_msg("case %zu: %s", i, sale_phase_text(phase));
    }
}

static void test_what_a_purchase_is_told(void **state)
{
    static const struct {
        enum sale_phase phase;
        enum status st;
        const char *text;
    } rows[] = {
        {PHASE_DRAFT, ST_SALE_NOT_FOUND, "draft"},
        {PHASE_SCHEDULED, ST_SALE_NOT_OPEN, "scheduled"},
        {PHASE_OPEN, ST_OK, "open"},
        {PHASE_PAUSED, ST_SALE_PAUSED, "paused"},
        {PHASE_ENDED, ST_SALE_ENDED, "ended"},
    };
    _Static_assert(sizeof(rows) / sizeof(rows[0]) == PHASES, "a row per phase");
    for (int i = 0; i < PHASES; i++) {
        assert_int_equal(rows[i].phase, i);
        assert_int_equal(sale_phase_purchase(rows[i].phase), rows[i].st);
        assert_string_equal(sale_phase_text(rows[i].phase), rows[i].text);
    }
}

static void test_stored_words(void **state)
{
    static const char *const words[SALE_STATES] = {"draft", "published", "paused", "ended"};
    for (int i = 0; i < SALE_STATES; i++) {
        enum sale_state s = SALE_STATES;
        assert_string_equal(sale_state_text((enum sale_state)i), words[i]);
        assert_int_equal(sale_state_parse(str_from(words[i]), &s), ST_OK);
        assert_int_equal(s, i);
    }
    static const char *const others[] = {"", "Draft", "drafts", "draf", "open", "published ", "3"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        enum sale_state s = SALE_STATES;
        assert_int_equal(sale_state_parse(str_from(others[i]), &s), ST_INVALID_REQUEST);
        assert_int_equal(s, SALE_STATES); /* written only on success */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_what_a_purchase_is_told),
        cmocka_unit_test(test_stored_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
