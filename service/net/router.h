/* router.h - from method and path to a row of the routes table.
 *
 * Patterns are literal segments and {captures}: "/v1/orders/{order}/cancel". The table is the
 * caller's, const, and outlives the router. Immutable after creation; any thread.
 */
#pragma once

#include "base/status.h"
#include "net/http_parser.h"

#include <stdint.h>

enum { ROUTE_PARAMS_MAX = 3, ROUTE_PARAM_LEN = 256 };

struct exchange;

struct route {
    enum http_method method; /* HTTP_GET rows serve HEAD, too */
    const char *pattern;
    void (*handler)(void *ctx, struct exchange *x);
    const char *name;  /* metric label: "orders.create" */
    uint32_t auth;     /* for the layer above; the router does not look */
    uint32_t flags;    /* likewise */
    uint32_t body_max; /* bytes; 0: a body is refused with 413 */
};

struct router;

STATUS_MUSTCHECK
enum status router_create(const struct route *routes, unsigned n, struct router **out);
void router_destroy(struct router **r);

struct route_match {
    const struct route *route;
    struct str param[ROUTE_PARAMS_MAX]; /* percent-decoded, in order of the pattern */
    char text[ROUTE_PARAM_LEN];         /* storage of decoded params */
    uint32_t allowed;                   /* ST_METHOD: bit per enum http_method, for Allow */
};

/* ST_OK, ST_NOT_FOUND, ST_METHOD, or ST_INVALID_REQUEST for bad percent-encoding (also of NUL, '/'
 * and control characters) in a captured segment. No dot-segment or slash folding: such paths are
 * 404. */
STATUS_MUSTCHECK
enum status router_match(const struct router *r, enum http_method method, struct str path,
                         struct route_match *m);
/* Value of key in a query string, percent-decoded into out (size bytes, NUL-terminated).
 * ST_OK (present), ST_NOT_FOUND, ST_INVALID_REQUEST (twice, too long, badly encoded). */
STATUS_MUSTCHECK
enum status query_get(struct str query, const char *key, char *out, size_t size);
/* Whether query holds only keys from the NULL-terminated list; the first other key is in *param
 * (points into query). */
bool query_only(struct str query, const char *const *keys, struct str *param);
