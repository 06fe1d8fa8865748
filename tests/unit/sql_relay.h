/* sql_relay.h - stands between a connection and MariaDB, and loses the answer it is told to lose.
 *
 * Include after <cmocka.h>.
 */
#pragma once

#include "sql_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Passes bytes between one client at a time and the server. When pass_on reaches 0, one more
 * request goes out; its answer is awaited, thrown away, and both sides are closed. */
struct relay {
    struct sockaddr_un here, server;
    int listen_fd;
    atomic_int pass_on; /* requests; negative: all */
    atomic_bool silent; /* nothing goes on, and nothing is closed */
    pthread_t thread;
};

static inline bool relay_pass(int from, int to)
{
    char bytes[65536];
    ssize_t n = read(from, bytes, sizeof(bytes));
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static inline void relay_wait(struct relay *r)
{
    while (atomic_load(&r->silent))
        usleep(1000);
}

static inline void relay_serve(struct relay *r, int client, int server)
{
    for (;;) {
        struct pollfd p[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            return;
        relay_wait(r);
        if (p[1].revents && !relay_pass(server, client))
            return;
        if (!p[0].revents)
            continue;
        if (!relay_pass(client, server))
            return;
        if (atomic_load(&r->pass_on) < 0)
            continue;
        if (atomic_fetch_sub(&r->pass_on, 1) == 0) {
            char answer[65536];
            (void)!read(server, answer, sizeof(answer));
            return;
        }
    }
}

static inline void *relay_main(void *arg)
{
    struct relay *r = arg;
    int client;
    while ((client = accept(r->listen_fd, NULL, NULL)) >= 0) {
        relay_wait(r);
        int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(server, (struct sockaddr *)&r->server, sizeof(r->server)) == 0)
            relay_serve(r, client, server);
        close(client);
        close(server);
    }
    return NULL;
}

static inline void relay_start(struct relay *r, const char *address)
{
    if (strncmp(address, "unix:", 5) != 0)
        fail_msg("SNAPUP_TEST_SQL must be a Unix socket");
    r->here = r->server = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(r->server.sun_path, sizeof(r->server.sun_path), "%s", address + 5);
    snprintf(r->here.sun_path, sizeof(r->here.sun_path), "/tmp/sql_relay_%d.sock", (int)getpid());
    atomic_store(&r->pass_on, -1);
    atomic_store(&r->silent, false);
    r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(r->here.sun_path);
    assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&r->here, sizeof(r->here)), 0);
    assert_int_equal(listen(r->listen_fd, 64), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, relay_main, r), 0);
}

/* The client has gone. */
static inline void relay_stop(struct relay *r)
{
    shutdown(r->listen_fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->listen_fd);
    unlink(r->here.sun_path);
}
