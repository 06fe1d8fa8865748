/* limits.h - what snapup-limits is asked for, and its four measures. Each returns an exit code. */
#pragma once

#include <stdint.h>

enum { WORKERS_MAX = 64 };

struct limits {
    const char *redis, *sql; /* sockets */
    uint16_t port;
    unsigned workers; /* threads that serve HTTP */
    unsigned batch;   /* rows of one call or transaction */
    unsigned seconds;
};

/* An HTTP server whose first order of a sale is granted and all others are refused, from constants. */
int echo_run(const struct limits *l);
/* An HTTP server whose orders go through Redis and MariaDB in batches, without a question. */
int pipeline_run(const struct limits *l);
/* Batches through Redis alone, two in flight; prints what it did as JSON. */
int redis_run(const struct limits *l);
/* Groups into MariaDB alone, one after the other; the same. */
int insert_run(const struct limits *l);
