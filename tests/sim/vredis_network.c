/* Connections to the virtual Redis: redis/link.h (a loop's) and redis/session.h (a thread's). */
#include "fiber.h"
#include "redis/link.h"
#include "redis/session.h"
#include "sim.h"
#include "vevent.h"
#include "vmem.h"
#include "vredis.h"

#include <stdio.h>

enum { BACKOFF_MIN_MS = 50, BACKOFF_MAX_MS = 1000, GREET_AGAIN_US = 100000, LATE_US = 700000 };

static struct {
    struct store_faults faults;
    unsigned process; /* which Redis answers now; its ids follow from it */
    int64_t away_until_us, refuse_until_us;
    const char *error;
    bool lost_data;
    struct rdata saved;
    struct redis_link *links;
} server;

/* A call on its way. */
struct call {
    struct call *next;
    struct redis_link *link; /* NULL: a session's */
    unsigned generation;     /* of the link's connection */
    unsigned process;        /* the Redis it was sent to */
    unsigned n;
    const struct str *word;
    redisReply *reply;
    redis_reply_fn fn;
    void *arg;
    int64_t sent_us;
    bool cut_after;
};

enum link_state { LINK_DOWN, LINK_GREETING, LINK_READY };

struct redis_link {
    struct redis_link *next;
    struct fiber_owner *owner;
    enum link_state state;
    struct event_base *base;
    struct redis_conf conf;
    redis_state_fn on_state;
    void *arg;
    unsigned generation; /* counts connections */
    unsigned process;    /* at the other end */
    struct call *first, **last;
    int64_t backoff_ms, greeted_us;
    int64_t done_until_us, answered_until_us; /* calls and answers keep their order */
    bool closed;
    bool broken; /* what is sent from now on does not arrive */
};

struct redis_session {
    struct redis_conf conf;
    unsigned process; /* at the other end; 0: not connected */
    struct redis_identity identity;
    struct call *call; /* the last that was sent */
};

/* --- the server -------------------------------------------------------------------------------- */

static bool is_away(void)
{
    return sched_now() < server.away_until_us;
}

struct redis_identity vredis_identity(void)
{
    struct redis_identity id = {.master = true, .noeviction = true};
    unsigned process = sim_mutated("same-identity") ? 1 : server.process;
    snprintf(id.run_id, sizeof(id.run_id), "%040x", process);
    snprintf(id.repl_id, sizeof(id.repl_id), "%040x", process + 0x1000);
    return id;
}

static bool writes(const struct call *c)
{
    if (str_equal(c->word[0], STR("FCALL")))
        return vredis_data.functions && vredis_function_writes(c->word[1]);
    return str_equal(c->word[0], STR("FUNCTION"));
}

static void trace_call(const struct call *c, const redisReply *r)
{
    char words[200] = "", answer[120] = "";
    size_t at = 0;
    if (c->n > 1 && str_equal(c->word[1], STR("snapup_peek")) && r->type != REDIS_REPLY_ERROR)
        return; /* all day long */
    for (unsigned i = 0; i < c->n && at + 30 < sizeof(words); i++) {
        if (str_equal(c->word[0], STR("FCALL")) && (i < 1 || i == 2 || (i > 3 && i < 7)))
            continue; /* one key says which shard */
        bool text = c->word[i].n > 0 && c->word[i].n < 24;
        for (size_t k = 0; k < c->word[i].n; k++)
            text = text && c->word[i].p[k] >= ' ' && c->word[i].p[k] < 127;
        at += (size_t)(text ? snprintf(words + at, sizeof(words) - at, " %.*s", (int)c->word[i].n,
                                       c->word[i].p)
                            : snprintf(words + at, sizeof(words) - at, " <%zu>", c->word[i].n));
    }
    at = 0;
    if (r->type == REDIS_REPLY_ERROR)
        snprintf(answer, sizeof(answer), "%s", r->str);
    for (size_t i = 0; i < r->elements && at + 40 < sizeof(answer); i++) {
        const redisReply *e = r->element[i];
        if (e->type == REDIS_REPLY_INTEGER)
            at += (size_t)snprintf(answer + at, sizeof(answer) - at, " %lld", e->integer);
        else if (e->str && e->len < 30)
            at += (size_t)snprintf(answer + at, sizeof(answer) - at, " %s", e->str);
    }
    sim_trace("  redis%s ->%s", words, answer);
}

