#include "client.h"

#include "progress.h"
#include "turns.h"

#include "base/clock.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 8192,   /* bytes of one answer */
    TICK_MS = 100,       /* how often deadlines are looked at and lost connections opened again */
    PACE_MS = 5,         /* how often shoppers who had to wait are dealt out to free connections */
    PROGRESS_TURNS = 10, /* of PACE_MS between two lines of progress */
    REOPEN_TRIES = 100,  /* failures in a row until a connection is given up: about 10 s */
};

/* CLOSED: to be opened by the tick. GONE: given up. */
enum conn_state { CONN_CLOSED, CONN_OPENING, CONN_FREE, CONN_WAITING, CONN_GONE };

struct client;

struct conn {
    struct client *client;
    struct event readable; /* persistent while open */
    struct event writable; /* once: connected, or room for the rest of a request */
    enum conn_state state;
    int fd;           /* -1: none */
    uint32_t host;    /* index of the instance it goes to */
    int failures;     /* to open, in a row */
    uint32_t shopper; /* CONN_WAITING */
    size_t sent;      /* bytes of the request that left */
    int64_t since_us; /* when opening or the request began */
    size_t in_len;
    char in[ANSWER_MAX];
};

struct client {
    const struct options *options;
    const struct crowd *crowd;
    struct journal *journal;
    struct rush *r;
    struct turns turns;
    struct event_base *base;
    struct addrinfo *addresses[BENCH_URLS_MAX];
    struct conn *conns;
    struct event *tick, *pace, *sigint, *sigusr1;
    FILE *progress;
    unsigned paces;   /* since the last line of progress */
    uint32_t waiting; /* connections in CONN_WAITING */
    uint32_t opening; /* connections in CONN_OPENING */
    uint32_t gone;    /* connections in CONN_GONE */
    bool running;     /* the clock has started */
};

static void conn_open(struct conn *c);
static void conn_send_next(struct conn *c, int64_t now_us);

/* The one place where a connection changes state. */
static void conn_set_state(struct conn *c, enum conn_state to)
{
    struct client *k = c->client;
    k->waiting += (to == CONN_WAITING) - (c->state == CONN_WAITING);
    k->opening += (to == CONN_OPENING) - (c->state == CONN_OPENING);
    k->gone += (to == CONN_GONE) - (c->state == CONN_GONE);
    c->state = to;
}

/* Leaves the loop when the phase has nothing left to wait for. */
static void client_check_end(struct client *k)
{
    bool over = k->running ? k->waiting == 0 &&
                                 (turns_over(&k->turns) || k->gone == k->options->connections)
                           : k->opening == 0;
    if (over) {
        event_base_loopbreak(k->base);
    }
}

static void conn_close(struct conn *c)
{
    if (c->fd >= 0) {
        event_del(&c->readable);
        event_del(&c->writable);
        close(c->fd);
        c->fd = -1;
    }
    c->in_len = 0;
    conn_set_state(c, CONN_CLOSED);
}

/* The connection is of no more use; the shopper it served has no answer. */
static void conn_drop(struct conn *c, uint64_t *counter)
{
    (*counter)++;
    turns_retry(&c->client->turns, c->shopper, clock_mono_us(), 0);
    conn_close(c);
    client_check_end(c->client);
}

static void conn_failed_to_open(struct conn *c)
{
    const struct options *o = c->client->options;
    bool patient = c->client->running && (o->persist_s > 0 || c->failures + 1 < REOPEN_TRIES);
    c->failures++;
    c->host = (c->host + 1) % o->hosts_n;
    c->client->r->connect_failures++;
    conn_close(c);
    /* Before the clock starts, one failure is enough to make the run invalid. */
    if (!patient) {
        conn_set_state(c, CONN_GONE);
        c->client->r->given_up++;
    }
    client_check_end(c->client);
}

/* Takes down what the shopper was told. False: an answer that makes no sense. */
static bool client_told(struct client *k, const struct conn *c, const struct answer *a,
                        int64_t now_us)
{
    switch (rush_told(k->r, k->journal, c->shopper, a, c->since_us, now_us)) {
    case RUSH_ASTRAY: return false;
    case RUSH_RETRY: turns_retry(&k->turns, c->shopper, now_us, a->after_s); break;
    case RUSH_GOT_ONE:
        if (crowd_share(c->shopper, CROWD_AGAIN, k->options->again_percent)) {
            turns_repeat(&k->turns, c->shopper, now_us);
        }
        break;
    case RUSH_DONE: break;
    }
    return true;
}

