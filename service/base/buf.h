/* buf.h - a growable run of bytes with a ceiling, and the few ways we fill it.
 *
 * Answers, statements and log lines are built in one. An append past `max` or without memory leaves
 * the content as it was before that append and sets `overflow`, which sticks until buf_reset, so a
 * builder checks once at its end. One owner at a time; no locks. Our own, because libevent's
 * evbuffer costs an allocation and a chain per answer on the hot path.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

struct buf {
    char *data;    /* NULL until the first append */
    size_t len;    /* bytes in use */
    size_t cap;    /* bytes allocated */
    size_t max;    /* ceiling for len, bytes */
    bool overflow; /* an append did not fit */
};

/* Empty buffer with a ceiling of max bytes; allocates nothing yet. */
void buf_init(struct buf *b, size_t max);
/* Frees the memory; b may be initialised again. */
void buf_fini(struct buf *b);
/* Forgets content and overflow, keeps memory. */
void buf_reset(struct buf *b);
/* Makes room for n more bytes and returns where to write them (the caller then adds to len), or
 * NULL. */
char *buf_reserve(struct buf *b, size_t n);

void buf_append(struct buf *b, const void *p, size_t n);
void buf_add(struct buf *b, struct str s);
void buf_char(struct buf *b, char c);
void buf_int(struct buf *b, int64_t v); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Quoted JSON string; control characters, quote and backslash escaped. Bytes >= 0x80 pass as they
 * are (callers hold valid UTF-8 only). */
void buf_json(struct buf *b, struct str s);
/* Quoted RFC 3339 UTC time with milliseconds, or null for ms == 0. */
void buf_json_time(struct buf *b, int64_t ms);

#define BUF_LIT(b, literal) buf_append((b), (literal), sizeof(literal) - 1)
