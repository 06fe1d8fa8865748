#include "observer.h"

#include "control.h"

#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    GRACE_US = 120000, /* after an interval, until every thread has noticed its end */
    GET_MS = 400,      /* a service that hangs is not waited for */
    GROUPS_MAX = 32,   /* buckets of a histogram */
};

/* A histogram of /metrics, cumulative. */
struct groups {
    char le[GROUPS_MAX][16];
    double n[GROUPS_MAX];
    unsigned buckets;
    double sum, count;
};

struct observer {
    struct observer_conf conf;
    struct control *control;
    pthread_t thread;
    bool started, locked;
    int stop_fd;
    pthread_mutex_t lock; /* of samples */
    struct sample *samples;
    size_t n, cap;
    struct interval interval;
    int64_t cpu_first_ns[OBSERVER_WATCHED_MAX], cpu_last_ns[OBSERVER_WATCHED_MAX];
    int64_t cpu_at_us;
    bool has_groups;
    struct groups first, last;
};

/* --- looking ----------------------------------------------------------------------------------- */

/* Processor time of a process since its start; -1: it is not there. */
static int64_t cpu_ns(int pid)
{
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    struct timespec t;
    if ((pid > 0 && clock_getcpuclockid(pid, &clock) != 0) || clock_gettime(clock, &t) != 0) {
        return -1;
    }
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void look_at_cpu(struct observer *o, struct sample *s, bool first)
{
    const struct options *opt = o->conf.options;
    int64_t now_us = clock_mono_us();
    double span_ns = (double)(now_us - o->cpu_at_us) * 1000;
    for (unsigned i = 0; i <= opt->watched_n; i++) {
        int64_t ns = cpu_ns(i < opt->watched_n ? opt->watched[i].pid : 0);
        if (first) {
            o->cpu_first_ns[i] = ns;
        } else if (s && ns >= 0 && o->cpu_last_ns[i] >= 0 && span_ns > 0) {
            s->cpu[i] = (double)(ns - o->cpu_last_ns[i]) / span_ns;
        } else if (s) {
            s->cpu[i] = -1;
        }
        o->cpu_last_ns[i] = ns;
    }
    o->cpu_at_us = now_us;
}

/* The sum of `left` over the sale's items; -1: not seen. */
static int64_t look_at_stock(struct observer *o)
{
    char path[128];
    struct str body;
    snprintf(path, sizeof(path), "/v1/sales/%s", o->conf.sale);
    if (!control_get(o->control, path, GET_MS, &body)) {
        return -1;
    }
    int64_t left = -1;
    size_t i;
    json_t *item;
    json_t *sale = json_loadb(body.p, body.n, 0, NULL);
    json_array_foreach(json_object_get(sale, "items"), i, item)
    {
        json_t *n = json_object_get(item, "left");
        left = json_is_integer(n) ? (left < 0 ? 0 : left) + json_integer_value(n) : left;
    }
    json_decref(sale);
    return left;
}

/* The number behind `name` in a line; false: another line. */
static bool number_after(const char *line, const char *name, double *n)
{
    size_t len = strlen(name);
    char *end = NULL;
    if (strncmp(line, name, len) != 0) {
        return false;
    }
    *n = strtod(line + len, &end);
    return end != line + len;
}

/* One line of Prometheus' text. */
static void read_line(struct groups *g, const char *line)
{
    static const char bucket[] = "snapup_commit_group_size_bucket{le=\"";
    if (strncmp(line, bucket, sizeof(bucket) - 1) == 0 && g->buckets < GROUPS_MAX) {
        const char *le = line + sizeof(bucket) - 1;
        size_t n = strcspn(le, "\"");
        snprintf(g->le[g->buckets], sizeof(g->le[0]), "%.*s", (int)n, le);
        g->buckets += number_after(le + n, "\"}", &g->n[g->buckets]);
    }
    number_after(line, "snapup_commit_group_size_sum", &g->sum);
    number_after(line, "snapup_commit_group_size_count", &g->count);
}

static bool look_at_groups(struct observer *o, struct groups *g)
{
    char line[160];
    struct str body;
    *g = (struct groups){.buckets = 0};
    if (!control_get(o->control, "/metrics", GET_MS, &body)) {
        return false;
    }
    while (body.n > 0) {
        const char *end = memchr(body.p, '\n', body.n);
        size_t n = end ? (size_t)(end - body.p) : body.n;
        snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : 0), body.p);
        read_line(g, line);
        body = end ? (struct str){end + 1, body.n - n - 1} : (struct str){0};
    }
    return g->buckets > 0;
}

