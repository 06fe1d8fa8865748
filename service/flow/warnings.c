#include "flow/warnings.h"

#include "base/clock.h"
#include "flow/engine.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

enum { EVERY_US = 2000000 };

/* What the tests look at; a text that is empty is not known. */
struct facts {
    int64_t flush, log_bin, sync_binlog, doublewrite;
    char appendonly[8], appendfsync[16], policy[32];
};

static bool is_not(const char *value, const char *wanted)
{
    return value[0] != '\0' && strcmp(value, wanted) != 0;
}

static bool weak_flush(const struct facts *f)
{
    return f->flush != 1;
}

static bool weak_binlog(const struct facts *f)
{
    return f->log_bin != 0 && f->sync_binlog != 1;
}

static bool torn_pages(const struct facts *f)
{
    return f->doublewrite == 0;
}

static bool no_aof(const struct facts *f)
{
    return is_not(f->appendonly, "yes");
}

static bool no_fsync(const struct facts *f)
{
    return strcmp(f->appendonly, "yes") == 0 && strcmp(f->appendfsync, "no") == 0;
}

static bool evicts(const struct facts *f)
{
    return is_not(f->policy, "noeviction");
}

static const struct warning_info infos[WARNINGS] = {
#define X(id, code, advice) {code, advice},
    WARNINGS_TABLE(X)
#undef X
};

static bool (*const sql_tests[WARNINGS])(const struct facts *) = {
    [WARNING_SQL_FLUSH] = weak_flush,
    [WARNING_SQL_BINLOG] = weak_binlog,
    [WARNING_SQL_DOUBLEWRITE] = torn_pages,
};

static bool (*const redis_tests[WARNINGS])(const struct facts *) = {
    [WARNING_REDIS_AOF] = no_aof,
    [WARNING_REDIS_FSYNC] = no_fsync,
    [WARNING_REDIS_EVICTS] = evicts,
};

const struct warning_info *warning_info(enum warning w)
{
    return &infos[w];
}

static bool on_variables(void *arg, const struct sql_val *c, unsigned n)
{
    struct facts *f = arg;
    f->flush = c[0].i;
    f->log_bin = c[1].i;
    f->sync_binlog = c[2].i;
    f->doublewrite = c[3].i;
    return true;
}

static enum status ask_sql(struct session *s, struct facts *f)
{
    return sql_run(s->sql,
                   "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, "
                   "CAST(@@innodb_doublewrite AS CHAR) NOT IN ('0', 'OFF')",
                   NULL, 0, on_variables, f, NULL);
}

static void keep(struct facts *f, const char *name, const char *value)
{
    if (strcmp(name, "appendonly") == 0)
        snprintf(f->appendonly, sizeof(f->appendonly), "%s", value);
    else if (strcmp(name, "appendfsync") == 0)
        snprintf(f->appendfsync, sizeof(f->appendfsync), "%s", value);
    else if (strcmp(name, "maxmemory-policy") == 0)
        snprintf(f->policy, sizeof(f->policy), "%s", value);
}

static enum status ask_redis(struct session *s, struct facts *f)
{
    static const char *const words[] = {"CONFIG", "GET", "appendonly", "appendfsync",
                                        "maxmemory-policy"};
    redisReply *r = NULL;
    args_reset(&s->args);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        args_z(&s->args, words[i]);
    enum status st = redis_session_call(s->redis, &s->args, &r);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2)
        keep(f, r->element[i]->str, r->element[i + 1]->str);
    freeReplyObject(r);
    return ST_OK;
}

/* The bits of found with those anew that have a test here. */
static uint32_t judge(uint32_t found, const struct facts *f,
                      bool (*const tests[WARNINGS])(const struct facts *))
{
    for (unsigned i = 0; i < WARNINGS; i++) {
        if (!tests[i])
            continue;
        found &= ~(UINT32_C(1) << i);
        found |= (uint32_t)tests[i](f) << i;
    }
    return found;
}

static void tell(const struct session *s, uint32_t before, uint32_t now)
{
    for (unsigned i = 0; i < WARNINGS; i++) {
        if (now & ~before & UINT32_C(1) << i)
            LOG(s->engine->log, LOG_WARN, "warning", LF_Z("code", infos[i].code),
                LF_Z("advice", infos[i].advice));
    }
    metrics_gauge_set(s->engine->metrics, MG_WARNINGS, __builtin_popcount(now));
}

void warnings_look(struct session *s, struct warnings *w)
{
    struct facts facts = {0};
    int64_t now = clock_mono_us();
    if (w->looked_us != 0 && now - w->looked_us < EVERY_US)
        return;
    w->looked_us = now;
    uint32_t before = atomic_load(&w->found), found = before;
    if (ask_sql(s, &facts) == ST_OK)
        found = judge(found, &facts, sql_tests);
    enum status st = w->config_refused ? ST_UNAVAILABLE : ask_redis(s, &facts);
    w->config_refused = w->config_refused || st == ST_INTERNAL;
    if (st == ST_OK)
        found = judge(found, &facts, redis_tests);
    tell(s, before, found);
    atomic_store(&w->found, found);
}
