/* hmac.h - HMAC-SHA256 with the key's setup done once, and constant-time comparison.
 *
 * A key is immutable after creation and shared by threads: each use copies the prepared inner and
 * outer states (RFC 2104), which is several times faster than a one-shot HMAC over OpenSSL's EVP.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { SHA256_LEN = 32 };

struct hmac_key; /* prepared */

/* ST_INVALID_REQUEST: an empty secret, which would let anybody sign. ST_UNAVAILABLE: no memory. */
STATUS_MUSTCHECK
enum status hmac_key_create(struct str secret, struct hmac_key **out);
void hmac_key_destroy(struct hmac_key **key); /* wipes it */
void hmac_sha256(const struct hmac_key *key, struct str data, uint8_t out[SHA256_LEN]);
/* HMAC of a then b, without joining them. */
void hmac_sha256_2(const struct hmac_key *key, struct str a, struct str b, uint8_t out[SHA256_LEN]);

void sha256(struct str data, uint8_t out[SHA256_LEN]);
bool bytes_equal_ct(const void *a, const void *b, size_t n); /* constant time */

/* base64url without padding (RFC 4648 section 5). Decoders are strict: no padding, no white space,
 * no stray bits. Return the length written, or -1 (out then holds rubbish). out needs 3/4 n
 * (decode), 4/3 n + 2 (encode). */
long base64url_decode(struct str in, uint8_t *out, size_t cap);
size_t base64url_encode(struct str in, char *out);
size_t hex_encode(struct str in, char *out);            /* 2n bytes, lower case, no NUL */
bool hex_decode(struct str in, uint8_t *out, size_t n); /* exactly 2n digits, either case */
