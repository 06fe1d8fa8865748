/* metrics.h - what is counted, one row each, and Prometheus' text of it.
 *
 * Each thread counts in a block of its own (relaxed atomics, single writer), so counting costs an
 * add; metrics_render sums the blocks. Durations are microseconds inside and seconds in the text.
 * Route rows are two-dimensional: (route, status) counters and a latency histogram per route.
 */
#pragma once

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

/* X(id, name, help) */
#define METRICS_COUNTERS(X)                                                                      \
    X(CONNS_ACCEPTED, "connections_accepted_total", "Connections accepted.")                     \
    X(CONNS_REFUSED, "connections_refused_total",                                                \
      "Connections closed at once: over a cap or out of descriptors. Raise caps or add "         \
      "instances.")                                                                              \
    X(CONNS_TIMED_OUT, "connections_timed_out_total",                                            \
      "Connections closed at a header, body, idle or write deadline.")                           \
    X(RESERVE_CALLS, "reserve_calls_total",                                                      \
      "Reserving calls of Redis, with those that only delete log entries.")                      \
    X(RESERVE_REQUESTS, "reserve_requests_total", "Purchases that reached Redis.")               \
    X(RESERVE_WON, "reserve_won_total", "Purchases that got their units.")                       \
    X(REFUSED_LOCALLY, "refused_locally_total", "Purchases refused from memory.")                \
    X(COMMITS, "commits_total", "Transactions that wrote orders.")                               \
    X(COMMIT_ROWS, "commit_rows_total",                                                          \
      "Orders in those transactions, with the few that they found lost.")                        \
    X(COMMIT_FALLBACKS, "commit_fallbacks_total",                                                \
      "Tries of a group that failed: a duplicate or deadlock (then row by row), a lost answer, " \
      "and ten a second while MariaDB is away.")                                                 \
    X(COMMIT_FENCED, "commit_fenced_total",                                                      \
      "Times that a group went on without a shard's orders, whose epoch had ended or whose "     \
      "ledger had no room.")                                                                     \
    X(QUERIES, "queries_total", "Jobs run by query threads.")                                    \
    X(ORDERS_PAID, "orders_paid_total", "Orders that became paid.")                              \
    X(ORDERS_CANCELLED, "orders_cancelled_total", "Orders cancelled.")                           \
    X(ORDERS_EXPIRED, "orders_expired_total", "Orders whose time to pay ran out.")               \
    X(WEBHOOKS, "webhooks_total", "Channel notifications with a good signature.")                \
    X(WEBHOOKS_REPEATED, "webhooks_repeated_total", "Notifications seen before.")                \
    X(WEBHOOKS_UNMATCHED, "webhooks_unmatched_total",                                            \
      "Notifications for a payment we do not know. Any is worth a look.")                        \
    X(GROUP_FALLBACKS, "group_fallbacks_total",                                                  \
      "Tries of a group of payments or notifications that failed: a repetition, a deadlock, a "  \
      "lost "                                                                                    \
      "answer. It is run again, at last row by row.")                                            \
    X(PAYMENTS_UNAPPLIED, "payments_unapplied_total",                                            \
      "Money captured for an order that could not take it. To be refunded.")                     \
    X(OUTBOX_DELIVERED, "outbox_delivered_total", "Movements told to Redis.")                    \
    X(BATCHES_COMPLETED, "batches_completed_total",                                              \
      "Batches finished for an owner that is gone or lost an answer. A steady rise: look for "   \
      "instances that die.")                                                                     \
    X(REBUILDS, "rebuilds_total", "Shards loaded into Redis under a new epoch.")                 \
    X(AUDITS, "audits_total", "Full audits of a sale that the housekeeper ran.")                 \
    X(AUDIT_BROKEN, "audit_broken_total",                                                        \
      "Promises found broken. Any is worth a look: log event audit_broken, then the sale's "     \
      "audit.")                                                                                  \
    X(HEALS, "heals_total",                                                                      \
      "Shards rebuilt because gate and ledger differed. Any is worth a look: log event "         \
      "shard_healed.")                                                                           \
    X(REDIS_ERRORS, "redis_errors_total", "Redis calls that failed or were not answered.")       \
    X(SQL_ERRORS, "sql_errors_total",                                                            \
      "Looks of the housekeeper that failed, for want of MariaDB or, in its chores, of Redis.")

