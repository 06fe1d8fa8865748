#include "base/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct item {
    int producer;
    int number;
    struct task task;
};

static void run_nothing(struct task *task)
{
}

static struct item *item_of(struct task *task)
{
    return CONTAINER_OF(task, struct item, task);
}

static struct queue *make_queue(unsigned cap)
{
    struct queue *q = NULL;
    assert_int_equal(queue_create(cap, &q), ST_OK);
    return q;
}

static void fill(struct queue *q, struct item *items, int n)
{
    for (int i = 0; i < n; i++) {
        items[i] = (struct item){.number = i, .task.run = run_nothing};
        assert_int_equal(queue_push(q, &items[i].task), ST_OK);
    }
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_first_in_first_out(void **state)
{
    struct queue *q = make_queue(10);
    struct item items[10];
    assert_null(queue_take(q, 5));
    fill(q, items, 10);
    assert_int_equal(queue_depth(q), 10);
    int number = 0;
    static const unsigned takes[] = {1, 3, 0, 100};
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
        unsigned n = 0;
        for (struct task *t = queue_take(q, takes[i]); t; t = t->next, n++)
            assert_int_equal(item_of(t)->number, number++);
        assert_true(n <= takes[i]);
    }
    assert_int_equal(number, 10);
    assert_int_equal(queue_depth(q), 0);
    fill(q, items, 2);
    assert_int_equal(item_of(queue_wait(q, 0))->number, 0);
    assert_int_equal(item_of(queue_wait(q, -1))->number, 1);
    assert_null(queue_wait(q, 0));
    assert_null(queue_wait(q, 2));
    queue_destroy(&q);
    assert_null(q);
    queue_destroy(&q);
}

static void test_full_refuses_all_but_replies(void **state)
{
    struct queue *q = make_queue(2);
    struct item items[2];
    struct item more = {.number = 2, .task.run = run_nothing};
    fill(q, items, 2);
    assert_int_equal(queue_push(q, &more.task), ST_BUSY);
    assert_int_equal(queue_depth(q), 2);
    queue_push_reply(q, &more.task);
    assert_int_equal(queue_depth(q), 3);
    struct task *list = queue_take(q, 10);
    assert_int_equal(item_of(list->next->next)->number, 2);
    assert_null(list->next->next->next);
    queue_destroy(&q);
}

static void test_close(void **state)
{
    struct queue *q = make_queue(5);
    struct item items[2];
    struct item late = {.number = 9, .task.run = run_nothing};
    fill(q, items, 2);
    assert_false(queue_closed(q));
    queue_close(q);
    assert_true(queue_closed(q));
    assert_int_equal(queue_push(q, &late.task), ST_UNAVAILABLE);
    assert_int_equal(item_of(queue_wait(q, -1))->number, 0);
    assert_int_equal(item_of(queue_take(q, 5))->number, 1);
    assert_null(queue_wait(q, -1));
    queue_push_reply(q, &late.task);
    assert_int_equal(item_of(queue_wait(q, -1))->number, 9);
    assert_null(queue_take(q, 1));
    queue_destroy(&q);
}

static void test_descriptor_follows_the_queue(void **state)
{
    struct queue *q = make_queue(10);
    struct item items[3];
    int fd = queue_fd(q);
    assert_true(fd >= 0);
    assert_int_equal(queue_fd(q), fd);
    for (int round = 0; round < 3; round++) {
        assert_false(readable(fd));
        fill(q, items, 3);
        assert_true(readable(fd));
        assert_non_null(queue_take(q, 2));
        assert_true(readable(fd));
        assert_non_null(queue_wait(q, 0));
        assert_false(readable(fd));
    }
    queue_close(q);
    assert_true(readable(fd));
    assert_null(queue_take(q, 1));
    assert_false(readable(fd));
    queue_destroy(&q);
}

static void test_descriptor_asked_for_late(void **state)
{
    struct queue *q = make_queue(10);
    struct item items[1];
    fill(q, items, 1);
    int fd = queue_fd(q);
    assert_true(readable(fd));
    assert_non_null(queue_take(q, 1));
    assert_false(readable(fd));
    queue_destroy(&q);
}

enum { PRODUCERS = 3, PER_PRODUCER = 20000, CONSUMERS = 3 };

