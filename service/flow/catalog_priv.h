/* catalog_priv.h - between catalog.c (who sees what when) and snapshot.c (what is in it). */
#pragma once

#include "flow/catalog.h"

struct catalog_source {
    uint8_t master_key[SEAL_KEY_LEN];
    bool production;
    struct log *log;
};

/* Live objects by sale number, growing; guarded by the catalogue's building lock. */
struct catalog_registry {
    struct live_sale **sale;
    unsigned n, cap;
    unsigned next_index;
};

void catalog_registry_fini(struct catalog_registry *r);

struct storefront {
    uint32_t no;
    struct str id;
};

struct chunk; /* of the snapshot's arena */

struct snapshot {
    unsigned refs; /* guarded by the catalogue's lock */
    uint64_t version;
    struct chunk *chunks;
    unsigned sales, items, keys, signers, storefronts;
    struct sale *sale;         /* by number */
    const struct sale **by_id; /* open addressing, by_id_mask + 1 places */
    unsigned by_id_mask;
    struct item_place {
        uint32_t no;
        unsigned sale, item;
    } * item;            /* by number */
    struct api_key *key; /* by hash */
    struct token_key *signer;
    struct storefront *storefront; /* by number */
};

STATUS_MUSTCHECK
enum status snapshot_load(struct sql *sql, const struct catalog_source *source,
                          struct catalog_registry *registry, uint64_t version,
                          struct snapshot **out);
void snapshot_free(struct snapshot *s);
