/* flatjson.h - one-pass strict reader for small flat JSON objects, straight into fields.
 *
 * For the hot bodies (POST /v1/orders, token header and claims) where a tree per request would be
 * visible in the profile; everything else uses jansson. Strict RFC 8259: valid UTF-8 only, no
 * duplicate keys, no trailing bytes, no raw control characters, integers only where integers are
 * asked for (1.0 and 1e2 are refused, as are values past int64). Never allocates, never recurses
 * past depth_max.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum flat_type { FLAT_STR, FLAT_INT };

struct flat_field {
    const char *name; /* at most 64 bytes */
    enum flat_type type;
    bool required;
    size_t max;   /* FLAT_STR: most bytes after unescaping; out buffer holds max + 1 */
    char *str;    /* FLAT_STR: receives the text, NUL-terminated (a U+0000 inside is refused) */
    size_t *len;  /* FLAT_STR: receives its length; may be NULL */
    int64_t *num; /* FLAT_INT */
    bool seen;    /* set by the reader */
};

struct flat_error {
    const char *param; /* field to blame, one of the given names; NULL when none */
    const char *why;   /* static text for the problem's detail */
};

enum flat_unknown { FLAT_REFUSE_UNKNOWN, FLAT_SKIP_UNKNOWN };

/* Reads text into fields[0..n), n <= 16. Unknown keys are refused, or skipped with whatever JSON
 * value they have (nested at most 8 deep, duplicates among unknown keys not noticed).
 * ST_INVALID_REQUEST: error says why; outputs are then unspecified. */
STATUS_MUSTCHECK
enum status flatjson_read(struct str text, enum flat_unknown unknown, struct flat_field *fields,
                          unsigned n, struct flat_error *error);
/* Valid UTF-8 without overlong forms, surrogates or code points past U+10FFFF. */
bool utf8_valid(struct str s);
