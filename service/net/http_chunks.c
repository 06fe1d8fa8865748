#include "net/http_chars.h"

#include <assert.h>

enum { SIZE_DIGITS_MAX = 16, EXTENSION_MAX = 256, TRAILER_MAX = 1024 };

enum phase {
    PH_SIZE,
    PH_EXTENSION,
    PH_SIZE_LF,
    PH_DATA,
    PH_DATA_CR,
    PH_DATA_LF,
    PH_TRAILER,
    PH_DONE
};

/* struct http_chunks.state packs the phase, the digits of the size being read (5 bits, up to 16)
 * and the bytes of extensions seen in the whole body (up to 256). */
static enum phase phase_of(const struct http_chunks *c)
{
    return c->state & 0xff;
}

static void phase_set(struct http_chunks *c, enum phase phase)
{
    c->state = (c->state & ~0xffu) | phase;
}

static uint32_t digits_of(const struct http_chunks *c)
{
    return (c->state >> 8) & 0xff;
}

static const uint32_t one_digit = 1u << 8, one_extension_byte = 1u << 16, digits_mask = 0xff00;

static const char *read_size(struct http_chunks *c, char byte)
{
    int v = http_hex(byte);
    if (v >= 0) {
        if (digits_of(c) == SIZE_DIGITS_MAX)
            return "a chunk size is too long";
        c->left = c->left << 4 | (uint64_t)v;
        c->state += one_digit;
        return NULL;
    }
    if (digits_of(c) == 0 || (byte != ';' && byte != '\r'))
        return "a chunk size is malformed";
    c->state &= ~digits_mask;
    phase_set(c, byte == ';' ? PH_EXTENSION : PH_SIZE_LF);
    return NULL;
}

static const char *read_extension(struct http_chunks *c, char byte)
{
    if (byte == '\r') {
        phase_set(c, PH_SIZE_LF);
        return NULL;
    }
    if (((uint8_t)byte < 0x20 && byte != '\t') || byte == 0x7f)
        return "a chunk extension holds a control character";
    if (c->state >> 16 == EXTENSION_MAX)
        return "the chunk extensions are too long";
    c->state += one_extension_byte;
    return NULL;
}

static const char *expect(struct http_chunks *c, char byte, char wanted, enum phase next)
{
    if (byte != wanted)
        return "a chunk is not ended by CR LF";
    phase_set(c, next);
    return NULL;
}

/* One byte of the framing between chunks; NULL or what is wrong. */
static const char *read_framing(struct http_chunks *c, char byte)
{
    switch (phase_of(c)) {
    case PH_SIZE: return read_size(c, byte);
    case PH_EXTENSION: return read_extension(c, byte);
    case PH_SIZE_LF: return expect(c, byte, '\n', c->left > 0 ? PH_DATA : PH_TRAILER);
    case PH_DATA_CR: return expect(c, byte, '\r', PH_DATA_LF);
    default: return expect(c, byte, '\n', PH_SIZE);
    }
}

static void move_data(char *data, size_t n, struct http_chunks *c)
{
    size_t part = n - c->in < c->left ? n - c->in : (size_t)c->left;
    memmove(data + c->out, data + c->in, part);
    c->in += part;
    c->out += part;
    c->left -= part;
    if (c->left == 0)
        phase_set(c, PH_DATA_CR);
}

/* Takes whole trailer lines; an unfinished one stays undecoded, and TRAILER_MAX bounds it. */
static const char *read_trailer(const char *data, size_t n, struct http_chunks *c)
{
    while (c->in < n) {
        const char *line = data + c->in, *lf = memchr(line, '\n', n - c->in);
        size_t length = lf ? (size_t)(lf - line) + 1 : n - c->in;
        if (c->trailer + length > TRAILER_MAX)
            return "the trailer section is too large";
        if (!lf)
            return NULL;
        if (length < 2 || lf[-1] != '\r')
            return "a line is not ended by CR LF";
        if (length > 2) {
            struct str name, value;
            const char *at = line, *why = http_header_line(&at, lf + 1, &name, &value);
            if (why)
                return why;
            /* A header we act upon was judged when the head was; one that comes later would be a
             * second opinion about framing, caller or content. */
            if (http_header_find(name) != HH_COUNT)
                return "a header that we read stands in the trailer section";
        }
        c->in += length;
        c->trailer += (uint32_t)length;
        if (length == 2) {
            phase_set(c, PH_DONE);
            return NULL;
        }
    }
    return NULL;
}

enum http_progress http_parse_chunks(char *data, size_t n, uint64_t body_max, struct http_chunks *c,
                                     enum status *st, const char **why)
{
    assert(c->in <= n && c->out <= c->in);
    const char *wrong = NULL;
    while (!wrong && c->in < n && phase_of(c) < PH_TRAILER) {
        if (phase_of(c) == PH_DATA) {
            move_data(data, n, c);
            continue;
        }
        wrong = read_framing(c, data[c->in]);
        c->in += wrong == NULL;
        if (!wrong && c->left > body_max - c->out) {
            *st = ST_BODY_TOO_LARGE;
            *why = "the body is larger than this resource takes";
            return HTTP_BAD;
        }
    }
    if (!wrong && phase_of(c) == PH_TRAILER)
        wrong = read_trailer(data, n, c);
    if (wrong) {
        *st = ST_INVALID_REQUEST;
        *why = wrong;
        return HTTP_BAD;
    }
    return phase_of(c) == PH_DONE ? HTTP_DONE : HTTP_MORE;
}
