#include "http.h"
#include "limits.h"

#include <event2/event.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

struct echo {
    const struct limits *limits;
    atomic_bool sold;
};

/* As long as Snapup's own answers. */
static const struct str granted = STR(BARE_CREATED);
static const struct str refused = STR(BARE_HEAD(
    "409 Conflict", "problem+json",
    "191") "Cache-Control: no-store\r\n\r\n"
           "{\"type\":\"about:blank\",\"title\":\"Fewer units are left than asked "
           "for\",\"status\":409,"
           "\"code\":\"sold_out\",\"detail\":\"Fewer units are left than asked for\",\"left\":0,"
           "\"request_id\":\"req_0000000000000000\"}");

static void on_request(void *arg, struct bare_conn *c, enum bare_kind kind)
{
    struct echo *e = arg;
    if (kind == BARE_SALE) {
        atomic_store(&e->sold, false);
    }
    if (kind != BARE_ORDER) {
        bare_answer_sale(c, kind);
    } else if (atomic_load_explicit(&e->sold, memory_order_relaxed)) {
        bare_answer(c, refused);
    } else {
        bare_answer(c, atomic_exchange(&e->sold, true) ? refused : granted);
    }
}

static void *serve(void *arg)
{
    struct echo *e = arg;
    struct event_base *base = event_base_new();
    if (!base || !bare_listen(base, e->limits->port, on_request, e)) {
        perror("snapup-limits: echo");
        return NULL;
    }
    event_base_dispatch(base);
    return NULL;
}

int echo_run(const struct limits *l)
{
    struct echo e = {.limits = l};
    pthread_t threads[WORKERS_MAX];
    unsigned n = 0;
    while (n < l->workers && n < WORKERS_MAX && pthread_create(&threads[n], NULL, serve, &e) == 0) {
        n++;
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    return 1; /* threads serve until the process is ended */
}
