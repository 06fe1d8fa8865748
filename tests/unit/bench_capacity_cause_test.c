#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The load tool is no part of the library, so its source is taken in whole. */
#include "../../bench/capacity_cause.c" // NOLINT(bugprone-suspicious-include)

/* Ten seconds on two cores. */
#define RUN(cpu, more)                                                                            \
    "{\"duration_s\": 10, \"settings\": {\"connections\": 64, \"threads\": 1}, \"cpu_us\": {" cpu \
    "}" more "}"
#define IDLE "\"service\": 1000000, \"redis\": 1000000, \"generator\": 1000000"

static void the_cause_is_named(void **state)
{
    static const struct {
        const char *run;
        double after[CAPACITY_METRICS_N]; /* before, all are 0 */
        const char *cause;
    } cases[] = {
        {RUN("\"service\": 9000000, \"mariadb\": 5000000, \"generator\": 4500000", ""),
         {0},
         "the processors: 1.85 of 2 cores are busy, most with service"},
        {RUN("\"generator\": 9500000, \"service\": 1000000", ""),
         {0},
         "the load tool: its threads"},
        {RUN("\"redis\": 9500000, \"service\": 1000000", ""), {0}, "Redis: the one thread"},
        {RUN(IDLE, ""),
         {[METRIC_COMMIT_WAITING] = 35, [METRIC_RESERVING] = 10},
         "MariaDB: its transactions are under way all the time, 3.5 more wait"},
        {RUN(IDLE, ""), {[METRIC_QUERY_WAITING] = 12}, "the service's query threads: 1.2 jobs"},
        {RUN(IDLE, ""), {[METRIC_RESERVING] = 9.5}, "Redis: a call is under way"},
        {RUN(IDLE, ", \"invalid\": \"the load tool itself was late\""),
         {0},
         "not the service: the load tool itself was late"},
        {RUN(IDLE, ", \"series\": {\"in_flight\": [3, 64, 80]}"), {0}, "the connections: all"},
        {RUN(IDLE, ", \"series\": {\"in_flight\": [3, 64, 3]}"), {0}, "none that shows"},
        {RUN(IDLE, ""), {[METRIC_COMMIT_WAITING] = 9.9, [METRIC_RESERVING] = 8.9}, "none that"},
        {"{}", {0}, "none that shows"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[512];
        const struct capacity_metrics before = {0};
        struct capacity_metrics after;
        json_t *run = json_loads(cases[i].run, 0, NULL);
        assert_non_null(run);
        memcpy(after.v, cases[i].after, sizeof(after.v));
        capacity_cause(run, &before, &after, 2, out, sizeof(out));
        if (strncmp(out, cases[i].cause, strlen(cases[i].cause)) != 0) {
            fail_msg("case %zu: %s", i, out);
        }
        json_decref(run);
    }
}

static void it_is_told_with_its_grounds(void **state)
{
    char out[512];
    const struct capacity_metrics before = {.v = {[METRIC_COMMITTING] = 5}};
    const struct capacity_metrics after = {.v = {[METRIC_COMMITTING] = 12.5}};
    json_t *run = json_loads(RUN(IDLE, ""), 0, NULL);
    capacity_cause(run, &before, &after, 2, out, sizeof(out));
    assert_non_null(strstr(out, "cores busy: service 0.10 redis 0.10 generator 0.10"));
    assert_non_null(strstr(out, "0.75 transactions under way"));
    char small[24];
    capacity_cause(run, &before, &after, 2, small, sizeof(small));
    assert_int_equal(strlen(small), sizeof(small) - 1);
    json_decref(run);
}

static void metrics_are_read_by_their_whole_name(void **state)
{
    struct capacity_metrics m;
    capacity_metrics_read(STR("# HELP snapup_commit_depth 9\nsnapup_commit_depth_max 7\n"
                              "snapup_commit_depth 3\nsnapup_reserve_seconds_sum 1.25\n"
                              "snapup_outbox_depth 0"),
                          &m);
    assert_true(m.v[METRIC_COMMIT_DEPTH] == 3 && m.v[METRIC_RESERVING] == 1.25);
    assert_false(capacity_drained(&m));
    capacity_metrics_read(STR("snapup_commit_depth 0\nsnapup_query_depth 0\n"), &m);
    assert_true(capacity_drained(&m));
    capacity_metrics_read(STR("snapup_outbox_depth 1"), &m);
    assert_false(capacity_drained(&m));
    capacity_metrics_read((struct str){0}, &m);
    assert_true(capacity_drained(&m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cause_is_named),
        cmocka_unit_test(it_is_told_with_its_grounds),
        cmocka_unit_test(metrics_are_read_by_their_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
