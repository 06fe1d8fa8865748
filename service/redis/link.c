#include "redis/link.h"

#include "base/clock.h"

#include <assert.h>
#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

enum {
    LINK_MAGIC = 0x11e4c0de,
    TICK_MS = 20,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 1000,
    GREET_AGAIN_MS = 100
};

enum link_state { LINK_DOWN, LINK_GREETING, LINK_READY };

struct pending {
    struct redis_link *link;
    struct pending *next;
    redis_reply_fn fn;
    void *arg;
    int64_t sent_us;
};

struct redis_link {
    uint32_t magic;
    enum link_state state;
    struct event_base *base;
    struct redis_conf conf;
    struct log *log;
    redis_state_fn on_state;
    void *arg;
    redisAsyncContext *ac; /* NULL while DOWN */
    bool calling;          /* redis_link_call writes by itself: no event is wanted for that */
    struct event *tick;
    struct pending *first, **last; /* sent and unanswered, oldest first */
    int64_t since_us;              /* start of greeting, or moment from which to reconnect */
    int64_t greet_us;              /* monotonic: when to ask again who it is; 0: not planned */
    const char *told;              /* event that says why it is not READY; tries do not repeat it */
    int64_t backoff_ms;
};

/* The socket on the loop, in place of hiredis' adapter for libevent: its one-shot events and its wish
 * to write before every call cost four epoll_ctl a call. */
struct watch {
    struct redis_link *link;
    redisAsyncContext *ac;
    struct event *read, *write; /* both persistent */
};

static void link_down(struct redis_link *l, const char *why);

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    const struct watch *w = arg;
    redisAsyncHandleRead(w->ac);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    const struct watch *w = arg;
    redisAsyncHandleWrite(w->ac);
}

/* Adding what is there already, and deleting what is not, cost libevent nothing. */
static void add_read(void *arg)
{
    event_add(((struct watch *)arg)->read, NULL);
}

static void del_read(void *arg)
{
    event_del(((struct watch *)arg)->read);
}

static void add_write(void *arg)
{
    const struct watch *w = arg;
    if (!w->link->calling)
        event_add(w->write, NULL);
}

static void del_write(void *arg)
{
    event_del(((struct watch *)arg)->write);
}

static void watch_free(void *arg)
{
    struct watch *w = arg;
    if (w->read)
        event_free(w->read);
    if (w->write)
        event_free(w->write);
    free(w);
}

static bool watch_add(struct redis_link *l, redisAsyncContext *ac)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (!w)
        return false;
    *w = (struct watch){
        .link = l,
        .ac = ac,
        .read = event_new(l->base, ac->c.fd, EV_READ | EV_PERSIST, on_readable, w),
        .write = event_new(l->base, ac->c.fd, EV_WRITE | EV_PERSIST, on_writable, w),
    };
    if (!w->read || !w->write) {
        watch_free(w);
        return false;
    }
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = watch_free;
    ac->ev.data = w;
    add_read(w);
    add_write(w); /* connected once it can be written */
    return true;
}

static void pending_add(struct redis_link *l, struct pending *p)
{
    p->next = NULL;
    p->sent_us = clock_mono_us();
    *l->last = p;
    l->last = &p->next;
}

/* hiredis answers in order, so the callback is always for the oldest. */
static void on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
    struct pending *p = arg;
    struct redis_link *l = p->link;
    assert(l->magic == LINK_MAGIC && l->first == p);
    l->first = p->next;
    if (!l->first)
        l->last = &l->first;
    if (reply && redis_reply_moved(reply))
        redis_link_greet(l);
    p->fn(p->arg, reply ? ST_OK : ST_UNKNOWN, reply);
    free(p);
}

static enum status send_command(struct redis_link *l, const struct args *args, redis_reply_fn fn,
                                void *arg)
{
    struct pending *p = malloc(sizeof(*p));
    if (!p || args->overflow) {
        free(p);
        return ST_UNAVAILABLE;
    }
    *p = (struct pending){.link = l, .fn = fn, .arg = arg};
    if (redisAsyncCommandArgv(l->ac, on_reply, p, args->n, (const char **)args->word, args->len) !=
        REDIS_OK) {
        free(p);
        return ST_UNAVAILABLE;
    }
    pending_add(l, p);
    return ST_OK;
}

static void on_auth(void *arg, enum status st, const struct redisReply *reply)
{
    struct redis_link *l = arg;
    if (st == ST_OK && redis_reply_status(reply) != ST_OK)
        LOG(l->log, LOG_ERROR, "redis_auth_failed", LF_Z("error", reply->str));
}

static void tell(struct redis_link *l, const char *event, const char *why)
{
    if (l->told != event)
        LOG(l->log, LOG_WARN, event, LF_Z("why", why));
    l->told = event;
}

static void on_info(void *arg, enum status st, const struct redisReply *reply)
{
    struct redis_link *l = arg;
    struct redis_identity id;
    if (st != ST_OK)
        return; /* on_disconnect follows */
    if (reply->type != REDIS_REPLY_STRING ||
        redis_identity_parse((struct str){reply->str, reply->len}, &id) != ST_OK || !id.master) {
        /* It may be promoted in a moment; the tick asks again. */
        l->greet_us = clock_mono_us() + GREET_AGAIN_MS * 1000;
        tell(l, "redis_not_usable", reply->type == REDIS_REPLY_ERROR ? reply->str : "no master");
        return;
    }
    l->told = NULL;
    l->state = LINK_READY;
    l->backoff_ms = BACKOFF_MIN_MS;
    LOG(l->log, LOG_INFO, "redis_ready", LF_Z("run_id", id.run_id));
    l->on_state(l->arg, &id);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_link *l = ac->data;
    if (status != REDIS_OK) {
        l->ac = NULL; /* hiredis frees it after this callback */
        link_down(l, ac->errstr);
    }
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis_link *l = ac->data;
    if (l->ac != ac)
        return; /* we freed it ourselves */
    l->ac = NULL;
    link_down(l, ac->errstr ? ac->errstr : "closed");
}

