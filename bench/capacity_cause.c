#include "capacity_cause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is busy for so much of the time is as good as always busy: the rest is waking up. */
static const double busy = 0.9;

struct cause {
    const json_t *run;
    double seconds;
    double reserving;        /* calls of Redis under way, on average */
    double committing;       /* transactions under way, on average */
    double commits, queries; /* that wait, on average */
};

/* --- metrics ----------------------------------------------------------------------------------- */

void capacity_metrics_read(struct str text, struct capacity_metrics *out)
{
    static const char *const names[CAPACITY_METRICS_N] = {
#define X(id, metric) [METRIC_##id] = metric,
        CAPACITY_METRICS(X)
#undef X
    };
    *out = (struct capacity_metrics){0};
    while (text.n > 0) {
        char line[160];
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        snprintf(line, sizeof(line), "%.*s", n < sizeof(line) ? (int)n : 0, text.p);
        for (int i = 0; i < CAPACITY_METRICS_N; i++) {
            size_t len = strlen(names[i]);
            if (strncmp(line, names[i], len) == 0 && line[len] == ' ') {
                out->v[i] = strtod(line + len, NULL);
            }
        }
        text = end ? (struct str){end + 1, text.n - n - 1} : (struct str){0};
    }
}

bool capacity_drained(const struct capacity_metrics *m)
{
    return m->v[METRIC_COMMIT_DEPTH] == 0 && m->v[METRIC_QUERY_DEPTH] == 0 &&
           m->v[METRIC_OUTBOX_DEPTH] == 0;
}

/* --- cause ------------------------------------------------------------------------------------- */

/* Cores that a process kept busy; 0: not watched. */
static double cores_of(const struct cause *c, const char *process)
{
    const json_t *us = json_object_get(json_object_get(c->run, "cpu_us"), process);
    return c->seconds > 0 ? json_number_value(us) / 1e6 / c->seconds : 0;
}

static double cores_of_all(const struct cause *c, const char **busiest)
{
    const char *name;
    json_t *us;
    double sum = 0;
    double most = -1;
    *busiest = "";
    json_object_foreach(json_object_get(c->run, "cpu_us"), name, us)
    {
        double cores = cores_of(c, name);
        sum += cores;
        if (cores > most) {
            most = cores;
            *busiest = name;
        }
    }
    return sum;
}

/* Whether at least half of the samples saw every connection in use. */
static bool connections_in_use(const json_t *run)
{
    size_t i;
    size_t full = 0;
    json_t *n;
    const json_t *settings = json_object_get(run, "settings");
    const json_t *in_flight = json_object_get(json_object_get(run, "series"), "in_flight");
    double connections = json_number_value(json_object_get(settings, "connections"));
    json_array_foreach(in_flight, i, n)
    {
        full += json_number_value(n) >= connections;
    }
    return connections > 0 && full > 0 && full * 2 >= json_array_size(in_flight);
}

static void name_cause(const struct cause *c, double cores, char *out, size_t size)
{
    const char *busiest;
    const char *invalid = json_string_value(json_object_get(c->run, "invalid"));
    const json_t *settings = json_object_get(c->run, "settings");
    double threads = json_number_value(json_object_get(settings, "threads"));
    double all = cores_of_all(c, &busiest);
    if (all >= busy * cores) {
        snprintf(out, size, "the processors: %.2f of %.0f cores are busy, most with %s", all, cores,
                 busiest);
    } else if (threads > 0 && cores_of(c, "generator") >= busy * threads) {
        snprintf(out, size, "the load tool: its threads are busy, give it more (--threads)");
    } else if (cores_of(c, "redis") >= busy) {
        snprintf(out, size, "Redis: the one thread that runs its commands is busy");
    } else if (c->commits >= 1) {
        snprintf(out, size, "MariaDB: its transactions are under way all the time, %.1f more wait",
                 c->commits);
    } else if (c->queries >= 1) {
        snprintf(out, size, "the service's query threads: %.1f jobs wait for one", c->queries);
    } else if (c->reserving >= busy) {
        snprintf(out, size, "Redis: a call is under way all the time");
    } else if (invalid) {
        snprintf(out, size, "not the service: %s", invalid);
    } else if (connections_in_use(c->run)) {
        snprintf(out, size, "the connections: all are in use, give it more (--connections)");
    } else {
        snprintf(out, size, "none that shows: no process was busy all the time, and no queue long");
    }
}

void capacity_cause(const json_t *run, const struct capacity_metrics *before,
                    const struct capacity_metrics *after, double cores, char *out, size_t size)
{
    struct cause c = {.run = run};
    c.seconds = json_number_value(json_object_get(run, "duration_s"));
    if (c.seconds > 0) {
        const double *from = before->v;
        const double *to = after->v;
        c.reserving = (to[METRIC_RESERVING] - from[METRIC_RESERVING]) / c.seconds;
        c.committing = (to[METRIC_COMMITTING] - from[METRIC_COMMITTING]) / c.seconds;
        c.commits = (to[METRIC_COMMIT_WAITING] - from[METRIC_COMMIT_WAITING]) / c.seconds;
        c.queries = (to[METRIC_QUERY_WAITING] - from[METRIC_QUERY_WAITING]) / c.seconds;
    }
    name_cause(&c, cores, out, size);
    size_t n = strlen(out);
    n += (size_t)snprintf(out + n, size - n, "\n  cores busy:");
    const char *name;
    json_t *us;
    json_object_foreach(json_object_get(run, "cpu_us"), name, us)
    {
        if (n < size) {
            n += (size_t)snprintf(out + n, size - n, " %s %.2f", name, cores_of(&c, name));
        }
    }
    if (n < size) {
        snprintf(out + n, size - n,
                 "\n  on average: %.2f calls of Redis and %.2f transactions under way, %.2f groups "
                 "and %.2f queries wait",
                 c.reserving, c.committing, c.commits, c.queries);
    }
}
