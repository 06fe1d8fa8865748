/* row.h - an order as its worker means to write it: the bytes that Redis' intent log keeps.
 *
 *    0 version 1        1 kind 'O' order | 'T' stock taken back
 *    2 id (16)         18 key (16)          34 qty u32     38 limit u32    42 hash u32
 *      (of 'T': limit is 0, or 1 + the shard of the sale that draws the units)
 *   46 storefront u32  50 item u32          54 amount i64  62 flags (1: told 202)
 *   63 length of sku   64 sku '|' shopper
 *
 * Of an order that holds units, `held` keeps a shorter record:
 *
 *    0 id (16)         16 key (16)          32 generation    33 qty u32
 *
 * Big-endian. functions.lua reads the same offsets plus one. The log entry must be enough to write
 * the order without its owner (service/README.md, When things break). Pure functions; any thread.
 */
#pragma once

#include "base/ids.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { ROW_FIXED = 64, ROW_MAX = ROW_FIXED + 64 + 1 + 64, KEY_LEN = 16, HOLD_BYTES = 37 };
enum row_kind { ROW_ORDER = 'O', ROW_TAKE = 'T' };
enum { ROW_ASYNC = 1 };

struct row {
    enum row_kind kind;
    struct uid id;
    uint8_t key[KEY_LEN]; /* first half of SHA-256 of the idempotency key */
    uint32_t qty, limit;
    uint32_t hash; /* of the shopper id, see shopper_hash */
    uint32_t storefront, item;
    int64_t amount; /* minor units */
    uint8_t flags;
    struct str sku, shopper; /* valid ids; shopper empty for ROW_TAKE */
};

/* Writes the bytes; returns their number. */
size_t row_encode(const struct row *row, uint8_t out[ROW_MAX]);
/* ST_INVALID_REQUEST when the bytes are not a row; sku and shopper point into them. */
STATUS_MUSTCHECK
enum status row_decode(struct str bytes, struct row *row);
/* `sku|shopper` inside encoded bytes: the field of `held`. */
struct str row_field(const uint8_t *bytes, size_t n);

/* A record of `held`, of any order. hold_qty: its units. */
void hold_encode(const uint8_t id[UID_LEN], const uint8_t key[KEY_LEN], uint8_t gen, uint32_t qty,
                 uint8_t out[HOLD_BYTES]);
uint32_t hold_qty(const uint8_t record[HOLD_BYTES]);

/* Places a shopper: shard = hash % shards, bit of the filter = hash % bits. FNV-1a, fixed for good:
 * the shard of a published sale's shoppers follows from it. */
uint32_t shopper_hash(struct str shopper);