static void greet(struct redis_link *l)
{
    struct args *args = malloc(sizeof(*args));
    if (l->state != LINK_GREETING)
        l->since_us = clock_mono_us();
    l->state = LINK_GREETING;
    l->greet_us = 0;
    if (!args)
        return;
    if (l->conf.password[0] != '\0') {
        args_reset(args);
        args_z(args, "AUTH");
        args_z(args, l->conf.password);
        if (send_command(l, args, on_auth, l) != ST_OK)
            goto cleanup; /* the tick tries again */
    }
    redis_identity_ask(args);
    if (send_command(l, args, on_info, l) != ST_OK)
        LOG(l->log, LOG_WARN, "redis_greeting_failed", LF_Z("error", "not sent"));
cleanup:
    free(args);
}

static void link_connect(struct redis_link *l)
{
    const char *path;
    char host[256];
    int port = 0;
    l->since_us = clock_mono_us();
    if (redis_address(l->conf.address, &path, host, sizeof(host), &port) != ST_OK)
        return;
    redisAsyncContext *ac = path ? redisAsyncConnectUnix(path) : redisAsyncConnect(host, port);
    if (!ac)
        return;
    if (ac->err) {
        tell(l, "redis_unreachable", ac->errstr);
        redisAsyncFree(ac);
        l->since_us = clock_mono_us() + l->backoff_ms * 1000;
        return;
    }
    if (!watch_add(l, ac)) {
        redisAsyncFree(ac);
        return;
    }
    ac->data = l;
    l->ac = ac;
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    greet(l);
}

/* ac is gone or about to be; hiredis answers what is pending with NULL replies when it frees it. */
static void link_down(struct redis_link *l, const char *why)
{
    bool was_ready = l->state == LINK_READY;
    l->state = LINK_DOWN;
    l->since_us = clock_mono_us() + l->backoff_ms * 1000;
    l->backoff_ms = l->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : l->backoff_ms * 2;
    tell(l, "redis_down", why);
    if (was_ready)
        l->on_state(l->arg, NULL);
}

static void link_cut(struct redis_link *l, const char *why)
{
    redisAsyncContext *ac = l->ac;
    l->ac = NULL;
    link_down(l, why);
    redisAsyncFree(ac);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *l = arg;
    assert(l->magic == LINK_MAGIC);
    int64_t now = clock_mono_us(), limit_us = l->conf.timeout_ms * 1000;
    if (l->state == LINK_DOWN && !l->ac && now >= l->since_us)
        link_connect(l);
    else if (l->state == LINK_GREETING && l->greet_us > 0 && now >= l->greet_us)
        greet(l);
    else if (l->state == LINK_GREETING && now - l->since_us > limit_us)
        link_cut(l, "greeting timed out");
    else if (l->state == LINK_READY && l->first && now - l->first->sent_us > limit_us)
        link_cut(l, "command timed out");
}

enum status redis_link_create(struct event_base *base, const struct redis_conf *conf,
                              struct log *log, redis_state_fn on_state, void *arg,
                              struct redis_link **out)
{
    struct redis_link *l = calloc(1, sizeof(*l));
    if (!l)
        return ST_UNAVAILABLE;
    *l = (struct redis_link){.magic = LINK_MAGIC,
                             .base = base,
                             .conf = *conf,
                             .log = log,
                             .on_state = on_state,
                             .arg = arg,
                             .backoff_ms = BACKOFF_MIN_MS};
    l->last = &l->first;
    l->tick = event_new(base, -1, EV_PERSIST, on_tick, l);
    if (!l->tick || event_add(l->tick, &(struct timeval){0, TICK_MS * 1000}) != 0) {
        if (l->tick)
            event_free(l->tick);
        free(l);
        return ST_UNAVAILABLE;
    }
    link_connect(l);
    *out = l;
    return ST_OK;
}

void redis_link_destroy(struct redis_link **link)
{
    struct redis_link *l = *link;
    if (!l)
        return;
    *link = NULL;
    if (l->ac) {
        redisAsyncContext *ac = l->ac;
        l->ac = NULL;
        l->state = LINK_DOWN;
        redisAsyncFree(ac);
    }
    event_free(l->tick);
    l->magic = 0;
    free(l);
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->state == LINK_READY;
}

/* Writes now, not at the loop's next turn. redisAsyncHandleWrite would free the context on an
 * error, which nobody expects inside a call or inside another answer; here the error stays in the
 * context, and the event that is wanted then finds it. */
static void write_now(redisAsyncContext *ac)
{
    int done = 0;
    if (redisBufferWrite(&ac->c, &done) != REDIS_OK || !done)
        ac->ev.addWrite(ac->ev.data);
}

void redis_link_greet(struct redis_link *link)
{
    if (link->state == LINK_READY && clock_mono_us() - link->since_us >= GREET_AGAIN_MS * 1000)
        greet(link);
}

enum status redis_link_call(struct redis_link *link, const struct args *args, redis_reply_fn fn,
                            void *arg)
{
    assert(link->magic == LINK_MAGIC);
    if (link->state != LINK_READY)
        return ST_UNAVAILABLE;
    link->calling = true;
    enum status st = send_command(link, args, fn, arg);
    link->calling = false;
    if (st == ST_OK)
        write_now(link->ac);
    return st;
}
