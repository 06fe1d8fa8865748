#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS_MAX = 24, CACHE_LINE = 64 };

/* What a histogram's buckets hold; a last bucket takes the rest. */
struct scale {
    unsigned n;
    uint32_t bounds[BUCKETS_MAX - 1]; /* rising; a value equal to a bound belongs below it */
    bool is_time;                     /* microseconds, shown as seconds */
};

/* Four steps a decade, so that a quantile read from the buckets is right within a factor of 2. */
static const struct scale time_scale = {
    .n = 22,
    .bounds = {50,     100,     200,     300,     500,     1000,    2000,   3000,
               5000,   10000,   20000,   30000,   50000,   100000,  200000, 300000,
               500000, 1000000, 2000000, 3000000, 5000000, 10000000},
    .is_time = true,
};

static const struct scale size_scale = {
    .n = 13,
    .bounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096},
};

typedef _Atomic uint64_t cell;

struct histogram {
    cell sum;
    cell buckets[BUCKETS_MAX];
};

struct route_cells {
    cell outcomes[ST_COUNT];
    struct histogram latency;
};

/* Written by one thread, read by any; aligned, so that two threads never share a cache line. */
struct metrics_block {
    struct metrics_block *next;
    unsigned routes_n;
    cell counters[M_COUNT];
    struct histogram times[MT_COUNT];
    struct histogram sizes[MS_COUNT];
    struct route_cells routes[];
};

struct metrics {
    pthread_mutex_t lock; /* guards the list of blocks, not what is in them */
    struct metrics_block *blocks;
    const char *const *route_names;
    unsigned routes_n;
    _Atomic int64_t gauges[MG_COUNT];
};

struct metric_text {
    const char *name; /* without snapup_ */
    const char *help;
};

#define TEXT(id, name, help) {name, help},
static const struct metric_text counter_texts[] = {METRICS_COUNTERS(TEXT)};
static const struct metric_text time_texts[] = {METRICS_TIMES(TEXT)};
static const struct metric_text size_texts[] = {METRICS_SIZES(TEXT)};
static const struct metric_text gauge_texts[] = {METRICS_GAUGES(TEXT)};
#undef TEXT

static const struct metric_text requests_text = {"http_requests_total",
                                                 "Requests answered, by route and outcome."};
static const struct metric_text latency_text = {"http_request_seconds",
                                                "Time to answer, by route."};

enum status metrics_create(const char *const *route_names, unsigned n, struct metrics **out)
{
    struct metrics *m = calloc(1, sizeof(*m));
    if (!m)
        return ST_UNAVAILABLE;
    if (pthread_mutex_init(&m->lock, NULL)) {
        free(m);
        return ST_UNAVAILABLE;
    }
    m->route_names = route_names;
    m->routes_n = n;
    *out = m;
    return ST_OK;
}

void metrics_destroy(struct metrics **m)
{
    if (!*m)
        return;
    struct metrics_block *next;
    for (struct metrics_block *b = (*m)->blocks; b; b = next) {
        next = b->next;
        free(b);
    }
    pthread_mutex_destroy(&(*m)->lock);
    free(*m);
    *m = NULL;
}

struct metrics_block *metrics_block(struct metrics *m)
{
    if (!m)
        return NULL;
    size_t size = sizeof(struct metrics_block) + m->routes_n * sizeof(struct route_cells);
    size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct metrics_block *b = aligned_alloc(CACHE_LINE, size);
    if (!b)
        return NULL;
    memset(b, 0, size);
    b->routes_n = m->routes_n;
    pthread_mutex_lock(&m->lock);
    b->next = m->blocks;
    m->blocks = b;
    pthread_mutex_unlock(&m->lock);
    return b;
}

/* With a single writer a load and a store are enough, and cost no locked instruction. */
static void cell_add(cell *c, uint64_t n)
{
    uint64_t was = atomic_load_explicit(c, memory_order_relaxed);
    atomic_store_explicit(c, was + n, memory_order_relaxed);
}

