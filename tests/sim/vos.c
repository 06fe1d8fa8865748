#include "vos.h"

#include "base/clock.h"
#include "fiber.h"
#include "sim.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { FD_FIRST = 100000, FDS_MAX = 1024, YIELD_PER_MILLE = 30 };

/* What stands in the memory of the service's locks and conditions. */
struct vmutex {
    struct fiber *owner;
    unsigned waiters;
};

struct vcond {
    unsigned waiters;
};

_Static_assert(sizeof(struct vmutex) <= sizeof(pthread_mutex_t), "a lock fits into the real one");
_Static_assert(sizeof(struct vcond) <= sizeof(pthread_cond_t), "so does a condition");

static struct {
    uint64_t count[FDS_MAX];
    const void *wake[FDS_MAX];
    int fds;
} vos;

void vos_reset(void)
{
    memset(vos.count, 0, (size_t)vos.fds * sizeof(vos.count[0]));
    memset(vos.wake, 0, (size_t)vos.fds * sizeof(vos.wake[0]));
    vos.fds = 0;
}

/* --- clocks ------------------------------------------------------------------------------------ */

int64_t vos_wall_ms(void)
{
    return WALL_START_MS + sched_now() / 1000;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    int64_t us = sched_now() + 1000000; /* never 0 */
    if (clock != CLOCK_MONOTONIC)
        sim_abort("the wall clock is asked past base/clock.h");
    *ts = (struct timespec){us / 1000000, us % 1000000 * 1000};
    return 0;
}

/* base/clock.c has one correction for the process; here each instance has its own. */
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void)
{
    const struct fiber_owner *owner = fiber_owner_self();
    return vos_wall_ms() + (owner ? owner->skew_ms + owner->correction_ms : 0);
}

int64_t __wrap_clock_follow(int64_t shared_ms, int64_t wall_ms, int64_t within_ms);
int64_t __wrap_clock_follow(int64_t shared_ms, int64_t wall_ms, int64_t within_ms)
{
    int64_t off = shared_ms - wall_ms;
    if (llabs(off) <= CLOCK_SLACK_MS + within_ms)
        return 0;
    fiber_owner_self()->correction_ms += off;
    return off;
}

int __wrap_usleep(useconds_t us);
int __wrap_usleep(useconds_t us)
{
    fiber_sleep(us);
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags)
{
    sim_bytes(out, n);
    return (ssize_t)n;
}

/* --- threads ----------------------------------------------------------------------------------- */

_Static_assert(sizeof(pthread_t) == sizeof(struct fiber *), "a thread's name holds a fiber");

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, fiber_fn fn, void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, fiber_fn fn, void *arg)
{
    *t = (pthread_t)(uintptr_t)fiber_start(fiber_owner_self(), fn, arg);
    return 0;
}

int __wrap_pthread_join(pthread_t t, void **out);
int __wrap_pthread_join(pthread_t t, void **out)
{
    struct fiber *f = (struct fiber *)(uintptr_t)t;
    while (!fiber_ended(f))
        (void)fiber_wait(f, FOREVER);
    return 0;
}

/* The scheduler here knows no precedence, and the process is one thread: it would raise itself. */
int __wrap_setpriority(int which, unsigned who, int nice);
int __wrap_setpriority(int which, unsigned who, int nice)
{
    return 0;
}

/* --- locks ------------------------------------------------------------------------------------- */

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
    memset(m, 0, sizeof(*m));
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
    return 0;
}

static void lock(pthread_mutex_t *m)
{
    struct vmutex *v = (struct vmutex *)(void *)m;
    while (v->owner) {
        v->waiters++;
        (void)fiber_wait(v, FOREVER);
        v->waiters--;
    }
    v->owner = fiber_self();
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    lock(m);
    return 0;
}

static void unlock(pthread_mutex_t *m)
{
    struct vmutex *v = (struct vmutex *)(void *)m;
    if (v->owner != fiber_self())
        sim_abort("a lock is given back by another");
    v->owner = NULL;
    if (v->waiters > 0)
        fiber_wake(v);
}

/* Here a thread may lose its turn: between what it did under the lock and what it does next. */
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    unlock(m);
    if (fiber_self() && sim_chance(YIELD_PER_MILLE))
        fiber_yield();
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
    memset(c, 0, sizeof(*c));
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
    return 0;
}

static int cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t at_us)
{
    struct vcond *v = (struct vcond *)(void *)c;
    v->waiters++;
    unlock(m);
    bool woken = fiber_wait(v, at_us);
    v->waiters--;
    lock(m);
    return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    return cond_wait(c, m, FOREVER);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
    return cond_wait(c, m, t->tv_sec * 1000000 + t->tv_nsec / 1000 - 1000000);
}

int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    if (((struct vcond *)(void *)c)->waiters > 0)
        fiber_wake(c);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    if (((struct vcond *)(void *)c)->waiters > 0)
        fiber_wake_all(c);
    return 0;
}

/* --- eventfds ---------------------------------------------------------------------------------- */

static int slot(int fd)
{
    if (fd < FD_FIRST || fd >= FD_FIRST + vos.fds)
        sim_abort("descriptor %d is none of ours", fd);
    return fd - FD_FIRST;
}

bool vos_fd_ready(int fd)
{
    return vos.count[slot(fd)] > 0;
}

void vos_fd_watch(int fd, const void *wake)
{
    vos.wake[slot(fd)] = wake;
}

int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags)
{
    if (vos.fds == FDS_MAX)
        sim_abort("too many descriptors");
    vos.count[vos.fds] = count;
    vos.wake[vos.fds] = NULL;
    return FD_FIRST + vos.fds++;
}

ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    int i = slot(fd);
    vos.count[i] += *(const uint64_t *)p;
    if (vos.wake[i])
        fiber_wake(vos.wake[i]);
    return (ssize_t)n;
}

ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n)
{
    int i = slot(fd);
    if (vos.count[i] == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(p, &vos.count[i], sizeof(vos.count[i]));
    vos.count[i] = 0;
    return (ssize_t)n;
}

int __wrap_close(int fd);
int __wrap_close(int fd)
{
    return 0;
}
