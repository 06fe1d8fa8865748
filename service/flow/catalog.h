/* catalog.h - what is for sale and who may ask, as every thread sees it: immutable snapshots.
 *
 * MariaDB decides; a snapshot is one consistent read of it (all sales, items, shards and keys) with
 * a version that every change bumps (counters.catalog). A loop holds one reference and swaps it
 * between requests, so handlers see one version from beginning to end and take no lock.
 */
#pragma once

#include "base/buf.h"
#include "base/log.h"
#include "base/seal.h"
#include "base/status.h"
#include "base/token.h"
#include "flow/live.h"
#include "redis/redis.h"
#include "rules/sale_state.h"
#include "sql/sql.h"

#include <stdint.h>

struct sale_item {
    uint32_t no;
    struct str sku, name;
    int64_t price, list_price; /* minor units; list_price -1: none */
    uint32_t limit;            /* live units per shopper */
    int64_t stock;             /* units the sale was created with */
    struct live_item *live;    /* [shards] */
};

struct sale_shard {
    int64_t epoch;
    bool ready; /* loaded into loaded_in under epoch */
    struct redis_identity loaded_in;
    struct shard_keys keys;
    struct live_shard *live;
};

struct sale {
    uint32_t no;
    struct str id, name;
    uint32_t storefront;
    char currency[4];
    enum sale_state state;
    int64_t starts_ms, ends_ms, created_ms;
    uint32_t pay_within_s;
    unsigned shards, items;
    bool allocated;           /* it was published once: shards and stock exist */
    struct sale_shard *shard; /* [shards] */
    struct sale_item *item;   /* [items], in order of creation */
    /* Of sale_item: a hash table with open addressing, at most half full. */
    const struct sale_item **by_sku;
    unsigned by_sku_mask;
};

enum role { ROLE_NOBODY, ROLE_SHOPPER, ROLE_STOREFRONT, ROLE_OPERATOR };

struct api_key {
    uint8_t hash[SHA256_LEN];
    enum role role;
    uint32_t storefront; /* 0 for operators */
};

struct snapshot; /* opaque; see the getters */
struct catalog;

STATUS_MUSTCHECK
enum status catalog_create(const uint8_t master_key[SEAL_KEY_LEN], bool production, struct log *log,
                           struct catalog **out);
void catalog_destroy(struct catalog **c); /* after every reader */

/* Reads MariaDB if its version differs from ours. Any thread with a connection; ST_OK also when
 * nothing changed. Demo keys in a production catalogue are left out and logged. */
STATUS_MUSTCHECK
enum status catalog_reload(struct catalog *c, struct sql *sql);
/* Statement that every change of the catalogue runs in its own transaction. */
STATUS_MUSTCHECK
enum status catalog_touch(struct sql *sql);

/* A thread's view. */
struct catalog_reader {
    struct catalog *c;
    struct snapshot *snap;
};

void catalog_reader_init(struct catalog_reader *r, struct catalog *c);
void catalog_reader_fini(struct catalog_reader *r);
/* Newest snapshot; pointers from an earlier call become invalid. NULL before the first load. */
const struct snapshot *catalog_read(struct catalog_reader *r);

uint64_t snapshot_version(const struct snapshot *s);
const struct sale *snapshot_sale(const struct snapshot *s, struct str id);
const struct sale *snapshot_sale_by_no(const struct snapshot *s, uint32_t no);
unsigned snapshot_sales(const struct snapshot *s);
const struct sale *snapshot_sale_at(const struct snapshot *s, unsigned i); /* in order of number */
const struct sale_item *sale_item(const struct sale *sale, struct str sku);
/* Appends the numbers of the sale's items, "3,4,5": a list that SQL can range over without a join.
 */
void sale_item_numbers(const struct sale *sale, struct buf *out);
/* The sale and item of an item number; NULL when unknown. */
const struct sale *snapshot_item(const struct snapshot *s, uint32_t item_no,
                                 const struct sale_item **item);
const struct api_key *snapshot_api_key(const struct snapshot *s, const uint8_t hash[SHA256_LEN]);
/* token_find_fn with the snapshot as arg. */
const struct token_key *snapshot_signing_key(void *snapshot, struct str kid);
/* Text id of a storefront; empty when unknown. */
struct str snapshot_storefront(const struct snapshot *s, uint32_t no);
