/* Bodies of storefront POSTs: whatever the bytes, an answer or a named fault, never both. */
#include "api/sale_body.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body_error e;
    struct new_sale sale = {0};
    json_t *root = body_parse((struct str){(const char *)data, size}, false, &e);
    if (root && body_sale(root, &sale, &e)) {
        assert(sale.items >= 1 && sale.items <= SALE_ITEMS_MAX && sale.starts_ms < sale.ends_ms);
        for (unsigned i = 0; i < sale.items; i++)
            assert(id_valid(sale.item[i].sku) && sale.item[i].price > 0);
    } else {
        assert(e.why != NULL);
    }
    free((void *)sale.item);
    json_decref(root);
    return 0;
}
