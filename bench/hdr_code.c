#include "hdr_code.h"

#include <zlib.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    COOKIE = 0x1c849313,            /* V2, counters of varying length */
    COOKIE_COMPRESSED = 0x1c849314, /* the same, deflated */
    HEADER = 40,                    /* bytes before the counters */
    OUTER_HEADER = 8,               /* bytes before what is deflated */
    LEB_MAX = 9,                    /* bytes of one counter */
    DIGITS = 3,
    DIGITS_MAX = 5,
    PLAIN_MAX = 16 * 1024 * 1024, /* bytes of any histogram that is worth reading */
};

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
    }
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

/* Nine bytes at most: the last one has eight bits. */
static uint8_t *put_leb(uint8_t *at, int64_t signed_v)
{
    uint64_t v = ((uint64_t)signed_v << 1) ^ (signed_v < 0 ? UINT64_MAX : 0);
    for (unsigned i = 0; i < LEB_MAX - 1 && v >= 0x80; i++) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

static bool get_leb(const uint8_t **at, const uint8_t *end, int64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < LEB_MAX; i++) {
        if (*at == end) {
            return false;
        }
        uint8_t byte = *(*at)++;
        bool last = i == LEB_MAX - 1;
        v |= (uint64_t)(last ? byte : byte & 0x7f) << 7 * i;
        if (last || !(byte & 0x80)) {
            break;
        }
    }
    *out = (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

static size_t write_counters(const struct hist *h, uint8_t *out)
{
    uint8_t *at = out;
    unsigned used = HIST_SLOTS;
    while (used > 0 && h->counts[used - 1] == 0) {
        used--;
    }
    for (unsigned slot = 0; slot < used;) {
        unsigned zeros = 0;
        while (h->counts[slot + zeros] == 0) {
            zeros++;
        }
        at = put_leb(at, zeros > 0 ? -(int64_t)zeros : (int64_t)h->counts[slot]);
        slot += zeros > 0 ? zeros : 1;
    }
    return (size_t)(at - out);
}

static size_t write_plain(const struct hist *h, uint8_t *out)
{
    static const uint8_t ratio_one[] = {0x3f, 0xf0, 0, 0, 0, 0, 0, 0};
    size_t n = write_counters(h, out + HEADER);
    put(out, COOKIE, 4);
    put(out + 4, n, 4);
    put(out + 8, 0, 4); /* normalizing index offset */
    put(out + 12, DIGITS, 4);
    put(out + 16, 1, 8); /* lowest discernible value */
    put(out + 24, (uint64_t)HIST_MAX_US, 8);
    memcpy(out + 32, ratio_one, sizeof(ratio_one));
    return HEADER + n;
}

enum status hdr_encode(const struct hist *h, uint8_t **out, size_t *n)
{
    uint8_t *plain = malloc(HEADER + (size_t)LEB_MAX * HIST_SLOTS);
    size_t len = plain ? write_plain(h, plain) : 0;
    uLongf packed = compressBound((uLong)len);
    uint8_t *bytes = malloc(OUTER_HEADER + packed);
    bool good =
        plain && bytes && compress(bytes + OUTER_HEADER, &packed, plain, (uLong)len) == Z_OK;
    free(plain);
    if (!good) {
        free(bytes);
        return ST_INTERNAL;
    }
    put(bytes, COOKIE_COMPRESSED, 4);
    put(bytes + 4, packed, 4);
    *out = bytes;
    *n = OUTER_HEADER + packed;
    return ST_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* How counters lie, from digits and the lowest value. */
struct layout {
    unsigned unit_bits; /* values share a counter below 2^unit_bits */
    unsigned half_bits; /* a doubling has 2^half_bits counters */
};

/* The largest of the values that share a counter; false when no clock shows it. */
static bool value_of(const struct layout *l, uint64_t index, int64_t *us)
{
    const uint64_t half = UINT64_C(1) << l->half_bits;
    uint64_t bucket = index < 2 * half ? 0 : index / half - 1;
    uint64_t sub = index - bucket * half;
    uint64_t shift = bucket + l->unit_bits;
    if (shift > 40) {
        return false;
    }
    *us = (int64_t)(((sub + 1) << shift) - 1);
    return true;
}

static const char *read_layout(const uint8_t *plain, struct layout *l)
{
    uint64_t digits = get(plain + 12, 4);
    uint64_t lowest = get(plain + 16, 8);
    uint64_t largest_single = 2;
    /* The offset of counters is for histograms of fractions; HdrHistogramJS writes 1 and means 0. */
    bool shifted = get(plain + 8, 4) > 1;
    if (digits > DIGITS_MAX || lowest == 0 || lowest > UINT32_MAX || shifted) {
        return "the histogram has settings that are not read here";
    }
    for (uint64_t i = 0; i < digits; i++) {
        largest_single *= 10;
    }
    while (lowest >> (l->unit_bits + 1)) {
        l->unit_bits++;
    }
    while ((UINT64_C(2) << l->half_bits) < largest_single) {
        l->half_bits++;
    }
    return NULL;
}

static const char *read_plain(const uint8_t *plain, size_t n, struct hist *h)
{
    struct layout l = {0};
    if (n < HEADER || get(plain, 4) != COOKIE || get(plain + 4, 4) > n - HEADER) {
        return "the histogram is of another version, or cut off";
    }
    const char *why = read_layout(plain, &l);
    const uint8_t *at = plain + HEADER, *end = at + get(plain + 4, 4);
    uint64_t index = 0;
    while (!why && at < end) {
        int64_t v = 0, us = 0;
        if (!get_leb(&at, end, &v) || v == INT64_MIN) {
            why = "a counter is cut off";
        } else if (v < 0) {
            index += (uint64_t)-v;
        } else if (!value_of(&l, index, &us)) {
            why = "a value is out of all bounds";
        } else {
            hist_record_n(h, us, (uint64_t)v);
            index++;
        }
        if (index > UINT32_MAX) {
            why = "there are too many counters";
        }
    }
    return why;
}

const char *hdr_decode(const uint8_t *bytes, size_t n, struct hist *h)
{
    if (n < OUTER_HEADER || get(bytes, 4) != COOKIE_COMPRESSED ||
        get(bytes + 4, 4) > n - OUTER_HEADER) {
        return "the histogram is of another version, or cut off";
    }
    uint8_t *plain = malloc(PLAIN_MAX);
    if (!plain) {
        return "no memory";
    }
    uLongf len = PLAIN_MAX;
    const char *why =
        uncompress(plain, &len, bytes + OUTER_HEADER, (uLong)get(bytes + 4, 4)) == Z_OK
            ? read_plain(plain, len, h)
            : "the histogram cannot be inflated";
    free(plain);
    return why;
}
