/* notify.h - tells the merchant's webhook what became of a trade, until it listens.
 *
 * Up to 256 connections, one notification at a time on each; what exceeds them waits in line. A try
 * that is not answered 2xx is repeated after growing pauses, NOTIFY_TRIES_MAX tries in all, always
 * with the same event id and body and a fresh signature. One thread: the loop's.
 */
#pragma once

#include "trades.h"

#include "base/hmac.h"

struct notifier;

/* url: http://host:port/path. Borrows trades and key for its life. ST_OK; ST_INVALID_REQUEST: the
 * URL; ST_INTERNAL: memory. */
STATUS_MUSTCHECK
enum status notifier_create(struct event_base *base, const char *url, const struct hmac_key *key,
                            struct trades *trades, struct notifier **out);
/* Ends open tries; trades that wait stay unnotified. */
void notifier_destroy(struct notifier **n);
/* The trade was settled. Its end is told by trades_over. */
void notifier_send(struct notifier *n, struct trade *trade);
