#include "options.h"

#include "values.h"

#include <curl/curl.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT, FLAG, DURATION, LIMIT };

struct option_row {
    const char *name;
    int kind;
    size_t offset; /* of the field in struct options */
    const char *value, *help;
};

#define AT(field) offsetof(struct options, field)

static const struct option_row rows[] = {
    {"url", TEXT, AT(url), "URL[,URL]...", "the service, or instances of it"},
    {"scenarios", TEXT, AT(scenarios), "DIR", "where scenarios are [$SNAPUP_BENCH_SCENARIOS]"},
    {"started-ago", DURATION, AT(started_ago_us), "TIME",
     "the sale began so long ago, for a service whose clock is wrong"},
    {"late-max", DURATION, AT(late_max_us), "TIME",
     "open load: the run is not valid when p99 of the tool's own lateness is above [1ms]"},
    {"queue-may-vanish", FLAG, AT(queue_may_vanish), NULL,
     "a 202 whose order never came breaks nothing: Redis will lose its log"},
    {"no-proof", FLAG, AT(no_proof), NULL, "nothing is compared: for other services"},
    {"fail-if", LIMIT, AT(limits), "LIMIT",
     "fails if it holds: 'p99>20ms', 'errors>0.1%', 'refusals.p99.9>=5ms'; may be given again"},
    {"json", TEXT, AT(json), "FILE|-", "the report for programs"},
    {"html", TEXT, AT(html), "FILE|-", "the report as a page to look at"},
    {"hdr", TEXT, AT(hdr), "FILE",
     "latencies as an HdrHistogram log; snapup-bench merge adds several up"},
    {"progress", TEXT, AT(progress), "FILE", "while it runs, a JSON line every 50 ms"},
    {"quiet", FLAG, AT(quiet), NULL, "shows nothing while it runs"},
    {"watch", TEXT, AT(watch), "NAME=PID,...", "processes whose processor time is shown"},
    {"key", TEXT, AT(key), "KEY", "storefront key, creates the sale [sk_demo]"},
    {"kid", TEXT, AT(kid), "ID", "signing key of the shoppers' tokens [demo]"},
    {"secret", TEXT, AT(secret), "TEXT", "its secret [demo-signing-secret]"},
    {"sql", TEXT, AT(sql), "ADDRESS", "MariaDB: unix:/path or host:port [$SNAPUP_SQL]"},
    {"sql-user", TEXT, AT(sql_user), "NAME",
     "[$SNAPUP_SQL_USER or snapup]; password from $SNAPUP_SQL_PASSWORD"},
    {"sql-database", TEXT, AT(sql_database), "NAME", "[$SNAPUP_SQL_DATABASE or snapup]"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]), SETTINGS_MAX = 32, OPTION_HELP = 1000 };

static void help_row(const char *name, const char *value, const char *text)
{
    char left[64];
    snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
    printf("  %-24s %s\n", left, text);
}

void options_help(void)
{
    const struct setting *s;
    puts("Usage: snapup-bench run SCENARIO [option]...\n"
         "       snapup-bench rush [option]...               a scenario's name is enough\n"
         "       snapup-bench capacity SCENARIO --slo LIMIT  how many shoppers a second it bears\n"
         "       snapup-bench report RUN.json [option]...    a run of --json as a page, or two in "
         "one\n"
         "       snapup-bench merge [-o FILE] LOG...         adds up the logs of several "
         "generators\n"
         "\n"
         "Plays a crowd of shoppers, and proves the outcome: compares its own journal of "
         "acknowledged\n"
         "orders with MariaDB row by row and asks for the audit. A scenario is a name out of\n"
         "bench/scenarios, or the path of a file.\n"
         "\n"
         "The run");
    for (int i = 0; i < ROWS; i++) {
        help_row(rows[i].name, rows[i].value, rows[i].help);
    }
    puts("\nSettings of the scenario, in place of its own");
    for (unsigned i = 0; (s = scenario_setting(i)); i++) {
        help_row(s->key, s->is_flag ? NULL : s->value, s->help);
    }
    puts("\nPLAN: closed (whoever's connection is free takes the next shopper), or segments joined "
         "by\n"
         "`then`: constant 2000/s for 30s, ramp 0/s to 5000/s for 30s, poisson 2000/s for 30s,\n"
         "spike 50000, steps 1000/s 2000/s for 10s each, pause 5s, replay FILE.\n"
         "SIGUSR1 ends the plan: all who are left come at once. SIGINT ends the run and reports.\n"
         "\n"
         "Exit code: 0 every promise kept, 1 a promise broken, 2 usage, 3 the run could not be set "
         "up\n"
         "or compared, 4 the run is not valid (nothing sold, connections failed, interrupted, the "
         "tool\n"
         "itself was late, a limit of --fail-if that was not measured), 5 past a limit of "
         "--fail-if.\n"
         "\n"
         "Examples\n"
         "  export SNAPUP_SQL=unix:$PWD/var/run/mariadb.sock\n"
         "  snapup-bench rush                                   200,000 shoppers for 50,000 units\n"
         "  snapup-bench rush --units enough                    how many durable orders a second\n"
         "  snapup-bench rush --units 1 --shoppers 1000         a thousand for the last one\n"
         "  snapup-bench steady --arrivals 'poisson 3000/s for 1min'");
}

