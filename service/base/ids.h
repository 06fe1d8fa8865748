/* ids.h - ULIDs: 128 bits, 48 of milliseconds, then route, then randomness.
 *
 * Text form is Crockford base32, 26 characters, behind a prefix ("ord_01J…"). The time comes first,
 * so a primary key of ids is a log: rows are appended. For orders, bits 48..79 hold the route: sale
 * number (24 bits) and shard (8 bits), so an id leads to its shard;
 * the last 48 bits are random. For everything else the route is random too. One source per thread.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { UID_LEN = 16, UID_TEXT_LEN = 26 };

struct uid {
    uint8_t b[UID_LEN];
};

struct uid_source; /* a thread's stock of random bytes from getrandom(2) */

struct uid_source *uid_source_create(void); /* aborts only when the kernel has no randomness */
void uid_source_destroy(struct uid_source **src);

/* New id at wall time ms. */
struct uid uid_make(struct uid_source *src, int64_t ms);
/* New id with a route. */
struct uid uid_make_routed(struct uid_source *src, int64_t ms, uint32_t sale_no, uint8_t shard);
/* New id of an order bought at now_ms: its time is never below its sale's start, however far back
 * the clock was set since (rule R18). Scans of a sale's orders begin there. */
struct uid uid_make_order(struct uid_source *src, int64_t now_ms, int64_t starts_ms,
                          uint32_t sale_no, uint8_t shard);

int64_t uid_ms(const struct uid *id);
uint32_t uid_sale_no(const struct uid *id);
uint8_t uid_shard(const struct uid *id);
/* Smallest id of that millisecond: a bound for range scans. */
struct uid uid_floor(int64_t ms);
bool uid_equal(const struct uid *a, const struct uid *b);

/* Writes prefix, 26 characters and a NUL; returns the length without NUL. out holds at least
 * strlen(prefix) + 27 bytes. Upper case. */
size_t uid_format(const char *prefix, const struct uid *id, char *out);
/* Accepts exactly prefix + 26 base32 characters in the form uid_format writes (upper case, first
 * digit
 * <= 7). False otherwise. */
bool uid_parse(const char *prefix, struct str text, struct uid *id);

/* n random bytes from the source. */
void uid_random(struct uid_source *src, void *out, size_t n);

/* SKU and shopper id: 1-64 of A-Za-z0-9._:- (openapi.yaml). Also sale ids and key ids. */
bool id_valid(struct str s);
