/* str.h - a borrowed run of bytes: pointer and length, not NUL-terminated.
 *
 * Owns nothing; valid as long as whatever it points into. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *p; /* may be NULL only when n is 0 */
    size_t n;      /* bytes */
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

static inline struct str str_from(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
