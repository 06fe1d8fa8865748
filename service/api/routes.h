/* routes.h - the table of routes: method, path, who may, how large a body. */
#pragma once

#include "net/router.h"

extern const struct route routes[];
extern const unsigned routes_n;

/* Place of a route in the table, for metrics; routes_n when there is none. */
unsigned route_index(const struct route *route);
/* routes_n + 1 labels for metrics_create. */
const char *const *route_names(void);
