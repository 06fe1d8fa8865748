#include "net/http_chars.h"

#include <assert.h>

enum { T = HC_TOKEN, U = HC_TARGET, H = HC_HOST };

const uint8_t http_char_class[256] = {
    ['!'] = T | U,     ['#'] = T,         ['$'] = T | U,
    ['%'] = T | U,     ['&'] = T | U,     ['\''] = T | U,
    ['('] = U,         [')'] = U,         ['*'] = T | U,
    ['+'] = T | U,     [','] = U,         ['-'] = T | U | H,
    ['.'] = T | U | H, ['/'] = U,         ['0' ... '9'] = T | U | H,
    [':'] = U,         [';'] = U,         ['='] = U,
    ['?'] = U,         ['@'] = U,         ['A' ... 'Z'] = T | U | H,
    ['['] = U,         [']'] = U,         ['^'] = T,
    ['_'] = T | U | H, ['`'] = T,         ['a' ... 'z'] = T | U | H,
    ['|'] = T,         ['~'] = T | U | H,
};

static const struct str names[HH_COUNT] = {
#define X(id, name) [HH_##id] = STR(name),
    HTTP_HEADER_TABLE(X)
#undef X
};

/* Headers of the table by the length of their name, each plus one so that 0 means none. */
enum { NAME_MAX_LEN = 17, SAME_LENGTH = 3 };
static const uint8_t by_length[NAME_MAX_LEN + 1][SAME_LENGTH] = {
    [4] = {HH_HOST + 1},
    [6] = {HH_EXPECT + 1, HH_PREFER + 1, HH_ACCEPT + 1},
    [10] = {HH_CONNECTION + 1},
    [12] = {HH_CONTENT_TYPE + 1, HH_REQUEST_ID + 1},
    [13] = {HH_AUTHORIZATION + 1, HH_IF_NONE_MATCH + 1, HH_LAST_EVENT_ID + 1},
    [14] = {HH_CONTENT_LENGTH + 1, HH_SHOPPER + 1},
    [15] = {HH_IDEMPOTENCY_KEY + 1},
    [16] = {HH_SIGNATURE + 1},
    [17] = {HH_TRANSFER_ENCODING + 1},
};

/* Token characters that become a lower-case letter or '-' under |0x20 are that letter or '-', so
 * this cheap folding compares exactly. */
static bool name_is(struct str name, const char *lower)
{
    for (size_t i = 0; i < name.n; i++) {
        if ((name.p[i] | 0x20) != lower[i])
            return false;
    }
    return true;
}

enum http_header http_header_find(struct str name)
{
    if (name.n > NAME_MAX_LEN)
        return HH_COUNT;
    const uint8_t *candidates = by_length[name.n];
    for (unsigned i = 0; i < SAME_LENGTH && candidates[i] != 0; i++) {
        enum http_header h = candidates[i] - 1u;
        if (name_is(name, names[h].p))
            return h;
    }
    return HH_COUNT;
}

const char *http_header_name(enum http_header h)
{
    assert((unsigned)h < HH_COUNT);
    return names[h].p;
}

bool http_equal_nocase_n(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (http_lower(a.p[i]) != http_lower(b.p[i]))
            return false;
    }
    return true;
}

bool http_equal_nocase(struct str a, const char *b)
{
    return http_equal_nocase_n(a, str_from(b));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool http_list_has(struct str value, const char *token)
{
    while (value.n > 0) {
        const char *comma = memchr(value.p, ',', value.n);
        size_t n = comma ? (size_t)(comma - value.p) : value.n;
        const char *semicolon = memchr(value.p, ';', n);
        struct str item = {value.p, semicolon ? (size_t)(semicolon - value.p) : n};
        if (http_equal_nocase(trim(item), token))
            return true;
        n += comma != NULL;
        value = (struct str){value.p + n, value.n - n};
    }
    return false;
}

/* First byte that may not stand in a header value: a control character other than tab. Eight bytes
 * at a time, since tokens and cookies make values long. */
static const char *value_end(const char *p, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    uint64_t w;
    for (; end - p >= 8; p += 8) {
        memcpy(&w, p, 8);
        uint64_t del = w ^ (ones * 0x7f);
        if ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops)
            break;
    }
    while (p < end && ((uint8_t)*p >= 0x20 ? *p != 0x7f : *p == '\t'))
        p++;
    return p;
}

const char *http_header_line(const char **p, const char *end, struct str *name, struct str *value)
{
    const char *at = *p, *q = at;
    while (http_is(*q, HC_TOKEN))
        q++;
    if (is_blank(*at))
        return "a header is folded";
    if (q == at || *q != ':')
        return is_blank(*q) ? "there is white space before a header's colon"
                            : "a header's name is malformed";
    const char *stop = value_end(++q, end);
    if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return "a header holds a control character";
    *name = (struct str){at, (size_t)(q - 1 - at)};
    *value = trim((struct str){q, (size_t)(stop - q)});
    *p = stop + 2;
    return NULL;
}
