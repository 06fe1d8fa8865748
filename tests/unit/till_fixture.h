/* till_fixture.h - a payment channel of one thread, in place of the sandbox.
 *
 * Include after <cmocka.h>. It answers every POST with the status and body that it was told, and
 * keeps the last body it was sent.
 */
#pragma once

#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct till {
    int fd;
    char url[64];
    pthread_t thread;
    _Atomic int status;
    _Atomic unsigned calls;
    _Atomic bool busy;        /* who calls has to wait */
    const char *_Atomic body; /* what it answers */
    char got[4096];           /* the last request; read it when no call is under way */
};

static const char till_trade[] =
    "{\"url\":\"http://till/pay/1\",\"reference\":\"till-1\",\"more\":true}";

/* Reads until the header's end and Content-Length bytes. */
static inline void till_read(struct till *t, int fd)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = read(fd, t->got + n, sizeof(t->got) - 1 - n);
        if (got <= 0)
            return;
        n += (size_t)got;
        t->got[n] = '\0';
        const char *end = strstr(t->got, "\r\n\r\n"), *len = strcasestr(t->got, "content-length:");
        if (end && len &&
            n >= (size_t)(end + 4 - t->got) + strtoul(len + strlen("content-length:"), NULL, 10))
            return;
    }
}

static inline void *till_main(void *arg)
{
    struct till *t = arg;
    int fd;
    while ((fd = accept(t->fd, NULL, NULL)) >= 0) {
        const char *body = atomic_load(&t->body);
        till_read(t, fd);
        atomic_fetch_add(&t->calls, 1);
        while (atomic_load(&t->busy))
            usleep(1000);
        if (atomic_load(&t->status) != 0) /* 0: hangs up without a word */
            dprintf(fd, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                    atomic_load(&t->status), strlen(body), body);
        close(fd);
    }
    return NULL;
}

static inline void till_open(struct till *t)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(bind(t->fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(t->fd, 512) == 0);
    assert(getsockname(t->fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(t->url, sizeof(t->url), "http://127.0.0.1:%d", ntohs(at.sin_port));
    atomic_store(&t->status, 200);
    atomic_store(&t->busy, false);
    atomic_store(&t->body, till_trade);
    assert(pthread_create(&t->thread, NULL, till_main, t) == 0);
}

static inline void till_close(struct till *t)
{
    shutdown(t->fd, SHUT_RDWR);
    pthread_join(t->thread, NULL);
    close(t->fd);
}
