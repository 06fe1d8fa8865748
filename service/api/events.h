/* events.h - server-sent events of a sale: `state` and `stock`, to those who watch it on this
 * worker.
 *
 * Checked four times a second; an event goes out when something changed. A new watcher first gets
 * both events as they are. A comment every 15 s keeps proxies from closing the stream.
 */
#pragma once

#include "api/api.h"

STATUS_MUSTCHECK
enum status api_events_create(struct api *api, struct api_events **out);
/* Streams still open are forgotten; the server has closed them by then. */
void api_events_destroy(struct api_events **e);