static void execute(struct call *c)
{
    if (server.error && sched_now() < server.refuse_until_us && writes(c)) {
        sim_count[SIM_REDIS_REFUSED]++;
        c->reply = reply_error("%s refused by the simulation", server.error);
    } else {
        c->reply = vredis_command(c->n, c->word);
    }
    if (sim_tracing)
        trace_call(c, c->reply);
}

void vredis_refuse(const char *error, int64_t for_us)
{
    server.error = error;
    server.refuse_until_us = sched_now() + for_us;
}

void vredis_set_faults(const struct store_faults *faults)
{
    server.faults = *faults;
}

bool vredis_lost_data(void)
{
    return server.lost_data;
}

static int64_t latency(void)
{
    if (server.faults.slow && sim_chance(30))
        return 1000 + sim_below(300000);
    return 10 + sim_below(sim_chance(30) ? 5000 : 150);
}

static struct call *call_new(const struct args *args)
{
    struct call *c = vmem_new(sizeof(*c));
    struct str *word = vmem_new((size_t)args->n * sizeof(*word));
    for (int i = 0; i < args->n; i++)
        word[i] = (struct str){vmem_copy(args->word[i], args->len[i]), args->len[i]};
    c->n = (unsigned)args->n;
    c->word = word;
    c->process = server.process;
    return c;
}

/* --- link -------------------------------------------------------------------------------------- */

static void on_greeted(void *arg);

static void connect_later(struct redis_link *l, int64_t in_us)
{
    vevent_post(l->base, sched_now() + in_us, on_greeted, l);
}

/* On the loop: nothing that was sent on this connection will be answered. */
static void link_down(struct redis_link *l)
{
    bool was_ready = l->state == LINK_READY;
    struct call *c = l->first, *next;
    l->state = LINK_DOWN;
    l->broken = false;
    l->generation++;
    l->first = NULL;
    l->last = &l->first;
    TRACE("  link down");
    if (was_ready)
        l->on_state(l->arg, NULL);
    for (; c; c = next) {
        next = c->next;
        c->fn(c->arg, ST_UNKNOWN, NULL);
    }
    if (l->closed)
        return;
    connect_later(l, l->backoff_ms * 1000);
    l->backoff_ms = l->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : l->backoff_ms * 2;
}

static void on_greeted(void *arg)
{
    struct redis_link *l = arg;
    if (l->closed || l->state == LINK_READY)
        return;
    if (is_away()) {
        link_down(l);
        return;
    }
    struct redis_identity id = vredis_identity();
    l->state = LINK_READY;
    l->process = server.process;
    l->backoff_ms = BACKOFF_MIN_MS;
    l->on_state(l->arg, &id);
}

void redis_link_greet(struct redis_link *link)
{
    int64_t now = sched_now();
    if (link->state != LINK_READY || now - link->greeted_us < GREET_AGAIN_US)
        return;
    link->state = LINK_GREETING;
    link->greeted_us = now;
    connect_later(link, latency());
}

struct cut {
    struct redis_link *link;
    unsigned generation;
};

static void on_cut(void *arg)
{
    struct cut *cut = arg;
    if (!cut->link->closed && cut->link->state != LINK_DOWN &&
        cut->link->generation == cut->generation)
        link_down(cut->link);
}

/* The loop learns of it at its next turn. */
static void link_cut(struct redis_link *l, int64_t at_us)
{
    struct cut *cut = vmem_new(sizeof(*cut));
    *cut = (struct cut){l, l->generation};
    vevent_post(l->base, at_us, on_cut, cut);
}

static void on_answer(void *arg)
{
    struct call *c = arg;
    struct redis_link *l = c->link;
    if (l->closed || c->generation != l->generation)
        return;
    l->first = c->next;
    if (!l->first)
        l->last = &l->first;
    if (redis_reply_moved(c->reply))
        redis_link_greet(l);
    c->fn(c->arg, ST_OK, c->reply);
}

/* On the scheduler: the server does it, whether the link still lives or not. */
static void on_execute(void *arg)
{
    struct call *c = arg;
    struct redis_link *l = c->link;
    if (c->process != server.process)
        return;
    execute(c);
    if (l->closed || l->owner->dead || c->generation != l->generation)
        return;
    if (c->cut_after) {
        sim_count[SIM_REDIS_CUT_AFTER]++;
        TRACE("  redis: answer lost");
        link_cut(l, sched_now());
        return;
    }
    int64_t at = sched_now() + latency() / 2;
    if (at < l->answered_until_us)
        at = l->answered_until_us;
    l->answered_until_us = at;
    vevent_post(l->base, at, on_answer, c);
}

