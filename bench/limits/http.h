/* http.h - as little HTTP as a load tool needs to take it for a shop: requests are cut apart, their
 * kind is told by the first line, and nothing else in them is looked at.
 *
 * One instance per thread, on a port that it shares with the others (SO_REUSEPORT). A connection has
 * one request under way; its answer is sent at once and whole, or the connection is closed: an
 * answer of a few hundred bytes finds room in the socket of a peer that waits for it.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct bare_conn;

/* What is asked for: POST /v1/sales, POST /v1/orders, and all else, which a load tool asks about
 * the sale. */
enum bare_kind { BARE_SALE, BARE_ORDER, BARE_OTHER };

/* Answers c once, now or later on the same thread. */
typedef void (*bare_fn)(void *arg, struct bare_conn *c, enum bare_kind kind);

/* Listens on 127.0.0.1:port for as long as the process lives. False with errno set. */
bool bare_listen(struct event_base *base, uint16_t port, bare_fn handler, void *arg);
void bare_answer(struct bare_conn *c, struct str answer);
/* The answer to whatever is not an order: an open sale. */
void bare_answer_sale(struct bare_conn *c, enum bare_kind kind);

/* An answer that never changes: head and body of string literals, with the body's length between. */
#define BARE_HEAD(status, type, length)                                     \
    "HTTP/1.1 " status "\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\n"        \
    "X-Request-Id: req_0000000000000000\r\nContent-Type: application/" type \
    "\r\nContent-Length: " length "\r\n"

/* 201 with an order, as long as Snapup's; the id is twice in it. */
#define BARE_CREATED                                                                      \
    BARE_HEAD("201 Created", "json", "296")                                               \
    "Location: /v1/orders/ord_00000000000000000000000000\r\n"                             \
    "Cache-Control: no-store\r\n\r\n"                                                     \
    "{\"object\":\"order\",\"id\":\"ord_00000000000000000000000000\",\"sale\":\"rush-"    \
    "0000000000\","                                                                       \
    "\"sku\":\"unit\",\"qty\":1,\"shopper\":\"0000000000-00000000\",\"state\":\"pending_" \
    "payment\","                                                                          \
    "\"amount\":9900,\"currency\":\"CNY\",\"created_at\":\"2026-11-24T12:00:00.000Z\","   \
    "\"pay_by\":\"2026-11-24T16:00:00.000Z\",\"paid_at\":null,\"payments\":[]}"
