/* token.h - shoppers' JWTs: HS256 only, verified without an allocation (RFC 7519, RFC 7515).
 *
 * Header must be a JSON object with alg "HS256" and a kid we know (typ, if given, "JWT"); anything
 * else in the header is refused. Claims: sub (a valid shopper id) and exp (integer seconds, up to
 * the end of the year 9999) required; iat and nbf checked when given (60 s leeway for nbf and iat
 * in the future, none for exp); region, level, channel strings of up to 64 bytes; other claims are
 * ignored, any JSON type, nested no deeper than 8. Tokens over 2048 bytes, duplicate keys, stray
 * base64 bits are refused. Thread-safe: the key ring is immutable.
 */
#pragma once

#include "base/hmac.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { TOKEN_MAX = 2048, ID_MAX = 64 };

struct token_key {
    char kid[ID_MAX + 1];
    uint32_t storefront_no;  /* whose shoppers it signs for */
    struct hmac_key *secret; /* prepared */
};

/* Looks a key up by kid; NULL when unknown. */
typedef const struct token_key *(*token_find_fn)(void *arg, struct str kid);

struct token_claims {
    char sub[ID_MAX + 1]; /* shopper id, NUL-terminated */
    uint8_t sub_len;
    uint32_t storefront_no;
    int64_t exp_s;
};

/* ST_OK: claims are filled. ST_UNAUTHENTICATED: anything wrong; *why (static text, never secret)
 * says what, for the problem's detail. */
STATUS_MUSTCHECK
enum status token_verify(struct str token, int64_t now_s, token_find_fn find, void *arg,
                         struct token_claims *claims, const char **why);

/* Writes a token with header {"alg":"HS256","typ":"JWT","kid":kid} and claims sub, iat, exp.
 * Returns its length, 0 when it would pass cap. kid and sub must be valid ids. */
size_t token_mint(const struct hmac_key *secret, struct str kid, struct str sub, int64_t iat_s,
                  int64_t exp_s, char *out, size_t cap);
