/* link.h - one pipelined Redis connection on an event loop, with deadlines and reconnect.
 *
 * hiredis' async client has neither; this adds them (h2o's client is the model: three states, every
 * pending callback answered exactly once).
 *
 *   DOWN ──back-off 50 ms .. 1 s──▶ GREETING (AUTH, INFO) ──▶ READY ──error, deadline──▶ DOWN
 *
 * Used only from its loop's thread.
 */
#pragma once

#include "base/log.h"
#include "base/status.h"
#include "redis/args.h"
#include "redis/redis.h"

struct event_base;
struct redis_link;

/* st ST_OK: reply is valid until return (it may be an error reply: see redis_reply_status).
 * ST_UNKNOWN: the connection was lost after the call was sent; reply is NULL. */
typedef void (*redis_reply_fn)(void *arg, enum status st, const struct redisReply *reply);
/* The link became READY (identity is set) or went DOWN (NULL). */
typedef void (*redis_state_fn)(void *arg, const struct redis_identity *identity);

/* conf's strings are borrowed for the link's life. Connects from the loop's first turn on. */
STATUS_MUSTCHECK
enum status redis_link_create(struct event_base *base, const struct redis_conf *conf,
                              struct log *log, redis_state_fn on_state, void *arg,
                              struct redis_link **out);
/* Answers every pending call with ST_UNKNOWN, then frees. */
void redis_link_destroy(struct redis_link **link);
bool redis_link_ready(const struct redis_link *link);
/* Asks the Redis at the other end again who it is, on the same connection: not READY until it has
 * said so. Also done by itself after READONLY or MOVED (rule R1). Nothing when not READY, or when
 * it was asked within the last 100 ms. */
void redis_link_greet(struct redis_link *link);

/* Sends a command. ST_OK: fn runs exactly once, later. ST_UNAVAILABLE: not sent, fn does not run.
 */
STATUS_MUSTCHECK
enum status redis_link_call(struct redis_link *link, const struct args *args, redis_reply_fn fn,
                            void *arg);
