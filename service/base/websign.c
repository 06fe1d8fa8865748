#include "base/websign.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { ELEMENTS_MAX = 16, TIME_DIGITS_MAX = 12, MADE_MAX = 96, LINK_SUBJECT_MAX = 64 };

#define TIME_MAX_S INT64_C(999999999999) /* what TIME_DIGITS_MAX digits hold */

/* What a header holds, once split. */
struct signed_header {
    struct str time; /* text of t, as it was signed */
    int64_t time_s;
    unsigned n; /* v1 signatures */
    uint8_t mac[ELEMENTS_MAX][SHA256_LEN];
};

/* Decimal digits only: no sign, no white space, few enough not to overflow. */
static bool parse_time(struct str text, int64_t *out)
{
    if (text.n == 0 || text.n > TIME_DIGITS_MAX)
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v * 10 + (text.p[i] - '0');
    }
    *out = v;
    return true;
}

/* Takes one `scheme=value`; returns why it cannot be, or NULL. */
static const char *take_element(struct signed_header *h, struct str element)
{
    const char *eq = memchr(element.p, '=', element.n);
    if (!eq)
        return "The signature header is malformed.";
    struct str scheme = {element.p, (size_t)(eq - element.p)};
    struct str value = {eq + 1, element.n - scheme.n - 1};
    if (str_equal(scheme, STR("t"))) {
        if (h->time.n)
            return "The signature header has more than one time.";
        if (!parse_time(value, &h->time_s))
            return "The signature header has no valid time.";
        h->time = value;
    } else if (str_equal(scheme, STR("v1")) && hex_decode(value, h->mac[h->n], SHA256_LEN)) {
        h->n++; /* a v1 that is not 64 digits cannot match, but another one may */
    }
    return NULL;
}

/* Splits at commas; what follows the 16th element is not looked at. */
static const char *split(struct signed_header *h, struct str header)
{
    const char *p = header.p, *end = header.p + header.n;
    for (unsigned i = 0; i < ELEMENTS_MAX; i++) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        const char *wrong = take_element(h, (struct str){p, (size_t)(stop - p)});
        if (wrong)
            return wrong;
        if (!comma)
            break;
        p = comma + 1;
    }
    if (h->time.n == 0)
        return "The signature header has no valid time.";
    return h->n ? NULL : "The signature header has no v1 signature.";
}

/* MAC of `<t>.<body>`. */
static void sign(const struct hmac_key *key, struct str time, struct str body,
                 uint8_t mac[SHA256_LEN])
{
    char prefix[TIME_DIGITS_MAX + 1];
    memcpy(prefix, time.p, time.n);
    prefix[time.n] = '.';
    hmac_sha256_2(key, (struct str){prefix, time.n + 1}, body, mac);
}

enum status websign_verify(const struct hmac_key *key, struct str header, struct str body,
                           int64_t now_s, const char **why)
{
    if (header.n == 0 || header.n > WEBSIGN_MAX) {
        *why = header.n ? "The signature header is too long." : "The signature header is missing.";
        return ST_BAD_SIGNATURE;
    }
    struct signed_header h = {.n = 0};
    const char *wrong = split(&h, header);
    if (wrong) {
        *why = wrong;
        return ST_BAD_SIGNATURE;
    }
    if (h.time_s < now_s - WEBSIGN_TOLERANCE_S || h.time_s > now_s + WEBSIGN_TOLERANCE_S) {
        *why = "The signature's time is too far from now.";
        return ST_BAD_SIGNATURE;
    }
    uint8_t mac[SHA256_LEN];
    sign(key, h.time, body, mac);
    for (unsigned i = 0; i < h.n; i++)
        if (bytes_equal_ct(mac, h.mac[i], SHA256_LEN))
            return ST_OK;
    *why = "No v1 signature matches the body.";
    return ST_BAD_SIGNATURE;
}

size_t websign_make(const struct hmac_key *key, struct str body, int64_t now_s, char *out)
{
    assert(now_s >= 0 && now_s <= TIME_MAX_S);
    uint8_t mac[SHA256_LEN];
    size_t n = (size_t)snprintf(out, MADE_MAX, "t=%" PRId64, now_s);
    sign(key, (struct str){out + 2, n - 2}, body, mac);
    memcpy(out + n, ",v1=", 4);
    n += 4;
    n += hex_encode((struct str){(const char *)mac, sizeof(mac)}, out + n);
    out[n] = '\0';
    return n;
}

static void sign_link(const struct hmac_key *key, struct str subject, struct str query,
                      uint8_t mac[SHA256_LEN])
{
    char about[LINK_SUBJECT_MAX + 1];
    assert(subject.n <= LINK_SUBJECT_MAX);
    memcpy(about, subject.p, subject.n);
    about[subject.n] = '?';
    hmac_sha256_2(key, (struct str){about, subject.n + 1}, query, mac);
}

void websign_link(const struct hmac_key *key, struct str subject, struct str query,
                  char out[WEBSIGN_LINK_LEN + 1])
{
    uint8_t mac[SHA256_LEN];
    sign_link(key, subject, query, mac);
    size_t n = base64url_encode((struct str){(const char *)mac, sizeof(mac)}, out);
    assert(n == WEBSIGN_LINK_LEN);
    out[n] = '\0';
}

bool websign_link_holds(const struct hmac_key *key, struct str subject, struct str query)
{
    static const char member[] = "&sign=";
    const size_t tail = sizeof(member) - 1 + WEBSIGN_LINK_LEN;
    uint8_t mac[SHA256_LEN], said[SHA256_LEN + 1];
    if (subject.n > LINK_SUBJECT_MAX || query.n <= tail ||
        memcmp(query.p + query.n - tail, member, sizeof(member) - 1) != 0 ||
        base64url_decode((struct str){query.p + query.n - WEBSIGN_LINK_LEN, WEBSIGN_LINK_LEN}, said,
                         sizeof(said)) != SHA256_LEN)
        return false;
    sign_link(key, subject, (struct str){query.p, query.n - tail}, mac);
    return bytes_equal_ct(mac, said, SHA256_LEN);
}
