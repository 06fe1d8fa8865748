#include "base/flatjson.h"

#include <assert.h>

enum { FIELDS_MAX = 16, KEY_MAX = 64, DEPTH_MAX = 8 };

static const char not_json[] = "This is not valid JSON.";
static const char not_utf8[] = "The text is not valid UTF-8.";

/* Everything below returns false after fail(), and leaves p where it stopped. */
struct reader {
    const uint8_t *p;
    const uint8_t *end;
    struct flat_error *error;
};

/* Where a string's text goes. len counts all of it, also what did not fit. */
struct sink {
    char *out;  /* holds max + 1 bytes; NULL: the string is only checked */
    size_t max; /* bytes */
    size_t len; /* bytes */
    bool nul;   /* U+0000 came by */
};

static bool fail(struct reader *r, const char *param, const char *why)
{
    *r->error = (struct flat_error){param, why};
    return false;
}

/* Next byte, or -1 at the end. */
static inline int peek(const struct reader *r)
{
    return r->p < r->end ? *r->p : -1;
}

/* Next byte that is no white space. */
static inline int peek_token(struct reader *r)
{
    int c = peek(r);
    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        r->p++;
        c = peek(r);
    }
    return c;
}

/* A well-formed sequence by its first byte, with the bounds of its second (Unicode, table 3-7). */
struct utf8_row {
    uint8_t first, last; /* range of the first byte */
    uint8_t len;
    uint8_t low, high; /* range of the second byte; later ones are 80..BF */
};