static void look(struct observer *o, struct sample *s)
{
    struct groups now;
    look_at_cpu(o, s, false);
    s->stock = look_at_stock(o);
    s->commit_group = -1;
    if (o->has_groups && look_at_groups(o, &now)) {
        double count = now.count - o->last.count;
        s->commit_group = count > 0 ? (now.sum - o->last.sum) / count : 0;
        o->last = now;
    }
}

static void fill(struct sample *s, const struct interval *iv, uint32_t i)
{
    const struct hist *h = &iv->latency;
    s->t = (i + 1) * (LOAD_INTERVAL_US / 1e6);
    s->sent = iv->sent;
    s->orders = iv->orders;
    s->refusals = iv->refusals;
    s->errors = iv->errors;
    s->in_flight = iv->in_flight;
    s->p50_us = hist_quantile(h, 50000);
    s->p90_us = hist_quantile(h, 90000);
    s->p99_us = hist_quantile(h, 99000);
    s->p999_us = hist_quantile(h, 99900);
    s->max_us = h->max_us;
}

static void add_sample(struct observer *o, const struct sample *s)
{
    pthread_mutex_lock(&o->lock);
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 128;
        struct sample *more = realloc(o->samples, cap * sizeof(*more));
        o->samples = more ? more : o->samples;
        o->cap = more ? cap : o->cap;
    }
    if (o->n < o->cap) {
        o->samples[o->n++] = *s;
    }
    pthread_mutex_unlock(&o->lock);
}

/* True when it was told to stop. */
static bool wait_until(struct observer *o, int64_t at_us)
{
    int64_t left_us = at_us - clock_mono_us();
    struct pollfd p = {.fd = o->stop_fd, .events = POLLIN};
    int ms = left_us > 0 ? (int)(left_us / 1000) + 1 : 0;
    return poll(&p, 1, ms) > 0;
}

static void *thread_main(void *arg)
{
    struct observer *o = arg;
    bool stopping = false;
    for (uint32_t i = 0;;) {
        int64_t due_us = o->conf.start_us + (int64_t)(i + 1) * LOAD_INTERVAL_US + GRACE_US;
        struct sample s = {0};
        stopping = stopping || wait_until(o, due_us);
        if (!load_take_interval(o->conf.load, i, &o->interval)) {
            if (stopping) {
                break;
            }
            wait_until(o, clock_mono_us() + GRACE_US / 4);
            continue;
        }
        fill(&s, &o->interval, i);
        look(o, &s);
        add_sample(o, &s);
        i++;
    }
    return NULL;
}

/* --- life -------------------------------------------------------------------------------------- */

enum status observer_start(const struct observer_conf *conf, struct observer **out)
{
    struct observer *o = calloc(1, sizeof(*o));
    if (!o) {
        return ST_INTERNAL;
    }
    o->conf = *conf;
    o->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    o->locked = pthread_mutex_init(&o->lock, NULL) == 0;
    enum status st = control_create(conf->options, &o->control);
    if (st == ST_OK) {
        look_at_cpu(o, NULL, true);
        o->has_groups = look_at_groups(o, &o->first);
        o->last = o->first;
        o->started =
            o->stop_fd >= 0 && o->locked && pthread_create(&o->thread, NULL, thread_main, o) == 0;
    }
    if (!o->started) {
        observer_destroy(&o);
        return ST_INTERNAL;
    }
    *out = o;
    return ST_OK;
}

void observer_stop(struct observer *o)
{
    const uint64_t one = 1;
    if (o->started && write(o->stop_fd, &one, sizeof(one)) == sizeof(one)) {
        pthread_join(o->thread, NULL);
        o->started = false;
    }
}

void observer_destroy(struct observer **observer)
{
    struct observer *o = *observer;
    if (!o) {
        return;
    }
    observer_stop(o);
    control_destroy(&o->control);
    if (o->locked) {
        pthread_mutex_destroy(&o->lock);
    }
    if (o->stop_fd >= 0) {
        close(o->stop_fd);
    }
    free(o->samples);
    free(o);
    *observer = NULL;
}

