#include "serve.h"

#include "base/clock.h"
#include "handover.h"
#include "settings.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
    READY_POLL_MS = 20,
    LOG_FLUSH_MS = 1000,
    /* What answers in flight may take of the grace, in percent; the rest is for the threads. */
    IN_FLIGHT_SHARE = 75,
    HANDED_OVER_DELAY_MS = 1000, /* kept connections learn of the end by their next answer */
    LARGE_BYTES = 1024 * 1024    /* of a block of memory */
};

struct serving {
    struct app *app;
    struct log *log;
    int signals_fd;
    struct handover_gift gift;
    struct handover handover;
    bool announced;
    bool ending;
    bool handed_over;
};

static int open_signals(void)
{
    static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        sigaddset(&set, handled[i]);
    /* Blocked before threads start, so that they come by the descriptor alone. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int next_signal(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* --- while it serves -------------------------------------------------------------------------- */

static void write_state_file(const struct app *app)
{
    if (app->conf.state_file[0] == '\0')
        return;
    FILE *f = fopen(app->conf.state_file, "we");
    if (f) {
        fprintf(f, "%s\n", app->sockets.address);
        fclose(f);
    }
}

/* Purchases would be taken now: whoever started us may know. */
static void announce(struct serving *s)
{
    s->announced = true;
    LOG(s->log, LOG_INFO, "ready", LF_Z("listen", s->app->sockets.address));
    if (s->gift.ready_fd >= 0) {
        app_listen(s->app);
        sd_notifyf(false, "MAINPID=%d\nREADY=1", (int)getpid());
        handover_tell_ready(&s->gift);
    }
    write_state_file(s->app);
}

static void reload(struct serving *s)
{
    sd_notify(false, "RELOADING=1");
    settings_reload(s->app);
    sd_notify(false, "READY=1");
}

static void upgrade(struct serving *s)
{
    if (s->handover.child != 0) {
        LOG(s->log, LOG_WARN, "upgrade_under_way", LF_INT("pid", s->handover.child));
        return;
    }
    enum status st = handover_start(&s->handover, &s->app->sockets, s->app->argv,
                                    s->app->conf.upgrade_timeout_ms);
    if (st == ST_OK)
        LOG(s->log, LOG_INFO, "upgrading", LF_Z("program", s->handover.program),
            LF_INT("pid", s->handover.child));
    else
        LOG(s->log, LOG_ERROR, "upgrade_failed", LF_Z("program", s->handover.program),
            LF_Z("why", "it cannot be run"));
}

static void look_at_upgrade(struct serving *s)
{
    pid_t pid = s->handover.child;
    int status;
    switch (handover_look(&s->handover, &status)) {
    case HANDOVER_PENDING: return;
    case HANDOVER_READY:
        LOG(s->log, LOG_INFO, "upgraded", LF_INT("pid", pid));
        s->ending = s->handed_over = true;
        return;
    case HANDOVER_FAILED:
        LOG(s->log, LOG_ERROR, "upgrade_failed", LF_Z("program", s->handover.program),
            LF_Z("why", WIFEXITED(status) ? "it ended" : "it was not ready in time"),
            LF_INT("exit_status", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status)));
        return;
    }
}

static void on_signal(struct serving *s, int sig)
{
    switch (sig) {
    case SIGINT:
    case SIGTERM: s->ending = true; break;
    case SIGHUP: reload(s); break;
    case SIGUSR2: upgrade(s); break;
    default: break;
    }
}

/* How long to wait, in ms: there is no event for being ready, nor for the end of a time. */
static int patience(const struct serving *s)
{
    if (!s->announced)
        return READY_POLL_MS;
    if (s->handover.child == 0)
        return -1;
    int64_t left_ms = (s->handover.until_us - clock_mono_us()) / 1000 + 1;
    return left_ms > 0 ? (int)left_ms : 0;
}

