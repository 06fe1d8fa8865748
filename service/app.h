/* app.h - the process: every part, built in one order and taken down in its mirror.
 */
#pragma once

#include "api/worker.h"
#include "base/config.h"
#include "flow/engine.h"
#include "flow/keeper.h"
#include "net/listen_set.h"

_Static_assert((int)WORKERS_MAX <= (int)LISTEN_MAX, "a socket for every worker");

struct app {
    struct config conf;
    const char *conf_file; /* it was read from; may be NULL */
    char **argv;           /* the whole command line */
    struct engine engine;
    uint8_t master_key[SEAL_KEY_LEN];
    struct health health;
    struct buf openapi;
    struct worker_settings settings;
    struct listen_set sockets;
    struct router *router;
    struct conn_census *census;
    struct keeper *keeper;
    unsigned workers;
    struct worker *worker[WORKERS_MAX];
};

/* Logger, catalogue, channels: what every subcommand needs. error gets a sentence. */
STATUS_MUSTCHECK
enum status app_init(struct app *app, char *error, size_t size);
void app_fini(struct app *app);

/* Migrates and reads the catalogue, waiting a while for MariaDB; refuses a Redis that may evict;
 * then starts threads and opens the sockets, or takes those in fds (n of them; 0: opens).
 * Nothing is accepted yet. */
STATUS_MUSTCHECK
enum status app_start(struct app *app, const int *fds, unsigned n, char *error, size_t size);
/* Lets the workers accept. */
void app_listen(struct app *app);
/* Whether both stores answer, the gates are open and every worker could buy. */
bool app_ready(const struct app *app);
/* Unready; drains as `end` says; ends every thread. It returns when all has ended, which a store
 * that does not answer may delay past the grace. */
void app_stop(struct app *app, const struct worker_end *end);