/* Sends what is left of the request; waits for room when the kernel has none. */
static void conn_write(struct conn *c)
{
    struct str request = crowd_request(c->client->crowd, c->shopper);
    ssize_t n = send(c->fd, request.p + c->sent, request.n - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_drop(c, &c->client->r->lost);
        return;
    }
    c->sent += n > 0 ? (size_t)n : 0;
    if (c->sent < request.n) {
        event_add(&c->writable, NULL);
    }
}

static void conn_send_next(struct conn *c, int64_t now_us)
{
    struct client *k = c->client;
    uint32_t newcomers = k->turns.next;
    if (!turns_take(&k->turns, now_us, &c->shopper)) {
        conn_set_state(c, CONN_FREE);
        client_check_end(k);
        return;
    }
    conn_set_state(c, CONN_WAITING);
    c->sent = 0;
    c->since_us = now_us;
    journal_sent(k->journal, c->shopper);
    k->r->shoppers += k->turns.next - newcomers;
    k->r->sent++;
    k->r->first_send_us = k->r->first_send_us ? k->r->first_send_us : now_us;
    conn_write(c);
}

static void conn_answered(struct conn *c, const struct answer *a)
{
    struct rush *r = c->client->r;
    int64_t now_us = clock_mono_us();
    /* Bytes past the answer, or an answer to half a request: the stream means nothing any more. */
    bool astray = a->len != c->in_len || c->sent < c->client->crowd->stride;
    if (astray || !client_told(c->client, c, a, now_us)) {
        conn_drop(c, &r->bad_answers);
        return;
    }
    c->in_len = 0;
    if (a->close) {
        conn_close(c);
        conn_open(c);
        client_check_end(c->client);
        return;
    }
    conn_send_next(c, now_us);
}

/* Bytes that nobody asked for, or the end of a connection that waits for nothing. */
static void conn_idle_readable(struct conn *c)
{
    conn_close(c);
    client_check_end(c->client);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct rush *r = c->client->r;
    if (c->state != CONN_WAITING) {
        conn_idle_readable(c);
        return;
    }
    ssize_t n = recv(fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        conn_drop(c, &r->lost);
        return;
    }
    c->in_len += (size_t)n;
    struct answer a;
    enum answer_found found = answer_read((struct str){c->in, c->in_len}, &a);
    if (found == ANSWER_DONE) {
        conn_answered(c, &a);
    } else if (found == ANSWER_BAD || c->in_len == sizeof(c->in)) {
        conn_drop(c, &r->bad_answers);
    }
}

static void conn_opened(struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        conn_failed_to_open(c);
        return;
    }
    c->failures = 0;
    event_add(&c->readable, NULL);
    conn_set_state(c, CONN_FREE);
    if (c->client->running) {
        conn_send_next(c, clock_mono_us());
    }
    client_check_end(c->client);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_OPENING) {
        conn_opened(c);
    } else if (c->state == CONN_WAITING) {
        conn_write(c);
    }
}

