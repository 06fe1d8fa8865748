#include "net/listen_set.h"

#include "net/http_server.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void listen_set_close(struct listen_set *set)
{
    while (set->n > 0)
        close(set->fd[--set->n]);
}

enum status listen_set_open(struct listen_set *set, const char *address, unsigned loops,
                            char *error, size_t size)
{
    unsigned want = strncmp(address, "unix:", 5) == 0 ? 1 : loops;
    set->n = 0;
    enum status st = http_address_unused(address, error, size);
    /* The first socket may find the port; the others join it. */
    while (st == ST_OK && set->n < want && set->n < LISTEN_MAX) {
        bool first = set->n == 0;
        st = http_listen_socket(first ? address : set->address, &set->fd[set->n],
                                first ? set->address : NULL, sizeof(set->address), error, size);
        set->n += st == ST_OK;
    }
    if (st != ST_OK)
        listen_set_close(set);
    return st;
}

static bool socket_option_is(int fd, int name, int wanted)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 && value == wanted;
}

/* Whoever made it may not have cared for these. */
static bool set_up(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

enum status listen_set_adopt(struct listen_set *set, const int *fds, unsigned n, char *error,
                             size_t size)
{
    set->n = 0;
    for (unsigned i = 0; i < n && i < LISTEN_MAX; i++)
        set->fd[set->n++] = fds[i];
    for (unsigned i = LISTEN_MAX; i < n; i++)
        close(fds[i]);
    bool good = n > 0 && n <= LISTEN_MAX;
    for (unsigned i = 0; i < set->n && good; i++)
        good = socket_option_is(fds[i], SO_TYPE, SOCK_STREAM) &&
               socket_option_is(fds[i], SO_ACCEPTCONN, 1) && set_up(fds[i]);
    if (good && http_bound_address(fds[0], set->address, sizeof(set->address)))
        return ST_OK;
    snprintf(error, size,
             "the descriptors in LISTEN_FDS are not 1 to %d stream sockets that listen",
             LISTEN_MAX);
    listen_set_close(set);
    return ST_INVALID_REQUEST;
}

unsigned listen_set_places(const struct listen_set *set, unsigned loops)
{
    return set->n > loops ? set->n : loops;
}

int listen_set_dup(const struct listen_set *set, unsigned place)
{
    return fcntl(set->fd[place % set->n], F_DUPFD_CLOEXEC, 0);
}
