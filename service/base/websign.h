/* websign.h - signature of channel notifications: `t=<unix seconds>,v1=<hex>[,v1=<hex>]`.
 *
 * v1 is HMAC-SHA256 of `<t>.<raw body>` (Stripe's webhook scheme, research/commerce.md section 6).
 * Any v1 may match; other schemes are ignored; |now - t| <= tolerance. Any thread.
 */
#pragma once

#include "base/hmac.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { WEBSIGN_TOLERANCE_S = 300, WEBSIGN_MAX = 1024 };

/* ST_OK or ST_BAD_SIGNATURE with *why (static text). At most 16 elements are looked at. */
STATUS_MUSTCHECK
enum status websign_verify(const struct hmac_key *key, struct str header, struct str body,
                           int64_t now_s, const char **why);
/* Writes the header value and a NUL; out holds at least 96 bytes. Returns its length. */
size_t websign_make(const struct hmac_key *key, struct str body, int64_t now_s, char *out);
