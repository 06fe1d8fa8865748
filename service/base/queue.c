#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t lock;  /* guards everything below */
    pthread_cond_t filled; /* on CLOCK_MONOTONIC */
    struct task *head;
    struct task **tail; /* where the next task is linked */
    unsigned depth;
    unsigned cap;
    unsigned waiters; /* threads inside queue_wait */
    int fd;           /* eventfd, -1 until asked for */
    bool fd_readable; /* we wrote and did not read back */
    bool closed;
};

enum status queue_create(unsigned cap, struct queue **out)
{
    struct queue *q = calloc(1, sizeof(*q));
    pthread_condattr_t attr;
    if (!q)
        return ST_UNAVAILABLE;
    if (pthread_condattr_init(&attr))
        goto cleanup;
    /* Time-outs must not jump with the wall clock. */
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&q->filled, &attr);
    pthread_condattr_destroy(&attr);
    if (failed)
        goto cleanup;
    if (pthread_mutex_init(&q->lock, NULL)) {
        pthread_cond_destroy(&q->filled);
        goto cleanup;
    }
    q->tail = &q->head;
    q->cap = cap;
    q->fd = -1;
    *out = q;
    return ST_OK;
cleanup:
    free(q);
    return ST_UNAVAILABLE;
}

void queue_destroy(struct queue **q)
{
    struct queue *gone = *q;
    if (!gone)
        return;
    assert(gone->waiters == 0);
    if (gone->fd >= 0)
        close(gone->fd);
    pthread_mutex_destroy(&gone->lock);
    pthread_cond_destroy(&gone->filled);
    free(gone);
    *q = NULL;
}

/* Both run under the lock, so the flag and the descriptor never disagree. An eventfd that we write
 * at most once before reading it back can neither fill up nor block. */
static void fd_raise(struct queue *q)
{
    uint64_t one = 1;
    if (q->fd < 0 || q->fd_readable)
        return;
    ssize_t n = write(q->fd, &one, sizeof(one));
    assert(n == sizeof(one));
    q->fd_readable = true;
}

static void fd_clear(struct queue *q)
{
    uint64_t count;
    if (!q->fd_readable)
        return;
    ssize_t n = read(q->fd, &count, sizeof(count));
    assert(n == sizeof(count) || (n < 0 && errno == EAGAIN)); /* a reader may have read it */
    q->fd_readable = false;
}

static void append(struct queue *q, struct task *task)
{
    task->next = NULL;
    *q->tail = task;
    q->tail = &task->next;
    if (q->depth++ > 0)
        return;
    fd_raise(q);
    if (q->waiters)
        pthread_cond_signal(&q->filled);
}

enum status queue_push(struct queue *q, struct task *task)
{
    enum status st = ST_OK;
    pthread_mutex_lock(&q->lock);
    if (q->closed)
        st = ST_UNAVAILABLE;
    else if (q->depth >= q->cap)
        st = ST_BUSY;
    else
        append(q, task);
    pthread_mutex_unlock(&q->lock);
    return st;
}

void queue_push_reply(struct queue *q, struct task *task)
{
    pthread_mutex_lock(&q->lock);
    append(q, task);
    pthread_mutex_unlock(&q->lock);
}

/* Unlinks the first max tasks; under the lock. */
static struct task *detach(struct queue *q, unsigned max)
{
    struct task **end = &q->head;
    unsigned taken = 0;
    if (max >= q->depth) {
        end = q->tail;
        taken = q->depth;
    }
    for (; taken < max && taken < q->depth; taken++)
        end = &(*end)->next;
    if (taken == 0)
        return NULL;
    struct task *list = q->head;
    q->head = *end;
    q->depth -= taken;
    *end = NULL;
    if (q->depth == 0)
        q->tail = &q->head;
    return list;
}

/* A push signals only when the queue was empty; whoever leaves tasks behind wakes the next waiter.
 */
static struct task *take(struct queue *q, unsigned max)
{
    struct task *list = detach(q, max);
    if (q->depth == 0)
        fd_clear(q);
    else if (q->waiters)
        pthread_cond_signal(&q->filled);
    return list;
}

struct task *queue_take(struct queue *q, unsigned max)
{
    pthread_mutex_lock(&q->lock);
    struct task *list = take(q, max);
    pthread_mutex_unlock(&q->lock);
    return list;
}

static struct timespec deadline_in(int timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

struct task *queue_wait(struct queue *q, int timeout_ms)
{
    struct timespec deadline = {0};
    if (timeout_ms >= 0)
        deadline = deadline_in(timeout_ms);
    int failed = 0;
    pthread_mutex_lock(&q->lock);
    q->waiters++;
    while (q->depth == 0 && !q->closed && failed != ETIMEDOUT) {
        if (timeout_ms < 0)
            failed = pthread_cond_wait(&q->filled, &q->lock);
        else
            failed = pthread_cond_timedwait(&q->filled, &q->lock, &deadline);
    }
    q->waiters--;
    struct task *task = take(q, 1);
    pthread_mutex_unlock(&q->lock);
    return task;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    fd_raise(q);
    pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

int queue_fd(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    if (q->fd < 0) {
        q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (q->depth || q->closed)
            fd_raise(q);
    }
    int fd = q->fd;
    pthread_mutex_unlock(&q->lock);
    return fd;
}

unsigned queue_depth(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    unsigned depth = q->depth;
    pthread_mutex_unlock(&q->lock);
    return depth;
}
