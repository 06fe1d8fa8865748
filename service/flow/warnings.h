/* warnings.h - settings of the stores that weaken a promise without stopping the service.
 *
 * One table: a code, a test, and what to do. Looked at every two seconds by the keeper's watch;
 * shown by /readyz (still 200), snapupctl doctor and the metric snapup_warnings. What cannot be
 * asked (a store that is away, a Redis that refuses CONFIG) is left as it was last seen.
 */
#pragma once

#include "flow/jobs.h"

#include <stdatomic.h>

/* X(id, code, advice) */
#define WARNINGS_TABLE(X)                                                                      \
    X(SQL_FLUSH, "innodb_flush_log_at_trx_commit",                                             \
      "A crash of MariaDB's machine may lose acknowledged orders: "                            \
      "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in its configuration.")              \
    X(SQL_BINLOG, "sync_binlog",                                                               \
      "The binary log is on and a crash of MariaDB's machine may lose acknowledged orders: "   \
      "SET GLOBAL sync_binlog = 1, and in its configuration.")                                 \
    X(SQL_DOUBLEWRITE, "innodb_doublewrite",                                                   \
      "A crash may leave torn pages unless the file system writes them atomically: "           \
      "set innodb_doublewrite = ON in MariaDB's configuration.")                               \
    X(REDIS_AOF, "redis_appendonly",                                                           \
      "Orders answered with 202 are lost if Redis ends before they are committed: "            \
      "CONFIG SET appendonly yes, and in its configuration.")                                  \
    X(REDIS_FSYNC, "redis_appendfsync",                                                        \
      "Orders answered with 202 may be lost for half a minute if Redis' machine crashes: "     \
      "CONFIG SET appendfsync everysec, and in its configuration.")                            \
    X(REDIS_EVICTS, "redis_maxmemory_policy",                                                  \
      "Redis may evict counters, which would be sold again; no sale is loaded and no process " \
      "starts: CONFIG SET maxmemory-policy noeviction, and in its configuration.")

enum warning {
#define X(id, code, advice) WARNING_##id,
    WARNINGS_TABLE(X)
#undef X
        WARNINGS
};

struct warning_info {
    const char *code, *advice; /* the advice needs no escaping in JSON */
};

/* Zeroed at start. The bits are read by any thread; the rest is the looking thread's. */
struct warnings {
    _Atomic uint32_t found; /* bit 1 << enum warning */
    int64_t looked_us;      /* when last, monotonic */
    bool config_refused;    /* this Redis does not let us ask */
};

const struct warning_info *warning_info(enum warning w);
/* Asks both stores if the last look is two seconds old. One thread at a time (the watch chore's); s
 * and w are borrowed for the call. Sets w->found and the metric, logs what was not there at the
 * last look. A store that does not answer is no failure: its bits stay. A Redis that once refused
 * CONFIG is not asked again. */
void warnings_look(struct session *s, struct warnings *w);