struct crowd {
    struct queue *q;
    struct item *items; /* PRODUCERS * PER_PRODUCER */
    atomic_int consumed;
    atomic_int order_faults;
    int fd; /* >= 0: consumers watch it and take; else they wait */
};

struct member {
    struct crowd *crowd;
    int index;
};

static void *produce(void *arg)
{
    const struct member *me = arg;
    struct item *mine = me->crowd->items + me->index * PER_PRODUCER;
    for (int i = 0; i < PER_PRODUCER; i++) {
        mine[i] = (struct item){me->index, i, {.run = run_nothing}};
        while (queue_push(me->crowd->q, &mine[i].task) == ST_BUSY)
            sched_yield();
    }
    return NULL;
}

/* One consumer sees each producer's numbers rising, however many share the queue. */
static void consume_list(struct crowd *crowd, struct task *list, int *last)
{
    for (struct task *t = list; t; t = t->next) {
        struct item *item = item_of(t);
        if (item->number <= last[item->producer])
            atomic_fetch_add(&crowd->order_faults, 1);
        last[item->producer] = item->number;
        atomic_fetch_add(&crowd->consumed, 1);
    }
}

static void *consume(void *arg)
{
    struct crowd *crowd = ((const struct member *)arg)->crowd;
    int last[PRODUCERS] = {-1, -1, -1};
    struct task *task;
    if (crowd->fd < 0) {
        while ((task = queue_wait(crowd->q, -1)))
            consume_list(crowd, task, last);
        return NULL;
    }
    while (!queue_closed(crowd->q) || queue_depth(crowd->q)) {
        struct pollfd p = {.fd = crowd->fd, .events = POLLIN};
        if (poll(&p, 1, 10000) == 1)
            consume_list(crowd, queue_take(crowd->q, 7), last);
    }
    return NULL;
}

static void run_crowd(bool watch, int consumers)
{
    struct crowd crowd = {.q = make_queue(100), .fd = -1};
    crowd.items = calloc(PRODUCERS * PER_PRODUCER, sizeof(struct item));
    assert_non_null(crowd.items);
    if (watch)
        crowd.fd = queue_fd(crowd.q);
    pthread_t threads[PRODUCERS + CONSUMERS];
    struct member members[PRODUCERS + CONSUMERS];
    for (int i = 0; i < PRODUCERS + consumers; i++) {
        members[i] = (struct member){&crowd, i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &members[i]), 0);
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    queue_close(crowd.q);
    for (int i = PRODUCERS; i < PRODUCERS + consumers; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.consumed), PRODUCERS * PER_PRODUCER);
    assert_int_equal(atomic_load(&crowd.order_faults), 0);
    free(crowd.items);
    queue_destroy(&crowd.q);
}

static void test_threads_wait(void **state)
{
    run_crowd(false, CONSUMERS);
}

static void test_a_loop_watches(void **state)
{
    run_crowd(true, 1);
}

enum { ROUNDS = 300 };

struct burst {
    struct queue *q;
    pthread_barrier_t start;
    atomic_int missed;
};

static void *take_one_each_round(void *arg)
{
    struct burst *burst = arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&burst->start);
        if (!queue_wait(burst->q, 2000))
            atomic_fetch_add(&burst->missed, 1);
    }
    return NULL;
}

/* As many tasks as waiters, pushed faster than the first waiter wakes: only the first push signals,
 * so the waiters must wake each other. */
static void test_a_burst_wakes_every_waiter(void **state)
{
    struct burst burst = {.q = make_queue(10)};
    pthread_barrier_init(&burst.start, NULL, CONSUMERS + 1);
    pthread_t threads[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_one_each_round, &burst), 0);
    struct item items[CONSUMERS];
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&burst.start);
        for (int spin = 0; spin < 5; spin++)
            sched_yield(); /* likelier that all wait already; right either way */
        /* The last round's tasks are all taken: every waiter has passed the barrier since. */
        fill(burst.q, items, CONSUMERS);
    }
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&burst.missed), 0);
    pthread_barrier_destroy(&burst.start);
    queue_destroy(&burst.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out),
        cmocka_unit_test(test_full_refuses_all_but_replies),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_descriptor_follows_the_queue),
        cmocka_unit_test(test_descriptor_asked_for_late),
        cmocka_unit_test(test_threads_wait),
        cmocka_unit_test(test_a_loop_watches),
        cmocka_unit_test(test_a_burst_wakes_every_waiter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
