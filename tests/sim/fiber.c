#include "fiber.h"

#include "sim.h"

#include <string.h>
#include <sys/mman.h>

enum {
    FIBERS_MAX = 192,
    STACK_BYTES = 256 * 1024,
    GUARD_BYTES = 4096,
    TIMERS_MAX = 4096,
    TRACE_NAME_MAX = 16
};

enum state { FREE, READY, RUNNING, WAITING, PARKED, ENDED };

struct fiber {
    void *sp;
    enum state state;
    bool in_server;
    bool woken;     /* by fiber_wake, not by its deadline */
    unsigned wait;  /* number of its waits; older timers are void */
    const void *on; /* what it waits for */
    struct fiber_owner *owner;
    fiber_fn fn;
    void *arg;
};

struct timer {
    int64_t at;
    uint64_t seq; /* equal times fire in order */
    timer_fn fn;  /* NULL: a fiber's deadline */
    void *arg;
    unsigned wait;
};

static struct {
    char *stacks;
    struct fiber fiber[FIBERS_MAX];
    unsigned fibers; /* used places */
    struct fiber *ready[FIBERS_MAX];
    unsigned ready_n;
    struct fiber *running;
    void *sp;                       /* of the scheduler, while a fiber runs */
    struct timer timer[TIMERS_MAX]; /* a heap */
    unsigned timers;
    uint64_t seq, steps;
    int64_t now;
} sched;

/* Saves the callee's registers and stack pointer, goes on at `to`. For x86-64. */
__attribute__((naked, noinline)) static void switch_to(void **from, void *to)
{
    __asm__ volatile("pushq %rbp\n\t"
                     "pushq %rbx\n\t"
                     "pushq %r12\n\t"
                     "pushq %r13\n\t"
                     "pushq %r14\n\t"
                     "pushq %r15\n\t"
                     "movq %rsp, (%rdi)\n\t"
                     "movq %rsi, %rsp\n\t"
                     "popq %r15\n\t"
                     "popq %r14\n\t"
                     "popq %r13\n\t"
                     "popq %r12\n\t"
                     "popq %rbx\n\t"
                     "popq %rbp\n\t"
                     "ret");
}

/* --- timers ------------------------------------------------------------------------------------ */

static bool earlier(const struct timer *a, const struct timer *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void timer_push(struct timer t)
{
    if (sched.timers == TIMERS_MAX)
        sim_abort("too many timers");
    t.seq = sched.seq++;
    unsigned i = sched.timers++;
    for (; i > 0 && earlier(&t, &sched.timer[(i - 1) / 2]); i = (i - 1) / 2)
        sched.timer[i] = sched.timer[(i - 1) / 2];
    sched.timer[i] = t;
}

static struct timer timer_pop(void)
{
    struct timer top = sched.timer[0], last = sched.timer[--sched.timers];
    unsigned i = 0;
    for (;;) {
        unsigned child = 2 * i + 1;
        if (child >= sched.timers)
            break;
        if (child + 1 < sched.timers && earlier(&sched.timer[child + 1], &sched.timer[child]))
            child++;
        if (!earlier(&sched.timer[child], &last))
            break;
        sched.timer[i] = sched.timer[child];
        i = child;
    }
    sched.timer[i] = last;
    return top;
}

void sched_at(int64_t at_us, timer_fn fn, void *arg)
{
    timer_push((struct timer){.at = at_us, .fn = fn, .arg = arg});
}

/* --- fibers ------------------------------------------------------------------------------------ */

static void make_ready(struct fiber *f)
{
    f->state = READY;
    f->on = NULL;
    sched.ready[sched.ready_n++] = f;
}

static void to_scheduler(void)
{
    struct fiber *f = sched.running;
    switch_to(&f->sp, sched.sp);
}

static void fiber_end(void)
{
    struct fiber *f = sched.running;
    f->state = ENDED;
    fiber_wake_all(f);
    to_scheduler();
    __builtin_unreachable();
}

static void fiber_main(void)
{
    struct fiber *f = sched.running;
    f->fn(f->arg);
    fiber_end();
}

/* A stack on which switch_to "returns" into fiber_main. */
static void stack_prepare(struct fiber *f)
{
    size_t i = (size_t)(f - sched.fiber);
    char *top = sched.stacks + (i + 1) * (STACK_BYTES + GUARD_BYTES);
    void **sp = (void **)(void *)(top - 64);
    *--sp = NULL; /* where fiber_main would return to: it does not */
    *--sp = (void *)(uintptr_t)fiber_main;
    for (int k = 0; k < 6; k++)
        *--sp = NULL;
    f->sp = sp;
}

struct fiber *fiber_start(struct fiber_owner *owner, fiber_fn fn, void *arg)
{
    struct fiber *f = sched.fiber;
    while (f < sched.fiber + sched.fibers && f->state != FREE)
        f++;
    if (f == sched.fiber + FIBERS_MAX)
        sim_abort("too many fibers");
    if (f == sched.fiber + sched.fibers)
        sched.fibers++;
    *f = (struct fiber){.owner = owner, .fn = fn, .arg = arg, .wait = f->wait};
    stack_prepare(f);
    make_ready(f);
    return f;
}

struct fiber *fiber_self(void)
{
    return sched.running;
}

struct fiber_owner *fiber_owner_self(void)
{
    return sched.running ? sched.running->owner : NULL;
}

bool fiber_ended(const struct fiber *f)
{
    return f->state == ENDED;
}

bool fiber_wait(const void *on, int64_t at_us)
{
    struct fiber *f = sched.running;
    if (!f)
        sim_abort("a wait on the scheduler");
    f->state = WAITING;
    f->on = on;
    f->woken = false;
    f->wait++;
    if (at_us != FOREVER)
        timer_push((struct timer){.at = at_us, .arg = f, .wait = f->wait});
    to_scheduler();
    return f->woken;
}

void fiber_sleep(int64_t us)
{
    (void)fiber_wait(NULL, sched.now + us);
}

void fiber_yield(void)
{
    struct fiber *f = sched.running;
    make_ready(f);
    to_scheduler();
}

void fiber_wake(const void *on)
{
    struct fiber *found = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < sched.fibers; i++) {
        struct fiber *f = &sched.fiber[i];
        if (f->state == WAITING && f->on == on && sim_below(++n) == 0)
            found = f;
    }
    if (!found)
        return;
    found->woken = true;
    make_ready(found);
}

