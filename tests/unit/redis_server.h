/* redis_server.h - a Redis of the test's own, to be stopped, killed and started again.
 *
 * For tests: include after <cmocka.h>. It listens on a Unix socket in a temporary folder, keeps
 * nothing on disk and dies with the test.
 */
#pragma once

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct redis_server {
    char folder[64], socket[80], address[96]; /* "unix:" and the socket */
    pid_t pid;                                /* 0: not running */
};

static inline void server_exec(const struct redis_server *s)
{
    /* Debian's redis-tools has the whole server under another name. */
    static const char *const programs[] = {"redis-server", "redis-check-rdb"};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 2; i++)
        execlp(programs[i], "redis-server", "--port", "0", "--unixsocket", s->socket, "--dir",
               s->folder, "--save", "", "--appendonly", "no", "--logfile", "/dev/null", NULL);
    _exit(127);
}

/* Starts it and waits until it answers. */
static inline void server_start(struct redis_server *s)
{
    assert_int_equal(s->pid, 0);
    unlink(s->socket);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        server_exec(s);
    for (int tries = 0; tries < 1000; tries++) {
        redisContext *c = redisConnectUnix(s->socket);
        redisReply *r = c && !c->err ? redisCommand(c, "PING") : NULL;
        bool answers = r != NULL;
        if (r)
            freeReplyObject(r);
        if (c)
            redisFree(c);
        if (answers)
            return;
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    fail_msg("redis-server did not answer");
}

/* Ends it without a farewell; returns when its connections are closed. */
static inline void server_kill(struct redis_server *s)
{
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    s->pid = 0;
}

/* On return it has stopped: what is sent from now on stays unread. */
static inline void server_freeze(struct redis_server *s)
{
    int status = 0;
    assert_int_equal(kill(s->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(s->pid, &status, WUNTRACED), s->pid);
    assert_true(WIFSTOPPED(status));
}

static inline void server_thaw(struct redis_server *s)
{
    assert_int_equal(kill(s->pid, SIGCONT), 0);
}

/* Runs one command beside the connections under test. */
static inline void server_tell(const struct redis_server *s, const char *command)
{
    redisContext *c = redisConnectUnix(s->socket);
    assert_true(c && !c->err);
    redisReply *r = redisCommand(c, command);
    assert_non_null(r);
    if (r->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, r->str);
    freeReplyObject(r);
    redisFree(c);
}

static inline void server_init(struct redis_server *s)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->folder, sizeof(s->folder), "/tmp/snapup-redis.XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->socket, sizeof(s->socket), "%s/sock", s->folder);
    snprintf(s->address, sizeof(s->address), "unix:%s", s->socket);
}

static inline void server_fini(struct redis_server *s)
{
    if (s->pid != 0)
        server_kill(s);
    unlink(s->socket);
    rmdir(s->folder);
}
