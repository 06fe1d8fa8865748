/* serve.h - the life of the daemon: start, signals, end.
 *
 *   SIGTERM, SIGINT   drain and end; a second one ends at once
 *   SIGHUP            read the configuration again (settings.h)
 *   SIGUSR2           start the program anew with our sockets, then drain and end (handover.h)
 */
#pragma once

#include "app.h"

/* Runs until told to end. ST_OK: ended in order. Otherwise it could not start, and error has a
 * sentence. An end that is forced or takes longer than it may leaves the process with a failure. */
STATUS_MUSTCHECK
enum status serve(struct app *app, char *error, size_t size);
