#include "pay/http_calls.h"

#include "base/clock.h"
#include "base/loop.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { TAKE_AT_ONCE = 256 };

/* A libcurl handle and the call that it carries. */
struct carrier {
    struct http_calls *calls;
    CURL *easy;
    struct curl_slist *headers;
    struct http_call *call;
    struct carrier *next; /* among the idle */
};

struct http_calls {
    struct queue *queue;
    struct event_base *base;
    struct event *on_queue, *timer;
    CURLM *multi;
    struct carrier *idle;
    unsigned in_flight; /* carriers in use */
    bool listening;     /* on_queue is armed */
    _Atomic unsigned depth;
    pthread_t thread;
    bool started;
};

/* --- a call ----------------------------------------------------------------------------------- */

static void end_call(struct http_calls *c, struct http_call *call, enum status st)
{
    call->st = st;
    atomic_fetch_sub_explicit(&c->depth, 1, memory_order_relaxed);
    struct buf reply = call->reply; /* the call may be gone after ended */
    call->ended(call);
    buf_fini(&reply);
}

static size_t on_reply(char *p, size_t size, size_t n, void *arg)
{
    struct carrier *k = arg;
    struct buf *reply = &k->call->reply;
    buf_append(reply, p, size * n);
    return reply->overflow ? 0 : size * n;
}

static void carrier_free(struct carrier *k)
{
    if (k->easy)
        curl_easy_cleanup(k->easy);
    free(k);
}

static struct carrier *carrier_new(struct http_calls *c)
{
    struct carrier *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->calls = c;
    k->easy = curl_easy_init();
    if (!k->easy) {
        carrier_free(k);
        return NULL;
    }
    curl_easy_setopt(k->easy, CURLOPT_PRIVATE, k);
    curl_easy_setopt(k->easy, CURLOPT_TIMEOUT_MS, (long)HTTP_CALL_MS);
    curl_easy_setopt(k->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(k->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(k->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(k->easy, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(k->easy, CURLOPT_WRITEDATA, k);
    return k;
}

static struct carrier *carrier_take(struct http_calls *c)
{
    struct carrier *k = c->idle;
    if (!k)
        return carrier_new(c);
    c->idle = k->next;
    return k;
}

static void carrier_return(struct carrier *k)
{
    curl_slist_free_all(k->headers);
    k->headers = NULL;
    k->call = NULL;
    k->next = k->calls->idle;
    k->calls->idle = k;
}

static bool load(struct carrier *k, struct http_call *call)
{
    k->call = call;
    k->headers = curl_slist_append(NULL, "Content-Type: application/json");
    return k->headers && curl_slist_append(k->headers, call->header) &&
           curl_easy_setopt(k->easy, CURLOPT_URL, call->url) == CURLE_OK &&
           curl_easy_setopt(k->easy, CURLOPT_POSTFIELDS, call->body.p) == CURLE_OK &&
           curl_easy_setopt(k->easy, CURLOPT_POSTFIELDSIZE, (long)call->body.n) == CURLE_OK &&
           curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers) == CURLE_OK;
}

static void begin_call(struct http_calls *c, struct http_call *call)
{
    bool late = clock_mono_us() - call->queued_us > HTTP_CALL_PATIENCE_MS * 1000;
    struct carrier *k = late ? NULL : carrier_take(c);
    if (k && load(k, call) && curl_multi_add_handle(c->multi, k->easy) == CURLM_OK) {
        c->in_flight++;
        return;
    }
    if (k)
        carrier_return(k);
    end_call(c, call, ST_UNAVAILABLE);
}

/* --- libcurl on libevent ---------------------------------------------------------------------- */

/* The queue is readable while calls wait: only worth a look while there is room for them. */
static void listen_to_queue(struct http_calls *c)
{
    bool wanted = c->in_flight < HTTP_CALLS_IN_FLIGHT && !queue_closed(c->queue);
    if (wanted != c->listening)
        c->listening = wanted ? event_add(c->on_queue, NULL) == 0 : event_del(c->on_queue) != 0;
}

static void begin_waiting(struct http_calls *c)
{
    struct task *next;
    if (queue_closed(c->queue))
        return; /* http_calls_stop ends them */
    while (c->in_flight < HTTP_CALLS_IN_FLIGHT) {
        unsigned room = HTTP_CALLS_IN_FLIGHT - c->in_flight;
        struct task *t = queue_take(c->queue, room < TAKE_AT_ONCE ? room : TAKE_AT_ONCE);
        if (!t)
            break;
        for (; t; t = next) {
            next = t->next;
            begin_call(c, CONTAINER_OF(t, struct http_call, task));
        }
    }
}

static enum status meaning(CURLcode rc)
{
    if (rc == CURLE_OK)
        return ST_OK;
    return rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST ? ST_UNAVAILABLE
                                                                           : ST_UNKNOWN;
}

static void reap(struct http_calls *c)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct carrier *k = NULL;
        CURLcode rc = m->data.result;
        CURL *easy = m->easy_handle;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &k);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &k->call->http);
        curl_multi_remove_handle(c->multi, easy);
        struct http_call *call = k->call;
        carrier_return(k);
        c->in_flight--;
        end_call(c, call, meaning(rc));
    }
}

