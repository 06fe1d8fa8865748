#include "api/sale_body.h"

#include "base/clock.h"
#include "base/flatjson.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 800, NAME_MAX_CHARS = 200, DEPTH_MAX = 16 };
#define PRICE_MAX INT64_C(1000000000000)
#define STOCK_MAX INT64_C(1000000000)

static bool fail(struct body_error *e, const char *prefix, const char *name, const char *why)
{
    snprintf(e->param, sizeof(e->param), "%s%s", prefix, name);
    e->why = why;
    return false;
}

/* jansson's own limit on nesting is 2048; ours keeps its recursion shallow. */
static bool shallow(struct str body)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < body.n; i++) {
        char c = body.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > DEPTH_MAX)
                return false;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return true;
}

json_t *body_parse(struct str body, bool optional, struct body_error *e)
{
    *e = (struct body_error){.why = "The body is not one JSON object."};
    if (body.n == 0) {
        e->why = "A JSON body is needed.";
        return optional ? json_object() : NULL;
    }
    /* jansson would pass over a NUL behind a number. */
    if (memchr(body.p, '\0', body.n) || !shallow(body))
        return NULL;
    json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    if (root && !json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

bool body_only(const json_t *o, const char *prefix, const char *const *names, struct body_error *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        int i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return fail(e, prefix, key, "This field is not known.");
    }
    return true;
}

static const json_t *member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_null(v) ? NULL : v;
}

bool body_text(const json_t *o, const char *prefix, const char *name, bool required, size_t min,
               size_t max, struct str *out, struct body_error *e)
{
    const json_t *v = member(o, name);
    *out = (struct str){0};
    if (!v)
        return !required || fail(e, prefix, name, "This field is required.");
    if (!json_is_string(v))
        return fail(e, prefix, name, "This field is a string.");
    struct str s = {json_string_value(v), json_string_length(v)};
    if (s.n < min || s.n > max)
        return fail(e, prefix, name, "This text is too short or too long.");
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return fail(e, prefix, name, "Control characters are not allowed here.");
    *out = s;
    return true;
}

bool body_int(const json_t *o, const char *prefix, const char *name, bool required, int64_t min,
              int64_t max, int64_t *out, struct body_error *e)
{
    const json_t *v = member(o, name);
    if (!v)
        return !required || fail(e, prefix, name, "This field is required.");
    if (!json_is_integer(v))
        return fail(e, prefix, name, "This field is a whole number.");
    if (json_integer_value(v) < min || json_integer_value(v) > max)
        return fail(e, prefix, name, "This number is out of bounds.");
    *out = json_integer_value(v);
    return true;
}

static bool body_id(const json_t *o, const char *prefix, const char *name, bool required,
                    struct str *out, struct body_error *e)
{
    if (!body_text(o, prefix, name, required, 1, ID_MAX, out, e))
        return false;
    return out->n == 0 || id_valid(*out) ||
           fail(e, prefix, name, "An id is 1 to 64 characters of A-Za-z0-9._:-.");
}

static bool body_name(const json_t *o, const char *prefix, struct str *out, struct body_error *e)
{
    if (!body_text(o, prefix, "name", true, 1, NAME_MAX_BYTES, out, e))
        return false;
    size_t chars = 0;
    for (size_t i = 0; i < out->n; i++)
        chars += ((unsigned char)out->p[i] & 0xc0) != 0x80;
    return chars <= NAME_MAX_CHARS || fail(e, prefix, "name", "A name has at most 200 characters.");
}

static bool body_time(const json_t *o, const char *name, int64_t *out, struct body_error *e)
{
    struct str text;
    if (!body_text(o, "", name, true, 1, 64, &text, e))
        return false;
    return (clock_parse(text, out) && *out > 0) ||
           fail(e, "", name, "A time is RFC 3339, like 2026-11-11T00:00:00Z.");
}

static bool read_item(const json_t *v, unsigned at, struct new_item *item, struct body_error *e)
{
    static const char *const names[] = {"sku",   "name",  "price", "list_price",
                                        "stock", "limit", NULL};
    char prefix[24];
    int64_t limit = 0;
    snprintf(prefix, sizeof(prefix), "items[%u].", at);
    *item = (struct new_item){.list_price = -1};
    if (!json_is_object(v)) {
        snprintf(prefix, sizeof(prefix), "items[%u]", at);
        return fail(e, prefix, "", "An item is an object.");
    }
    if (!body_only(v, prefix, names, e) || !body_id(v, prefix, "sku", true, &item->sku, e) ||
        !body_name(v, prefix, &item->name, e) ||
        !body_int(v, prefix, "price", true, 1, PRICE_MAX, &item->price, e) ||
        !body_int(v, prefix, "list_price", false, 1, PRICE_MAX, &item->list_price, e) ||
        !body_int(v, prefix, "stock", true, 0, STOCK_MAX, &item->stock, e) ||
        !body_int(v, prefix, "limit", true, 1, 10000, &limit, e))
        return false;
    item->limit = (uint32_t)limit;
    return true;
}

static bool read_items(const json_t *root, struct new_sale *sale, struct body_error *e)
{
    const json_t *list = member(root, "items");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < 1 || n > SALE_ITEMS_MAX)
        return fail(e, "", "items", "A sale has 1 to 1000 items.");
    struct new_item *items = calloc(n, sizeof(*items));
    if (!items)
        return fail(e, "", "items", "There is no memory for these items now.");
    sale->item = items;
    sale->items = (unsigned)n;
    for (unsigned i = 0; i < n; i++) {
        if (!read_item(json_array_get(list, i), i, &items[i], e))
            return false;
        for (unsigned k = 0; k < i; k++) {
            if (!str_equal(items[k].sku, items[i].sku))
                continue;
            char prefix[24];
            snprintf(prefix, sizeof(prefix), "items[%u].", i);
            return fail(e, prefix, "sku", "Another item has this sku.");
        }
    }
    return true;
}

bool body_sale(const json_t *root, struct new_sale *sale, struct body_error *e)
{
    static const char *const names[] = {"id",        "name",    "kind",         "currency",
                                        "starts_at", "ends_at", "pay_within_s", "shards",
                                        "items",     NULL};
    struct str kind;
    int64_t pay_within = 0, shards = 1;
    if (!body_only(root, "", names, e) || !body_id(root, "", "id", false, &sale->id, e) ||
        !body_name(root, "", &sale->name, e) ||
        !body_text(root, "", "kind", true, 1, 16, &kind, e) ||
        !body_text(root, "", "currency", true, 3, 3, &sale->currency, e) ||
        !body_time(root, "starts_at", &sale->starts_ms, e) ||
        !body_time(root, "ends_at", &sale->ends_ms, e) ||
        !body_int(root, "", "pay_within_s", true, 1, 604800, &pay_within, e) ||
        !body_int(root, "", "shards", false, 1, SALE_SHARDS_MAX, &shards, e) ||
        !read_items(root, sale, e))
        return false;
    sale->pay_within_s = (uint32_t)pay_within;
    sale->shards = (unsigned)shards;
    if (!str_equal(kind, STR("flash")))
        return fail(e, "", "kind", "The kind of sale is `flash`.");
    for (int i = 0; i < 3; i++)
        if (sale->currency.p[i] < 'A' || sale->currency.p[i] > 'Z')
            return fail(e, "", "currency", "A currency is three capital letters (ISO 4217).");
    if (sale->ends_ms <= sale->starts_ms)
        return fail(e, "", "ends_at", "A sale ends after it starts.");
    return true;
}
