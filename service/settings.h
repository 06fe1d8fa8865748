/* settings.h - what the configuration says to the running parts, at start and after SIGHUP.
 */
#pragma once

#include "app.h"

/* What workers need to know of conf. */
void settings_of(const struct config *conf, struct worker_settings *out);

/* Reads file and environment again. A bad configuration changes nothing and is logged with the key
 * to blame. Otherwise CF_RELOAD keys take effect in all threads (`config_reloaded`), and others
 * that differ are named (`config_needs_restart`). The main thread's. */
void settings_reload(struct app *app);