enum status redis_link_create(struct event_base *base, const struct redis_conf *conf,
                              struct log *log, redis_state_fn on_state, void *arg,
                              struct redis_link **out)
{
    struct redis_link *l = vmem_new(sizeof(*l));
    *l = (struct redis_link){.owner = fiber_owner_self(),
                             .base = base,
                             .conf = *conf,
                             .on_state = on_state,
                             .arg = arg,
                             .backoff_ms = BACKOFF_MIN_MS,
                             .next = server.links};
    l->last = &l->first;
    server.links = l;
    connect_later(l, latency());
    *out = l;
    return ST_OK;
}

void redis_link_destroy(struct redis_link **link)
{
    struct redis_link *l = *link;
    if (!l)
        return;
    l->closed = true;
    l->state = LINK_DOWN;
    link_down(l);
    *link = NULL;
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->state == LINK_READY;
}

enum status redis_link_call(struct redis_link *link, const struct args *args, redis_reply_fn fn,
                            void *arg)
{
    struct redis_link *l = link;
    if (l->state != LINK_READY || args->overflow)
        return ST_UNAVAILABLE;
    const struct store_faults *f = &server.faults;
    struct call *c = call_new(args);
    c->link = l;
    c->generation = l->generation;
    c->process = l->process;
    c->fn = fn;
    c->arg = arg;
    *l->last = c;
    l->last = &c->next;
    int64_t at = sched_now() + latency(), limit_us = l->conf.timeout_ms * 1000;
    if (at < l->done_until_us)
        at = l->done_until_us;
    if (l->broken || sim_chance(f->cut_before)) {
        sim_count[SIM_REDIS_CUT_BEFORE]++;
        TRACE("  redis: call lost");
        l->broken = true;
        link_cut(l, at);
        return ST_OK;
    }
    if (sim_chance(f->late)) {
        sim_count[SIM_REDIS_LATE]++;
        TRACE("  redis: call comes late");
        link_cut(l, sched_now() + limit_us);
        at = sched_now() + limit_us + sim_below(LATE_US);
    }
    c->cut_after = sim_chance(f->cut_after);
    l->done_until_us = at + 1;
    sched_at(at, on_execute, c);
    return ST_OK;
}

/* --- session ----------------------------------------------------------------------------------- */

/* On the scheduler: done, whether the session still waits or not. */
static void on_execute_alone(void *arg)
{
    struct call *c = arg;
    if (c->process == server.process)
        execute(c);
    fiber_wake(c);
}

static enum status session_connect(struct redis_session *s)
{
    if (s->process == server.process && !is_away())
        return ST_OK;
    s->process = 0;
    fiber_sleep(latency());
    if (is_away())
        return ST_UNAVAILABLE;
    s->identity = vredis_identity();
    s->process = server.process;
    return ST_OK;
}

static enum status session_lost(struct redis_session *s)
{
    s->process = 0;
    return ST_UNKNOWN;
}

static void send(struct redis_session *s, const struct args *args)
{
    const struct store_faults *f = &server.faults;
    struct call *c = call_new(args);
    int64_t in_us = latency();
    s->call = c;
    c->sent_us = sched_now();
    c->cut_after = sim_chance(f->cut_after);
    if (sim_chance(f->cut_before)) {
        sim_count[SIM_REDIS_CUT_BEFORE]++;
        TRACE("  redis: call lost");
        s->process = 0;
        return;
    }
    if (sim_chance(f->late)) {
        sim_count[SIM_REDIS_LATE]++;
        TRACE("  redis: call comes late");
        in_us = s->conf.timeout_ms * 1000 + sim_below(LATE_US);
    }
    sched_at(sched_now() + in_us, on_execute_alone, c);
}

