/* app.h - the process: every part, built in one order and taken down in its mirror.
 */
#pragma once

#include "api/worker.h"
#include "base/config.h"
#include "flow/engine.h"
#include "flow/keeper.h"

struct app {
    struct config conf;
    struct engine engine;
    uint8_t master_key[SEAL_KEY_LEN];
    struct health health;
    struct buf openapi;
    struct http_conf http;
    struct router *router;
    struct conn_census *census;
    struct keeper *keeper;
    unsigned workers;
    struct worker *worker[64];
    char address[300]; /* bound, as text */
};

/* Logger, catalogue, channels: what every subcommand needs. error gets a sentence. */
STATUS_MUSTCHECK
enum status app_init(struct app *app, char *error, size_t size);
void app_fini(struct app *app);

/* Migrates and reads the catalogue, waiting a while for MariaDB; then starts threads and listens.
 */
STATUS_MUSTCHECK
enum status app_start(struct app *app, char *error, size_t size);
/* Unready, drains within grace_ms, ends every thread. */
void app_stop(struct app *app, int64_t grace_ms);
