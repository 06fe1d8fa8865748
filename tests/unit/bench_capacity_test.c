#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/capacity.c" // NOLINT(bugprone-suspicious-include)

#include <math.h>

/* A service that keeps its promise up to a rate, but for some probes. */
struct service {
    double knee;
    double long_knee; /* of probes twice as long; 0: the same */
    double closed;    /* what closed load completes */
    uint32_t flips;   /* bit i: probe i says the opposite */
    int gives_up_at;  /* probe; -1: never */
    unsigned probes, confirms;
    double last;
};

static enum capacity_found probe(void *arg, enum capacity_phase phase, double *rate)
{
    struct service *s = arg;
    unsigned i = s->probes++;
    if ((int)i == s->gives_up_at) {
        return CAPACITY_GAVE_UP;
    }
    if (phase == CAPACITY_SEED) {
        assert_int_equal(i, 0);
        *rate = s->closed;
    } else {
        assert_true(*rate > 0);
    }
    s->confirms += phase == CAPACITY_CONFIRM;
    s->last = *rate;
    double knee = phase == CAPACITY_CONFIRM && s->long_knee > 0 ? s->long_knee : s->knee;
    bool met = *rate <= knee;
    return met != (i < 32 && (s->flips >> i & 1)) ? CAPACITY_MET : CAPACITY_MISSED;
}

static struct capacity search(struct service *s)
{
    struct capacity out;
    const struct capacity_conf conf = {0.03, 1, 100000, CAPACITY_PROBES_MAX, probe, s};
    capacity_search(&conf, &out);
    return out;
}

static void assert_knee(const struct capacity *c, double knee)
{
    assert_int_equal(c->end, CAPACITY_KNEE);
    if (c->met > knee || c->missed <= knee || c->missed - c->met > 0.03 * c->missed) {
        fail_msg("met %f, missed %f, knee %f", c->met, c->missed, knee);
    }
}

static void the_knee_is_found_wherever_the_seed_is(void **state)
{
    static const double seeds[] = {0.01, 0.3, 0.9, 1, 1.001, 1.1, 2, 7, 50};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        struct service s = {.knee = 12345, .closed = 12345 * seeds[i], .gives_up_at = -1};
        struct capacity c = search(&s);
        assert_knee(&c, 12345);
        assert_int_equal(s.confirms, 2);
        assert_int_equal(s.probes, c.n);
    }
}

static void a_good_seed_needs_few_probes(void **state)
{
    struct service s = {.knee = 16000, .closed = 20000, .gives_up_at = -1};
    struct capacity c = search(&s);
    assert_knee(&c, 16000);
    assert_int_equal(c.n,
                     10); /* the seed, two ends, five halves of half the rate, both ends again */
}

static void what_is_never_met_ends_at_the_lowest_rate(void **state)
{
    struct service s = {.knee = 0.5, .closed = 5000, .gives_up_at = -1};
    struct capacity c = search(&s);
    assert_int_equal(c.end, CAPACITY_NEVER_MET);
    assert_true(c.met == 0 && c.missed == 1);
}

static void what_is_always_met_ends_at_the_highest_rate(void **state)
{
    struct service s = {.knee = 1e9, .closed = 5000, .gives_up_at = -1};
    struct capacity c = search(&s);
    assert_int_equal(c.end, CAPACITY_ALWAYS_MET);
    assert_true(c.met == 100000 && c.missed == 0);
}

/* Whatever single probe errs, either way, the knee is found: a wrong end is not confirmed. */
static void one_probe_that_errs_does_not_move_the_knee(void **state)
{
    struct service calm = {.knee = 12345, .closed = 20000, .gives_up_at = -1};
    struct capacity all = search(&calm);
    for (unsigned i = 1; i < all.n; i++) {
        struct service s = {
            .knee = 12345, .closed = 20000, .flips = UINT32_C(1) << i, .gives_up_at = -1};
        struct capacity c = search(&s);
        /* The two last look at the ends, and nobody looks after them: the search goes on, or believes. */
        if (all.probes[i].phase != CAPACITY_CONFIRM) {
            assert_knee(&c, 12345);
        } else {
            assert_true(c.end == CAPACITY_KNEE && fabs(c.met - 12345) < 0.07 * 12345);
        }
    }
}

static void a_rate_that_holds_only_briefly_is_not_reported(void **state)
{
    struct service s = {.knee = 12345, .long_knee = 9000, .closed = 20000, .gives_up_at = -1};
    struct capacity c = search(&s);
    assert_knee(&c, 9000);
    assert_true(s.confirms > 2);
}

static void too_few_probes_leave_it_unsettled(void **state)
{
    struct service s = {.knee = 12345, .closed = 20000, .gives_up_at = -1};
    struct capacity out;
    struct capacity_conf conf = {0.03, 1, 100000, 6, probe, &s};
    capacity_search(&conf, &out);
    assert_int_equal(out.end, CAPACITY_UNSETTLED);
    assert_int_equal(out.n, 6);
    assert_int_equal(s.probes, 6);
}

static void a_probe_that_gives_up_ends_it(void **state)
{
    for (int at = 0; at < 5; at++) {
        struct service s = {.knee = 12345, .closed = 20000, .gives_up_at = at};
        struct capacity c = search(&s);
        assert_int_equal(c.end, CAPACITY_ENDED);
        assert_int_equal(c.n, at);
        assert_int_equal(s.probes, at + 1);
    }
}

static void what_was_contradicted_does_not_stand(void **state)
{
    struct capacity c = {0};
    record(&c, CAPACITY_SEED, 100, true);
    record(&c, CAPACITY_SEARCH, 100, false);
    record(&c, CAPACITY_SEARCH, 50, false);
    record(&c, CAPACITY_SEARCH, 25, true);
    assert_true(border(&c, true)->rate == 25 && border(&c, false)->rate == 50);
    record(&c, CAPACITY_CONFIRM, 50, true);
    assert_true(border(&c, true)->rate == 50 && border(&c, false)->rate == 100);
    record(&c, CAPACITY_CONFIRM, 25, false);
    assert_null(border(&c, true));
    assert_true(border(&c, false)->rate == 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_knee_is_found_wherever_the_seed_is),
        cmocka_unit_test(a_good_seed_needs_few_probes),
        cmocka_unit_test(what_is_never_met_ends_at_the_lowest_rate),
        cmocka_unit_test(what_is_always_met_ends_at_the_highest_rate),
        cmocka_unit_test(one_probe_that_errs_does_not_move_the_knee),
        cmocka_unit_test(a_rate_that_holds_only_briefly_is_not_reported),
        cmocka_unit_test(too_few_probes_leave_it_unsettled),
        cmocka_unit_test(a_probe_that_gives_up_ends_it),
        cmocka_unit_test(what_was_contradicted_does_not_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
