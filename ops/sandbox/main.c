/* snapup-sandbox - plays a payment channel for demo and tests: a page with two buttons, and the
 * notification that follows.
 *
 * main.c: options, start and end. server.c: HTTP in. sandbox.c: what a trade may become. trades.c:
 * the trades. notify.c: HTTP out. pages.c: HTML.
 */
#include "sandbox.h"

#include "base/loop.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_SETUP = 3, SECRET_MAX = 4096, AUTO_MS_MAX = 3600 * 1000 };

static const char help[] =
    "Usage: snapup-sandbox --secret-file FILE --webhook URL [options]\n"
    "\n"
    "Plays a payment channel: opens trades that the service tells of or whose page it signed,\n"
    "shows a person that page to pay or decline, and notifies the service. Keeps everything in\n"
    "memory; no real money.\n"
    "\n"
    "  --listen HOST:PORT   [127.0.0.1:8090]; port 0 takes a free one\n"
    "  --port-file FILE     where to write the port once it listens\n"
    "  --secret-file FILE   the secret shared with the service; signs either way\n"
    "  --webhook URL        where notifications go\n"
    "  --auto-ms N          pay every trade by itself N ms after it was opened\n"
    "  --help\n"
    "\n"
    "Example\n"
    "  snapup-sandbox --secret-file var/sandbox.secret \\\n"
    "                 --webhook http://127.0.0.1:8080/v1/webhooks/sandbox --auto-ms 200\n";

static bool read_number(const char *text, int64_t max, int64_t *out)
{
    char *end = NULL;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || n < 0 || n > max) {
        return false;
    }
    *out = n;
    return true;
}

/* False when the command line is not one; *help_wanted when it was asked for. */
static bool read_options(struct sandbox_conf *conf, int argc, char **argv, bool *help_wanted)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"port-file", required_argument, NULL, 'p'},
        {"secret-file", required_argument, NULL, 's'},
        {"webhook", required_argument, NULL, 'w'},
        {"auto-ms", required_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'l': conf->listen = optarg; break;
        case 'p': conf->port_file = optarg; break;
        case 's': conf->secret_file = optarg; break;
        case 'w': conf->webhook = optarg; break;
        case 'a':
            if (!read_number(optarg, AUTO_MS_MAX, &conf->auto_ms)) {
                return false;
            }
            break;
        case 'h': *help_wanted = true; return true;
        default: return false;
        }
    }
    return optind == argc && conf->secret_file && conf->webhook;
}

static bool failed(const char *what, const char *name)
{
    fprintf(stderr, "snapup-sandbox: %s: %s\n", what, name);
    return false;
}

/* The file's text without the end of its line. */
static bool read_secret(struct sandbox *sb)
{
    char text[SECRET_MAX];
    FILE *f = fopen(sb->conf->secret_file, "re");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    if (f) {
        fclose(f);
    }
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    bool ok =
        n > 0 && n < sizeof(text) && hmac_key_create((struct str){text, n}, &sb->key) == ST_OK;
    explicit_bzero(text, sizeof(text));
    return ok;
}

/* Readers see either no file or a whole one. */
static bool write_port(const struct sandbox *sb)
{
    char path[4096];
    const char *to = sb->conf->port_file;
    if (!to) {
        return true;
    }
    int n = snprintf(path, sizeof(path), "%s.new", to);
    FILE *f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "we") : NULL;
    if (!f) {
        return false;
    }
    bool written = fprintf(f, "%d\n", sb->port) > 0;
    return fclose(f) == 0 && written && rename(path, to) == 0;
}

static bool sandbox_init(struct sandbox *sb)
{
    sb->base = loop_create_alone();
    sb->ids = uid_source_create();
    if (!sb->base || trades_init(&sb->trades) != ST_OK) {
        return failed("no memory", "at the start");
    }
    if (!read_secret(sb)) {
        return failed("cannot read a secret from", sb->conf->secret_file);
    }
    if (notifier_create(sb->base, sb->conf->webhook, sb->key, &sb->trades, &sb->notifier) !=
        ST_OK) {
        return failed("want http://host:port/path as webhook, not", sb->conf->webhook);
    }
    if (server_start(sb) != ST_OK) {
        return failed("cannot listen on", sb->conf->listen);
    }
    return write_port(sb) || failed("cannot write", sb->conf->port_file);
}

static void sandbox_fini(struct sandbox *sb)
{
    server_stop(sb);
    notifier_destroy(&sb->notifier);
    trades_fini(&sb->trades);
    if (sb->key) {
        hmac_key_destroy(&sb->key);
    }
    uid_source_destroy(&sb->ids);
    if (sb->base) {
        event_base_free(sb->base);
    }
}

static void on_stop(evutil_socket_t signal_number, short what, void *arg)
{
    event_base_loopbreak(arg);
}

static void sandbox_run(struct sandbox *sb)
{
    struct event *term = evsignal_new(sb->base, SIGTERM, on_stop, sb->base);
    struct event *interrupt = evsignal_new(sb->base, SIGINT, on_stop, sb->base);
    if (term && interrupt && event_add(term, NULL) == 0 && event_add(interrupt, NULL) == 0) {
        fprintf(stderr, "snapup-sandbox: %s\n", sb->url);
        while (!event_base_got_break(sb->base)) {
            event_base_loop(sb->base, EVLOOP_ONCE);
            server_turn(sb);
        }
    }
    if (term) {
        event_free(term);
    }
    if (interrupt) {
        event_free(interrupt);
    }
}

int main(int argc, char **argv)
{
    struct sandbox_conf conf = {.listen = "127.0.0.1:8090", .auto_ms = -1};
    struct sandbox sb = {.conf = &conf};
    bool help_wanted = false;
    if (!read_options(&conf, argc, argv, &help_wanted)) {
        fputs("snapup-sandbox: --secret-file and --webhook are needed; try --help\n", stderr);
        return EXIT_USAGE;
    }
    if (help_wanted) {
        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    signal(SIGPIPE, SIG_IGN);
    bool ready = sandbox_init(&sb);
    if (ready) {
        sandbox_run(&sb);
    }
    sandbox_fini(&sb);
    return ready ? EXIT_SUCCESS : EXIT_SETUP;
}