static void run(struct serving *s)
{
    while (!s->ending) {
        struct pollfd fds[] = {{.fd = s->signals_fd, .events = POLLIN},
                               {.fd = s->handover.ready_fd, .events = POLLIN}};
        poll(fds, 2, patience(s));
        int sig;
        while ((sig = next_signal(s->signals_fd)) != 0)
            on_signal(s, sig);
        if (s->handover.child != 0)
            look_at_upgrade(s);
        if (!s->announced && app_ready(s->app))
            announce(s);
    }
    handover_cancel(&s->handover);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Sees to it that the end comes, while the main thread waits for the others. */
struct warden {
    struct log *log;
    int signals_fd, done_fd;
    int64_t until_us;
    pthread_t thread;
};

static _Noreturn void end_now(struct warden *w, const char *event)
{
    LOG(w->log, LOG_ERROR, event, LF_Z("advice", "what was in flight is completed by others"));
    log_flush(w->log, LOG_FLUSH_MS);
    _exit(EXIT_FAILURE);
}

static void *warden_main(void *arg)
{
    struct warden *w = arg;
    for (;;) {
        struct pollfd fds[] = {{.fd = w->signals_fd, .events = POLLIN},
                               {.fd = w->done_fd, .events = POLLIN}};
        int64_t left_ms = (w->until_us - clock_mono_us()) / 1000;
        if (left_ms <= 0)
            end_now(w, "stop_timed_out");
        poll(fds, 2, (int)left_ms + 1);
        if (fds[1].revents)
            return NULL;
        int sig;
        while ((sig = next_signal(w->signals_fd)) != 0)
            if (sig == SIGTERM || sig == SIGINT)
                end_now(w, "stop_forced");
    }
}

static void stop(struct serving *s)
{
    const struct config *conf = &s->app->conf;
    struct worker_end end = {.delay_ms = conf->drain_delay_ms,
                             .grace_ms = conf->stop_grace_ms * IN_FLIGHT_SHARE / 100,
                             .handed_over = s->handed_over};
    if (s->handed_over && end.delay_ms < HANDED_OVER_DELAY_MS)
        end.delay_ms = HANDED_OVER_DELAY_MS;
    struct warden w = {.log = s->log,
                       .signals_fd = s->signals_fd,
                       .done_fd = eventfd(0, EFD_CLOEXEC),
                       .until_us = clock_mono_us() + (end.delay_ms + conf->stop_grace_ms) * 1000};
    bool watched = w.done_fd >= 0 && pthread_create(&w.thread, NULL, warden_main, &w) == 0;
    app_stop(s->app, &end);
    if (watched) {
        eventfd_write(w.done_fd, 1);
        pthread_join(w.thread, NULL);
    }
    if (w.done_fd >= 0)
        close(w.done_fd);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void began(struct serving *s)
{
    LOG(s->log, LOG_INFO, "listening", LF_Z("listen", s->app->sockets.address),
        LF_INT("inherited", s->gift.n), LF_INT("workers", s->app->workers),
        LF_Z("version", SNAPUP_VERSION));
    if (s->gift.ready_fd >= 0)
        return; /* the process before us accepts until we are ready */
    app_listen(s->app);
    /* A store that is away is /readyz' matter: a supervisor could not mend it by a restart. */
    sd_notify(false, "READY=1");
}

/* Large blocks are a filter of shoppers on its way (up to 8 MB), few and short-lived. Left to itself,
 * glibc takes the first that is freed as a sign to keep as much for each thread that had one. */
static void return_large_blocks(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES);
}

enum status serve(struct app *app, char *error, size_t size)
{
    return_large_blocks();
    struct serving s = {.app = app, .log = app->engine.log, .signals_fd = open_signals()};
    if (s.signals_fd < 0) {
        snprintf(error, size, "no descriptor for signals");
        return ST_UNAVAILABLE;
    }
    handover_init(&s.handover, app->argv[0]);
    handover_take(&s.gift);
    enum status st = app_start(app, s.gift.fd, s.gift.n, error, size);
    if (st == ST_OK) {
        began(&s);
        run(&s);
        LOG(s.log, LOG_INFO, "stopping", LF_INT("grace_ms", app->conf.stop_grace_ms));
        if (!s.handed_over)
            sd_notify(false, "STOPPING=1");
    }
    stop(&s);
    close(s.signals_fd);
    return st;
}