static const struct utf8_row utf8_rows[] = {
    {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xf1, 0xf3, 4, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

/* Length of the multi-byte sequence at p, 0 when there is none. */
static size_t utf8_sequence(const uint8_t *p, const uint8_t *end)
{
    const struct utf8_row *row = utf8_rows, *stop = row + sizeof(utf8_rows) / sizeof(*row);
    while (row < stop && (*p < row->first || *p > row->last))
        row++;
    if (row == stop || end - p < row->len || p[1] < row->low || p[1] > row->high)
        return 0;
    for (unsigned i = 2; i < row->len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return row->len;
}

bool utf8_valid(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t left = s.n; left > 0;) {
        size_t n = *p < 0x80 ? 1 : utf8_sequence(p, p + left);
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}

/* Appends while there is room; once it overflowed, len stays past max. */
static inline void put(struct sink *s, const void *p, size_t n)
{
    if (s->out && s->len + n <= s->max)
        memcpy(s->out + s->len, p, n);
    s->len += n;
}

static void put_code_point(struct sink *s, uint32_t c)
{
    uint8_t b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        b[i] = (uint8_t)(0x80 | (c & 0x3f));
    b[0] = (uint8_t)(lead[n] | c);
    put(s, b, n);
}

/* Four hex digits of \uXXXX, or -1. */
static int32_t read_hex4(struct reader *r)
{
    int32_t v = 0;
    if (r->end - r->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t c = *r->p++, letter = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (letter >= 'a' && letter <= 'f')
            v = v << 4 | (letter - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* After \u. Surrogates count only as a pair: half of one has no UTF-8 form. */
static bool read_unicode_escape(struct reader *r, struct sink *s)
{
    int32_t c = read_hex4(r);
    if (c < 0)
        return fail(r, NULL, not_json);
    if (c >= 0xd800 && c <= 0xdfff) {
        bool paired = c < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u';
        r->p += paired ? 2 : 0;
        int32_t low = paired ? read_hex4(r) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(r, NULL, not_utf8);
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    s->nul |= c == 0;
    put_code_point(s, (uint32_t)c);
    return true;
}

/* At a backslash. */
static bool read_escape(struct reader *r, struct sink *s)
{
    static const char escapes[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                      ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    r->p++;
    int c = peek(r);
    if (c < 0)
        return fail(r, NULL, not_json);
    r->p++;
    if (c == 'u')
        return read_unicode_escape(r, s);
    if (!escapes[c])
        return fail(r, NULL, not_json);
    put(s, &escapes[c], 1);
    return true;
}

/* ASCII that stands for itself inside a string. */
static const bool is_plain[256] = {
    [0x20 ... 0x21] = true, [0x23 ... 0x5b] = true, [0x5d ... 0x7f] = true};

/* At the opening quote; stops behind the closing one. */
static bool read_string(struct reader *r, struct sink *s)
{
    for (r->p++; r->p < r->end;) {
        const uint8_t *run = r->p;
        while (r->p < r->end && is_plain[*r->p])
            r->p++;
        put(s, run, (size_t)(r->p - run));

        int c = peek(r);
        if (c == '"') {
            r->p++;
            return true;
        }
        if (c == '\\') {
            if (!read_escape(r, s))
                return false;
        } else if (c >= 0x80) {
            size_t n = utf8_sequence(r->p, r->end);
            if (n == 0)
                return fail(r, NULL, not_utf8);
            put(s, r->p, n);
            r->p += n;
        } else {
            break; /* a control character, or the end */
        }
    }
    return fail(r, NULL, not_json);
}

/* Skips digits; false when there is none. */
static bool skip_digits(struct reader *r)
{
    const uint8_t *start = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
        r->p++;
    return r->p > start;
}

/* Any JSON number; *whole says that it has neither fraction nor exponent. */
static bool skip_number(struct reader *r, bool *whole)
{
    *whole = true;
    if (peek(r) == '-')
        r->p++;
    if (peek(r) == '0')
        r->p++; /* a digit behind it is no part of the number, so that the caller trips over it */
    else if (!skip_digits(r))
        return fail(r, NULL, not_json);
    if (peek(r) == '.') {
        *whole = false;
        r->p++;
        if (!skip_digits(r))
            return fail(r, NULL, not_json);
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        *whole = false;
        r->p++;
        if (peek(r) == '+' || peek(r) == '-')
            r->p++;
        if (!skip_digits(r))
            return fail(r, NULL, not_json);
    }
    return true;
}

static bool read_int(struct reader *r, struct flat_field *f)
{
    const uint8_t *p = r->p;
    bool negative = *p == '-', whole;
    if (!negative && (*p < '0' || *p > '9'))
        return fail(r, f->name, "This field must be an integer.");
    if (!skip_number(r, &whole))
        return false;
    if (!whole)
        return fail(r, f->name, "This field must be an integer.");
    int64_t v = 0;
    for (p += negative; p < r->p; p++) {
        int digit = *p - '0';
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, negative ? -digit : digit, &v))
            return fail(r, f->name, "This field is out of range.");
    }
    *f->num = v;
    return true;
}

static bool read_str(struct reader *r, struct flat_field *f)
{
    struct sink s = {f->str, f->max, 0, false};
    if (*r->p != '"')
        return fail(r, f->name, "This field must be a string.");
    if (!read_string(r, &s))
        return false;
    if (s.nul)
        return fail(r, f->name, "This field must not hold U+0000.");
    if (s.len > s.max)
        return fail(r, f->name, "This field is too long.");
    f->str[s.len] = '\0';
    if (f->len)
        *f->len = s.len;
    return true;
}

static bool skip_literal(struct reader *r, struct str word)
{
    if ((size_t)(r->end - r->p) < word.n || memcmp(r->p, word.p, word.n) != 0)
        return fail(r, NULL, not_json);
    r->p += word.n;
    return true;
}

static bool skip_container(struct reader *r, unsigned depth);

/* Any JSON value inside `depth` containers that are skipped as well. */
static bool skip_value(struct reader *r, unsigned depth)
{
    struct sink nowhere = {0};
    bool whole;
    switch (peek_token(r)) {
    case '"': return read_string(r, &nowhere);
    case '{':
    case '[': return skip_container(r, depth + 1);
    case 't': return skip_literal(r, STR("true"));
    case 'f': return skip_literal(r, STR("false"));
    case 'n': return skip_literal(r, STR("null"));
    default: return skip_number(r, &whole);
    }
}

/* The key's string, then its colon. */
static bool read_key(struct reader *r, struct sink *s)
{
    if (peek_token(r) != '"')
        return fail(r, NULL, not_json);
    if (!read_string(r, s))
        return false;
    if (peek_token(r) != ':')
        return fail(r, NULL, not_json);
    r->p++;
    return true;
}

/* Behind a value: a comma leads to another one (*more), `close` ends the container. */
static bool read_separator(struct reader *r, char close, bool *more)
{
    int c = peek_token(r);
    if (c != ',' && c != close)
        return fail(r, NULL, not_json);
    *more = c == ',';
    r->p++;
    return true;
}

/* Object or array, at its opening bracket. Calls itself at most DEPTH_MAX deep. */
static bool skip_container(struct reader *r, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return fail(r, NULL, "The JSON is nested too deep.");
    bool object = *r->p++ == '{', more = true;
    char close = object ? '}' : ']';
    if (peek_token(r) == close) {
        r->p++;
        return true;
    }
    while (more) {
        struct sink nowhere = {0};
        if (object && !read_key(r, &nowhere))
            return false;
        if (!skip_value(r, depth) || !read_separator(r, close, &more))
            return false;
    }
    return true;
}

static struct flat_field *find_field(struct flat_field *fields, unsigned n, const char *key)
{
    for (unsigned i = 0; i < n; i++)
        if (fields[i].name[0] == key[0] && strcmp(fields[i].name, key) == 0)
            return &fields[i];
    return NULL;
}

/* One member of the outer object. */
static bool read_member(struct reader *r, enum flat_unknown unknown, struct flat_field *fields,
                        unsigned n)
{
    char key[KEY_MAX + 1] __attribute__((uninitialized));
    struct sink s = {key, KEY_MAX, 0, false};
    if (!read_key(r, &s))
        return false;
    struct flat_field *f = NULL;
    if (s.len <= KEY_MAX && !s.nul) {
        key[s.len] = '\0';
        f = find_field(fields, n, key);
    }
    if (!f)
        return unknown == FLAT_SKIP_UNKNOWN ? skip_value(r, 0)
                                            : fail(r, NULL, "There is an unknown field.");
    if (f->seen)
        return fail(r, f->name, "This field is given twice.");
    f->seen = true;
    if (peek_token(r) < 0)
        return fail(r, NULL, not_json);
    return f->type == FLAT_INT ? read_int(r, f) : read_str(r, f);
}

/* The outer object and what surrounds it. */
static bool read_object(struct reader *r, enum flat_unknown unknown, struct flat_field *fields,
                        unsigned n)
{
    if (peek_token(r) != '{')
        return fail(r, NULL, "This is not a JSON object.");
    r->p++;
    bool more = peek_token(r) != '}';
    if (!more)
        r->p++;
    while (more)
        if (!read_member(r, unknown, fields, n) || !read_separator(r, '}', &more))
            return false;
    if (peek_token(r) >= 0)
        return fail(r, NULL, "There is text behind the JSON object.");
    for (unsigned i = 0; i < n; i++)
        if (fields[i].required && !fields[i].seen)
            return fail(r, fields[i].name, "This field is required.");
    return true;
}

enum status flatjson_read(struct str text, enum flat_unknown unknown, struct flat_field *fields,
                          unsigned n, struct flat_error *error)
{
    assert(n <= FIELDS_MAX);
    for (unsigned i = 0; i < n; i++)
        fields[i].seen = false;
    /* An empty text may have no address, and nothing may be added to none. */
    const uint8_t *p = (const uint8_t *)(text.n ? text.p : "");
    struct reader r = {p, p + text.n, error};
    return read_object(&r, unknown, fields, n) ? ST_OK : ST_INVALID_REQUEST;
}
