/* options.h - what a rush is asked to do: command line, environment, defaults.
 *
 * Filled once in main, read-only afterwards. Strings point into argv, the environment or literals.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes of snapup-bench. */
enum bench_exit { BENCH_KEPT, BENCH_BROKEN, BENCH_USAGE, BENCH_SETUP, BENCH_INVALID };

enum { BENCH_SHOPPERS_MAX = 4000000, BENCH_CONNECTIONS_MAX = 50000, BENCH_URLS_MAX = 8 };

/* Where an instance of the service listens. */
struct bench_host {
    char name[256]; /* without brackets */
    char port[8];   /* decimal */
};

struct options {
    const char *url;                         /* as given: one, or several with commas between */
    struct bench_host hosts[BENCH_URLS_MAX]; /* from url */
    uint32_t hosts_n;
    uint32_t shoppers;
    uint32_t units;
    uint32_t shards;        /* of the sale */
    uint32_t started_ago_s; /* how long the sale has been open when it is published */
    uint32_t connections;
    uint32_t qty;           /* units per order, also the limit per shopper */
    uint32_t timeout_s;     /* of one request */
    uint32_t rate;          /* shoppers a second; 0: no pace */
    uint32_t persist_s;     /* how long a shopper keeps trying; 0: one try */
    uint32_t again_percent; /* of shoppers who got an order ask for it once more */
    uint32_t async_percent; /* of shoppers prefer a 202 */
    bool impatient;         /* shoppers ask again at once, whatever Retry-After says */
    bool queue_may_vanish;  /* the log of Redis is going to be lost, and what it alone knows */
    bool unlimited;         /* units follow from shoppers and qty */
    bool json;
    const char *progress;     /* file to write a line to, many times a second; NULL: none */
    const char *key;          /* storefront's */
    const char *kid, *secret; /* sign the shoppers' tokens */
    const char *sql, *sql_user, *sql_password, *sql_database;
};

enum options_found { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/* argv[0] is the subcommand's name. OPTIONS_HELP: asked for it. OPTIONS_WRONG: error says why. */
enum options_found options_read(struct options *o, int argc, char **argv, char *error, size_t size);
/* Usage, options and examples. Static text. */
const char *options_help(void);
