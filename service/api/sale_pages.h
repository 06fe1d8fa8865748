/* sale_pages.h - a sale's JSON, rendered at most ten times a second per worker instead of per
 * request.
 *
 * The page is rendered anew when the catalogue or the phase changed, or when it is older than
 * PAGE_MS; server_time is written into it for each answer. One thread.
 */
#pragma once

#include "base/buf.h"
#include "flow/catalog.h"

enum { PAGE_MS = 100 };

struct sale_pages;

struct sale_page {
    struct str body;
    const char *etag; /* quoted, weak: everything but server_time */
};

STATUS_MUSTCHECK
enum status sale_pages_create(struct sale_pages **out);
void sale_pages_destroy(struct sale_pages **p);
/* The page as of now_ms; valid until the next call. */
STATUS_MUSTCHECK
enum status sale_pages_get(struct sale_pages *p, const struct snapshot *snap,
                           const struct sale *sale, int64_t now_ms, struct sale_page *out);
