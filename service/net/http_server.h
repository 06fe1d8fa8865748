/* http_server.h - HTTP/1.1 connections on one event loop.
 *
 * Owns sockets, buffers, deadlines and the order of answers; knows nothing of what is served. One
 * server per loop, used only from that loop's thread.
 *
 *   bytes ─▶ http_parser ─▶ router ─▶ on_request(exchange) … exchange_answer() ─▶ one send
 *
 * An exchange is one request and its answer. Pipelined exchanges run at once and are answered in
 * order. Answers only collect; http_server_flush (once at the end of each loop turn) writes each
 * touched connection at most once. A connection whose unsent answers pass output_max, or which has
 * pipeline_max unanswered exchanges, is not read until they drain. An idle connection holds no
 * buffer: bytes are read into one buffer of the server's and copied only when a request is
 * incomplete.
 */
#pragma once

#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/str.h"
#include "net/http_parser.h"
#include "net/router.h"

#include <stdint.h>

struct event_base;
struct http_server;
struct conn;

struct http_conf {
    struct http_limits limits;
    uint32_t conns_max; /* of the process, over all servers that share `census` */
    /* Likewise, per IPv4 address or IPv6 /64. Unix peers count in conns_max alone. */
    uint32_t conns_per_addr;
    uint32_t pipeline_max; /* unanswered exchanges per connection */
    uint32_t output_max;   /* bytes unsent per connection */
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms; /* absolute */
    bool server_timing; /* answers say how long they took */
};

/* Open connections of the process by address; shared by all loops, locked inside. */
struct conn_census;
STATUS_MUSTCHECK
enum status conn_census_create(struct conn_census **out);
void conn_census_destroy(struct conn_census **c);

enum { REQUEST_ID_MAX = 64, EXCHANGE_LOCAL = 1152 };

struct exchange {
    /* Readable by handlers. head and body point into the server's buffer: valid only until the
     * on_request call returns, NULL and empty from then on. head is NULL, too, where the parser or
     * a deadline refused. */
    const struct http_head *head;
    struct str body;
    struct route_match match; /* route NULL: none was found */
    /* The caller's X-Request-Id if 1-64 of A-Za-z0-9._:-, else ours. NUL-terminated. */
    char request_id[REQUEST_ID_MAX + 1];
    uint8_t request_id_len;
    bool replayed;      /* handler sets: answer carries Idempotent-Replayed: true */
    int64_t started_us; /* monotonic, head complete */
    /* The handler's scratch memory, 16-aligned, lives until the answer; not zeroed. */
    _Alignas(16) char local[EXCHANGE_LOCAL];
    /* Private to net/ beyond this point. */
    struct exchange *next;
    struct conn *conn; /* NULL: the peer has gone; answers are dropped */
    struct http_server *server;
    struct buf out;
    bool answered, close_after, head_only, streaming, http10;
    void (*on_stream_close)(void *arg);
    void *stream_arg;
};

struct answer {
    uint16_t status;
    const char *content_type; /* NULL: no body */
    struct str headers;       /* further complete "Name: value\r\n" lines; may be empty */
    struct str body;
    enum status st; /* for the route metrics and the access log */
};

/* What the layer above provides. */
struct http_app {
    void *ctx;
    /* A complete request with a route; runs route->handler after its own checks. Must answer, now
     * or later, exactly once. */
    void (*on_request)(void *ctx, struct exchange *x);
    /* A request that found no route or was refused by the parser or a limit: render and answer it.
     * why is static text. extra are header lines to include (Allow). The server closes afterwards
     * where that is due. */
    void (*on_refusal)(void *ctx, struct exchange *x, enum status st, const char *why,
                       struct str extra);
    /* Every finished exchange, for metrics and log; x->match.route is NULL where none was found. */
    void (*on_done)(void *ctx, struct exchange *x, enum status st, int64_t duration_us);
};

STATUS_MUSTCHECK
enum status http_server_create(struct event_base *base, const struct http_conf *conf,
                               const struct http_app *app, struct router *router,
                               struct conn_census *census, struct log *log, struct metrics *metrics,
                               struct metrics_block *block, struct http_server **out);
/* Closes every connection and frees. Exchanges still unanswered must be answered first or never. */
void http_server_destroy(struct http_server **s);

/* Accepts from fd (a bound, listening, non-blocking socket); takes fd. Up to 64 accepts per wake;
 * EMFILE closes the waiting connection through a spare descriptor. */
STATUS_MUSTCHECK
enum status http_server_listen(struct http_server *s, int fd);
/* Opens a listening socket for `host:port`, `[v6]:port` or `unix:/path`, with SO_REUSEPORT for TCP.
 * Writes the bound address as text into bound (size bytes) when not NULL. error gets a sentence. */
STATUS_MUSTCHECK
enum status http_listen_socket(const char *address, int *fd, char *bound, size_t size, char *error,
                               size_t error_size);
/* Whether nobody listens on address yet: SO_REUSEPORT would let a second daemon of the same user
 * share a port unnoticed. ST_UNAVAILABLE when somebody does. */
STATUS_MUSTCHECK
enum status http_address_unused(const char *address, char *error, size_t error_size);
/* The address that fd is bound to as http_listen_socket would take it; false for none such. */
bool http_bound_address(int fd, char *text, size_t size);
/* Puts other limits and deadlines into effect, also for connections that are open. */
void http_server_configure(struct http_server *s, const struct http_conf *conf);
/* Answers say Connection: close from now on. Connections are accepted as before, unless others
 * listen to the same sockets and go on with it (handed_over): then the sockets are let go of. */
void http_server_retire(struct http_server *s, bool handed_over);
/* Accepts what waits, then no more. What has been asked is answered, with Connection: close; who
 * connected and has not asked yet may do so for LINGER_MS; idle connections close. */
void http_server_drain(struct http_server *s);
/* Unanswered exchanges; while draining also connections that are not done. */
unsigned http_server_busy(const struct http_server *s);
/* Open connections now. */
unsigned http_server_conns(const struct http_server *s);

/* Call at the end of every loop turn: writes what this turn's answers collected. */
void http_server_flush(struct http_server *s);

/* Answers x; x belongs to the server again and must not be touched afterwards. a and all it points
 * to are copied before return. Adds Date, Content-Length, X-Request-Id, Connection and, for
 * replayed, Idempotent-Replayed. From the loop's thread only. */
void exchange_answer(struct exchange *x, const struct answer *a);

/* Server-sent events: answers 200 with headers (Content-Type among them) and keeps the exchange
 * open until the connection closes. Later bytes go out with exchange_stream_send; on_close runs
 * exactly once, when the peer has gone, reads too slowly (output_max) or the server drains, and
 * always from http_server_flush or http_server_destroy, never inside another call; x must not be
 * touched after it. */
void exchange_stream(struct exchange *x, struct str headers, void (*on_close)(void *arg),
                     void *arg);
void exchange_stream_send(struct exchange *x, struct str bytes);