void fiber_wake_all(const void *on)
{
    for (unsigned i = 0; i < sched.fibers; i++) {
        struct fiber *f = &sched.fiber[i];
        if (f->state != WAITING || f->on != on)
            continue;
        f->woken = true;
        make_ready(f);
    }
}

void fiber_enter_server(void)
{
    sched.running->in_server = true;
}

void fiber_leave_server(void)
{
    struct fiber *f = sched.running;
    f->in_server = false;
    if (f->owner && f->owner->dead) {
        f->state = FREE;
        to_scheduler();
    }
    if (f->owner && f->owner->paused) {
        f->state = PARKED;
        to_scheduler();
    }
}

/* --- the scheduler ----------------------------------------------------------------------------- */

void sched_reset(void)
{
    if (!sched.stacks) {
        size_t each = STACK_BYTES + GUARD_BYTES;
        sched.stacks = mmap(NULL, FIBERS_MAX * each, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (sched.stacks == MAP_FAILED)
            sim_abort("no memory for stacks");
        for (size_t i = 0; i < FIBERS_MAX; i++)
            if (mprotect(sched.stacks + i * each, GUARD_BYTES, PROT_NONE) != 0)
                sim_abort("no guard pages");
    }
    for (unsigned i = 0; i < sched.fibers; i++)
        sched.fiber[i] = (struct fiber){0};
    sched.fibers = sched.ready_n = sched.timers = 0;
    sched.seq = sched.steps = 0;
    sched.now = 0;
}

int64_t sched_now(void)
{
    return sched.now;
}

uint64_t sched_steps(void)
{
    return sched.steps;
}

static void run(struct fiber *f)
{
    f->state = RUNNING;
    sched.running = f;
    switch_to(&sched.sp, f->sp);
    sched.running = NULL;
}

static void run_or_park(struct fiber *f)
{
    if (f->in_server || !f->owner || (!f->owner->dead && !f->owner->paused))
        run(f);
    else
        f->state = f->owner->dead ? FREE : PARKED;
}

static void fire(const struct timer *t)
{
    sched.now = t->at > sched.now ? t->at : sched.now;
    if (t->fn) {
        t->fn(t->arg);
        return;
    }
    struct fiber *f = t->arg;
    if (f->state == WAITING && f->wait == t->wait)
        make_ready(f);
}

bool sched_step(void)
{
    sched.steps++;
    if (sched.ready_n > 0) {
        unsigned i = sched.ready_n == 1 ? 0 : sim_below(sched.ready_n);
        struct fiber *f = sched.ready[i];
        sched.ready[i] = sched.ready[--sched.ready_n];
        run_or_park(f);
        return true;
    }
    if (sched.timers == 0)
        return false;
    struct timer t = timer_pop();
    fire(&t);
    return true;
}

void sched_resume(struct fiber_owner *owner)
{
    owner->paused = false;
    for (unsigned i = 0; i < sched.fibers; i++)
        if (sched.fiber[i].owner == owner && sched.fiber[i].state == PARKED)
            make_ready(&sched.fiber[i]);
}

void sched_kill(struct fiber_owner *owner)
{
    owner->dead = true;
    for (unsigned i = 0; i < sched.fibers; i++) {
        struct fiber *f = &sched.fiber[i];
        if (f->owner != owner || f->in_server || f->state == FREE)
            continue;
        for (unsigned k = 0; k < sched.ready_n; k++)
            if (sched.ready[k] == f)
                sched.ready[k--] = sched.ready[--sched.ready_n];
        f->state = FREE;
        f->wait++;
    }
}
