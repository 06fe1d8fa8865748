/* snapup-limits - what this machine can do at most, to hold the service against.
 *
 * http.c: the bare server under echo.c and pipeline.c. batch.c: orders; call.c: through Redis;
 * table.c: into MariaDB; solo.c: either of them alone. */
#include "batch.h"
#include "limits.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: snapup-limits MEASURE [options]\n"
    "\n"
    "  echo       HTTP server that answers from constants       --port, --workers\n"
    "  pipeline   HTTP server: batches in Redis, then MariaDB   --port, --workers, --batch, both\n"
    "             sockets\n"
    "  redis      batches through Redis alone                   --redis, --batch, --seconds\n"
    "  insert     groups into MariaDB alone                     --sql, --batch, --seconds\n"
    "\n"
    "  --redis SOCKET   --sql SOCKET   --port N [8090]   --workers N [2]\n"
    "  --batch N        orders of one call or transaction, up to 256 [256]\n"
    "  --seconds N      [5]\n"
    "\n"
    "Servers run until they are ended. The stores' content under `bare` is replaced.\n";

struct measure {
    const char *name;
    int (*run)(const struct limits *l);
    bool redis, sql; /* needed */
};

static const struct measure measures[] = {
    {"echo", echo_run, false, false},
    {"pipeline", pipeline_run, true, true},
    {"redis", redis_run, true, false},
    {"insert", insert_run, false, true},
};

static const struct measure *find_measure(const char *name)
{
    for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++) {
        if (strcmp(measures[i].name, name) == 0) {
            return &measures[i];
        }
    }
    return NULL;
}

static unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end != '\0' || n < 1 || n > max) {
        fprintf(stderr, "snapup-limits: want a number from 1 to %u, got \"%s\"\n", max, text);
        exit(2);
    }
    return (unsigned)n;
}

static bool read_options(struct limits *l, int argc, char **argv)
{
    static const struct option options[] = {
        {"redis", required_argument, NULL, 'r'},
        {"sql", required_argument, NULL, 's'},
        {"port", required_argument, NULL, 'p'},
        {"workers", required_argument, NULL, 'w'},
        {"batch", required_argument, NULL, 'b'},
        {"seconds", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'r': l->redis = optarg; break;
        case 's': l->sql = optarg; break;
        case 'p': l->port = (uint16_t)number(optarg, UINT16_MAX); break;
        case 'w': l->workers = number(optarg, WORKERS_MAX); break;
        case 'b': l->batch = number(optarg, BATCH_MAX); break;
        case 't': l->seconds = number(optarg, 3600); break;
        default: return false;
        }
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct limits l = {.port = 8090, .workers = 2, .batch = BATCH_MAX, .seconds = 5};
    const struct measure *m = argc > 1 ? find_measure(argv[1]) : NULL;
    if (!m || !read_options(&l, argc - 1, argv + 1) || (m->redis && !l.redis) ||
        (m->sql && !l.sql)) {
        fputs(help, stderr);
        return 2;
    }
    return m->run(&l);
}
