/* Looking things up in a snapshot. */
#include "flow/catalog_priv.h"
#include "redis/row.h"

#include <stdlib.h>

uint64_t snapshot_version(const struct snapshot *s)
{
    return s->version;
}

const struct sale *snapshot_sale(const struct snapshot *s, struct str id)
{
    for (unsigned at = shopper_hash(id) & s->by_id_mask; s->by_id[at];
         at = (at + 1) & s->by_id_mask) {
        if (str_equal(s->by_id[at]->id, id))
            return s->by_id[at];
    }
    return NULL;
}

static int sale_by_no(const void *key, const void *element)
{
    uint32_t no = *(const uint32_t *)key, other = ((const struct sale *)element)->no;
    return no < other ? -1 : no > other;
}

const struct sale *snapshot_sale_by_no(const struct snapshot *s, uint32_t no)
{
    return s->sales ? bsearch(&no, s->sale, s->sales, sizeof(*s->sale), sale_by_no) : NULL;
}

unsigned snapshot_sales(const struct snapshot *s)
{
    return s->sales;
}

const struct sale *snapshot_sale_at(const struct snapshot *s, unsigned i)
{
    return &s->sale[i];
}

const struct sale_item *sale_item(const struct sale *sale, struct str sku)
{
    for (unsigned at = shopper_hash(sku) & sale->by_sku_mask; sale->by_sku[at];
         at = (at + 1) & sale->by_sku_mask) {
        if (str_equal(sale->by_sku[at]->sku, sku))
            return sale->by_sku[at];
    }
    return NULL;
}

void sale_item_numbers(const struct sale *sale, struct buf *out)
{
    for (unsigned i = 0; i < sale->items; i++) {
        if (i > 0)
            buf_char(out, ',');
        buf_int(out, sale->item[i].no);
    }
}

static int item_by_no(const void *key, const void *element)
{
    uint32_t no = *(const uint32_t *)key, other = ((const struct item_place *)element)->no;
    return no < other ? -1 : no > other;
}

const struct sale *snapshot_item(const struct snapshot *s, uint32_t item_no,
                                 const struct sale_item **item)
{
    if (s->items == 0)
        return NULL;
    const struct item_place *place =
        bsearch(&item_no, s->item, s->items, sizeof(*s->item), item_by_no);
    if (!place)
        return NULL;
    *item = &s->sale[place->sale].item[place->item];
    return &s->sale[place->sale];
}

static int key_by_hash(const void *key, const void *element)
{
    return memcmp(key, ((const struct api_key *)element)->hash, SHA256_LEN);
}

const struct api_key *snapshot_api_key(const struct snapshot *s, const uint8_t hash[SHA256_LEN])
{
    return s->keys ? bsearch(hash, s->key, s->keys, sizeof(*s->key), key_by_hash) : NULL;
}

const struct token_key *snapshot_signing_key(void *snapshot, struct str kid)
{
    const struct snapshot *s = snapshot;
    for (unsigned i = 0; i < s->signers; i++) {
        if (str_equal(str_from(s->signer[i].kid), kid))
            return &s->signer[i];
    }
    return NULL;
}

struct str snapshot_storefront(const struct snapshot *s, uint32_t no)
{
    for (unsigned i = 0; i < s->storefronts; i++) {
        if (s->storefront[i].no == no)
            return s->storefront[i].id;
    }
    return (struct str){0};
}
