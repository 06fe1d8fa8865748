/* page.h - `limit` and `starting_after` of lists. */
#pragma once

#include "api/api.h"

struct page {
    unsigned limit;         /* 1..100, default 20 */
    char after[ID_MAX + 1]; /* empty: from the first */
};

/* ST_OK, or the problem is answered. Other query parameters are refused. */
STATUS_MUSTCHECK
enum status page_read(struct api *api, struct exchange *x, struct page *page);
/* A whole number in the query between min and max; absent: *value is left alone. ST_OK, or
 * answered. */
STATUS_MUSTCHECK
enum status query_number(struct api *api, struct exchange *x, const char *key, int64_t min,
                         int64_t max, int64_t *value);
/* Refuses query parameters that are not in the NULL-terminated list. ST_OK, or answered. */
STATUS_MUSTCHECK
enum status query_known(struct api *api, struct exchange *x, const char *const *keys);