static void act(struct http_calls *c, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(c->multi, fd, events, &running);
    reap(c);
    begin_waiting(c);
    listen_to_queue(c);
    if (queue_closed(c->queue) && c->in_flight == 0)
        event_base_loopbreak(c->base);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_posted(evutil_socket_t fd, short what, void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct http_calls *c = arg;
    struct event *e = known;
    short events = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0));
    if (e)
        event_free(e);
    e = what == CURL_POLL_REMOVE ? NULL : event_new(c->base, fd, events, on_socket, c);
    if (e && event_add(e, NULL) != 0) {
        event_free(e);
        e = NULL;
    }
    curl_multi_assign(c->multi, fd, e);
    return 0;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
    struct http_calls *c = arg;
    const struct timeval after = {ms / 1000, ms % 1000 * 1000};
    return ms < 0 ? event_del(c->timer) : event_add(c->timer, &after);
}

static void *calls_main(void *arg)
{
    struct http_calls *c = arg;
    event_base_dispatch(c->base);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool set_up_multi(struct http_calls *c)
{
    c->multi = curl_multi_init();
    if (!c->multi)
        return false;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CALLS_IN_FLIGHT);
    return true;
}

enum status http_calls_create(struct http_calls **out)
{
    struct http_calls *c = calloc(1, sizeof(*c));
    if (!c)
        return ST_UNAVAILABLE;
    c->base = loop_create();
    if (!c->base || queue_create(HTTP_CALLS_WAITING, &c->queue) != ST_OK)
        goto failed;
    c->timer = event_new(c->base, -1, 0, on_timer, c);
    c->on_queue = event_new(c->base, queue_fd(c->queue), EV_READ | EV_PERSIST, on_posted, c);
    if (!c->timer || !c->on_queue || event_add(c->on_queue, NULL) != 0 || !set_up_multi(c))
        goto failed;
    c->listening = true;
    *out = c;
    return ST_OK;
failed:
    http_calls_destroy(&c);
    return ST_UNAVAILABLE;
}

enum status http_calls_start(struct http_calls *c)
{
    c->started = pthread_create(&c->thread, NULL, calls_main, c) == 0;
    return c->started ? ST_OK : ST_UNAVAILABLE;
}

void http_calls_stop(struct http_calls *c)
{
    struct task *t, *next;
    if (!c->started)
        return;
    queue_close(c->queue);
    pthread_join(c->thread, NULL);
    c->started = false;
    for (t = queue_take(c->queue, HTTP_CALLS_WAITING); t; t = next) {
        next = t->next;
        end_call(c, CONTAINER_OF(t, struct http_call, task), ST_UNAVAILABLE);
    }
}

void http_calls_destroy(struct http_calls **calls)
{
    struct http_calls *c = *calls;
    struct carrier *k;
    if (!c)
        return;
    while ((k = c->idle) != NULL) {
        c->idle = k->next;
        carrier_free(k);
    }
    /* It closes its connections, and says so through want_socket. */
    if (c->multi)
        curl_multi_cleanup(c->multi);
    if (c->on_queue)
        event_free(c->on_queue);
    if (c->timer)
        event_free(c->timer);
    queue_destroy(&c->queue);
    if (c->base)
        event_base_free(c->base);
    free(c);
    *calls = NULL;
}

void http_calls_post(struct http_calls *c, struct http_call *call)
{
    call->queued_us = clock_mono_us();
    call->http = 0;
    buf_init(&call->reply, HTTP_CALL_REPLY_MAX);
    atomic_fetch_add_explicit(&c->depth, 1, memory_order_relaxed);
    if (queue_push(c->queue, &call->task) != ST_OK)
        end_call(c, call, ST_UNAVAILABLE);
}

unsigned http_calls_depth(struct http_calls *c)
{
    return atomic_load_explicit(&c->depth, memory_order_relaxed);
}
