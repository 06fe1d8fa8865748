/* load_priv.h - a thread of the load: its connections, its shoppers, its figures.
 *
 *   load.c      threads: open, start, stop, add up
 *   worker.c    the loop: whose turn it is, and who gets which connection
 *   visit.c     a shopper's way through his steps: what he does after an answer, or without one
 *   conn.c      connections: open, send, read; says visit_…() when something happened
 *   request.c   the bytes of a request
 *
 * A worker shares nothing with the others but what load.h names: counters that one writes and
 * others may read, and intervals that are handed over whole.
 */
#pragma once

#include "load.h"
#include "told.h"
#include "turns.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <netdb.h>
#include <sys/queue.h>

enum {
    REQUEST_MAX = 8192,
    READ_MAX = 256 * 1024,    /* bytes of one read */
    ANSWER_MAX = 1024 * 1024, /* bytes of one answer */
    KEPT_LEN_MAX = 200,
    POOLS_MAX = 6, /* the service, its streams, and other hosts that answers led to */
    RING = 8,      /* intervals that may wait to be taken */
};

#define NOBODY UINT32_MAX

/* CLOSED: to be opened by the tick, or when needed. GONE: given up. */
enum conn_state { CONN_CLOSED, CONN_OPENING, CONN_FREE, CONN_WAITING, CONN_STREAMING, CONN_GONE };

struct worker;
struct pool;

struct conn {
    struct worker *worker;
    struct pool *pool;
    struct event readable;  /* persistent while open */
    struct event writable;  /* once: connected, or room for the rest of a request */
    TAILQ_ENTRY(conn) free; /* in its pool, while CONN_FREE */
    enum conn_state state;
    int fd;           /* -1: none */
    uint32_t host;    /* index of the instance it goes to */
    int failures;     /* to open, in a row */
    uint32_t shopper; /* of the worker; CONN_WAITING and CONN_STREAMING */
    int64_t since_us; /* when opening, the request or the stream began */
    char *out;        /* what the kernel did not take of the request; mostly NULL */
    size_t out_len;
    char *in; /* what came of an answer that is not whole; mostly empty */
    size_t in_len, in_cap;
};

TAILQ_HEAD(conn_list, conn);

/* Connections to one place. */
struct pool {
    struct addrinfo *addresses[BENCH_URLS_MAX];
    uint32_t hosts_n;
    char host[300]; /* as in a Host line; also the pool's name */
    bool on_demand; /* opened when shoppers wait, not before the start */
    struct conn *conns;
    uint32_t n;
    uint32_t seen; /* of conns, in this round of looking after them; n: it is over */
    struct conn_list free;
    uint32_t opening, gone;
    int64_t free_since_us; /* since when there has been a free one */
    int64_t open_after_us; /* on demand, and the last one could not be opened */
    uint32_t first, last;  /* shoppers who wait for a connection: a list through visits */
    uint32_t waiting;
};

struct kept {
    uint16_t n[SCENARIO_KEPT_MAX];
    char text[SCENARIO_KEPT_MAX][KEPT_LEN_MAX];
};

/* Where a shopper stands. */
struct visit {
    int64_t planned_us; /* when the request in hand was due */
    int64_t first_us;   /* the same of the step's first request; 0: it has not begun */
    struct kept *kept;  /* NULL: nothing yet */
    uint32_t next;      /* in a pool's list */
    uint16_t repeats;   /* of the step, done */
    uint8_t step;       /* of the scenario */
};

struct worker {
    const struct load_conf *conf;
    uint32_t index, threads;
    struct load *load;
    struct turns turns;
    struct visit *visits;
    uint32_t shoppers;
    struct figures *figures;
    struct telling telling;
    struct pool pools[POOLS_MAX];
    unsigned pools_n;
    struct event_base *base;
    struct event *tick, *timer;
    int timer_fd;
    int64_t armed_us;        /* when timer_fd goes off; TURNS_NEVER: not */
    _Atomic uint32_t active; /* shoppers with a request in hand, waiting or in flight */
    bool running, closed, hurried, stopped, done;
    struct interval *ring; /* RING of them */
    uint32_t interval;     /* the current one */
    int64_t interval_end_us;
    _Atomic uint32_t over; /* intervals that have ended */
    char *read;            /* READ_MAX bytes: what the last read brought */
    char request[REQUEST_MAX];
    int64_t user_us, system_us;
};

/* --- load.c ------------------------------------------------------------------------------------ */

/* What the thread that watches asked for, and how many intervals it has taken. */
bool load_hurries(const struct load *l);
bool load_stops(const struct load *l);
uint32_t load_taken(const struct load *l);

/* --- worker.c ---------------------------------------------------------------------------------- */

STATUS_MUSTCHECK
enum status worker_init(struct worker *w);
void worker_fini(struct worker *w);
/* Opens all connections to the service; returns when each is open or failed. */
void worker_open(struct worker *w);
/* The whole run, from start_us on. */
void worker_run(struct worker *w, int64_t start_us);

/* Something changed: whoever is due gets a connection. */
void worker_dispatch(struct worker *w, int64_t now_us);
void worker_check_end(struct worker *w);
/* The interval that now_us lies in. */
struct interval *worker_interval(struct worker *w, int64_t now_us);

/* --- visit.c ----------------------------------------------------------------------------------- */

/* What kind of shopper he is. */
const struct shopper_kind *visit_kind(const struct worker *w, uint32_t shopper);
/* He has nothing else to do. */
void visit_leave(struct worker *w, uint32_t shopper);
/* Whether what c waits for is a stream, and how long it is held; 0: an ordinary answer. */
int64_t visit_streams_us(const struct conn *c);
/* An answer to c's request. False: it makes no sense. */
bool visit_answered(struct conn *c, const struct answer *a, int64_t now_us);
/* The shopper's request has no answer; its connection is closed already. */
void visit_failed(struct worker *w, uint32_t shopper, enum count why);
void visit_stream_ended(struct worker *w, uint32_t shopper, int64_t now_us);

/* --- conn.c ------------------------------------------------------------------------------------ */

STATUS_MUSTCHECK
enum status pool_init(struct pool *p, struct worker *w, uint32_t conns, bool on_demand);
void pool_fini(struct pool *p);
void conn_open(struct conn *c);
void conn_close(struct conn *c);
void conn_send(struct conn *c, uint32_t shopper, struct str request, int64_t now_us);
/* Goes on with the round: deadlines, and connections to be opened again, so many at most. */
void pool_look(struct pool *p, int64_t now_us, uint32_t deeds_max);

/* --- request.c --------------------------------------------------------------------------------- */

/* The pool that the shopper's request goes to; NULL when its target is no place to go. */
struct pool *request_pool(struct worker *w, uint32_t shopper);
/* The request in w->request; its length, or 0 when it does not fit. */
size_t request_write(struct worker *w, uint32_t shopper, const struct pool *pool);

static inline uint32_t worker_global(const struct worker *w, uint32_t shopper)
{
    return w->index + shopper * w->threads;
}

static inline const struct step *worker_step(const struct worker *w, uint32_t shopper)
{
    return &w->conf->scenario->steps[w->visits[shopper].step];
}
