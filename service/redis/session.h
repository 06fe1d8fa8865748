/* session.h - one blocking Redis connection, for the threads that may wait.
 *
 * Connects at first use and again after an error; each call has the configured deadline. One
 * thread.
 */
#pragma once

#include "base/log.h"
#include "base/status.h"
#include "redis/args.h"
#include "redis/redis.h"

struct redis_session;

STATUS_MUSTCHECK
enum status redis_session_create(const struct redis_conf *conf, struct log *log,
                                 struct redis_session **out);
void redis_session_destroy(struct redis_session **s);

/* Asks who is at the other end now, connecting if need be. ST_OK or ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status redis_session_identity(struct redis_session *s, struct redis_identity *id);
/* Runs one command. ST_OK: *reply is the caller's, to be freed with freeReplyObject, and is no
 * error. ST_UNAVAILABLE: not done (not connected, or Redis said so). ST_UNKNOWN: sent, not
 * answered. ST_FENCED: it has not our functions, or not these; nothing was done. ST_INTERNAL: Redis
 * refused it (logged). */
STATUS_MUSTCHECK
enum status redis_session_call(struct redis_session *s, const struct args *args,
                               struct redisReply **reply);
/* The two halves of redis_session_call, for a caller with something else to do meanwhile. Only one
 * call may be under way, and no other in between. ST_OK: the answer is to be awaited. */
STATUS_MUSTCHECK
enum status redis_session_send(struct redis_session *s, const struct args *args);
STATUS_MUSTCHECK
enum status redis_session_await(struct redis_session *s, struct redisReply **reply);
/* The same, but only if the Redis at the other end is `expected` (rule R1); ST_FENCED otherwise,
 * nothing was sent. */
STATUS_MUSTCHECK
enum status redis_session_call_on(struct redis_session *s, const struct redis_identity *expected,
                                  const struct args *args, struct redisReply **reply);
/* Loads the function library in file unless the server has exactly this one. */
STATUS_MUSTCHECK
enum status redis_session_load_functions(struct redis_session *s, const char *file);