static const char *env_or(const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    return v && *v ? v : otherwise;
}

static void set_defaults(struct options *o)
{
    *o = (struct options){
        .url = "http://127.0.0.1:8080",
        .scenarios = env_or("SNAPUP_BENCH_SCENARIOS", NULL),
        .late_max_us = 1000,
        .key = "sk_demo",
        .kid = "demo",
        .secret = "demo-signing-secret",
        .sql = env_or("SNAPUP_SQL", NULL),
        .sql_user = env_or("SNAPUP_SQL_USER", "snapup"),
        .sql_password = env_or("SNAPUP_SQL_PASSWORD", ""),
        .sql_database = env_or("SNAPUP_SQL_DATABASE", "snapup"),
    };
}

static bool set_option(struct options *o, const struct option_row *row, const char *given,
                       char *error, size_t size)
{
    const char *text = given ? given : ""; /* a flag has none */
    char *field = (char *)o + row->offset;
    char why[256] = "is empty";
    bool good = true;
    switch (row->kind) {
    case TEXT:
        memcpy(field, &text, sizeof(text));
        good = *text != '\0';
        break;
    case FLAG: *(bool *)field = true; break;
    case DURATION:
        good = value_duration(text, (int64_t *)(void *)field);
        snprintf(why, sizeof(why), "want a duration such as 30s, got \"%.40s\"", text);
        break;
    case LIMIT:
        if (o->limits_n == FAIL_IF_MAX) {
            snprintf(why, sizeof(why), "more than %d", FAIL_IF_MAX);
            good = false;
        } else {
            good = fail_if_parse(text, &o->limits[o->limits_n++], why, sizeof(why));
        }
    }
    if (!good) {
        snprintf(error, size, "--%s: %s", row->name, why);
    }
    return good;
}

/* --- addresses and processes ------------------------------------------------------------------- */

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

/* "name=PID,name=PID" */
static bool read_watch(struct options *o)
{
    for (const char *at = o->watch; at && *at;) {
        char pid[16];
        uint64_t n = 0;
        size_t len = strcspn(at, ",");
        const char *equals = memchr(at, '=', len);
        struct bench_watched *w = &o->watched[o->watched_n];
        size_t name_len = equals ? (size_t)(equals - at) : 0;
        if (o->watched_n == BENCH_WATCHED_MAX || name_len == 0 || name_len >= sizeof(w->name)) {
            return false;
        }
        snprintf(w->name, sizeof(w->name), "%.*s", (int)name_len, at);
        snprintf(pid, sizeof(pid), "%.*s", (int)(len - name_len - 1), equals + 1);
        if (strspn(w->name, "abcdefghijklmnopqrstuvwxyz_") != name_len ||
            !value_number(pid, 1, INT32_MAX, &n)) {
            return false;
        }
        w->pid = (int)n;
        o->watched_n++;
        at += len;
        at += *at == ',';
    }
    return true;
}

