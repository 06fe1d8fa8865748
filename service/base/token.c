#include "base/token.h"

#include "base/flatjson.h"
#include "base/ids.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    LEEWAY_S = 60,                /* for iat and nbf: clocks differ */
    PART_MAX = TOKEN_MAX / 4 * 3, /* bytes of a decoded part */
    MAC_TEXT_LEN = 43,            /* base64url of SHA256_LEN bytes */
};

#define EXP_MAX_S \
    INT64_C(253402300799) /* end of the year 9999: what our times can be written as \
                           */

/* A token cut at its dots. */
struct parts {
    struct str header, claims, mac; /* base64url */
    struct str input;               /* what is signed: header, dot, claims */
};

static bool refuse(const char **why, const char *text)
{
    *why = text;
    return false;
}

/* A third dot would stay in mac, where base64url does not know it. */
static bool split(struct str token, struct parts *out, const char **why)
{
    if (token.n > TOKEN_MAX)
        return refuse(why, "The token is too long.");
    const char *end = token.p + token.n;
    const char *first = token.n ? memchr(token.p, '.', token.n) : NULL;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second)
        return refuse(why, "The token does not have three parts.");
    out->header = (struct str){token.p, (size_t)(first - token.p)};
    out->claims = (struct str){first + 1, (size_t)(second - first - 1)};
    out->mac = (struct str){second + 1, (size_t)(end - second - 1)};
    out->input = (struct str){token.p, (size_t)(second - token.p)};
    return true;
}

/* The JSON text of a part, in json. */
static bool decode(struct str part, uint8_t json[PART_MAX], struct str *out, const char **why)
{
    long n = base64url_decode(part, json, PART_MAX);
    if (n < 0)
        return refuse(why, "The token is not base64url.");
    *out = (struct str){(const char *)json, (size_t)n};
    return true;
}

/* The key that the header names. Nothing else may stand in the header: `crit`, `jwk` and the like
 * ask for things that we do not do. */
static bool read_header(struct str json, token_find_fn find, void *arg,
                        const struct token_key **key, const char **why)
{
    char alg[8], typ[8], kid[ID_MAX + 1];
    size_t alg_len, typ_len, kid_len;
    struct flat_field fields[] = {
        {"alg", FLAT_STR, true, sizeof(alg) - 1, alg, &alg_len, NULL, false},
        {"kid", FLAT_STR, true, ID_MAX, kid, &kid_len, NULL, false},
        {"typ", FLAT_STR, false, sizeof(typ) - 1, typ, &typ_len, NULL, false},
    };
    struct flat_error error;
    if (flatjson_read(json, FLAT_REFUSE_UNKNOWN, fields, 3, &error) != ST_OK)
        return refuse(why,
                      "The token's header must hold alg and kid, may hold typ, and nothing else.");
    if (!str_equal((struct str){alg, alg_len}, STR("HS256")))
        return refuse(why, "The token's alg must be HS256.");
    if (fields[2].seen && !str_equal((struct str){typ, typ_len}, STR("JWT")))
        return refuse(why, "The token's typ must be JWT.");
    *key = find(arg, (struct str){kid, kid_len});
    return *key || refuse(why, "The token's kid is not known.");
}

static bool check_mac(const struct token_key *key, const struct parts *parts, const char **why)
{
    uint8_t given[SHA256_LEN], ours[SHA256_LEN];
    if (parts->mac.n != MAC_TEXT_LEN || base64url_decode(parts->mac, given, sizeof(given)) < 0)
        return refuse(why, "The token's signature is not 32 bytes of base64url.");
    hmac_sha256(key->secret, parts->input, ours);
    if (!bytes_equal_ct(given, ours, sizeof(ours)))
        return refuse(why, "The token's signature does not match.");
    return true;
}

/* What a claim that the reader blames should have been. */
static const char *claim_error(const struct flat_error *error)
{
    static const struct {
        const char *name, *why;
    } rows[] = {
        {"sub", "The token's sub must be given once, as a shopper id."},
        {"exp", "The token's exp must be given once, as integer seconds."},
        {"iat", "The token's iat must be integer seconds, given at most once."},
        {"nbf", "The token's nbf must be integer seconds, given at most once."},
        {"region", "The token's region must be a string of up to 64 bytes, given at most once."},
        {"level", "The token's level must be a string of up to 64 bytes, given at most once."},
        {"channel", "The token's channel must be a string of up to 64 bytes, given at most once."},
    };
    for (size_t i = 0; error->param && i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, error->param) == 0)
            return rows[i].why;
    return "The token's claims are not a JSON object of at most eight levels.";
}

