#include "batch.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

void batch_source_init(struct batch_source *src)
{
    *src = (struct batch_source){.ids = uid_source_create()};
    uid_random(src->ids, &src->tag, sizeof(src->tag));
}

struct batch *batch_new(struct worker *worker)
{
    struct batch *b = malloc(sizeof(*b)); /* rows are written before they are read */
    if (b) {
        b->next = NULL;
        b->worker = worker;
        b->n = 0;
    }
    return b;
}

void batch_add(struct batch *b, struct batch_source *src)
{
    unsigned i = b->n++;
    struct row *row = &b->rows[i];
    int n = snprintf(b->shoppers[i], sizeof(b->shoppers[i]), "%08x-%010u", src->tag, src->made++);
    struct str shopper = {b->shoppers[i], (size_t)n};
    *row = (struct row){.kind = ROW_ORDER,
                        .id = uid_make_order(src->ids, clock_wall_ms(), 0, 1, 0),
                        .qty = 1,
                        .limit = 1,
                        .hash = src->made,
                        .storefront = 1,
                        .item = 1,
                        .amount = 9900,
                        .sku = STR("unit"),
                        .shopper = shopper};
    uid_random(src->ids, row->key, sizeof(row->key));
    b->lengths[i] = row_encode(row, b->bytes[i]);
}
