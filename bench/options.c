#include "options.h"

#include <curl/curl.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: snapup-bench rush [options]\n"
    "\n"
    "Creates a flash sale, lets a crowd of shoppers rush it, and proves the outcome: compares its "
    "own\n"
    "journal of acknowledged orders with MariaDB row by row and asks for the audit.\n"
    "\n"
    "Load\n"
    "  --url URL[,URL]...   service to rush, or instances of it   [http://127.0.0.1:8080]\n"
    "  --shoppers N         shoppers                              [200000]\n"
    "  --units N            units for sale                        [50000]\n"
    "  --unlimited          enough units for everybody: measures durable orders alone\n"
    "  --connections N      connections, one request each at a time  [256]\n"
    "  --qty N              units per order                       [1]\n"
    "  --timeout S          seconds until a request counts as unanswered  [30]\n"
    "  --shards N           shards of the sale                    [1]\n"
    "  --started-ago S      the sale began S seconds ago, for a service whose clock is wrong  [0]\n"
    "\n"
    "A crowd that keeps trying\n"
    "  --persist S          whoever got no answer, or one that asks to try again, does so with "
    "the\n"
    "                       same key for S seconds; connections are opened again without end  "
    "[0]\n"
    "  --impatient          at once, whatever Retry-After says\n"
    "  --again PERCENT      so many who got an order ask for it once more  [0]\n"
    "  --async PERCENT      so many prefer a 202 (respond-async)  [0]\n"
    "  --queue-may-vanish   a 202 whose order never came breaks nothing: Redis will lose its "
    "log\n"
    "  --rate N             so many set out each second; all the rest at once after SIGUSR1  "
    "[no pace]\n"
    "\n"
    "Credentials\n"
    "  --key KEY            storefront key, creates the sale      [sk_demo]\n"
    "  --kid ID             signing key of the shoppers' tokens   [demo]\n"
    "  --secret TEXT        its secret                            [demo-signing-secret]\n"
    "\n"
    "MariaDB, to compare with\n"
    "  --sql ADDRESS        unix:/path or host:port               [$SNAPUP_SQL]\n"
    "  --sql-user NAME      [$SNAPUP_SQL_USER or snapup]; password from $SNAPUP_SQL_PASSWORD\n"
    "  --sql-database NAME  [$SNAPUP_SQL_DATABASE or snapup]\n"
    "\n"
    "Report\n"
    "  --json               one JSON object instead of text\n"
    "  --progress FILE      while it runs, a JSON line every 50 ms\n"
    "  --help\n"
    "\n"
    "Exit code: 0 every promise kept, 1 a promise broken, 2 usage, 3 the run could not be set up "
    "or\n"
    "compared, 4 the run is not valid (nothing sold, connections failed, interrupted).\n"
    "\n"
    "Examples\n"
    "  export SNAPUP_SQL=unix:$PWD/var/run/mariadb.sock\n"
    "  snapup-bench rush                                   200,000 shoppers for 50,000 units\n"
    "  snapup-bench rush --unlimited --shoppers 100000     how many durable orders a second\n"
    "  snapup-bench rush --units 1 --shoppers 1000         a thousand for the last one\n";

const char *options_help(void)
{
    return help;
}

enum { TEXT, NUMBER, FLAG };

struct option_row {
    const char *name;
    int kind;
    size_t offset;     /* of the field in struct options */
    uint32_t min, max; /* NUMBER */
};

#define AT(field) offsetof(struct options, field)

static const struct option_row rows[] = {
    {"url", TEXT, AT(url), 0, 0},
    {"shoppers", NUMBER, AT(shoppers), 1, BENCH_SHOPPERS_MAX},
    {"units", NUMBER, AT(units), 1, 1000000000},
    {"unlimited", FLAG, AT(unlimited), 0, 0},
    {"connections", NUMBER, AT(connections), 1, BENCH_CONNECTIONS_MAX},
    {"qty", NUMBER, AT(qty), 1, 100},
    {"timeout", NUMBER, AT(timeout_s), 1, 600},
    {"shards", NUMBER, AT(shards), 1, 64},
    {"started-ago", NUMBER, AT(started_ago_s), 0, 3 * 3600},
    {"persist", NUMBER, AT(persist_s), 0, 3600},
    {"impatient", FLAG, AT(impatient), 0, 0},
    {"again", NUMBER, AT(again_percent), 0, 100},
    {"async", NUMBER, AT(async_percent), 0, 100},
    {"queue-may-vanish", FLAG, AT(queue_may_vanish), 0, 0},
    {"rate", NUMBER, AT(rate), 0, 1000000},
    {"key", TEXT, AT(key), 0, 0},
    {"kid", TEXT, AT(kid), 0, 0},
    {"secret", TEXT, AT(secret), 0, 0},
    {"sql", TEXT, AT(sql), 0, 0},
    {"sql-user", TEXT, AT(sql_user), 0, 0},
    {"sql-database", TEXT, AT(sql_database), 0, 0},
    {"json", FLAG, AT(json), 0, 0},
    {"progress", TEXT, AT(progress), 0, 0},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]), OPTION_HELP = 1000 };

