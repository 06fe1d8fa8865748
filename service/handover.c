#include "handover.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define READY_NAME "ready"

enum { FIRST_FD = SD_LISTEN_FDS_START, ENV_ADDED = 3, PID_DIGITS = 20 };

/* --- taking ----------------------------------------------------------------------------------- */

void handover_take(struct handover_gift *gift)
{
    char **names = NULL;
    gift->n = 0;
    gift->ready_fd = -1;
    int n = sd_listen_fds_with_names(true, &names);
    for (int i = 0; i < n; i++) {
        int fd = FIRST_FD + i;
        if (names && strcmp(names[i], READY_NAME) == 0)
            gift->ready_fd = fd;
        else if (gift->n <= LISTEN_MAX)
            gift->fd[gift->n++] = fd;
        else
            close(fd);
    }
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
}

void handover_tell_ready(struct handover_gift *gift)
{
    if (gift->ready_fd < 0)
        return;
    /* It may have given us up; then the sockets are ours alone. */
    (void)!write(gift->ready_fd, "", 1);
    close(gift->ready_fd);
    gift->ready_fd = -1;
}

/* --- giving ----------------------------------------------------------------------------------- */

void handover_init(struct handover *h, const char *argv0)
{
    char folder[PATH_MAX];
    h->child = 0;
    h->ready_fd = -1;
    /* The path as given, with its symbolic links: a new release may be behind them. */
    if (argv0[0] == '/') {
        snprintf(h->program, sizeof(h->program), "%s", argv0);
        return;
    }
    if (strchr(argv0, '/') && getcwd(folder, sizeof(folder)) &&
        (size_t)snprintf(h->program, sizeof(h->program), "%s/%s", folder, argv0) <
            sizeof(h->program))
        return;
    ssize_t len = readlink("/proc/self/exe", h->program, sizeof(h->program) - 1);
    h->program[len > 0 ? len : 0] = '\0';
}

/* All that the child needs, made before the fork: in a process with threads, it may not
 * allocate. */
struct order {
    const char *program;
    char *const *argv;
    char **env;
    char fds[32], pid[32]; /* variables */
    char names[LISTEN_MAX * 5 + 32];
    int from[LISTEN_MAX + 1]; /* to be FIRST_FD and on; all past the last of them */
    unsigned n;
};

static bool order_env(struct order *o, unsigned sockets)
{
    size_t n = 0, at = 0;
    while (environ[n])
        n++;
    o->env = malloc((n + ENV_ADDED + 1) * sizeof(*o->env));
    if (!o->env)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "LISTEN_", 7) != 0)
            o->env[at++] = environ[i];
    snprintf(o->fds, sizeof(o->fds), "LISTEN_FDS=%u", sockets + 1);
    char *p = stpcpy(o->names, "LISTEN_FDNAMES=");
    for (unsigned i = 0; i < sockets; i++)
        p = stpcpy(p, "http:");
    memcpy(p, READY_NAME, sizeof(READY_NAME));
    o->env[at++] = o->fds;
    o->env[at++] = o->names;
    o->env[at++] = o->pid;
    o->env[at] = NULL;
    return true;
}

static void order_fini(struct order *o)
{
    free(o->env);
    while (o->n > 0)
        close(o->from[--o->n]);
}

/* Duplicates where the child's dup2 will not tread on them. */
static bool order_fds(struct order *o, const struct listen_set *set, int ready_fd)
{
    for (unsigned i = 0; i <= set->n; i++) {
        int fd = i < set->n ? set->fd[i] : ready_fd;
        o->from[o->n] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)set->n + 1);
        if (o->from[o->n] < 0)
            return false;
        o->n++;
    }
    return true;
}

static void write_pid(char *out, pid_t pid)
{
    char digits[PID_DIGITS];
    int n = 0;
    for (; pid > 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    memcpy(out, "LISTEN_PID=", 11);
    out += 11;
    while (n > 0)
        *out++ = digits[--n];
    *out = '\0';
}

/* The child, between fork and exec: only what signal handlers may do, too. Signals stay blocked, as
 * the next program wants them from its start. */
static _Noreturn void become(struct order *o)
{
    for (unsigned i = 0; i < o->n; i++)
        if (dup2(o->from[i], FIRST_FD + (int)i) < 0)
            _exit(EXIT_FAILURE);
    close_range(FIRST_FD + o->n, ~0U, 0);
    write_pid(o->pid, getpid());
    execve(o->program, o->argv, o->env);
    _exit(127);
}

enum status handover_start(struct handover *h, const struct listen_set *set, char *const argv[],
                           int64_t timeout_ms)
{
    struct order o = {.program = h->program, .argv = argv};
    int ends[2];
    if (access(h->program, X_OK) != 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return ST_UNAVAILABLE;
    pid_t pid = -1;
    if (order_fds(&o, set, ends[1]) && order_env(&o, set->n))
        pid = fork();
    if (pid == 0)
        become(&o);
    order_fini(&o);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return ST_UNAVAILABLE;
    }
    h->child = pid;
    h->ready_fd = ends[0];
    h->until_us = clock_mono_us() + timeout_ms * 1000;
    return ST_OK;
}

static void forget(struct handover *h)
{
    close(h->ready_fd);
    h->ready_fd = -1;
    h->child = 0;
}

enum handover_news handover_look(struct handover *h, int *exit_status)
{
    char byte;
    *exit_status = 0;
    ssize_t n = read(h->ready_fd, &byte, 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && clock_mono_us() < h->until_us)
        return HANDOVER_PENDING;
    if (n != 1) {
        kill(h->child, SIGKILL); /* if it has not ended by itself */
        waitpid(h->child, exit_status, 0);
    }
    forget(h);
    return n == 1 ? HANDOVER_READY : HANDOVER_FAILED;
}

void handover_cancel(struct handover *h)
{
    if (h->child == 0)
        return;
    kill(h->child, SIGKILL); /* it has nothing to finish, and may not listen to signals yet */
    waitpid(h->child, NULL, 0);
    forget(h);
}