static void conn_open(struct conn *c)
{
    struct client *k = c->client;
    const struct addrinfo *to = k->addresses[c->host];
    int one = 1;
    assert(c->state == CONN_CLOSED);
    conn_set_state(c, CONN_OPENING);
    c->since_us = clock_mono_us();
    c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        conn_failed_to_open(c);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    event_assign(&c->readable, k->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, k->base, c->fd, EV_WRITE, on_writable, c);
    if (connect(c->fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS) {
        conn_failed_to_open(c);
        return;
    }
    event_add(&c->writable, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct client *k = arg;
    int64_t overdue_us = clock_mono_us() - (int64_t)k->options->timeout_s * 1000000;
    for (uint32_t i = 0; i < k->options->connections; i++) {
        struct conn *c = &k->conns[i];
        if (c->state == CONN_WAITING && c->since_us < overdue_us) {
            conn_drop(c, &k->r->timeouts);
        } else if (c->state == CONN_OPENING && c->since_us < overdue_us) {
            conn_failed_to_open(c);
        } else if (c->state == CONN_CLOSED && k->running && !turns_over(&k->turns)) {
            conn_open(c);
        }
    }
    client_check_end(k);
}

/* Free connections take whoever became due meanwhile. */
static void on_pace(evutil_socket_t fd, short what, void *arg)
{
    struct client *k = arg;
    int64_t now_us = clock_mono_us();
    if (!k->running) {
        return;
    }
    for (uint32_t i = 0; i < k->options->connections; i++) {
        if (k->conns[i].state == CONN_FREE) {
            conn_send_next(&k->conns[i], now_us);
            if (k->conns[i].state == CONN_FREE) {
                break; /* nobody is due */
            }
        }
    }
    if (++k->paces == PROGRESS_TURNS) {
        k->paces = 0;
        progress_write(k->progress, k->r, now_us);
    }
}

static void on_sigusr1(evutil_socket_t fd, short what, void *arg)
{
    struct client *k = arg;
    turns_hurry(&k->turns);
}

static void on_sigint(evutil_socket_t fd, short what, void *arg)
{
    struct client *k = arg;
    k->r->interrupted = true;
    turns_stop(&k->turns);
    client_check_end(k);
}

static int64_t time_us(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

/* Both phases: open every connection, then start the clock. */
static enum status client_loop(struct client *k)
{
    struct rusage before, after;
    for (uint32_t i = 0; i < k->options->connections; i++) {
        k->conns[i].client = k;
        k->conns[i].fd = -1;
        k->conns[i].host = i % k->options->hosts_n;
        conn_open(&k->conns[i]);
    }
    if (k->opening > 0) {
        event_base_dispatch(k->base);
    }
    k->r->opened = k->options->connections - k->gone;
    if (k->r->opened == 0) {
        return ST_UNAVAILABLE;
    }
    k->running = true;
    turns_start(&k->turns, clock_mono_us());
    getrusage(RUSAGE_SELF, &before);
    for (uint32_t i = 0; i < k->options->connections; i++) {
        if (k->conns[i].state == CONN_FREE) {
            conn_send_next(&k->conns[i], clock_mono_us());
        }
    }
    event_base_dispatch(k->base);
    progress_write(k->progress, k->r, clock_mono_us());
    getrusage(RUSAGE_SELF, &after);
    k->r->user_us = time_us(after.ru_utime) - time_us(before.ru_utime);
    k->r->system_us = time_us(after.ru_stime) - time_us(before.ru_stime);
    return ST_OK;
}

static enum status client_create_loop(struct client *k)
{
    static const struct timeval every = {TICK_MS / 1000, TICK_MS % 1000 * 1000};
    static const struct timeval pace = {0, PACE_MS * 1000};
    struct event_config *config = event_config_new();
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        k->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (!k->base) {
        return ST_INTERNAL;
    }
    k->tick = event_new(k->base, -1, EV_PERSIST, on_tick, k);
    k->pace = event_new(k->base, -1, EV_PERSIST, on_pace, k);
    k->sigint = evsignal_new(k->base, SIGINT, on_sigint, k);
    k->sigusr1 = evsignal_new(k->base, SIGUSR1, on_sigusr1, k);
    k->conns = calloc(k->options->connections, sizeof(*k->conns));
    if (!k->tick || !k->pace || !k->sigint || !k->sigusr1 || !k->conns ||
        event_add(k->tick, &every) != 0 || event_add(k->pace, &pace) != 0 ||
        event_add(k->sigint, NULL) != 0 || event_add(k->sigusr1, NULL) != 0) {
        return ST_INTERNAL;
    }
    return ST_OK;
}

static void allow_connections(uint32_t n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < n + 64) {
        limit.rlim_cur = limit.rlim_max < n + 64 ? limit.rlim_max : n + 64;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void client_fini(struct client *k)
{
    struct event *const events[] = {k->tick, k->pace, k->sigint, k->sigusr1};
    for (uint32_t i = 0; k->conns && i < k->options->connections; i++) {
        if (k->conns[i].client && k->conns[i].fd >= 0) {
            conn_close(&k->conns[i]);
        }
    }
    free(k->conns);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i]) {
            event_free(events[i]);
        }
    }
    if (k->base) {
        event_base_free(k->base);
    }
    for (uint32_t i = 0; i < k->options->hosts_n; i++) {
        if (k->addresses[i]) {
            freeaddrinfo(k->addresses[i]);
        }
    }
    progress_close(&k->progress);
    turns_fini(&k->turns);
}

static bool find_hosts(struct client *k)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    for (uint32_t i = 0; i < k->options->hosts_n; i++) {
        const struct bench_host *host = &k->options->hosts[i];
        if (getaddrinfo(host->name, host->port, &hints, &k->addresses[i]) != 0) {
            return false;
        }
    }
    return true;
}

enum status rush_run(const struct options *o, const struct crowd *crowd, struct journal *journal,
                     struct rush *r)
{
    const struct turns_conf conf = {crowd->n, o->rate, o->persist_s, o->impatient,
                                    (uint64_t)clock_wall_ms()};
    struct client k = {.options = o, .crowd = crowd, .journal = journal, .r = r};
    enum status st = turns_init(&k.turns, &conf);
    allow_connections(o->connections);
    if (st == ST_OK && !find_hosts(&k)) {
        st = ST_UNAVAILABLE;
    }
    if (st == ST_OK && !progress_open(o->progress, &k.progress)) {
        st = ST_INTERNAL;
    }
    if (st == ST_OK) {
        st = client_create_loop(&k);
    }
    if (st == ST_OK) {
        st = client_loop(&k);
    }
    client_fini(&k);
    return st;
}
