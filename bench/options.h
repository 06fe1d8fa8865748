/* options.h - what a run is asked to do beside its scenario: command line, environment, defaults.
 *
 * Filled once in main, read-only afterwards. Strings point into argv, the environment or literals.
 * Settings of the scenario that the command line overrides go into the scenario.
 */
#pragma once

#include "fail_if.h"
#include "scenario.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of snapup-bench. */
enum bench_exit {
    BENCH_KEPT,
    BENCH_BROKEN,
    BENCH_USAGE,
    BENCH_SETUP,
    BENCH_INVALID,
    BENCH_THRESHOLD,
};

enum { BENCH_URLS_MAX = 8, BENCH_WATCHED_MAX = 6 };

/* Where an instance of the service listens. */
struct bench_host {
    char name[256]; /* without brackets */
    char port[8];   /* decimal */
};

/* A process whose processor time is shown. */
struct bench_watched {
    char name[24];
    int pid;
};

struct options {
    const char *url;                         /* as given: one, or several with commas between */
    struct bench_host hosts[BENCH_URLS_MAX]; /* from url */
    uint32_t hosts_n;
    const char *scenarios;  /* folder of scenarios; NULL: where they are found */
    int64_t started_ago_us; /* how long the sale has been open when it is published */
    int64_t late_max_us;    /* a run whose p99 of lateness is above is not valid */
    bool queue_may_vanish;  /* the log of Redis is going to be lost, and what it alone knows */
    bool no_proof;          /* nothing is compared */
    bool quiet;             /* nothing is shown while it runs */
    const char *json;       /* file for the report, "-" for standard output; NULL: none */
    const char *html;       /* the same for the report as a page */
    const char *hdr;        /* file for an HdrHistogram log; NULL: none */
    struct fail_if limits[FAIL_IF_MAX]; /* of which none may hold */
    unsigned limits_n;
    const char *progress; /* file to write a line to, many times a second; NULL: none */
    const char *watch;    /* as given: name=PID,name=PID */
    struct bench_watched watched[BENCH_WATCHED_MAX]; /* from watch */
    unsigned watched_n;
    const char *key;          /* storefront's */
    const char *kid, *secret; /* sign the shoppers' tokens */
    const char *sql, *sql_user, *sql_password, *sql_database;
};

enum options_found { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/* argv[0] is the scenario, a name or a path: it is found, read and overridden by the options that
 * follow. OPTIONS_HELP: asked for it. OPTIONS_WRONG: error says why. */
enum options_found options_read(struct options *o, struct scenario *s, int argc, char **argv,
                                char *error, size_t size);
/* The path of a scenario; false when there is none of that name. */
bool options_find_scenario(const char *folder, const char *name, char *path, size_t size);
/* Usage, options and examples. */
void options_help(void);