bool observer_latest(struct observer *o, struct sample *out)
{
    pthread_mutex_lock(&o->lock);
    bool any = o->n > 0;
    if (any) {
        *out = o->samples[o->n - 1];
    }
    pthread_mutex_unlock(&o->lock);
    return any;
}

/* --- report ------------------------------------------------------------------------------------ */

#define SERIES_INTEGERS(X) \
    X(sent)                \
    X(orders) X(refusals) X(errors) X(p50_us) X(p90_us) X(p99_us) X(p999_us) X(max_us) X(in_flight)

static json_t *cpu_series(const struct observer *o, unsigned process)
{
    json_t *list = json_array();
    bool seen = false;
    for (size_t i = 0; i < o->n; i++) {
        double share = o->samples[i].cpu[process];
        seen |= share >= 0;
        json_array_append_new(list, json_real(share > 0 ? share : 0));
    }
    if (!seen) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static const char *process_name(const struct observer *o, unsigned i)
{
    const struct options *opt = o->conf.options;
    return i < opt->watched_n ? opt->watched[i].name : "generator";
}

/* A value that was not seen stays what it was before. */
static void add_seen(const struct observer *o, json_t *series)
{
    json_t *stock = json_array();
    json_t *group = json_array();
    int64_t left = (int64_t)o->conf.units;
    bool any_stock = false, any_group = false;
    for (size_t i = 0; i < o->n; i++) {
        const struct sample *s = &o->samples[i];
        left = s->stock >= 0 ? s->stock : left;
        any_stock |= s->stock >= 0;
        any_group |= s->commit_group >= 0;
        json_array_append_new(stock, json_integer(left));
        json_array_append_new(group, json_real(s->commit_group > 0 ? s->commit_group : 0));
    }
    if (any_stock) {
        json_object_set(series, "stock", stock);
    }
    if (any_group) {
        json_object_set(series, "commit_group", group);
    }
    json_decref(stock);
    json_decref(group);
}

static json_t *series_json(const struct observer *o)
{
    json_t *series = json_object();
    json_t *t = json_array();
    json_t *cpu = json_object();
    json_object_set_new(series, "interval_s", json_real(LOAD_INTERVAL_US / 1e6));
    for (size_t i = 0; i < o->n; i++) {
        json_array_append_new(t, json_real(o->samples[i].t));
    }
    json_object_set_new(series, "t", t);
#define X(name)                                                                        \
    {                                                                                  \
        json_t *list = json_array();                                                   \
        for (size_t i = 0; i < o->n; i++) {                                            \
            json_array_append_new(list, json_integer((json_int_t)o->samples[i].name)); \
        }                                                                              \
        json_object_set_new(series, #name, list);                                      \
    }
    SERIES_INTEGERS(X)
#undef X
    for (unsigned i = 0; i <= o->conf.options->watched_n; i++) {
        json_t *list = cpu_series(o, i);
        if (list) {
            json_object_set_new(cpu, process_name(o, i), list);
        }
    }
    json_object_set_new(series, "cpu", cpu);
    add_seen(o, series);
    return series;
}

/* Transactions by size, not cumulative. */
static json_t *groups_json(const struct observer *o)
{
    json_t *list = json_array();
    double before = 0;
    for (unsigned i = 0; i < o->last.buckets && i < o->first.buckets; i++) {
        double n = o->last.n[i] - o->first.n[i];
        char *end = NULL;
        long le = strtol(o->last.le[i], &end, 10);
        json_array_append_new(
            list, json_pack("{s:o, s:I}", "le",
                            *end == '\0' ? json_integer(le) : json_string(o->last.le[i]), "n",
                            (json_int_t)(n - before)));
        before = n;
    }
    return list;
}

void observer_report(const struct observer *o, json_t *run)
{
    json_t *cpu = json_object();
    json_object_set_new(run, "series", series_json(o));
    for (unsigned i = 0; i <= o->conf.options->watched_n; i++) {
        if (o->cpu_last_ns[i] >= 0 && o->cpu_first_ns[i] >= 0) {
            json_object_set_new(cpu, process_name(o, i),
                                json_integer((o->cpu_last_ns[i] - o->cpu_first_ns[i]) / 1000));
        }
    }
    json_object_set_new(run, "cpu_us", cpu);
    if (o->has_groups) {
        json_object_set_new(run, "commit_groups", groups_json(o));
    }
}