static void observe(struct histogram *h, const struct scale *scale, uint64_t v)
{
    unsigned lo = 0;
    unsigned hi = scale->n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (v <= scale->bounds[mid])
            hi = mid;
        else
            lo = mid + 1;
    }
    cell_add(&h->buckets[lo], 1);
    cell_add(&h->sum, v);
}

static uint64_t not_negative(int64_t us)
{
    return us > 0 ? (uint64_t)us : 0;
}

void metrics_add(struct metrics_block *b, enum metric_counter c, uint64_t n)
{
    if (!b)
        return;
    assert((unsigned)c < M_COUNT);
    cell_add(&b->counters[c], n);
}

void metrics_time(struct metrics_block *b, enum metric_time t, int64_t us)
{
    if (!b)
        return;
    assert((unsigned)t < MT_COUNT);
    observe(&b->times[t], &time_scale, not_negative(us));
}

void metrics_size(struct metrics_block *b, enum metric_size s, uint64_t n)
{
    if (!b)
        return;
    assert((unsigned)s < MS_COUNT);
    observe(&b->sizes[s], &size_scale, n);
}

void metrics_route(struct metrics_block *b, unsigned route, enum status st, int64_t us)
{
    if (!b)
        return;
    assert(route < b->routes_n && (unsigned)st < ST_COUNT);
    cell_add(&b->routes[route].outcomes[st], 1);
    observe(&b->routes[route].latency, &time_scale, not_negative(us));
}

void metrics_gauge_set(struct metrics *m, enum metric_gauge g, int64_t v)
{
    if (!m)
        return;
    assert((unsigned)g < MG_COUNT);
    atomic_store_explicit(&m->gauges[g], v, memory_order_relaxed);
}

void metrics_gauge_add(struct metrics *m, enum metric_gauge g, int64_t delta)
{
    if (!m)
        return;
    assert((unsigned)g < MG_COUNT);
    atomic_fetch_add_explicit(&m->gauges[g], delta, memory_order_relaxed);
}

/* The sum over all blocks of the cell that stands `offset` bytes into each. Under the lock. */
static uint64_t total(const struct metrics *m, size_t offset)
{
    uint64_t sum = 0;
    for (const struct metrics_block *b = m->blocks; b; b = b->next) {
        const cell *c = (const void *)((const char *)b + offset);
        sum += atomic_load_explicit(c, memory_order_relaxed);
    }
    return sum;
}

static void put_head(struct buf *out, const struct metric_text *text, const char *type)
{
    buf_printf(out, "# HELP snapup_%s %s\n# TYPE snapup_%s %s\n", text->name, text->help,
               text->name, type);
}

/* Plain decimals without trailing zeros: "0.00005", "2.5", "10". */
static void put_seconds(struct buf *out, uint64_t us)
{
    buf_printf(out, "%" PRIu64, us / 1000000);
    unsigned rest = (unsigned)(us % 1000000);
    int digits = 6;
    if (!rest)
        return;
    for (; rest % 10 == 0; rest /= 10)
        digits--;
    buf_printf(out, ".%0*u", digits, rest);
}

static void put_value(struct buf *out, const struct scale *scale, uint64_t v)
{
    if (scale->is_time)
        put_seconds(out, v);
    else
        buf_printf(out, "%" PRIu64, v);
}

