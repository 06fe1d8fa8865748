/* queue.h - the one way in which a thread hands work to another: bounded, first in first out, with
 * a wake-up.
 *
 * A task is a link embedded in the work itself, so queueing allocates nothing. Many producers, one
 * or more consumers; a mutex guards the list. A consumer is either a thread that waits (queue_wait)
 * or an event loop that watches queue_fd. The wake-up is coalesced: one eventfd write or signal
 * when the queue goes from empty to filled.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct task;
typedef void (*task_fn)(struct task *task);

struct task {
    struct task *next;
    task_fn run; /* what a loop calls; NULL where the consumer knows what its tasks are */
};

/* The object that embeds member `field` as its task (or any other member). */
#define CONTAINER_OF(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

struct queue;

/* Empty queue that refuses the (cap + 1)th waiting task. ST_UNAVAILABLE without memory or
 * descriptors. */
STATUS_MUSTCHECK
enum status queue_create(unsigned cap, struct queue **out);
/* Nobody may use it any more; tasks still inside are forgotten, not run. */
void queue_destroy(struct queue **q);

/* ST_OK: task belongs to the consumer. ST_BUSY: full; task stays the caller's. ST_UNAVAILABLE:
 * closed. */
STATUS_MUSTCHECK
enum status queue_push(struct queue *q, struct task *task);
/* An answer to work that another bound admitted: never refused, never waits. */
void queue_push_reply(struct queue *q, struct task *task);

/* Takes up to max tasks as a list in order (NULL: empty). Does not wait. */
struct task *queue_take(struct queue *q, unsigned max);
/* Takes one task, waiting up to timeout_ms (-1: for ever). NULL: time-out, or closed and empty. */
struct task *queue_wait(struct queue *q, int timeout_ms);
/* Consumers still get what is inside, then NULL; waiters wake; pushes are refused. */
void queue_close(struct queue *q);
bool queue_closed(struct queue *q);
/* Descriptor that polls readable while tasks wait; created at first call, owned by the queue. The
 * reader need not read it: queue_take clears it when it empties the queue. queue_close raises it
 * once, so that a loop notices. -1 without descriptors. */
int queue_fd(struct queue *q);
/* Waiting tasks now (a gauge). */
unsigned queue_depth(struct queue *q);
