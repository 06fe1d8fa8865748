/* caller.h - who asks: from Authorization and Snapup-Shopper to a role, a storefront and a shopper.
 */
#pragma once

#include "api/api.h"

struct caller {
    enum role role;
    uint32_t storefront; /* 0: any (operator), or nobody */
    char shopper[ID_MAX + 1];
    size_t shopper_len; /* 0: none named */
};

/* What a route asks for (the auth column of the routes table). */
enum auth {
    AUTH_NONE,      /* credentials are not looked at */
    AUTH_PUBLIC,    /* one is looked at when there is one */
    AUTH_SHOPPER,   /* anybody with a credential */
    AUTH_STOREFRONT /* storefront or operator */
};

/* By the route's row. ST_OK, or the problem is answered and the exchange is done. When it is called
 * is the handler's choice: orders_create reads the body first, as openapi.yaml orders the
 * checks. */
STATUS_MUSTCHECK
enum status caller_resolve(struct api *api, struct exchange *x, struct caller *caller);
/* A shopper must be named: 400 answered otherwise. */
STATUS_MUSTCHECK
enum status caller_need_shopper(struct api *api, struct exchange *x, const struct caller *caller);
static inline struct str caller_shopper(const struct caller *c)
{
    return (struct str){c->shopper, c->shopper_len};
}

/* A draft exists for its storefront and for operators only; a published sale for everybody. */
static inline bool sale_visible(const struct sale *sale, const struct caller *c)
{
    return sale->state != SALE_DRAFT || c->role == ROLE_OPERATOR ||
           (c->role == ROLE_STOREFRONT && c->storefront == sale->storefront);
}