static enum status await(struct redis_session *s, struct redisReply **reply)
{
    struct call *c = s->call;
    int64_t until_us = c->sent_us + s->conf.timeout_ms * 1000;
    if (s->process == 0)
        fiber_sleep(latency());
    else if (!c->reply && sched_now() < until_us)
        (void)fiber_wait(c, until_us);
    fiber_sleep(latency() / 2);
    if (!c->reply || c->process != server.process)
        return session_lost(s);
    if (c->cut_after) {
        sim_count[SIM_REDIS_CUT_AFTER]++;
        TRACE("  redis: answer lost");
        return session_lost(s);
    }
    if (redis_reply_moved(c->reply))
        s->process = 0;
    enum status st = redis_reply_status(c->reply);
    if (st == ST_OK)
        *reply = c->reply;
    return st;
}

enum status redis_session_create(const struct redis_conf *conf, struct log *log,
                                 struct redis_session **out)
{
    *out = vmem_new(sizeof(**out));
    (*out)->conf = *conf;
    return ST_OK;
}

void redis_session_destroy(struct redis_session **s)
{
    *s = NULL;
}

static enum status greet_again(struct redis_session *s)
{
    enum status st = session_connect(s);
    if (st != ST_OK)
        return st;
    fiber_sleep(latency());
    if (s->process != server.process || is_away()) {
        s->process = 0;
        return ST_UNAVAILABLE;
    }
    return ST_OK;
}

enum status redis_session_identity(struct redis_session *s, struct redis_identity *id)
{
    enum status st = greet_again(s);
    if (st == ST_OK)
        *id = s->identity;
    return st;
}

static enum status command(struct redis_session *s, const struct args *args,
                           struct redisReply **reply)
{
    if (args->overflow)
        return ST_INTERNAL;
    send(s, args);
    return await(s, reply);
}

enum status redis_session_send(struct redis_session *s, const struct args *args)
{
    enum status st = args->overflow ? ST_INTERNAL : session_connect(s);
    if (st == ST_OK)
        send(s, args);
    return st;
}

enum status redis_session_await(struct redis_session *s, struct redisReply **reply)
{
    return await(s, reply);
}

enum status redis_session_call(struct redis_session *s, const struct args *args,
                               struct redisReply **reply)
{
    enum status st = session_connect(s);
    return st == ST_OK ? command(s, args, reply) : st;
}

enum status redis_session_call_on(struct redis_session *s, const struct redis_identity *expected,
                                  const struct args *args, struct redisReply **reply)
{
    enum status st = session_connect(s);
    if (st == ST_OK && !redis_identity_equal(&s->identity, expected))
        st = greet_again(s);
    if (st == ST_OK && !redis_identity_equal(&s->identity, expected))
        st = ST_FENCED;
    return st == ST_OK ? command(s, args, reply) : st;
}

enum status redis_session_load_functions(struct redis_session *s, const char *file)
{
    enum status st = session_connect(s);
    if (st != ST_OK)
        return st;
    fiber_enter_server();
    fiber_sleep(latency());
    bool same = s->process == server.process;
    if (same)
        vredis_data.functions = true;
    fiber_leave_server();
    return same ? ST_OK : session_lost(s);
}

/* --- what befalls it --------------------------------------------------------------------------- */

void vredis_save(void)
{
    server.saved = vredis_data;
}

void vredis_restart(enum redis_loss loss, int64_t away_us)
{
    static const enum sim_count counts[] = {SIM_REDIS_RESTARTS, SIM_REDIS_EMPTIED, SIM_REDIS_OLD};
    sim_count[counts[loss]]++;
    server.process++;
    server.away_until_us = sched_now() + away_us;
    server.lost_data = server.lost_data || loss != REDIS_KEPT;
    if (loss == REDIS_EMPTY)
        memset(&vredis_data, 0, sizeof(vredis_data));
    else if (loss == REDIS_OLD)
        vredis_data = server.saved;
    for (struct redis_link *l = server.links; l; l = l->next)
        if (!l->closed && !l->owner->dead)
            link_cut(l, sched_now() + sim_below(2000));
}

void vredis_roll_back(void)
{
    sim_count[SIM_REDIS_UNNOTICED]++;
    vredis_data = server.saved;
    server.lost_data = true;
}

void vredis_flush(bool functions_only)
{
    sim_count[SIM_REDIS_FLUSHED]++;
    vredis_data.functions = vredis_data.functions && !functions_only;
    if (functions_only)
        return;
    memset(vredis_data.shard, 0, sizeof(vredis_data.shard));
    server.lost_data = true;
}

void vredis_reset(void)
{
    memset(&server, 0, sizeof(server));
    memset(&vredis_data, 0, sizeof(vredis_data));
    server.process = 1;
}
