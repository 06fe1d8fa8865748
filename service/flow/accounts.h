/* accounts.h - storefronts and the keys that speak for them; for the command line.
 */
#pragma once

#include "flow/jobs.h"

struct new_storefront {
    struct str id;
    struct str key;          /* "sk_..."; empty: none */
    struct str kid, signing; /* signing key and its secret; kid empty: none */
    bool demo;               /* refused by production configurations */
};

/* Creates what is not there; what is there stays as it is. master_key seals the secret. */
STATUS_MUSTCHECK
enum status accounts_add_storefront(struct session *s, const uint8_t master_key[SEAL_KEY_LEN],
                                    const struct new_storefront *wish);
STATUS_MUSTCHECK
enum status accounts_add_operator(struct session *s, struct str key, bool demo);
