#include "base/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    POOL_LEN = 4096, /* one getrandom per 400 ids */
    RANDOM_AT = 6,   /* after the time */
};

static const int64_t uid_ms_max = (INT64_C(1) << 48) - 1;

struct uid_source {
    uint8_t pool[POOL_LEN];
    size_t used; /* bytes handed out; those are wiped */
};

/* A process without randomness would hand out guessable ids, so it must not go on. */
static void fill_random(void *out, size_t n)
{
    uint8_t *to = out;
    while (n) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        to += got;
        n -= (size_t)got;
    }
}

struct uid_source *uid_source_create(void)
{
    struct uid_source *src = malloc(sizeof(*src));
    if (!src)
        return NULL;
    fill_random(src->pool, POOL_LEN);
    src->used = 0;
    return src;
}

void uid_source_destroy(struct uid_source **src)
{
    if (!*src)
        return;
    explicit_bzero(*src, sizeof(**src));
    free(*src);
    *src = NULL;
}

void uid_random(struct uid_source *src, void *out, size_t n)
{
    if (n > POOL_LEN) {
        fill_random(out, n);
        return;
    }
    if (n > POOL_LEN - src->used) {
        fill_random(src->pool, POOL_LEN);
        src->used = 0;
    }
    memcpy(out, src->pool + src->used, n);
    /* Bytes that went into a token must not be found here later. */
    explicit_bzero(src->pool + src->used, n);
    src->used += n;
}

struct uid uid_floor(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    if (ms > uid_ms_max)
        ms = uid_ms_max;
    struct uid id = {{0}};
    for (int i = RANDOM_AT; i-- > 0; ms >>= 8)
        id.b[i] = (uint8_t)ms;
    return id;
}

struct uid uid_make(struct uid_source *src, int64_t ms)
{
    struct uid id = uid_floor(ms);
    uid_random(src, id.b + RANDOM_AT, UID_LEN - RANDOM_AT);
    return id;
}

struct uid uid_make_routed(struct uid_source *src, int64_t ms, uint32_t sale_no, uint8_t shard)
{
    struct uid id = uid_floor(ms);
    id.b[6] = (uint8_t)(sale_no >> 16);
    id.b[7] = (uint8_t)(sale_no >> 8);
    id.b[8] = (uint8_t)sale_no;
    id.b[9] = shard;
    uid_random(src, id.b + 10, UID_LEN - 10);
    return id;
}

struct uid uid_make_order(struct uid_source *src, int64_t now_ms, int64_t starts_ms,
                          uint32_t sale_no, uint8_t shard)
{
    return uid_make_routed(src, now_ms > starts_ms ? now_ms : starts_ms, sale_no, shard);
}

int64_t uid_ms(const struct uid *id)
{
    int64_t ms = 0;
    for (int i = 0; i < RANDOM_AT; i++)
        ms = ms << 8 | id->b[i];
    return ms;
}

uint32_t uid_sale_no(const struct uid *id)
{
    return (uint32_t)id->b[6] << 16 | (uint32_t)id->b[7] << 8 | id->b[8];
}

uint8_t uid_shard(const struct uid *id)
{
    return id->b[9];
}

bool uid_equal(const struct uid *a, const struct uid *b)
{
    return memcmp(a->b, b->b, UID_LEN) == 0;
}

size_t uid_format(const char *prefix, const struct uid *id, char *out)
{
    static const char digits[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    unsigned __int128 v = 0;
    for (int i = 0; i < UID_LEN; i++)
        v = v << 8 | id->b[i];
    for (size_t i = UID_TEXT_LEN; i-- > 0; v >>= 5)
        out[n + i] = digits[(unsigned)v & 31];
    out[n + UID_TEXT_LEN] = '\0';
    return n + UID_TEXT_LEN;
}

/* A digit's value and one more; 0 is no digit. Crockford's base32 leaves out I, L, O and U. */
static const uint8_t digit_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    ['G'] = 17, ['H'] = 18, ['J'] = 19, ['K'] = 20, ['M'] = 21, ['N'] = 22, ['P'] = 23, ['Q'] = 24,
    ['R'] = 25, ['S'] = 26, ['T'] = 27, ['V'] = 28, ['W'] = 29, ['X'] = 30, ['Y'] = 31, ['Z'] = 32,
};

bool uid_parse(const char *prefix, struct str text, struct uid *id)
{
    size_t n = strlen(prefix);
    if (text.n != n + UID_TEXT_LEN || memcmp(text.p, prefix, n) != 0)
        return false;
    /* 26 digits hold 130 bits; a first digit past 7 would not fit. */
    if (text.p[n] > '7')
        return false;
    unsigned __int128 v = 0;
    for (size_t i = n; i < text.n; i++) {
        uint8_t digit = digit_values[(unsigned char)text.p[i]];
        if (!digit)
            return false;
        v = v << 5 | (digit - 1u);
    }
    for (int i = UID_LEN; i-- > 0; v >>= 8)
        id->b[i] = (uint8_t)v;
    return true;
}

static const bool id_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['.'] = true,
    ['_'] = true,         [':'] = true,         ['-'] = true,
};

bool id_valid(struct str s)
{
    if (s.n < 1 || s.n > 64)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!id_bytes[(unsigned char)s.p[i]])
            return false;
    }
    return true;
}
