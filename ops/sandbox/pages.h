/* pages.h - the sandbox channel's few pages: plain HTML, nothing loaded from elsewhere.
 *
 * Work without script, in light and dark, on a phone. Everything variable is escaped. Any thread.
 */
#pragma once

#include "trades.h"

#include "base/buf.h"

enum { PAGE_MAX = 256 * 1024, PAGE_TRADES = 50 };

/* Amount and order with Pay and Decline; a settled trade's outcome. */
void page_trade(struct buf *b, const struct trade *trade);
/* The newest trades, at most PAGE_TRADES. */
void page_list(struct buf *b, const struct trades *trades);
/* A page that only says what is wrong. */
void page_problem(struct buf *b, const char *title);
