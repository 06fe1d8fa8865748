/* sandbox.h - the play channel: what main builds, and what settles a trade.
 *
 * One loop, one thread. server.c turns HTTP into these calls, notify.c tells the outcome.
 */
#pragma once

#include "notify.h"
#include "trades.h"

#include "base/hmac.h"
#include "base/ids.h"
#include "net/http_server.h"

struct sandbox_conf {
    const char *listen;    /* host:port, [v6]:port; port 0 takes a free one */
    const char *webhook;   /* http://host:port/path */
    const char *port_file; /* NULL: none */
    const char *secret_file;
    int64_t auto_ms; /* approve by itself after; negative: never */
};

struct sandbox {
    const struct sandbox_conf *conf;
    struct event_base *base;
    struct hmac_key *key; /* of requests and notifications alike */
    struct uid_source *ids;
    struct trades trades;
    struct notifier *notifier;
    struct http_server *http;
    struct router *router;
    struct conn_census *census;
    struct buf body, headers; /* an answer being built */
    int port;
    char url[300]; /* http://host:port, what pages are found under */
};

/* What a merchant asks for. Strings are borrowed and valid (server.c checks them). */
struct trade_request {
    const char *payment, *order, *currency;
    const char *return_url; /* NULL: none */
    int64_t amount;
};

/* The payment's trade, new or from before. ST_OK; ST_IDEMPOTENCY_MISMATCH: it exists for another
 * order, amount or currency; ST_OVERLOADED: full. *out is valid until the loop turns. */
STATUS_MUSTCHECK
enum status sandbox_trade(struct sandbox *sb, const struct trade_request *rq, struct trade **out);
/* Settles an open trade and tells the merchant; a settled one stays as it is. */
void sandbox_settle(struct sandbox *sb, struct trade *trade, enum trade_state outcome);

/* server.c: listens, fills port and url. ST_OK or ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status server_start(struct sandbox *sb);
/* At the end of every turn of the loop: sends what was answered. */
void server_turn(struct sandbox *sb);
void server_stop(struct sandbox *sb);
