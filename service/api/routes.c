#include "api/routes.h"

#include "api/caller.h"
#include "api/handlers.h"

enum { BODY_SMALL = 4096, BODY_SALE = 262144 };

#define ROUTE_TABLE(X)                                                                       \
    /* the hot ones first */                                                                 \
    X(POST, "/v1/orders", orders_create, AUTH_SHOPPER, BODY_SMALL)                           \
    X(GET, "/v1/sales/{sale}", sales_get, AUTH_PUBLIC, 0)                                    \
    X(GET, "/v1/orders/{order}", orders_get, AUTH_SHOPPER, 0)                                \
    X(GET, "/v1/orders", orders_list, AUTH_SHOPPER, 0)                                       \
    X(POST, "/v1/orders/{order}/cancel", orders_cancel, AUTH_SHOPPER, BODY_SMALL)            \
    X(POST, "/v1/orders/{order}/payments", payments_create, AUTH_SHOPPER, BODY_SMALL)        \
    X(GET, "/v1/payments/{payment}", payments_get, AUTH_SHOPPER, 0)                          \
    X(POST, "/v1/webhooks/{channel}", webhooks_receive, AUTH_NONE, 16384)                    \
    X(GET, "/v1/sales", sales_list, AUTH_PUBLIC, 0)                                          \
    X(POST, "/v1/sales", sales_create, AUTH_STOREFRONT, BODY_SALE)                           \
    X(GET, "/v1/sales/{sale}/events", sales_events, AUTH_PUBLIC, 0)                          \
    X(GET, "/v1/sales/{sale}/audit", sales_audit, AUTH_STOREFRONT, 0)                        \
    X(POST, "/v1/sales/{sale}/publish", sales_publish, AUTH_STOREFRONT, BODY_SMALL)          \
    X(POST, "/v1/sales/{sale}/pause", sales_pause, AUTH_STOREFRONT, BODY_SMALL)              \
    X(POST, "/v1/sales/{sale}/resume", sales_resume, AUTH_STOREFRONT, BODY_SMALL)            \
    X(POST, "/v1/sales/{sale}/end", sales_end, AUTH_STOREFRONT, BODY_SMALL)                  \
    X(POST, "/v1/sales/{sale}/items/{sku}/stock", stock_create, AUTH_STOREFRONT, BODY_SMALL) \
    X(GET, "/livez", process_livez, AUTH_NONE, 0)                                            \
    X(GET, "/readyz", process_readyz, AUTH_NONE, 0)                                          \
    X(GET, "/metrics", process_metrics, AUTH_NONE, 0)                                        \
    X(GET, "/openapi.yaml", process_openapi, AUTH_NONE, 0)                                   \
    X(GET, "/", process_root, AUTH_NONE, 0)

const struct route routes[] = {
#define X(verb, path, function, who, body) \
    {.method = HTTP_##verb,                \
     .pattern = path,                      \
     .handler = function,                  \
     .name = #verb " " path,               \
     .auth = who,                          \
     .body_max = body},
    ROUTE_TABLE(X)
#undef X
};

const unsigned routes_n = sizeof(routes) / sizeof(routes[0]);

unsigned route_index(const struct route *route)
{
    return route ? (unsigned)(route - routes) : routes_n;
}

const char *const *route_names(void)
{
    static const char *const names[] = {
#define X(verb, path, function, who, body) #verb " " path,
        ROUTE_TABLE(X)
#undef X
            "none",
    };
    return names;
}
