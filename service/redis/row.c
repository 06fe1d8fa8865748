#include "redis/row.h"

#include <string.h>

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

size_t row_encode(const struct row *row, uint8_t out[ROW_MAX])
{
    out[0] = 1;
    out[1] = (uint8_t)row->kind;
    memcpy(out + 2, row->id.b, UID_LEN);
    memcpy(out + 18, row->key, KEY_LEN);
    put32(out + 34, row->qty);
    put32(out + 38, row->limit);
    put32(out + 42, row->hash);
    put32(out + 46, row->storefront);
    put32(out + 50, row->item);
    put32(out + 54, (uint32_t)((uint64_t)row->amount >> 32));
    put32(out + 58, (uint32_t)row->amount);
    out[62] = row->flags;
    out[63] = (uint8_t)row->sku.n;
    size_t n = ROW_FIXED;
    memcpy(out + n, row->sku.p, row->sku.n);
    n += row->sku.n;
    out[n++] = '|';
    if (row->shopper.n > 0)
        memcpy(out + n, row->shopper.p, row->shopper.n);
    return n + row->shopper.n;
}

enum status row_decode(struct str bytes, struct row *row)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    if (bytes.n < ROW_FIXED + 2 || bytes.n > ROW_MAX || p[0] != 1)
        return ST_INVALID_REQUEST;
    size_t sku = p[63];
    if ((p[1] != ROW_ORDER && p[1] != ROW_TAKE) || bytes.n < ROW_FIXED + sku + 1 ||
        p[ROW_FIXED + sku] != '|')
        return ST_INVALID_REQUEST;
    struct row r = {
        .kind = (enum row_kind)p[1],
        .qty = get32(p + 34),
        .limit = get32(p + 38),
        .hash = get32(p + 42),
        .storefront = get32(p + 46),
        .item = get32(p + 50),
        .amount = (int64_t)((uint64_t)get32(p + 54) << 32 | get32(p + 58)),
        .flags = p[62],
        .sku = {bytes.p + ROW_FIXED, sku},
        .shopper = {bytes.p + ROW_FIXED + sku + 1, bytes.n - ROW_FIXED - sku - 1},
    };
    memcpy(r.id.b, p + 2, UID_LEN);
    memcpy(r.key, p + 18, KEY_LEN);
    bool amount_fits = r.kind == ROW_TAKE || r.amount > 0;
    bool shopper_fits = r.kind == ROW_TAKE ? r.shopper.n == 0 : id_valid(r.shopper);
    if (!id_valid(r.sku) || !shopper_fits || !amount_fits || r.qty == 0)
        return ST_INVALID_REQUEST;
    *row = r;
    return ST_OK;
}

struct str row_field(const uint8_t *bytes, size_t n)
{
    return (struct str){(const char *)bytes + ROW_FIXED, n - ROW_FIXED};
}

void hold_encode(const uint8_t id[UID_LEN], const uint8_t key[KEY_LEN], uint8_t gen, uint32_t qty,
                 uint8_t out[HOLD_BYTES])
{
    memcpy(out, id, UID_LEN);
    memcpy(out + 16, key, KEY_LEN);
    out[32] = gen;
    put32(out + 33, qty);
}

uint32_t hold_qty(const uint8_t record[HOLD_BYTES])
{
    return get32(record + 33);
}

uint32_t shopper_hash(struct str shopper)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < shopper.n; i++)
        h = (h ^ (uint8_t)shopper.p[i]) * 16777619u;
    /* FNV's low bits are weak for short keys; fold the high ones in. */
    return h ^ (h >> 15);
}
