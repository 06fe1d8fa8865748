#include "base/buf.h"

#include "base/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CAP_FIRST = 512,  /* one small answer */
    INT_TEXT_MAX = 20 /* "-9223372036854775808" */
};

void buf_init(struct buf *b, size_t max)
{
    /* vsnprintf takes one byte past cap, so max + 1 must not wrap. */
    assert(max < SIZE_MAX / 2);
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
}

/* Makes cap at least len + n. Memory always holds one byte more than cap: vsnprintf's NUL. */
static bool grow(struct buf *b, size_t n)
{
    if (n > b->max - b->len)
        return false;
    size_t need = b->len + n;
    size_t cap = b->cap ? b->cap : CAP_FIRST;
    while (cap < need)
        cap *= 2;
    if (cap > b->max)
        cap = b->max;
    char *data = realloc(b->data, cap + 1);
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

char *buf_reserve(struct buf *b, size_t n)
{
    /* Once something is missing, nothing may follow it: what is inside stays a prefix. */
    if (__builtin_expect(b->overflow, 0))
        return NULL;
    if (__builtin_expect(n > b->cap - b->len || !b->data, 0) && !grow(b, n)) {
        b->overflow = true;
        return NULL;
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    char *to = buf_reserve(b, n);
    if (!to)
        return;
    memcpy(to, p, n);
    b->len += n;
}

void buf_add(struct buf *b, struct str s)
{
    buf_append(b, s.p, s.n);
}

void buf_char(struct buf *b, char c)
{
    char *to = buf_reserve(b, 1);
    if (!to)
        return;
    *to = c;
    b->len++;
}

void buf_int(struct buf *b, int64_t v)
{
    char text[INT_TEXT_MAX];
    char *at = text + sizeof(text);
    /* Negated as unsigned, because -INT64_MIN does not fit. */
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (v < 0)
        *--at = '-';
    buf_append(b, at, (size_t)(text + sizeof(text) - at));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    if (!buf_reserve(b, 0))
        return;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(b->data + b->len, b->cap - b->len + 1, fmt, args);
    va_end(args);
    assert(n >= 0);
    if ((size_t)n > b->cap - b->len) {
        if (!buf_reserve(b, (size_t)n))
            return;
        va_start(args, fmt);
        n = vsnprintf(b->data + b->len, b->cap - b->len + 1, fmt, args);
        va_end(args);
    }
    b->len += (size_t)n;
}

/* What stands after the backslash; 'u' is \u00XX; 0 passes as it is. */
static const char escapes[256] = {
    [0 ... 7] = 'u', ['\b'] = 'b', ['\t'] = 't',        ['\n'] = 'n', [11] = 'u',
    ['\f'] = 'f',    ['\r'] = 'r', [14 ... 0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

static size_t json_extra(struct str s)
{
    size_t extra = 0;
    for (size_t i = 0; i < s.n; i++) {
        char e = escapes[(unsigned char)s.p[i]];
        if (__builtin_expect(e != 0, 0))
            extra += e == 'u' ? 5 : 1;
    }
    return extra;
}

static char *json_escape(char *to, struct str s)
{
    static const char hex[16] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (!escapes[c]) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '\\';
        *to++ = escapes[c];
        if (escapes[c] == 'u') {
            *to++ = '0';
            *to++ = '0';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    return to;
}

void buf_json(struct buf *b, struct str s)
{
    size_t extra = json_extra(s);
    char *to = buf_reserve(b, s.n + extra + 2);
    if (!to)
        return;
    *to++ = '"';
    if (extra)
        to = json_escape(to, s);
    else if (s.n)
        to = (char *)memcpy(to, s.p, s.n) + s.n;
    *to++ = '"';
    b->len = (size_t)(to - b->data);
}

void buf_json_time(struct buf *b, int64_t ms)
{
    if (ms == 0) {
        BUF_LIT(b, "null");
        return;
    }
    char *to = buf_reserve(b, CLOCK_TEXT_LEN + 2);
    if (!to)
        return;
    to[0] = '"';
    clock_format(ms, to + 1);
    to[CLOCK_TEXT_LEN + 1] = '"';
    b->len += CLOCK_TEXT_LEN + 2;
}
