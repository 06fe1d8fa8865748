/* sale_body.h - the bodies of storefront POSTs: read with jansson, checked field by field.
 *
 * The first fault is reported with the field to blame (`items[2].price`). Pure; any thread.
 */
#pragma once

#include "flow/sales.h"

#include <jansson.h>

struct body_error {
    char param[64];
    const char *why; /* static text */
};

/* Object of the body: strict JSON, no duplicate keys, no NUL. NULL with *e otherwise. An empty body
 * is an empty object when optional. */
json_t *body_parse(struct str body, bool optional, struct body_error *e);
/* Refuses members that are not in the NULL-terminated list. prefix ("items[0].") may be "". */
bool body_only(const json_t *o, const char *prefix, const char *const *names, struct body_error *e);
/* A string of min..max bytes without control characters; absent or null: *out empty, if not
 * required. */
bool body_text(const json_t *o, const char *prefix, const char *name, bool required, size_t min,
               size_t max, struct str *out, struct body_error *e);
/* An integer from min to max; absent or null: *out is left alone, if not required. */
bool body_int(const json_t *o, const char *prefix, const char *name, bool required, int64_t min,
              int64_t max, int64_t *out, struct body_error *e);

/* What points into root stays valid with it; sale->item is malloc'd, the caller frees it. */
bool body_sale(const json_t *root, struct new_sale *sale, struct body_error *e);
