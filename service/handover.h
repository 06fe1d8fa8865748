/* handover.h - listening sockets that pass from one process to the next, with systemd's protocol:
 * descriptors from 3 on, counted in LISTEN_FDS and named in LISTEN_FDNAMES.
 *
 *   systemd or any starter ──▶ handover_take ── serves ── handover_start ──▶ the next program
 *
 * A socket that is handed over is never closed in between, so no connection that the kernel has
 * queued is lost. The next program tells by a pipe, the descriptor named "ready", that it can
 * serve; until then the old one does. The main thread's.
 */
#pragma once

#include "net/listen_set.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What we were given. */
struct handover_gift {
    int fd[LISTEN_MAX + 1];
    unsigned n;   /* sockets; 0: none, we open our own */
    int ready_fd; /* where the old process waits; -1: nobody does */
};

/* Reads and clears LISTEN_* in the environment, so call it before threads start that read it. */
void handover_take(struct handover_gift *gift);
/* Lets the old process go. */
void handover_tell_ready(struct handover_gift *gift);

/* A next program on its way. */
struct handover {
    char program[PATH_MAX]; /* path as we were started, so that a replaced file is found by it */
    pid_t child;            /* 0: none */
    int ready_fd;           /* readable when there is news; -1: none */
    int64_t until_us;       /* by when it has to be ready, monotonic */
};

/* Finds out where our program lies; call it before anybody may replace the file. */
void handover_init(struct handover *h, const char *argv0);
/* Starts the program with our arguments and environment and the sockets of set.
 * ST_UNAVAILABLE: no process or descriptors, or no such file. */
STATUS_MUSTCHECK
enum status handover_start(struct handover *h, const struct listen_set *set, char *const argv[],
                           int64_t timeout_ms);

enum handover_news { HANDOVER_PENDING, HANDOVER_READY, HANDOVER_FAILED };
/* What has become of it; does not wait. FAILED: it has ended, or is ended now; *exit_status is
 * waitpid's. READY: it serves, and lives on without us. */
enum handover_news handover_look(struct handover *h, int *exit_status);
/* Ends one that is not ready yet. */
void handover_cancel(struct handover *h);
