/* fiber.h - threads as coroutines under one seeded scheduler, in virtual time.
 *
 * A fiber runs until it waits; who runs next is drawn from the seed. Time stands still while a
 * fiber runs and moves to the next timer when nobody can.
 *
 *   ready ──drawn──▶ running ──fiber_wait──▶ waiting ──wake, deadline──▶ ready
 *
 * Fibers belong to an owner (an instance) that can be paused or killed. A fiber inside a store's
 * server (fiber_enter_server) goes on all the same until it comes out: what was sent is done.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fiber;

/* Embedded in whoever fibers belong to. */
struct fiber_owner {
    bool paused, dead;
    int64_t skew_ms;       /* of its machine's clock */
    int64_t correction_ms; /* what it has made of that: base/clock.h */
};

typedef void *(*fiber_fn)(void *arg);
typedef void (*timer_fn)(void *arg);

void sched_reset(void);
/* Microseconds since the schedule began. */
int64_t sched_now(void);
uint64_t sched_steps(void);
/* One step: a fiber runs, or the next timer fires. False: nothing is left to happen. */
bool sched_step(void);
/* fn runs on the scheduler at that time; it must not wait. */
void sched_at(int64_t at_us, timer_fn fn, void *arg);
/* Its parked fibers can run again. */
void sched_resume(struct fiber_owner *owner);
/* Its fibers never run again, but for those inside a server. */
void sched_kill(struct fiber_owner *owner);

/* owner NULL: the stores' own. */
struct fiber *fiber_start(struct fiber_owner *owner, fiber_fn fn, void *arg);
struct fiber *fiber_self(void); /* NULL on the scheduler */
struct fiber_owner *fiber_owner_self(void);
bool fiber_ended(const struct fiber *f);

enum { FOREVER = -1 };
/* Waits for fiber_wake(on) or until at_us. False: the time came first. */
bool fiber_wait(const void *on, int64_t at_us);
void fiber_sleep(int64_t us);
/* Lets others run first. */
void fiber_yield(void);
/* Wakes one who waits on it, or all. */
void fiber_wake(const void *on);
void fiber_wake_all(const void *on);

void fiber_enter_server(void);
/* Does not return when the owner died meanwhile. */
void fiber_leave_server(void);
