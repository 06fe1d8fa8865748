/* http_priv.h - what the files of the HTTP server share, and nobody else includes.
 *
 *   listener.c ─▶ conn.c ─▶ request.c ─▶ (the app) ─▶ exchange.c ─▶ answer.c ─▶ conn.c
 *                   ▲ deadline.c                                  http_server.c turns the wheel
 *
 * A connection is freed only from http_server_flush, its own event, the tick and destroy: never
 * while its bytes are being parsed, where `broken` is set instead.
 */
#pragma once

#include "net/http_server.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    SCRATCH_BYTES = 65536,       /* most that one read takes */
    TICK_SHIFT = 17,             /* deadlines are counted in 2^17 us, 131 ms */
    LINGER_MS = 2000,            /* a peer may take so long to read a last answer, or to ask */
    DISCARD_BYTES_MAX = 1 << 20, /* and send us so much meanwhile */
    ACCEPTS_PER_WAKE = 64,
    BACKLOG = 4096,     /* connections that the kernel keeps for us */
    ID_PREFIX_LEN = 12, /* "req_" and 8 characters of this server */
    ID_COUNTER_LEN = 8,
    DATE_LINE_LEN = 37, /* "Date: Wed, 11 Nov 2026 00:00:00 GMT\r\n" */
    EXCHANGES_PER_SLAB = 16,
    SPARES_MAX = 256,       /* output buffers kept for the next answers, */
    SPARE_BYTES_MAX = 4096, /* and the largest such */
    CONN_MAGIC = 0x5350636e,
    SERVER_MAGIC = 0x53507376,
};

/* Deadlines of one kind all lie equally far from the moment they were set, so a list in order of
 * setting is in order of time. */
enum deadline_kind { DL_NONE, DL_IDLE, DL_HEADER, DL_BODY, DL_LINGER, DL_WRITE, DL_COUNT };

struct deadline {
    TAILQ_ENTRY(deadline) link;
    struct conn *conn;
    enum deadline_kind kind;
    uint32_t due; /* tick */
};

TAILQ_HEAD(deadline_list, deadline);
TAILQ_HEAD(conn_list, conn);

struct conn {
    uint32_t magic;
    int fd;
    struct http_server *server;
    struct event event;
    short watching; /* EV_READ | EV_WRITE, as told to libevent */

    /* Requests. in holds only what is incomplete or may not be served yet. */
    struct buf in;
    size_t scanned;           /* see http_parse_head */
    struct exchange *partial; /* its head has arrived, its body has not */
    size_t head_len;          /* of partial, bytes */
    uint64_t body_len;        /* of partial, bytes, when not chunked */
    struct http_chunks chunks;
    size_t discarded;  /* bytes that came after the last request */
    bool chunked;      /* of partial */
    bool continue_due; /* 100 Continue once the earlier answers are out */
    bool asked;        /* a whole head has come at least once */
    bool stopped;      /* no request after those queued */
    bool paused;       /* pipeline_max or output_max reached */
    bool deaf;         /* not watched for reading */
    bool eof;          /* the peer sends no more */
    bool broken;       /* to be freed by the next flush */
    bool linger;       /* the peer may still be sending: do not reset its answer away */
    bool lingering;    /* our side is shut down */
    bool touched;      /* on the server's touched list */
    bool addr_counted;

    /* Answers: the queue in order of requests; what is first goes into out. */
    struct exchange *first, *last;
    uint32_t queued;
    size_t waiting; /* bytes of answers behind an unanswered exchange */
    struct buf out;
    size_t sent; /* bytes at the front of out that are gone */
    size_t owed; /* bytes that must leave before out_due */

    struct deadline in_due, out_due;
    TAILQ_ENTRY(conn) all, touch;
    uint64_t addr; /* key of the census */
};

struct listener {
    struct http_server *server;
    struct listener *next;
    struct event *event;
    int fd;
};

struct slab {
    struct slab *next;
    struct exchange exchanges[EXCHANGES_PER_SLAB];
};

struct http_server {
    uint32_t magic;
    struct event_base *base;
    struct http_conf conf;
    struct http_app app;
    struct router *router;
    struct conn_census *census;
    struct log *log;
    struct metrics *metrics;
    struct metrics_block *block;

