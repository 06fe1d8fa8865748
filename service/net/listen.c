#include "net/http_priv.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HOST_MAX = 255 };

/* Where the caller wants to hear what happened. */
struct report {
    const char *address;
    char *bound, *error;
    size_t bound_size, error_size;
};

static enum status failed(struct report *r, enum status st, const char *what)
{
    if (r->error_size > 0)
        snprintf(r->error, r->error_size, "cannot listen on %s: %s", r->address, what);
    return st;
}

/* A socket file that nobody listens on any more is a leftover and may go. */
static bool leftover(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool dead = connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

static bool bind_and_listen(int fd, const struct sockaddr *sa, socklen_t len)
{
    if (bind(fd, sa, len) == 0)
        return listen(fd, BACKLOG) == 0;
    const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
    if (errno != EADDRINUSE || sa->sa_family != AF_UNIX)
        return false;
    if (!leftover(un) || unlink(un->sun_path) != 0) {
        errno = EADDRINUSE;
        return false;
    }
    return bind(fd, sa, len) == 0 && listen(fd, BACKLOG) == 0;
}

/* Opens, binds and listens; -1 with errno set. */
static int open_socket(const struct sockaddr *sa, socklen_t len)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    bool tcp = sa->sa_family != AF_UNIX;
    if ((tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) ||
        (tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        !bind_and_listen(fd, sa, len)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static enum status listen_unix(struct report *r, const char *path, int *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof(un.sun_path))
        return failed(r, ST_INVALID_REQUEST, "the path is empty or too long for a socket");
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = open_socket((struct sockaddr *)&un, sizeof(un));
    if (fd < 0)
        return failed(r, ST_UNAVAILABLE, strerror(errno));
    if (r->bound_size > 0)
        snprintf(r->bound, r->bound_size, "%s", r->address);
    *out = fd;
    return ST_OK;
}

bool http_bound_address(int fd, char *text, size_t size)
{
    union {
        struct sockaddr sa;
        struct sockaddr_un un;
        struct sockaddr_storage all;
    } at = {.all.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(at.all);
    char host[HOST_MAX + 1], port[8];
    if (getsockname(fd, &at.sa, &len) != 0)
        return false;
    if (at.sa.sa_family == AF_UNIX) {
        int n = len > sizeof(sa_family_t) ? (int)(len - sizeof(sa_family_t)) : 0;
        snprintf(text, size, "unix:%.*s", n, at.un.sun_path);
        return true;
    }
    if (getnameinfo(&at.sa, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    snprintf(text, size, at.sa.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return true;
}

static void tell_bound(struct report *r, int fd)
{
    if (r->bound_size > 0 && !http_bound_address(fd, r->bound, r->bound_size))
        snprintf(r->bound, r->bound_size, "%s", r->address);
}

/* "host:port" or "[v6]:port" in two; an empty host is every address. */
static bool split(const char *address, char host[HOST_MAX + 1], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon[1] == '\0')
        return false;
    size_t n = (size_t)(colon - address);
    if (n > 0 && address[0] == '[') {
        if (address[n - 1] != ']')
            return false;
        address++;
        n -= 2;
    } else if (memchr(address, ':', n)) {
        return false;
    }
    if (n > HOST_MAX)
        return false;
    memcpy(host, address, n);
    host[n] = '\0';
    *port = colon + 1;
    return true;
}

static enum status resolve(struct report *r, struct addrinfo **found)
{
    char host[HOST_MAX + 1];
    const char *port;
    if (!split(r->address, host, &port))
        return failed(r, ST_INVALID_REQUEST, "not host:port, [v6]:port or unix:/path");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int rc = getaddrinfo(host[0] ? host : NULL, port, &hints, found);
    return rc == 0 ? ST_OK : failed(r, ST_INVALID_REQUEST, gai_strerror(rc));
}

static enum status listen_tcp(struct report *r, int *out)
{
    struct addrinfo *found;
    enum status st = resolve(r, &found);
    if (st != ST_OK)
        return st;
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = open_socket(a->ai_addr, a->ai_addrlen);
    int error = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return failed(r, ST_UNAVAILABLE, strerror(error));
    tell_bound(r, fd);
    *out = fd;
    return ST_OK;
}

/* Binds without SO_REUSEPORT, which fails where anybody listens. */
static bool in_use(const struct addrinfo *a)
{
    int one = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool taken = bind(fd, a->ai_addr, a->ai_addrlen) != 0 && errno == EADDRINUSE;
    close(fd);
    return taken;
}

enum status http_address_unused(const char *address, char *error, size_t error_size)
{
    struct report r = {address, NULL, error, 0, error ? error_size : 0};
    struct addrinfo *found;
    if (strncmp(address, "unix:", 5) == 0)
        return ST_OK; /* binding it fails by itself */
    enum status st = resolve(&r, &found);
    if (st != ST_OK)
        return st;
    if (in_use(found))
        st = failed(&r, ST_UNAVAILABLE, strerror(EADDRINUSE));
    freeaddrinfo(found);
    return st;
}

enum status http_listen_socket(const char *address, int *fd, char *bound, size_t size, char *error,
                               size_t error_size)
{
    struct report r = {address, bound, error, bound ? size : 0, error ? error_size : 0};
    if (strncmp(address, "unix:", 5) == 0)
        return listen_unix(&r, address + 5, fd);
    return listen_tcp(&r, fd);
}
