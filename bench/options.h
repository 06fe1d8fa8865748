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

enum { BENCH_SHOPPERS_MAX = 4000000, BENCH_CONNECTIONS_MAX = 50000 };

struct options {
    const char *url; /* as given */
    char host[256];  /* from url, without brackets */
    char port[8];    /* from url, decimal */
    uint32_t shoppers;
    uint32_t units;
    uint32_t connections;
    uint32_t qty;       /* units per order, also the limit per shopper */
    uint32_t timeout_s; /* of one request */
    bool unlimited;     /* units follow from shoppers and qty */
    bool json;
    const char *key;          /* storefront's */
    const char *kid, *secret; /* sign the shoppers' tokens */
    const char *sql, *sql_user, *sql_password, *sql_database;
};

enum options_found { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/* argv[0] is the subcommand's name. OPTIONS_HELP: asked for it. OPTIONS_WRONG: error says why. */
enum options_found options_read(struct options *o, int argc, char **argv, char *error, size_t size);
/* Usage, options and examples. Static text. */
const char *options_help(void);
