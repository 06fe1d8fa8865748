/* redis/session.h over the virtual Redis. */
#include "fiber.h"
#include "vmem.h"
#include "vredis_network.h"

struct redis_session {
    struct redis_conf conf;
    unsigned process; /* at the other end; 0: not connected */
    struct redis_identity identity;
    struct call *call; /* the last that was sent */
};

/* On the scheduler: done, whether the session still waits or not. */
static void on_execute_alone(void *arg)
{
    struct call *c = arg;
    if (c->process == vredis_server.process)
        vredis_execute(c);
    fiber_wake(c);
}

static enum status session_connect(struct redis_session *s)
{
    if (s->process == vredis_server.process && !vredis_is_away())
        return ST_OK;
    s->process = 0;
    fiber_sleep(vredis_latency());
    if (vredis_is_away())
        return ST_UNAVAILABLE;
    s->identity = vredis_identity();
    s->process = vredis_server.process;
    return ST_OK;
}

static enum status session_lost(struct redis_session *s)
{
    s->process = 0;
    return ST_UNKNOWN;
}

static void send(struct redis_session *s, const struct args *args)
{
    const struct store_faults *f = &vredis_server.faults;
    struct call *c = vredis_call_new(args);
    int64_t in_us = vredis_latency();
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
        in_us = s->conf.timeout_ms * 1000 + sim_below(VREDIS_LATE_US);
    }
    sched_at(sched_now() + in_us, on_execute_alone, c);
}

static enum status await(struct redis_session *s, struct redisReply **reply)
{
    struct call *c = s->call;
    int64_t until_us = c->sent_us + s->conf.timeout_ms * 1000;
    if (s->process == 0)
        fiber_sleep(vredis_latency());
    else if (!c->reply && sched_now() < until_us)
        (void)fiber_wait(c, until_us);
    fiber_sleep(vredis_latency() / 2);
    if (!c->reply || c->process != vredis_server.process)
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
    fiber_sleep(vredis_latency());
    if (s->process != vredis_server.process || vredis_is_away()) {
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
    fiber_sleep(vredis_latency());
    bool same = s->process == vredis_server.process;
    if (same)
        vredis_data.functions = true;
    fiber_leave_server();
    return same ? ST_OK : session_lost(s);
}
