/* websign.h - signatures between the service and a channel: of what one sends to the other, and of
 * links that a shopper carries.
 *
 * Sent: `t=<unix seconds>,v1=<hex>[,v1=<hex>]`; v1 is HMAC-SHA256 of `<t>.<raw body>` (Stripe's
 * webhook scheme, research/commerce.md section 6). Any v1 may match; other schemes are ignored;
 * |now - t| <= tolerance. Any thread.
 *
 * Links: the query's last member is `sign=<base64url of HMAC-SHA256>` of what the link is about, `?`
 * and the query before it. No time: it holds as long as the key.
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

enum { WEBSIGN_LINK_LEN = 43 };
void websign_link(const struct hmac_key *key, struct str subject, struct str query,
                  char out[WEBSIGN_LINK_LEN + 1]);
/* query with its last member. */
bool websign_link_holds(const struct hmac_key *key, struct str subject, struct str query);