/* The lines of the histogram at `offset`; route may be NULL. */
static void put_histogram(const struct metrics *m, struct buf *out, const char *name,
                          const char *route, const struct scale *scale, size_t offset)
{
    char labels[160] = "";
    if (route)
        snprintf(labels, sizeof(labels), "route=\"%s\"", route);
    uint64_t count = 0;
    for (unsigned i = 0; i <= scale->n; i++) {
        count += total(m, offset + offsetof(struct histogram, buckets) + i * sizeof(cell));
        buf_printf(out, "snapup_%s_bucket{%s%sle=\"", name, labels, route ? "," : "");
        if (i < scale->n)
            put_value(out, scale, scale->bounds[i]);
        else
            BUF_LIT(out, "+Inf");
        buf_printf(out, "\"} %" PRIu64 "\n", count);
    }
    const char *open = route ? "{" : "";
    const char *close = route ? "}" : "";
    buf_printf(out, "snapup_%s_sum%s%s%s ", name, open, labels, close);
    put_value(out, scale, total(m, offset + offsetof(struct histogram, sum)));
    buf_printf(out, "\nsnapup_%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

/* The first status with the same labels as st. Rows that look alike from outside are one series,
 * since Prometheus refuses a page that names a series twice. */
static enum status alike(enum status st)
{
    const struct status_info *info = status_info(st);
    enum status first = ST_OK;
    while (status_info(first)->http != info->http ||
           strcmp(status_info(first)->code, info->code) != 0)
        first++;
    return first;
}

static size_t route_at(unsigned route)
{
    return offsetof(struct metrics_block, routes) + route * sizeof(struct route_cells);
}

/* A route's counters, but for outcomes it never had: most pairs never occur. */
static void put_outcomes(const struct metrics *m, struct buf *out, unsigned route)
{
    uint64_t sums[ST_COUNT] = {0};
    size_t offset = route_at(route) + offsetof(struct route_cells, outcomes);
    for (unsigned st = 0; st < ST_COUNT; st++) {
        uint64_t n = total(m, offset + st * sizeof(cell));
        if (n)
            sums[alike(st)] += n;
    }
    for (unsigned st = 0; st < ST_COUNT; st++) {
        if (sums[st] == 0)
            continue;
        const struct status_info *info = status_info(st);
        buf_printf(out, "snapup_%s{route=\"%s\",status=\"%u\",code=\"%s\"} %" PRIu64 "\n",
                   requests_text.name, m->route_names[route], info->http, info->code, sums[st]);
    }
}

static bool route_used(const struct metrics *m, unsigned route)
{
    size_t offset = route_at(route) + offsetof(struct route_cells, outcomes);
    uint64_t n = 0;
    for (unsigned st = 0; st < ST_COUNT && n == 0; st++)
        n = total(m, offset + st * sizeof(cell));
    return n > 0;
}

static void put_routes(const struct metrics *m, struct buf *out)
{
    put_head(out, &requests_text, "counter");
    for (unsigned route = 0; route < m->routes_n; route++)
        put_outcomes(m, out, route);
    put_head(out, &latency_text, "histogram");
    for (unsigned route = 0; route < m->routes_n; route++) {
        if (route_used(m, route))
            put_histogram(m, out, latency_text.name, m->route_names[route], &time_scale,
                          route_at(route) + offsetof(struct route_cells, latency));
    }
}

static void put_counters(const struct metrics *m, struct buf *out)
{
    for (unsigned i = 0; i < M_COUNT; i++) {
        put_head(out, &counter_texts[i], "counter");
        buf_printf(out, "snapup_%s %" PRIu64 "\n", counter_texts[i].name,
                   total(m, offsetof(struct metrics_block, counters) + i * sizeof(cell)));
    }
}

static void put_histograms(const struct metrics *m, struct buf *out)
{
    for (unsigned i = 0; i < MT_COUNT; i++) {
        put_head(out, &time_texts[i], "histogram");
        put_histogram(m, out, time_texts[i].name, NULL, &time_scale,
                      offsetof(struct metrics_block, times) + i * sizeof(struct histogram));
    }
    for (unsigned i = 0; i < MS_COUNT; i++) {
        put_head(out, &size_texts[i], "histogram");
        put_histogram(m, out, size_texts[i].name, NULL, &size_scale,
                      offsetof(struct metrics_block, sizes) + i * sizeof(struct histogram));
    }
}

static void put_gauges(struct metrics *m, struct buf *out)
{
    for (unsigned i = 0; i < MG_COUNT; i++) {
        put_head(out, &gauge_texts[i], "gauge");
        buf_printf(out, "snapup_%s %" PRId64 "\n", gauge_texts[i].name,
                   atomic_load_explicit(&m->gauges[i], memory_order_relaxed));
    }
}

void metrics_render(struct metrics *m, struct buf *out)
{
    pthread_mutex_lock(&m->lock);
    put_counters(m, out);
    put_histograms(m, out);
    put_routes(m, out);
    put_gauges(m, out);
    pthread_mutex_unlock(&m->lock);
}
