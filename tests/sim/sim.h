/* sim.h - what every part of the simulation shares: the seed's randomness, the trace, failing.
 *
 * One process, one thread, one schedule at a time. Everything that happens follows from the seed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was injected, counted over all schedules, so that one sees what was covered. */
#define SIM_COUNTS(X)                                                \
    X(SCHEDULES, "schedules")                                        \
    X(STEPS, "scheduler steps")                                      \
    X(CRASHES, "instances crashed")                                  \
    X(STARTS, "instances started")                                   \
    X(PAUSES, "instances paused")                                    \
    X(REDIS_RESTARTS, "Redis restarted, data kept")                  \
    X(REDIS_EMPTIED, "Redis restarted empty")                        \
    X(REDIS_OLD, "Redis restarted with an older copy")               \
    X(REDIS_FLUSHED, "Redis flushed while it ran")                   \
    X(REDIS_UNNOTICED, "Redis rolled back unnoticed")                \
    X(REDIS_REFUSED, "Redis calls refused (READONLY, MISCONF, OOM)") \
    X(REDIS_CUT_BEFORE, "Redis calls lost before they were done")    \
    X(REDIS_CUT_AFTER, "Redis answers lost")                         \
    X(REDIS_LATE, "Redis calls done after the caller gave up")       \
    X(SQL_RESTARTS, "MariaDB restarted")                             \
    X(SQL_REFUSED, "statements refused (read-only, full)")           \
    X(SQL_CUT_BEFORE, "statements lost before they were done")       \
    X(SQL_CUT_AFTER, "statements' answers lost")                     \
    X(SQL_LATE, "statements done after the caller gave up")          \
    X(SQL_COMMITS_LOST, "of the lost and late: COMMITs")             \
    X(SQL_CONFLICTS, "deadlocks and lock time-outs")                 \
    X(SQL_IDLE_CUT, "transactions of paused instances ended")        \
    X(HTTP_LOST, "answers lost on the way to the shopper")           \
    X(ORDERS, "orders written")                                      \
    X(DURABLE, "answered 201")                                       \
    X(QUEUED, "answered 202")                                        \
    X(REFUSED, "refused for good")                                   \
    X(TURNED_AWAY, "refused for now (503, 409 in progress)")         \
    X(UNANSWERED, "requests without an answer")                      \
    X(CANCELLED, "cancelled by the shopper")                         \
    X(PAID, "paid")                                                  \
    X(EXPIRED, "expired")                                            \
    X(LOADS, "shards loaded into Redis")                             \
    X(MOVED, "stock added or taken back")

enum sim_count {
#define X(id, text) SIM_##id,
    SIM_COUNTS(X)
#undef X
        SIM_COUNT
};

extern uint64_t sim_count[SIM_COUNT];

/* A number below n (n > 0), next in the seed's row. */
uint32_t sim_below(uint32_t n);
/* True in n of 1,000 cases. */
bool sim_chance(unsigned n);
/* Bytes of the same row. */
void sim_bytes(void *out, size_t n);

/* One line of the replayed trace; costs nothing otherwise. */
#define TRACE(...)                  \
    do {                            \
        if (sim_tracing)            \
            sim_trace(__VA_ARGS__); \
    } while (0)
extern bool sim_tracing;
__attribute__((format(printf, 1, 2))) void sim_trace(const char *format, ...);

/* The schedule broke a promise; the first one counts. It goes on to its end. */
__attribute__((format(printf, 1, 2))) void sim_fail(const char *format, ...);
bool sim_failed(void);
/* The simulation itself does not know how to go on (an unknown statement, a full table). */
__attribute__((format(printf, 1, 2), noreturn)) void sim_abort(const char *format, ...);

/* The rule that `make sim MUTANT=name` takes out; empty: none. */
extern const char *sim_mutant;
bool sim_mutated(const char *name);
bool sim_mutant_known(const char *name);
bool sim_mutant_unnoticed(const char *name);
void sim_mutants_list(void);
/* Redis may lose data without anybody noticing: then only P1 and P2 are asked for. */
extern bool sim_unnoticed;