/* X(id, name, help): histograms of microseconds, shown in seconds */
#define METRICS_TIMES(X)                                                                          \
    X(RESERVE, "reserve_seconds", "Redis time of a reserving call.")                              \
    X(COMMIT, "commit_seconds", "MariaDB time of a group, all tries of it.")                      \
    X(COMMIT_WAIT, "commit_wait_seconds", "Time a batch waits for its committer.")                \
    X(PAYMENT, "payment_seconds", "MariaDB time of a group of attempts to pay, all tries of it.") \
    X(PAYMENT_WAIT, "payment_wait_seconds", "Time an attempt to pay waits for its group, twice.") \
    X(CHANNEL, "channel_seconds", "Time a channel takes to answer, with the wait to be sent.")    \
    X(WEBHOOK, "webhook_seconds", "MariaDB time of a group of notifications, all tries of it.")   \
    X(WEBHOOK_WAIT, "webhook_wait_seconds", "Time a notification waits for its group.")           \
    X(READ, "order_read_seconds", "MariaDB time of a group of looks at orders.")                  \
    X(READ_WAIT, "order_read_wait_seconds", "Time a look at an order waits for its group.")       \
    X(QUERY, "query_seconds", "Time of a query thread's job.")                                    \
    X(QUERY_WAIT, "query_wait_seconds", "Time a job waits for a query thread.")

/* X(id, name, help): histograms of counts */
#define METRICS_SIZES(X)                                                        \
    X(BATCH, "reserve_batch_size", "Purchases in one Redis call.")              \
    X(GROUP, "commit_group_size", "Orders in one transaction.")                 \
    X(PAYMENT_GROUP, "payment_group_size", "Attempts to pay handled together.") \
    X(WEBHOOK_GROUP, "webhook_group_size", "Notifications applied together.")   \
    X(READ_GROUP, "order_read_group_size", "Looks at orders answered together.")

/* X(id, name, help): values set or read now */
#define METRICS_GAUGES(X)                                                                  \
    X(CONNS, "connections", "Open connections.")                                           \
    X(STREAMS, "event_streams", "Open event streams.")                                     \
    X(COMMIT_DEPTH, "commit_depth", "Orders reserved and not yet durable.")                \
    X(QUERY_DEPTH, "query_depth", "Jobs waiting for a query thread.")                      \
    X(PAYMENT_DEPTH, "payment_depth", "Attempts to pay waiting for their group.")          \
    X(CHANNEL_DEPTH, "channel_depth", "Calls of payment channels, waiting and under way.") \
    X(WEBHOOK_DEPTH, "webhook_depth", "Notifications waiting for their group.")            \
    X(READ_DEPTH, "order_read_depth", "Looks at orders waiting for their group.")          \
    X(OUTBOX_DEPTH, "outbox_depth", "Movements MariaDB has and Redis was not told.")       \
    X(FILTER_BYTES, "filter_bytes",                                                        \
      "Most that the filters of who holds something take in memory; ended sales give "     \
      "theirs back.")                                                                      \
    X(LOG_DROPPED, "log_dropped", "Log lines dropped since the start.")                    \
    X(AUDIT_OK, "audit_ok",                                                                \
      "1 while no promise is seen broken. 0: log events audit_broken, shard_healed.")      \
    X(AUDIT_TIME, "audit_timestamp_seconds",                                               \
      "Unix time of the last look at all open sales. Older than 60 s: see the stores.")    \
    X(WARNINGS, "warnings", "Settings that weaken a promise; /readyz names them.")         \
    X(READY, "ready", "1 while the service can sell.")

#define MX_C(id, name, help) M_##id,
#define MX_T(id, name, help) MT_##id,
#define MX_S(id, name, help) MS_##id,
#define MX_G(id, name, help) MG_##id,
enum metric_counter { METRICS_COUNTERS(MX_C) M_COUNT };
enum metric_time { METRICS_TIMES(MX_T) MT_COUNT };
enum metric_size { METRICS_SIZES(MX_S) MS_COUNT };
enum metric_gauge { METRICS_GAUGES(MX_G) MG_COUNT };
#undef MX_C
#undef MX_T
#undef MX_S
#undef MX_G

struct metrics;       /* the process' */
struct metrics_block; /* one thread's */

/* route_names: n labels that outlive the metrics (static), up to 120 bytes, no quote or backslash.
 */
STATUS_MUSTCHECK
enum status metrics_create(const char *const *route_names, unsigned n, struct metrics **out);
void metrics_destroy(struct metrics **m);
/* A block for the calling thread; owned by m. NULL without memory. m may be NULL (tests): NULL. */
struct metrics_block *metrics_block(struct metrics *m);

/* b may be NULL: then nothing is counted. Only the owning thread calls these. */
void metrics_add(struct metrics_block *b, enum metric_counter c, uint64_t n);
void metrics_time(struct metrics_block *b, enum metric_time t, int64_t us);
void metrics_size(struct metrics_block *b, enum metric_size s, uint64_t n);
void metrics_route(struct metrics_block *b, unsigned route, enum status st, int64_t us);
/* Any thread. m may be NULL (tests): then nothing. */
void metrics_gauge_set(struct metrics *m, enum metric_gauge g, int64_t v);
void metrics_gauge_add(struct metrics *m, enum metric_gauge g, int64_t delta);

/* Appends Prometheus text format 0.0.4, names with prefix snapup_. Statuses with equal HTTP status
 * and code are one series; routes and outcomes that never occurred are left out. Any thread. */
void metrics_render(struct metrics *m, struct buf *out);
