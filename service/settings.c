#include "settings.h"

#include <string.h>
#include <unistd.h>

enum { HEADERS_MAX = 100, PIPELINE_MAX = 64 };

void settings_of(const struct config *conf, struct worker_settings *out)
{
    const char access = conf->access_log[0]; /* off, errors or all */
    *out = (struct worker_settings){
        .http =
            {
                .limits = {(uint32_t)conf->request_line_max, (uint32_t)conf->header_max,
                           HEADERS_MAX},
                .conns_max = (uint32_t)conf->conns_max,
                .conns_per_addr = (uint32_t)conf->conns_per_address_max,
                .pipeline_max = PIPELINE_MAX,
                .output_max = (uint32_t)conf->output_max,
                .header_timeout_ms = (uint32_t)conf->header_timeout_ms,
                .body_timeout_ms = (uint32_t)conf->body_timeout_ms,
                .idle_timeout_ms = (uint32_t)conf->idle_timeout_ms,
                .write_timeout_ms = (uint32_t)conf->write_timeout_ms,
                .server_timing = strcmp(conf->log_level, "debug") == 0,
            },
        .access = access == 'o'   ? ACCESS_OFF
                  : access == 'e' ? ACCESS_ERRORS
                                  : ACCESS_ALL,
    };
}

static void apply(struct app *app)
{
    enum log_level level;
    if (log_level_parse(app->conf.log_level, &level))
        log_set_level(app->engine.log, level);
    settings_of(&app->conf, &app->settings);
    for (unsigned i = 0; i < app->workers; i++)
        if (worker_configure(app->worker[i], &app->settings) != ST_OK)
            LOG(app->engine.log, LOG_ERROR, "config_not_applied", LF_INT("worker", i));
}

void settings_reload(struct app *app)
{
    struct config next;
    char error[512], changed[CONFIG_KEYS_MAX], held_back[CONFIG_KEYS_MAX];
    if (config_load(&next, app->conf_file, environ, error, sizeof(error)) != ST_OK) {
        LOG(app->engine.log, LOG_ERROR, "config_rejected", LF_Z("error", error));
        return;
    }
    config_adopt(&app->conf, &next, changed, held_back);
    apply(app);
    LOG(app->engine.log, LOG_WARN, "config_reloaded", LF_Z("changed", changed));
    if (held_back[0] != '\0')
        LOG(app->engine.log, LOG_WARN, "config_needs_restart", LF_Z("keys", held_back));
}