/* Each option is sound by itself; now together. */
static bool check(struct options *o, char *error, size_t size)
{
    if (!read_urls(o)) {
        snprintf(error, size, "--url: want http://host:port (or up to 8, with commas), got \"%s\"",
                 o->url);
        return false;
    }
    if (!read_watch(o)) {
        snprintf(error, size, "--watch: want name=PID (or up to %d, with commas), got \"%s\"",
                 BENCH_WATCHED_MAX, o->watch);
        return false;
    }
    if (o->json && o->html && strcmp(o->json, "-") == 0 && strcmp(o->html, "-") == 0) {
        snprintf(error, size, "--json, --html: only one of them to standard output");
        return false;
    }
    if (!o->sql && !o->no_proof) {
        snprintf(error, size, "--sql (or SNAPUP_SQL) is missing: the address of MariaDB");
        return false;
    }
    return true;
}

/* --- scenarios --------------------------------------------------------------------------------- */

/* PREFIX/bin/snapup-bench has its scenarios in PREFIX/share; one that was built in a source tree, in
 * build/MODE, has them there. */
bool options_find_scenario(const char *folder, const char *name, char *path, size_t size)
{
    static const char *const beside[] = {"/../share/snapup/scenarios", "/../../bench/scenarios"};
    char here[1024];
    if (strchr(name, '/') || strchr(name, '.')) {
        snprintf(path, size, "%s", name);
        return access(path, R_OK) == 0;
    }
    if (folder) {
        snprintf(path, size, "%s/%s.ini", folder, name);
        return access(path, R_OK) == 0;
    }
    ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
    here[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(here, '/');
    if (slash) {
        *slash = '\0';
    }
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        int len = snprintf(path, size, "%s%s/%s.ini", here, beside[i], name);
        if (len > 0 && (size_t)len < size && access(path, R_OK) == 0) {
            return true;
        }
    }
    return false;
}

struct override {
    const char *key, *value;
};

static bool load_scenario(const struct options *o, struct scenario *s, const char *name,
                          const struct override *overrides, unsigned n, char *error, size_t size)
{
    char path[2048];
    char why[512];
    scenario_init(s);
    if (!options_find_scenario(o->scenarios, name, path, sizeof(path))) {
        snprintf(error, size, "%s: no such scenario", name);
        return false;
    }
    if (scenario_read(s, path, error, size) != ST_OK) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (scenario_set(s, overrides[i].key, overrides[i].value, why, sizeof(why)) != ST_OK) {
            snprintf(error, size, "--%s", why);
            return false;
        }
    }
    if (scenario_check(s, why, sizeof(why)) != ST_OK) {
        snprintf(error, size, "%s: %s", name, why);
        return false;
    }
    return true;
}

/* First the options, then the settings of a scenario, then the end. */
static unsigned make_long_options(struct option *to)
{
    const struct setting *s;
    unsigned n = 0;
    for (; n < ROWS; n++) {
        int takes = rows[n].kind == FLAG ? no_argument : required_argument;
        to[n] = (struct option){rows[n].name, takes, NULL, (int)n};
    }
    for (unsigned i = 0; (s = scenario_setting(i)); i++, n++) {
        to[n] = (struct option){s->key, s->is_flag ? no_argument : required_argument, NULL, (int)n};
    }
    to[n] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    to[n + 1] = (struct option){0};
    return n;
}

enum options_found options_read(struct options *o, struct scenario *s, int argc, char **argv,
                                char *error, size_t size)
{
    struct option long_options[ROWS + SETTINGS_MAX + 2];
    struct override overrides[64];
    unsigned n = 0;
    int known = (int)make_long_options(long_options);
    set_defaults(o);
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == OPTION_HELP) {
            return OPTIONS_HELP;
        }
        if (c < 0 || c >= known) {
            snprintf(error, size, "%s: unknown, or its value is missing", argv[optind - 1]);
            return OPTIONS_WRONG;
        }
        if (c >= ROWS && n < sizeof(overrides) / sizeof(overrides[0])) {
            overrides[n++] = (struct override){long_options[c].name, optarg ? optarg : "yes"};
        } else if (c < ROWS && !set_option(o, &rows[c], optarg, error, size)) {
            return OPTIONS_WRONG;
        }
    }
    if (optind < argc) {
        snprintf(error, size, "%s: options begin with --", argv[optind]);
        return OPTIONS_WRONG;
    }
    bool good = load_scenario(o, s, argv[0], overrides, n, error, size) && check(o, error, size);
    return good ? OPTIONS_RUN : OPTIONS_WRONG;
}
