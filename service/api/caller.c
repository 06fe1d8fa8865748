#include "api/caller.h"

#include "api/problem.h"
#include "base/clock.h"
#include "base/token.h"

#include <strings.h>

static enum status resolve_key(const struct snapshot *snap, struct str key, struct caller *caller,
                               const char **why)
{
    uint8_t hash[SHA256_LEN];
    sha256(key, hash);
    const struct api_key *found = snapshot_api_key(snap, hash);
    *why = "The key is not known.";
    if (!found)
        return ST_UNAUTHENTICATED;
    caller->role = found->role;
    caller->storefront = found->storefront;
    return ST_OK;
}

static enum status resolve_token(const struct snapshot *snap, struct str token,
                                 struct caller *caller, const char **why)
{
    struct token_claims claims;
    enum status st = token_verify(token, clock_wall_ms() / 1000, snapshot_signing_key, (void *)snap,
                                  &claims, why);
    if (st != ST_OK)
        return st;
    caller->role = ROLE_SHOPPER;
    caller->storefront = claims.storefront_no;
    caller->shopper_len = claims.sub_len;
    memcpy(caller->shopper, claims.sub, claims.sub_len + 1u);
    return ST_OK;
}

static enum status resolve(struct api *api, struct str header, struct caller *caller,
                           const char **why)
{
    const struct snapshot *snap = catalog_read(&api->reader);
    *why = "A credential of the form `Bearer ...` is needed.";
    if (!snap)
        return ST_UNAVAILABLE;
    if (header.n < 8 || strncasecmp(header.p, "Bearer ", 7) != 0)
        return ST_UNAUTHENTICATED;
    struct str credential = {header.p + 7, header.n - 7};
    bool key = credential.n > 3 &&
               (memcmp(credential.p, "sk_", 3) == 0 || memcmp(credential.p, "op_", 3) == 0);
    return key ? resolve_key(snap, credential, caller, why)
               : resolve_token(snap, credential, caller, why);
}

/* Servers act for the shopper they name; a shopper may only name himself. */
static enum status name_shopper(struct api *api, struct exchange *x, struct str named,
                                struct caller *caller)
{
    if (!id_valid(named)) {
        problem_param(api, x, "Snapup-Shopper",
                      "A shopper id is 1 to 64 characters of A-Za-z0-9._:-.");
        return ST_INVALID_REQUEST;
    }
    if (caller->role == ROLE_SHOPPER && !str_equal(named, caller_shopper(caller))) {
        problem_status(api, x, ST_FORBIDDEN, "A shopper cannot act for another.");
        return ST_FORBIDDEN;
    }
    memcpy(caller->shopper, named.p, named.n);
    caller->shopper[named.n] = '\0';
    caller->shopper_len = named.n;
    return ST_OK;
}

enum status caller_resolve(struct api *api, struct exchange *x, struct caller *caller)
{
    const enum auth auth = (enum auth)x->match.route->auth;
    struct str header = x->head->header[HH_AUTHORIZATION];
    struct str named = x->head->header[HH_SHOPPER];
    const char *why = "A credential is needed.";
    caller->role = ROLE_NOBODY;
    caller->storefront = 0;
    caller->shopper_len = 0;
    caller->shopper[0] = '\0';
    enum status st = ST_OK;
    if (header.p)
        st = resolve(api, header, caller, &why);
    else if (auth != AUTH_PUBLIC)
        st = ST_UNAUTHENTICATED;
    if (st == ST_OK && auth == AUTH_STOREFRONT && caller->role == ROLE_SHOPPER) {
        st = ST_FORBIDDEN;
        why = "This is for storefronts and operators.";
    }
    if (st != ST_OK) {
        problem_status(api, x, st, why);
        return st;
    }
    return named.p && caller->role != ROLE_NOBODY ? name_shopper(api, x, named, caller) : ST_OK;
}

enum status caller_need_shopper(struct api *api, struct exchange *x, const struct caller *caller)
{
    if (caller->shopper_len > 0)
        return ST_OK;
    problem_param(api, x, "Snapup-Shopper", "Name the shopper to act for in this header.");
    return ST_INVALID_REQUEST;
}
