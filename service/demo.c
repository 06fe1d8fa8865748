#include "demo.h"

#include "base/clock.h"
#include "flow/accounts.h"
#include "flow/sales.h"

#include <stdio.h>

enum { HOUR_MS = 3600 * 1000 };
#define YEAR_MS (INT64_C(365) * 24 * HOUR_MS)

static enum status add_sale(struct session *s, uint32_t storefront)
{
    static const struct new_item items[] = {
        {.sku = {"phone", 5},
         .name = {"Phone, 256 GB", 13},
         .price = 399900,
         .list_price = 499900,
         .stock = 10000,
         .limit = 2},
        {.sku = {"earbuds", 7},
         .name = {"Earbuds", 7},
         .price = 9900,
         .list_price = 29900,
         .stock = 500,
         .limit = 1},
    };
    int64_t now = clock_wall_ms();
    const struct new_sale sale = {.id = STR("sale_demo"),
                                  .storefront = storefront,
                                  .name = STR("Double Eleven rehearsal"),
                                  .currency = STR("CNY"),
                                  .starts_ms = now - HOUR_MS,
                                  .ends_ms = now + YEAR_MS,
                                  .pay_within_s = 900,
                                  .shards = 1,
                                  .items = 2,
                                  .item = items};
    char id[ID_MAX + 1];
    enum status st = sale_create(s, &sale, id);
    return st == ST_SALE_EXISTS ? ST_OK : st;
}

static bool on_number(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return true;
}

enum status demo_load(struct session *s, const uint8_t master_key[SEAL_KEY_LEN], char *error,
                      size_t size)
{
    const struct new_storefront demo = {.id = STR("demo"),
                                        .key = STR("sk_demo"),
                                        .kid = STR("demo"),
                                        .signing = STR("demo-signing-secret"),
                                        .demo = true};
    int64_t no = 0;
    enum status st = accounts_add_storefront(s, master_key, &demo);
    if (st == ST_OK)
        st = accounts_add_operator(s, STR("op_demo"), true);
    if (st == ST_OK)
        st = sql_run(s->sql, "SELECT no FROM storefronts WHERE id = 'demo'", NULL, 0, on_number,
                     &no, NULL);
    if (st == ST_OK)
        st = add_sale(s, (uint32_t)no);
    if (st == ST_OK)
        st = sale_move(s, (uint32_t)no, STR("sale_demo"), SALE_PUBLISH);
    /* Somebody ended or paused it on purpose: it is his. */
    if (st == ST_SALE_ENDED || st == ST_INVALID_STATE)
        st = ST_OK;
    if (st != ST_OK)
        snprintf(error, size, "the demo data could not be loaded: %s (%s)", status_info(st)->title,
                 sql_error(s->sql));
    return st;
}
