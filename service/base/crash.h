/* crash.h - named points at which a test lets the process die or pause.
 *
 * Only test builds (-DSNAPUP_CRASH_POINTS) have them; elsewhere CRASH_POINT is nothing at all. The
 * environment chooses one point:
 *
 *     SNAPUP_CRASH_AT=name          the process ends as by kill -9 when it passes the point
 *     SNAPUP_CRASH_AT=name:3        ... when it passes it for the third time
 *     SNAPUP_CRASH_AT=name:1:stop   the process stops as by SIGSTOP, and goes on with SIGCONT
 *
 * Any thread may pass a point. Before it acts a line `crash point: NAME` goes to stderr.
 * tests/fault/test_crash_points.py tests each of them, and fails when one is missing there.
 */
#pragma once

/* X(name, what has just happened, or is about to) */
#define CRASH_TABLE(X)                                                                        \
    X(reserve_before_call, "a batch is about to be reserved in Redis")                        \
    X(reserve_after_call, "Redis has reserved; the committers know of nothing yet")           \
    X(reserve_again_before, "orders whose epoch ended are about to be reserved again")        \
    X(commit_before_begin, "a group is gathered, its transaction not begun")                  \
    X(commit_after_insert, "orders are inserted, their units not counted")                    \
    X(commit_before_commit, "orders are inserted and counted; COMMIT is next")                \
    X(commit_after_commit, "the group is durable; its worker has not heard")                  \
    X(answer_before, "a durable order is about to be answered 201")                           \
    X(ack_before, "log entries of answered batches are about to be deleted")                  \
    X(ack_after, "Redis has deleted log entries of answered batches")                         \
    X(release_before, "a batch's losers are about to be given back to the gate")              \
    X(release_after, "the gate has a batch's losers back")                                    \
    X(deliver_before_call, "an outbox row is about to be told to Redis")                      \
    X(deliver_after_call, "Redis was told an outbox row that still exists")                   \
    X(rebuild_after_bump, "the shard's new epoch is durable, its lease taken")                \
    X(rebuild_after_close, "the old gate is closed")                                          \
    X(rebuild_after_log, "the orders of the log are written")                                 \
    X(rebuild_after_note, "MariaDB knows which Redis is about to be loaded")                  \
    X(rebuild_mid_load, "holds are loaded, units are not")                                    \
    X(rebuild_before_open, "the gate is loaded and open in Redis, not in MariaDB")            \
    X(rebuild_after_open, "the shard is open in both stores")                                 \
    X(sweep_before_complete, "a dead owner's entries were found, nothing is done about them") \
    X(sweep_after_commit, "a dead owner's orders are durable, its log entries remain")        \
    X(sweep_after_settle, "a dead owner's log entries are gone")                              \
    X(publish_after_allocate, "a sale is published and allocated, its gates not loaded")      \
    X(expire_before_commit, "orders are marked expired, not committed")                       \
    X(expire_after_commit, "orders are expired, Redis was not told")                          \
    X(cancel_after_commit, "an order is cancelled, Redis was not told")                       \
    X(payment_before_call, "a payment is recorded, its channel was not asked")                \
    X(payment_after_call, "the channel has the payment; its answer is not recorded")          \
    X(webhook_before_commit, "a notification is applied, not committed")                      \
    X(webhook_after_commit, "a notification is applied, its sender not answered")             \
    X(stock_add_after_commit, "stock is added in MariaDB, Redis was not told")                \
    X(stock_take_after_gate, "the gate gave units up, MariaDB does not know")                 \
    X(stock_take_after_commit, "stock is taken back in both stores, its log entry remains")   \
    X(idem_after_claim, "an idempotency key is claimed, what it stands for is not done")      \
    X(idem_before_finish, "what a key stands for is done, its answer not kept")

enum crash_point {
#define X(name, what) CRASH_##name,
    CRASH_TABLE(X)
#undef X
        CRASH_POINTS
};

/* Dies or stops here if SNAPUP_CRASH_AT says so. */
void crash_pass(enum crash_point point);

#ifdef SNAPUP_CRASH_POINTS
#define CRASH_POINT(name) crash_pass(CRASH_##name)
#else
#define CRASH_POINT(name) ((void)CRASH_##name)
#endif
