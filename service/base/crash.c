#include "base/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[CRASH_POINTS] = {
#define X(name, what) #name,
    CRASH_TABLE(X)
#undef X
};

/* What the environment asks for. File-scope, unlike all other state: points are passed where
 * nothing of a test's may be handed down. Written once, before any use. */
static struct {
    int point; /* CRASH_POINTS: none */
    int sig;
    atomic_int passes_left;
} wish;

static void refuse(const char *text)
{
    fprintf(stderr, "SNAPUP_CRASH_AT=%s: not name[:n[:stop]] with a name of base/crash.h\n", text);
    abort();
}

static void read_wish(void)
{
    const char *text = getenv("SNAPUP_CRASH_AT");
    wish.point = CRASH_POINTS;
    if (!text)
        return;
    size_t n = strcspn(text, ":");
    for (wish.point = 0; wish.point < CRASH_POINTS; wish.point++)
        if (strlen(names[wish.point]) == n && memcmp(names[wish.point], text, n) == 0)
            break;
    char *end = (char *)text + n;
    long passes = *end == ':' ? strtol(end + 1, &end, 10) : 1;
    wish.sig = strcmp(end, ":stop") == 0 ? SIGSTOP : SIGKILL;
    if (wish.point == CRASH_POINTS || passes < 1 || (*end != '\0' && wish.sig == SIGKILL))
        refuse(text);
    atomic_store(&wish.passes_left, (int)passes);
}

void crash_pass(enum crash_point point)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_wish);
    if ((int)point != wish.point || atomic_fetch_sub(&wish.passes_left, 1) != 1)
        return;
    char line[80];
    int n = snprintf(line, sizeof(line), "crash point: %s\n", names[point]);
    if (write(STDERR_FILENO, line, (size_t)n) == n)
        raise(wish.sig); /* to this thread, so that it does not run on */
    else
        abort(); /* a test that cannot be told of it would draw the wrong conclusion */
}
