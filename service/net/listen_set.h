/* listen_set.h - the listening sockets of the process, opened here or given by whoever started it.
 *
 * The set keeps one descriptor of each for as long as the process serves, so that they can be
 * handed on at any time; loops accept from duplicates. A connection that the kernel has queued is
 * lost only when the last descriptor of its socket, in any process, is closed. So every socket of
 * the set has to be accepted from by somebody. The main thread's.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>

enum { LISTEN_MAX = 64, LISTEN_ADDRESS_MAX = 300 };

struct listen_set {
    unsigned n;
    int fd[LISTEN_MAX];
    char address[LISTEN_ADDRESS_MAX]; /* bound, as text; of the first one */
};

/* Listens on address for that many loops: a socket each (SO_REUSEPORT), one in all where address
 * is a Unix path. Fails where anybody listens already. error gets a sentence; on failure the set
 * is empty. */
STATUS_MUSTCHECK
enum status listen_set_open(struct listen_set *set, const char *address, unsigned loops,
                            char *error, size_t size);
/* Takes over n descriptors, which are closed on failure, too. They must be stream sockets that
 * listen. */
STATUS_MUSTCHECK
enum status listen_set_adopt(struct listen_set *set, const int *fds, unsigned n, char *error,
                             size_t size);
void listen_set_close(struct listen_set *set);

/* How many places there are to accept at for that many loops, so that each loop and each socket
 * has one: loop i % loops accepts from socket i % set->n. */
unsigned listen_set_places(const struct listen_set *set, unsigned loops);
/* A descriptor of the caller's for place i, or -1. */
int listen_set_dup(const struct listen_set *set, unsigned place);
