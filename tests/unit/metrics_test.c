#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const route_names[] = {"GET /a", "POST /b", "GET /never"};

static struct metrics *make_metrics(void)
{
    struct metrics *m = NULL;
    assert_int_equal(metrics_create(route_names, 3, &m), ST_OK);
    return m;
}

/* NUL-terminated text; the caller frees it. */
static char *render(struct metrics *m)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_render(m, &out);
    buf_char(&out, '\0');
    assert_false(out.overflow);
    return out.data;
}

/* How often `line` stands in text as a whole line. */
static int count_lines(const char *text, const char *line)
{
    int n = 0;
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at += len)
        n += (at == text || at[-1] == '\n') && at[len] == '\n';
    return n;
}

static void assert_lines(struct metrics *m, const char *const *lines, size_t n)
{
    char *text = render(m);
    for (size_t i = 0; i < n; i++) {
        if (count_lines(text, lines[i]) != 1)
            fail_msg("not once: %s\nin:\n%s", lines[i], text);
    }
    free(text);
}

#define ASSERT_LINES(m, ...)                              \
    assert_lines((m), (const char *const[]){__VA_ARGS__}, \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_counters_sum_over_blocks(void **state)
{
    struct metrics *m = make_metrics();
    struct metrics_block *a = metrics_block(m);
    struct metrics_block *b = metrics_block(m);
    assert_non_null(a);
    assert_ptr_not_equal(a, b);
    metrics_add(a, M_COMMITS, 2);
    metrics_add(b, M_COMMITS, 3);
    metrics_add(b, M_COMMIT_ROWS, UINT64_C(5000000000));
    ASSERT_LINES(m, "# HELP snapup_commits_total Transactions that wrote orders.",
                 "# TYPE snapup_commits_total counter", "snapup_commits_total 5",
                 "snapup_commit_rows_total 5000000000", "snapup_sql_errors_total 0");
    metrics_destroy(&m);
    assert_null(m);
    metrics_destroy(&m);
}

static void test_gauges(void **state)
{
    struct metrics *m = make_metrics();
    metrics_gauge_set(m, MG_READY, 1);
    metrics_gauge_add(m, MG_CONNS, 5);
    metrics_gauge_add(m, MG_CONNS, -7);
    ASSERT_LINES(m, "# TYPE snapup_ready gauge", "snapup_ready 1", "snapup_connections -2",
                 "snapup_log_dropped 0");
    metrics_destroy(&m);
}

static void test_time_buckets(void **state)
{
    struct metrics *m = make_metrics();
    struct metrics_block *a = metrics_block(m);
    static const int64_t us[] = {-5, 0, 50, 51, 100, 2500, 10000000, 10000001};
    for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++)
        metrics_time(a, MT_COMMIT, us[i]);
    ASSERT_LINES(
        m, "# TYPE snapup_commit_seconds histogram",
        "snapup_commit_seconds_bucket{le=\"0.00005\"} 3",
        "snapup_commit_seconds_bucket{le=\"0.0001\"} 5",
        "snapup_commit_seconds_bucket{le=\"0.002\"} 5",
        "snapup_commit_seconds_bucket{le=\"0.003\"} 6", "snapup_commit_seconds_bucket{le=\"5\"} 6",
        "snapup_commit_seconds_bucket{le=\"10\"} 7", "snapup_commit_seconds_bucket{le=\"+Inf\"} 8",
        "snapup_commit_seconds_sum 20.002702", "snapup_commit_seconds_count 8",
        "snapup_query_seconds_count 0");
    metrics_destroy(&m);
}

static void test_size_buckets(void **state)
{
    struct metrics *m = make_metrics();
    struct metrics_block *a = metrics_block(m);
    static const uint64_t sizes[] = {0, 1, 2, 3, 256, 4096, 4097};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        metrics_size(a, MS_BATCH, sizes[i]);
    ASSERT_LINES(m, "snapup_reserve_batch_size_bucket{le=\"1\"} 2",
                 "snapup_reserve_batch_size_bucket{le=\"2\"} 3",
                 "snapup_reserve_batch_size_bucket{le=\"4\"} 4",
                 "snapup_reserve_batch_size_bucket{le=\"256\"} 5",
                 "snapup_reserve_batch_size_bucket{le=\"4096\"} 6",
                 "snapup_reserve_batch_size_bucket{le=\"+Inf\"} 7",
                 "snapup_reserve_batch_size_sum 8455", "snapup_reserve_batch_size_count 7",
                 "snapup_commit_group_size_count 0");
    metrics_destroy(&m);
}