    struct listener *listeners;
    int spare_fd;         /* given up to accept and close one connection when there are no more */
    bool accept_paused;   /* until the next tick */
    int64_t shed_said_us; /* when the log last heard of it */
    bool retired;         /* what is asked from now on closes its connection */
    bool draining;        /* and nothing new is accepted */

    struct conn_list conns, touched;
    unsigned conn_count, pending;
    struct exchange *free;
    struct exchange *orphans; /* streams whose on_close is due */
    struct slab *slabs;
    struct exchange *current; /* in on_request or on_refusal now */
    struct buf spares[SPARES_MAX];
    unsigned spare_count;

    struct event *tick;
    struct deadline_list due[DL_COUNT];
    uint32_t timeout[DL_COUNT]; /* ticks */
    int64_t now_us;             /* as of this turn of the loop */
    bool now_read;              /* now_us is of this turn */
    int64_t date_s;
    char date_line[DATE_LINE_LEN + 1];
    char id_prefix[ID_PREFIX_LEN];
    uint64_t id_counter;

    struct http_head head; /* of the request being read */
    char scratch[SCRATCH_BYTES];
};

/* census.c: false when a cap is reached or memory is short; then nothing was counted. */
bool census_enter(struct conn_census *c, const uint64_t *addr, uint32_t conns_max,
                  uint32_t per_addr_max);
void census_leave(struct conn_census *c, const uint64_t *addr);
/* Key of an IPv4 address or an IPv6 /64; false for other families. */
bool census_key(const struct sockaddr *sa, uint64_t *key);

/* http_server.c: reads the clock once in a turn of the loop. */
void server_wake(struct http_server *s);

/* deadline.c */
void deadlines_init(struct http_server *s);
/* Sets d to now and the kind's time-out; a deadline already there is replaced. */
void deadline_set(struct http_server *s, struct deadline *d, enum deadline_kind kind);
void deadline_clear(struct http_server *s, struct deadline *d);
void deadlines_sweep(struct http_server *s);
/* Takes time-outs that have changed into account, also for deadlines that are set. */
void deadlines_configure(struct http_server *s);

/* listener.c */
void listeners_pause(struct http_server *s);
void listeners_resume(struct http_server *s);
/* Accepts all that waits. */
void listeners_drain(struct http_server *s);
void listeners_close(struct http_server *s);

/* conn.c */
/* Takes fd, which it closes when a cap is reached. */
void conn_open(struct http_server *s, int fd, const struct sockaddr *peer);
void conn_free(struct conn *c);
/* Where answers to c are written; its memory is lent by the server until all is sent. */
struct buf *conn_out(struct conn *c);
/* Puts c on the list for the next flush. */
void conn_touch(struct conn *c);
/* Has the next flush drop c. */
void conn_break(struct conn *c);
/* Writes, resumes, closes: what c is due. It may be freed. */
void conn_flush(struct conn *c);
void conn_expired(struct conn *c, enum deadline_kind kind);
/* Closes once what has been asked is answered. */
void conn_drain(struct conn *c);

/* request.c */
/* Makes requests of data[0..n), which is the server's scratch memory or c->in; keeps the rest. */
void conn_take(struct conn *c, char *data, size_t n);
/* Whether another request may start now. */
bool conn_may_take(const struct conn *c);
/* Answers by the app's on_refusal what will not be served and stops reading requests. x may be
 * NULL. */
void conn_refuse(struct conn *c, struct exchange *x, enum status st, const char *why);

/* exchange.c */
/* An exchange of c with a clean slate, or NULL without memory. */
struct exchange *exchange_borrow(struct conn *c);
void exchange_return(struct exchange *x);
void exchange_enqueue(struct conn *c, struct exchange *x);
/* Lets go of c's queue: the app still has what is unanswered, the peer does not wait for it. */
void exchanges_detach(struct conn *c);
/* Runs the on_close of streams that have ended. */
void streams_close(struct http_server *s);
/* Sends 100 Continue if it is due and its turn. */
void conn_continue(struct conn *c);
void exchange_slabs_free(struct http_server *s);

/* answer.c */
void answer_write(struct buf *out, const struct exchange *x, const struct answer *a, bool close);
void answer_write_stream(struct buf *out, const struct exchange *x, struct str headers);

static inline size_t conn_unsent(const struct conn *c)
{
    return c->out.len - c->sent;
}