static const char *env_or(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    return v && *v ? v : otherwise;
}

static void set_defaults(struct options *o)
{
    *o = (struct options){
        .url = "http://127.0.0.1:8080",
        .shoppers = 200000,
        .units = 50000,
        .connections = 256,
        .qty = 1,
        .shards = 1,
        .timeout_s = 30,
        .key = "sk_demo",
        .kid = "demo",
        .secret = "demo-signing-secret",
        .sql = env_or("SNAPUP_SQL", NULL),
        .sql_user = env_or("SNAPUP_SQL_USER", "snapup"),
        .sql_password = env_or("SNAPUP_SQL_PASSWORD", ""),
        .sql_database = env_or("SNAPUP_SQL_DATABASE", "snapup"),
    };
}

static bool set_number(const struct option_row *row, const char *text, uint32_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || n < row->min ||
        n > row->max) {
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

static bool set_option(struct options *o, const struct option_row *row, const char *text)
{
    char *field = (char *)o + row->offset;
    switch (row->kind) {
    case TEXT: memcpy(field, &text, sizeof(text)); return *text != '\0';
    case FLAG: *(bool *)field = true; return true;
    default: return set_number(row, text, (uint32_t *)(void *)field);
    }
}

/* Copies one part of the URL; an IPv6 address without its brackets. */
static bool url_part(CURLU *u, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *text = NULL;
    if (curl_url_get(u, part, &text, flags) != CURLUE_OK) {
        return false;
    }
    size_t n = strlen(text);
    bool bracketed = n > 2 && text[0] == '[';
    int written = bracketed ? snprintf(out, size, "%.*s", (int)n - 2, text + 1)
                            : snprintf(out, size, "%s", text);
    curl_free(text);
    return written > 0 && (size_t)written < size;
}

static bool read_url(const char *text, struct bench_host *host)
{
    CURLU *u = curl_url();
    char scheme[16];
    char path[16];
    bool ok = u && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
              url_part(u, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) &&
              strcmp(scheme, "http") == 0 &&
              url_part(u, CURLUPART_HOST, 0, host->name, sizeof(host->name)) &&
              url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, host->port, sizeof(host->port)) &&
              url_part(u, CURLUPART_PATH, 0, path, sizeof(path)) && strcmp(path, "/") == 0;
    curl_url_cleanup(u);
    return ok;
}

static bool read_urls(struct options *o)
{
    const char *at = o->url;
    for (o->hosts_n = 0; o->hosts_n < BENCH_URLS_MAX; at++) {
        char one[512];
        size_t n = strcspn(at, ",");
        snprintf(one, sizeof(one), "%.*s", (int)(n < sizeof(one) ? n : 0), at);
        if (!read_url(one, &o->hosts[o->hosts_n])) {
            return false;
        }
        o->hosts_n++;
        at += n;
        if (*at == '\0') {
            return true;
        }
    }
    return false;
}

/* Each option is sound by itself; now together. */
static bool check(struct options *o, char *error, size_t size)
{
    if (!read_urls(o)) {
        snprintf(error, size, "--url: want http://host:port (or up to 8, with commas), got \"%s\"",
                 o->url);
        return false;
    }
    if (!o->sql) {
        snprintf(error, size, "--sql (or SNAPUP_SQL) is missing: the address of MariaDB");
        return false;
    }
    if (o->unlimited) {
        o->units = o->shoppers * o->qty;
    }
    if (o->units < o->qty) {
        snprintf(error, size, "--units: fewer than --qty, so that nobody could buy");
        return false;
    }
    return true;
}

enum options_found options_read(struct options *o, int argc, char **argv, char *error, size_t size)
{
    struct option long_options[ROWS + 2] = {{"help", no_argument, NULL, OPTION_HELP}};
    for (int i = 0; i < ROWS; i++) {
        int takes = rows[i].kind == FLAG ? no_argument : required_argument;
        long_options[i + 1] = (struct option){rows[i].name, takes, NULL, i};
    }
    set_defaults(o);
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == OPTION_HELP) {
            return OPTIONS_HELP;
        }
        if (c < 0 || c >= ROWS) {
            snprintf(error, size, "%s: unknown, or its value is missing", argv[optind - 1]);
            return OPTIONS_WRONG;
        }
        if (!set_option(o, &rows[c], optarg)) {
            snprintf(error, size, "--%s: \"%s\" is empty, not a number or out of bounds",
                     rows[c].name, optarg);
            return OPTIONS_WRONG;
        }
    }
    if (optind < argc) {
        snprintf(error, size, "%s: options begin with --", argv[optind]);
        return OPTIONS_WRONG;
    }
    return check(o, error, size) ? OPTIONS_RUN : OPTIONS_WRONG;
}