static void test_routes(void **state)
{
    struct metrics *m = make_metrics();
    struct metrics_block *a = metrics_block(m);
    struct metrics_block *b = metrics_block(m);
    metrics_route(a, 0, ST_OK, 60);
    metrics_route(b, 0, ST_OK, 2000000);
    metrics_route(a, 1, ST_SOLD_OUT, 40);
    /* These look alike from outside. */
    metrics_route(a, 1, ST_UNAVAILABLE, 40);
    metrics_route(a, 1, ST_UNKNOWN, 40);
    metrics_route(a, 1, ST_CONFLICT, 40);
    ASSERT_LINES(
        m, "# TYPE snapup_http_requests_total counter",
        "snapup_http_requests_total{route=\"GET /a\",status=\"200\",code=\"ok\"} 2",
        "snapup_http_requests_total{route=\"POST /b\",status=\"409\",code=\"sold_out\"} 1",
        "snapup_http_requests_total{route=\"POST /b\",status=\"503\",code=\"unavailable\"} 3",
        "# TYPE snapup_http_request_seconds histogram",
        "snapup_http_request_seconds_bucket{route=\"GET /a\",le=\"0.00005\"} 0",
        "snapup_http_request_seconds_bucket{route=\"GET /a\",le=\"0.0001\"} 1",
        "snapup_http_request_seconds_bucket{route=\"GET /a\",le=\"+Inf\"} 2",
        "snapup_http_request_seconds_sum{route=\"GET /a\"} 2.00006",
        "snapup_http_request_seconds_count{route=\"GET /a\"} 2",
        "snapup_http_request_seconds_count{route=\"POST /b\"} 4");
    char *text = render(m);
    assert_null(strstr(text, "GET /never"));
    assert_null(strstr(text, "route=\"GET /a\",status=\"503\""));
    free(text);
    metrics_destroy(&m);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Prometheus refuses a page on which a series stands twice. */
static void test_no_series_twice(void **state)
{
    struct metrics *m = make_metrics();
    struct metrics_block *a = metrics_block(m);
    for (unsigned route = 0; route < 3; route++) {
        for (unsigned st = 0; st < ST_COUNT; st++)
            metrics_route(a, route, (enum status)st, 1);
    }
    char *text = render(m);
    char *series[2000];
    size_t n = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        if (*line == '#')
            continue;
        assert_memory_equal(line, "snapup_", 7);
        *strrchr(line, ' ') = '\0';
        assert_true(n < 2000);
        series[n++] = line;
    }
    assert_true(n > 300);
    qsort(series, n, sizeof(series[0]), compare_lines);
    for (size_t i = 1; i < n; i++)
        assert_string_not_equal(series[i - 1], series[i]);
    free(text);
    metrics_destroy(&m);
}

static void test_null_counts_nothing(void **state)
{
    assert_null(metrics_block(NULL));
    metrics_add(NULL, M_COMMITS, 1);
    metrics_time(NULL, MT_COMMIT, 1);
    metrics_size(NULL, MS_BATCH, 1);
    metrics_route(NULL, 99, ST_OK, 1);
    metrics_gauge_set(NULL, MG_READY, 1);
    metrics_gauge_add(NULL, MG_READY, 1);
}

enum { THREADS = 3, ROUNDS = 20000 };

static void *count_much(void *arg)
{
    struct metrics *m = arg;
    struct metrics_block *mine = metrics_block(m);
    for (int i = 0; mine && i < ROUNDS; i++) {
        metrics_add(mine, M_QUERIES, 1);
        metrics_route(mine, 1, ST_OK, i);
        metrics_gauge_add(m, MG_CONNS, 1);
    }
    return NULL;
}

static void test_threads_count_while_we_read(void **state)
{
    struct metrics *m = make_metrics();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, m), 0);
    for (int i = 0; i < 20; i++)
        free(render(m));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ASSERT_LINES(m, "snapup_queries_total 60000", "snapup_connections 60000",
                 "snapup_http_request_seconds_count{route=\"POST /b\"} 60000");
    metrics_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_sum_over_blocks),
        cmocka_unit_test(test_gauges),
        cmocka_unit_test(test_time_buckets),
        cmocka_unit_test(test_size_buckets),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_no_series_twice),
        cmocka_unit_test(test_null_counts_nothing),
        cmocka_unit_test(test_threads_count_while_we_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
