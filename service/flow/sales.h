/* sales.h - a storefront's sales: made, published, paused, resumed, ended.
 */
#pragma once

#include "flow/jobs.h"
#include "flow/orders.h"

enum { SALE_ITEMS_MAX = 1000, SALE_SHARDS_MAX = 64 };

struct new_item {
    struct str sku, name;
    int64_t price, list_price, stock; /* list_price -1: none */
    uint32_t limit;
};

struct new_sale {
    struct str id; /* empty: made from `uid` */
    struct uid uid;
    bool resumed; /* an earlier try with this uid may have made it */
    uint32_t storefront;
    struct str name, currency;
    int64_t starts_ms, ends_ms;
    uint32_t pay_within_s;
    unsigned shards, items;
    const struct new_item *item;
};

/* Validated by the caller (api/sale_body.c). id (65 bytes) gets the sale's id. ST_SALE_EXISTS. The
 * catalogue shows it on return. */
STATUS_MUSTCHECK
enum status sale_create(struct session *s, const struct new_sale *sale, char id[65]);

/* Moves a sale of the storefront (0: any) by an event; ST_OK also when it is there already.
 * Publishing opens its gates before it returns, unless a store is away (then they open when it is
 * back). */
STATUS_MUSTCHECK
enum status sale_move(struct session *s, uint32_t storefront, struct str id, enum sale_event event);
