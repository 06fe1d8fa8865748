#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/flatjson.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    RING_LEN = 1 << 20, /* bytes; some thousand lines */
    LINE_MAX_LEN = 4096,
    LINE_END_MAX = 24, /* room kept for `,"cut":<unsigned>}` and the line feed */
    STALL_MS = 1000,   /* how long a descriptor that takes nothing may hold up the end */
};

struct log {
    int fd;
    _Atomic int level;
    _Atomic uint64_t dropped;
    pthread_t writer;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t filled, emptied;
    size_t head; /* first byte not written yet */
    size_t used; /* bytes from head on, wrapping */
    bool stop;
    char ring[RING_LEN]; /* bytes inside [head, head + used) belong to the writer, without the lock
                          */
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

enum { LEVELS = sizeof(level_names) / sizeof(level_names[0]) };

bool log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < LEVELS; i++) {
        if (!strcmp(text, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_level(struct log *lg, enum log_level level)
{
    if (lg)
        atomic_store_explicit(&lg->level, (int)level, memory_order_relaxed);
}

uint64_t log_dropped(struct log *lg)
{
    return lg ? atomic_load_explicit(&lg->dropped, memory_order_relaxed) : 0;
}

/* Some of p to the descriptor: how many bytes, or 0 when it is broken, or stalled at the end. */
static size_t write_some(struct log *lg, const char *p, size_t n)
{
    for (;;) {
        ssize_t done = write(lg->fd, p, n);
        if (done > 0)
            return (size_t)done;
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0 || errno != EAGAIN)
            return 0;
        struct pollfd room = {.fd = lg->fd, .events = POLLOUT};
        if (poll(&room, 1, STALL_MS) != 0)
            continue;
        pthread_mutex_lock(&lg->lock);
        bool stop = lg->stop;
        pthread_mutex_unlock(&lg->lock);
        if (stop)
            return 0;
    }
}

static void count_dropped(struct log *lg, const char *p, size_t n)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    atomic_fetch_add_explicit(&lg->dropped, lines, memory_order_relaxed);
}

static void *write_lines(void *arg)
{
    struct log *lg = arg;
    pthread_mutex_lock(&lg->lock);
    for (;;) {
        while (lg->used == 0 && !lg->stop)
            pthread_cond_wait(&lg->filled, &lg->lock);
        if (lg->used == 0)
            break;
        const char *span = lg->ring + lg->head;
        size_t n = lg->used < RING_LEN - lg->head ? lg->used : RING_LEN - lg->head;
        pthread_mutex_unlock(&lg->lock);
        size_t done = write_some(lg, span, n);
        if (done == 0) {
            count_dropped(lg, span, n);
            done = n;
        }
        pthread_mutex_lock(&lg->lock);
        lg->head = (lg->head + done) % RING_LEN;
        lg->used -= done;
        if (lg->used == 0)
            pthread_cond_broadcast(&lg->emptied);
    }
    pthread_mutex_unlock(&lg->lock);
    return NULL;
}

/* Signals are for the threads that the program started on purpose. */
static int start_writer(struct log *lg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&lg->writer, NULL, write_lines, lg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum status log_create(int fd, enum log_level level, struct log **out)
{
    struct log *lg = malloc(sizeof(*lg));
    if (!lg)
        return ST_UNAVAILABLE;
    lg->fd = fd;
    atomic_init(&lg->level, (int)level);
    atomic_init(&lg->dropped, 0);
    lg->head = 0;
    lg->used = 0;
    lg->stop = false;
    if (pthread_mutex_init(&lg->lock, NULL))
        goto no_lock;
    if (pthread_cond_init(&lg->filled, NULL))
        goto no_cond;
    if (pthread_cond_init(&lg->emptied, NULL))
        goto no_second_cond;
    if (start_writer(lg))
        goto no_writer;
    *out = lg;
    return ST_OK;
no_writer:
    pthread_cond_destroy(&lg->emptied);
no_second_cond:
    pthread_cond_destroy(&lg->filled);
no_cond:
    pthread_mutex_destroy(&lg->lock);
no_lock:
    free(lg);
    return ST_UNAVAILABLE;
}

void log_destroy(struct log **lg)
{
    struct log *gone = *lg;
    if (!gone)
        return;
    pthread_mutex_lock(&gone->lock);
    gone->stop = true;
    pthread_cond_signal(&gone->filled);
    pthread_mutex_unlock(&gone->lock);
    pthread_join(gone->writer, NULL);
    pthread_cond_destroy(&gone->emptied);
    pthread_cond_destroy(&gone->filled);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *lg = NULL;
}

void log_flush(struct log *lg, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until); /* the clock of a plain condition variable */
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&lg->lock);
    while (lg->used > 0 && pthread_cond_timedwait(&lg->emptied, &lg->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&lg->lock);
}

static void push_line(struct log *lg, const char *p, size_t n)
{
    pthread_mutex_lock(&lg->lock);
    if (n > RING_LEN - lg->used) {
        pthread_mutex_unlock(&lg->lock);
        atomic_fetch_add_explicit(&lg->dropped, 1, memory_order_relaxed);
        return;
    }
    size_t tail = (lg->head + lg->used) % RING_LEN;
    size_t first = n < RING_LEN - tail ? n : RING_LEN - tail;
    memcpy(lg->ring + tail, p, first);
    memcpy(lg->ring, p + first, n - first);
    if (lg->used == 0)
        pthread_cond_signal(&lg->filled);
    lg->used += n;
    pthread_mutex_unlock(&lg->lock);
}

/* Text may be what a stranger sent. A byte that would spoil the line's UTF-8 becomes '?'. */
static void put_unclean(struct buf *line, struct str s)
{
    char clean[LINE_MAX_LEN];
    for (size_t i = 0; i < s.n; i++)
        clean[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
    buf_json(line, (struct str){clean, s.n});
}

static void put_text(struct buf *line, struct str s)
{
    if (s.n > LINE_MAX_LEN)
        line->overflow = true; /* no use in reading it through */
    else if (utf8_valid(s))
        buf_json(line, s);
    else
        put_unclean(line, s);
}

/* Adds a field, or nothing where it does not fit. */
static bool put_field(struct buf *line, const struct log_field *field)
{
    size_t before = line->len;
    BUF_LIT(line, ",\"");
    buf_add(line, str_from(field->key));
    BUF_LIT(line, "\":");
    if (field->type == LOG_F_STR)
        put_text(line, field->s);
    else
        buf_int(line, field->i);
    if (!line->overflow)
        return true;
    line->len = before;
    line->overflow = false;
    return false;
}

void log_write(struct log *lg, enum log_level level, const char *event, struct str request_id,
               const struct log_field *fields, unsigned n)
{
    if (!lg || (int)level < atomic_load_explicit(&lg->level, memory_order_relaxed))
        return;
    assert((unsigned)level < LEVELS);
    /* The stack is the buffer's memory: as cap is max, it never asks for more. */
    char memory[LINE_MAX_LEN];
    struct buf line = {
        .data = memory, .cap = LINE_MAX_LEN - LINE_END_MAX, .max = LINE_MAX_LEN - LINE_END_MAX};
    BUF_LIT(&line, "{\"ts\":");
    buf_json_time(&line, clock_wall_ms());
    unsigned cut = !put_field(&line, &LF_Z("level", level_names[level]));
    cut += !put_field(&line, &LF_Z("event", event));
    if (request_id.n)
        cut += !put_field(&line, &LF_STR("request_id", request_id));
    for (unsigned i = 0; i < n; i++)
        cut += !put_field(&line, &fields[i]);
    /* Fields stop short of the end, so that these two always fit. */
    line.cap = line.max = LINE_MAX_LEN;
    if (cut)
        put_field(&line, &LF_INT("cut", cut));
    BUF_LIT(&line, "}\n");
    assert(!line.overflow);
    push_line(lg, line.data, line.len);
}
