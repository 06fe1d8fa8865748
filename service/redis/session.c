#include "redis/session.h"

#include "base/buf.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { FUNCTIONS_MAX = 256 * 1024 };

struct redis_session {
    struct redis_conf conf;
    struct log *log;
    redisContext *c; /* NULL: not connected */
    struct redis_identity identity;
    struct args args; /* for the session's own commands */
};

static void session_close(struct redis_session *s)
{
    if (s->c)
        redisFree(s->c);
    s->c = NULL;
}

/* Hands out an answer that is no error; r NULL: none came. */
static enum status answer(struct redis_session *s, redisReply *r, struct redisReply **reply)
{
    if (!r) {
        LOG(s->log, LOG_WARN, "redis_call_lost", LF_Z("error", s->c->errstr));
        session_close(s);
        return ST_UNKNOWN;
    }
    enum status st = redis_reply_status(r);
    if (st != ST_OK) {
        LOG(s->log, LOG_WARN, "redis_call_refused", LF_Z("error", r->str));
        if (redis_reply_moved(r))
            session_close(s); /* whoever answers next is asked who it is */
        freeReplyObject(r);
        return st;
    }
    *reply = r;
    return ST_OK;
}

static enum status command(struct redis_session *s, const struct args *args,
                           struct redisReply **reply)
{
    if (args->overflow)
        return ST_INTERNAL;
    redisReply *r = redisCommandArgv(s->c, args->n, (const char **)args->word, args->len);
    return answer(s, r, reply);
}

static enum status greet(struct redis_session *s)
{
    redisReply *r = NULL;
    if (s->conf.password[0] != '\0') {
        args_reset(&s->args);
        args_z(&s->args, "AUTH");
        args_z(&s->args, s->conf.password);
        if (command(s, &s->args, &r) != ST_OK)
            return ST_UNAVAILABLE;
        freeReplyObject(r);
    }
    redis_identity_ask(&s->args);
    if (command(s, &s->args, &r) != ST_OK)
        return ST_UNAVAILABLE;
    enum status st = ST_UNAVAILABLE;
    if (r->type == REDIS_REPLY_STRING)
        st = redis_identity_parse((struct str){r->str, r->len}, &s->identity);
    freeReplyObject(r);
    return st == ST_OK && s->identity.master ? ST_OK : ST_UNAVAILABLE;
}

/* Whether Redis closed the connection while it was idle; noticed before a command is sent on it. */
static bool went_away(const redisContext *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

static enum status session_connect(struct redis_session *s)
{
    if (s->c && went_away(s->c))
        session_close(s);
    if (s->c)
        return ST_OK;
    const char *path;
    char host[256];
    int port = 0;
    if (redis_address(s->conf.address, &path, host, sizeof(host), &port) != ST_OK)
        return ST_UNAVAILABLE;
    struct timeval limit = {s->conf.timeout_ms / 1000, (s->conf.timeout_ms % 1000) * 1000};
    s->c = path ? redisConnectUnixWithTimeout(path, limit)
                : redisConnectWithTimeout(host, port, limit);
    if (!s->c || s->c->err || redisSetTimeout(s->c, limit) != REDIS_OK || greet(s) != ST_OK) {
        session_close(s);
        return ST_UNAVAILABLE;
    }
    return ST_OK;
}

enum status redis_session_create(const struct redis_conf *conf, struct log *log,
                                 struct redis_session **out)
{
    struct redis_session *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_UNAVAILABLE;
    s->conf = *conf;
    s->log = log;
    *out = s;
    return ST_OK;
}

void redis_session_destroy(struct redis_session **s)
{
    if (!*s)
        return;
    session_close(*s);
    free(*s);
    *s = NULL;
}

/* A Redis that was made a replica and promoted again keeps its connections. */
static enum status greet_again(struct redis_session *s)
{
    enum status st = session_connect(s);
    if (st == ST_OK && greet(s) != ST_OK) {
        session_close(s);
        st = ST_UNAVAILABLE;
    }
    return st;
}

enum status redis_session_identity(struct redis_session *s, struct redis_identity *id)
{
    enum status st = greet_again(s);
    if (st == ST_OK)
        *id = s->identity;
    return st;
}

enum status redis_session_call(struct redis_session *s, const struct args *args,
                               struct redisReply **reply)
{
    enum status st = session_connect(s);
    return st == ST_OK ? command(s, args, reply) : st;
}

enum status redis_session_send(struct redis_session *s, const struct args *args)
{
    enum status st = args->overflow ? ST_INTERNAL : session_connect(s);
    if (st != ST_OK)
        return st;
    int done = 0;
    int rc = redisAppendCommandArgv(s->c, args->n, (const char **)args->word, args->len);
    while (rc == REDIS_OK && !done)
        rc = redisBufferWrite(s->c, &done);
    if (rc == REDIS_OK)
        return ST_OK;
    session_close(s);
    return ST_UNKNOWN;
}

enum status redis_session_await(struct redis_session *s, struct redisReply **reply)
{
    void *r = NULL;
    if (redisGetReply(s->c, &r) != REDIS_OK)
        r = NULL;
    return answer(s, r, reply);
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

static enum status read_file(const char *file, struct buf *out)
{
    FILE *f = fopen(file, "re");
    if (!f)
        return ST_NOT_FOUND;
    char *p = buf_reserve(out, FUNCTIONS_MAX);
    size_t n = p ? fread(p, 1, FUNCTIONS_MAX, f) : 0;
    bool whole = p && n < FUNCTIONS_MAX && !ferror(f);
    fclose(f);
    out->len += n;
    return whole ? ST_OK : ST_INTERNAL;
}

/* Whether FUNCTION LIST ... WITHCODE shows exactly this code. */
static bool has_code(const redisReply *r, struct str code)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 1)
        return false;
    const redisReply *lib = r->element[0];
    for (size_t i = 0; i + 1 < lib->elements; i += 2) {
        const redisReply *v = lib->element[i + 1];
        if (strcmp(lib->element[i]->str, "library_code") == 0)
            return str_equal((struct str){v->str, v->len}, code);
    }
    return false;
}

enum status redis_session_load_functions(struct redis_session *s, const char *file)
{
    struct buf code;
    redisReply *r = NULL;
    buf_init(&code, FUNCTIONS_MAX + 1);
    enum status st = read_file(file, &code);
    if (st != ST_OK)
        goto cleanup;
    st = session_connect(s);
    if (st != ST_OK)
        goto cleanup;
    args_reset(&s->args);
    args_z(&s->args, "FUNCTION");
    args_z(&s->args, "LIST");
    args_z(&s->args, "LIBRARYNAME");
    args_z(&s->args, "snapup");
    args_z(&s->args, "WITHCODE");
    st = command(s, &s->args, &r);
    if (st != ST_OK || has_code(r, (struct str){code.data, code.len}))
        goto cleanup;
    freeReplyObject(r);
    r = NULL;
    args_reset(&s->args);
    args_z(&s->args, "FUNCTION");
    args_z(&s->args, "LOAD");
    args_z(&s->args, "REPLACE");
    args_add(&s->args, code.data, code.len);
    st = command(s, &s->args, &r);
cleanup:
    if (r)
        freeReplyObject(r);
    buf_fini(&code);
    return st;
}
