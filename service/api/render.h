/* render.h - resources as JSON. Pure: into a buffer, from what flow returned. Any thread.
 */
#pragma once

#include "base/buf.h"
#include "flow/audit.h"
#include "flow/catalog.h"
#include "flow/orders.h"

void render_order(struct buf *b, const struct order *o, const struct sale *sale,
                  const struct sale_item *item);
void render_payment(struct buf *b, const struct payment *p);
/* *time_at gets the offset of server_time's text (CLOCK_TEXT_LEN bytes); may be NULL. */
void render_sale(struct buf *b, const struct sale *sale, int64_t now_ms, size_t *time_at);
void render_audit(struct buf *b, const struct sale *sale, const struct audit *a);
/* Units left for a shopper to see: the sum over shards; -1 when not known. */
int64_t render_left(const struct sale *sale, const struct sale_item *item);
