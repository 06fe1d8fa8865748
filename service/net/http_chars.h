/* http_chars.h - the small alphabet work that heads, chunks and paths share. Private to net/.
 *
 * Pure functions over bytes; any thread.
 */
#pragma once

#include "base/str.h"
#include "net/http_parser.h"

#include <stdint.h>

enum {
    HC_TOKEN = 1,  /* tchar of RFC 9110 5.6.2: methods, header names */
    HC_TARGET = 2, /* may stand in a request target: RFC 3986 characters, and no '#' */
    HC_HOST = 4,   /* may stand in a host name */
};

extern const uint8_t http_char_class[256];

static inline bool http_is(char c, unsigned classes)
{
    return (http_char_class[(uint8_t)c] & classes) != 0;
}

/* Value of a hexadecimal digit, or -1. */
static inline int http_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static inline char http_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool http_equal_nocase_n(struct str a, struct str b);
bool http_equal_nocase(struct str a, const char *b);

/* Which header of the table name is; HH_COUNT for one we do not read. name holds token characters.
 */
enum http_header http_header_find(struct str name);

/* Reads "name: value CRLF" at *p, in text that ends in CRLF at end, and moves *p past it. NULL, or
 * what is wrong with it (static text). */
const char *http_header_line(const char **p, const char *end, struct str *name, struct str *value);