static bool check_times(int64_t now_s, int64_t exp_s, int64_t iat_s, int64_t nbf_s,
                        const char **why)
{
    if (exp_s <= now_s)
        return refuse(why, "The token has expired.");
    if (exp_s > EXP_MAX_S)
        return refuse(why, "The token's exp is past the year 9999.");
    if (iat_s > now_s + LEEWAY_S)
        return refuse(why, "The token's iat is in the future.");
    if (nbf_s > now_s + LEEWAY_S)
        return refuse(why, "The token's nbf is in the future.");
    return true;
}

static bool read_claims(struct str json, int64_t now_s, struct token_claims *claims,
                        const char **why)
{
    char sub[ID_MAX + 1], unused[ID_MAX + 1]; /* region, level and channel: checked, not yet kept */
    size_t sub_len = 0;
    int64_t exp_s = 0, iat_s = INT64_MIN, nbf_s = INT64_MIN;
    struct flat_field fields[] = {
        {"sub", FLAT_STR, true, ID_MAX, sub, &sub_len, NULL, false},
        {"exp", FLAT_INT, true, 0, NULL, NULL, &exp_s, false},
        {"iat", FLAT_INT, false, 0, NULL, NULL, &iat_s, false},
        {"nbf", FLAT_INT, false, 0, NULL, NULL, &nbf_s, false},
        {"region", FLAT_STR, false, ID_MAX, unused, NULL, NULL, false},
        {"level", FLAT_STR, false, ID_MAX, unused, NULL, NULL, false},
        {"channel", FLAT_STR, false, ID_MAX, unused, NULL, NULL, false},
    };
    struct flat_error error;
    if (flatjson_read(json, FLAT_SKIP_UNKNOWN, fields, sizeof(fields) / sizeof(fields[0]),
                      &error) != ST_OK)
        return refuse(why, claim_error(&error));
    if (!id_valid((struct str){sub, sub_len}))
        return refuse(why, claim_error(&(struct flat_error){"sub", NULL}));
    if (!check_times(now_s, exp_s, iat_s, nbf_s, why))
        return false;
    memcpy(claims->sub, sub, sub_len + 1);
    claims->sub_len = (uint8_t)sub_len;
    claims->exp_s = exp_s;
    return true;
}

enum status token_verify(struct str token, int64_t now_s, token_find_fn find, void *arg,
                         struct token_claims *claims, const char **why)
{
    struct parts parts;
    uint8_t bytes[PART_MAX] __attribute__((uninitialized)); /* only what was decoded is read */
    struct str json;
    const struct token_key *key = NULL;
    /* Claims are looked at only once they are known to be the storefront's. */
    bool good = split(token, &parts, why) && decode(parts.header, bytes, &json, why) &&
                read_header(json, find, arg, &key, why) && check_mac(key, &parts, why) &&
                decode(parts.claims, bytes, &json, why) && read_claims(json, now_s, claims, why);
    if (!good)
        return ST_UNAUTHENTICATED;
    claims->storefront_no = key->storefront_no;
    return ST_OK;
}

size_t token_mint(const struct hmac_key *secret, struct str kid, struct str sub, int64_t iat_s,
                  int64_t exp_s, char *out, size_t cap)
{
    assert(id_valid(kid) && id_valid(sub)); /* ids need no escaping in JSON */
    char header[128], claims[160];
    uint8_t mac[SHA256_LEN];
    int header_n =
        snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%.*s\"}",
                 (int)kid.n, kid.p);
    int claims_n = snprintf(claims, sizeof(claims),
                            "{\"sub\":\"%.*s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}",
                            (int)sub.n, sub.p, iat_s, exp_s);
    assert(header_n < (int)sizeof(header) && claims_n < (int)sizeof(claims));
    size_t header_text = ((size_t)header_n * 4 + 2) / 3,
           claims_text = ((size_t)claims_n * 4 + 2) / 3;
    if (header_text + 1 + claims_text + 1 + MAC_TEXT_LEN > cap)
        return 0;

    size_t n = base64url_encode((struct str){header, (size_t)header_n}, out);
    out[n++] = '.';
    n += base64url_encode((struct str){claims, (size_t)claims_n}, out + n);
    hmac_sha256(secret, (struct str){out, n}, mac);
    out[n++] = '.';
    return n + base64url_encode((struct str){(const char *)mac, sizeof(mac)}, out + n);
}
