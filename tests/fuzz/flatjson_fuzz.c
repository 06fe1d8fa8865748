/* flatjson_fuzz.c - our reader against jansson: both take the same objects and find the same in
 * them.
 *
 * Where unknown fields are refused the two must agree in both directions. Where they are skipped we
 * only ask that the reader stays inside its buffers, since jansson bounds nesting and numbers
 * otherwise.
 */
#include "base/flatjson.h"

#include <jansson.h>

#include <stdlib.h>

enum { NAME_LEN_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    char name[NAME_LEN_MAX + 1];
    size_t name_len;
    int64_t qty;
    bool has_qty;
};

static enum status read_ours(struct str text, enum flat_unknown unknown, struct seen *seen)
{
    struct flat_error error = {0};
    struct flat_field fields[] = {
        {"name", FLAT_STR, true, NAME_LEN_MAX, seen->name, &seen->name_len, NULL, false},
        {"qty", FLAT_INT, false, 0, NULL, NULL, &seen->qty, false},
    };
    enum status st = flatjson_read(text, unknown, fields, 2, &error);
    if (st != ST_OK && !error.why)
        abort();
    seen->has_qty = fields[1].seen;
    return st;
}

/* Whether jansson's tree is one that our reader should take. */
static bool is_ours(const json_t *root)
{
    const json_t *name = json_object_get(root, "name"), *qty = json_object_get(root, "qty");
    return json_is_object(root) && json_is_string(name) &&
           json_string_length(name) <= NAME_LEN_MAX && (!qty || json_is_integer(qty)) &&
           json_object_size(root) == (qty ? 2 : 1);
}

static void check_same(const struct seen *seen, const json_t *root)
{
    const json_t *name = json_object_get(root, "name"), *qty = json_object_get(root, "qty");
    if (!is_ours(root) || strcmp(json_string_value(name), seen->name) != 0 ||
        seen->has_qty != (qty != NULL) || (qty && json_integer_value(qty) != seen->qty))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct seen seen = {.name = ""}, skipped = {.name = ""};
    json_error_t ignored;
    json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &ignored);
    bool taken = read_ours(text, FLAT_REFUSE_UNKNOWN, &seen) == ST_OK;
    /* No JSON text holds a raw NUL, but jansson loses one that follows a number. */
    bool want = root && is_ours(root) && !(size && memchr(data, '\0', size));
    if (taken != want)
        abort();
    if (taken)
        check_same(&seen, root);
    json_decref(root);

    if (read_ours(text, FLAT_SKIP_UNKNOWN, &skipped) == ST_OK) {
        if (strlen(skipped.name) != skipped.name_len ||
            !utf8_valid((struct str){skipped.name, skipped.name_len}) || !utf8_valid(text))
            abort();
    } else if (taken) {
        abort();
    }
    return 0;
}
