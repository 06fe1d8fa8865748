/* status.h - every outcome the service can name, one row each.
 *
 * Rows stand in the order in which a purchase is checked, so that when several faults apply every
 * caller is told the same one. `code` is the word that API clients read (problem+json); rows that
 * share a code differ only in the HTTP status. Rows below ST_INTERNAL never leave the process: they
 * are what the engines' modules tell each other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STATUS_MUSTCHECK __attribute__((warn_unused_result))

/* X(name, http, code, retryable, title) */
#define STATUS_TABLE(X)                                                                            \
    X(OK, 200, "ok", false, "OK")                                                                  \
    X(INVALID_REQUEST, 400, "invalid_request", false, "The request is not valid")                  \
    X(REQUEST_TIMEOUT, 408, "request_timeout", true, "The request did not arrive in time")         \
    X(BODY_TOO_LARGE, 413, "invalid_request", false, "The body is too large")                      \
    X(URI_TOO_LONG, 414, "invalid_request", false, "The request line is too long")                 \
    X(MEDIA_TYPE, 415, "invalid_request", false, "The body has an unsupported content type")       \
    X(EXPECTATION, 417, "invalid_request", false, "The expectation cannot be met")                 \
    X(HEADERS_TOO_LARGE, 431, "invalid_request", false, "The header section is too large")         \
    X(CODING, 501, "invalid_request", false, "The transfer coding is not supported")               \
    X(HTTP_VERSION, 505, "invalid_request", false, "The HTTP version is not supported")            \
    X(UNAUTHENTICATED, 401, "unauthenticated", false, "No valid credential was given")             \
    X(FORBIDDEN, 403, "forbidden", false, "This caller may not do this")                           \
    X(BAD_SIGNATURE, 400, "bad_signature", false, "The signature does not match")                  \
    X(RATE_LIMITED, 429, "rate_limited", true, "Too many tries")                                   \
    X(NOT_FOUND, 404, "not_found", false, "There is nothing at this address")                      \
    X(METHOD, 405, "method_not_allowed", false, "The method is not allowed here")                  \
    X(SALE_NOT_FOUND, 404, "sale_not_found", false, "There is no such sale")                       \
    X(ITEM_NOT_FOUND, 404, "item_not_found", false, "The sale has no such item")                   \
    X(ORDER_NOT_FOUND, 404, "order_not_found", false, "There is no such order")                    \
    X(PAYMENT_NOT_FOUND, 404, "payment_not_found", false, "There is no such payment")              \
    X(CHANNEL_NOT_FOUND, 404, "channel_not_found", false, "There is no such payment channel")      \
    X(SALE_EXISTS, 409, "sale_exists", false, "A sale with this id exists")                        \
    X(IDEMPOTENCY_MISMATCH, 422, "idempotency_mismatch", false,                                    \
      "This idempotency key was used with another request")                                        \
    X(IDEMPOTENCY_IN_PROGRESS, 409, "idempotency_in_progress", true,                               \
      "The first request with this idempotency key is still running")                              \
    X(SALE_NOT_OPEN, 409, "sale_not_open", false, "The sale has not opened")                       \
    X(SALE_PAUSED, 409, "sale_paused", false, "The sale is paused")                                \
    X(SALE_ENDED, 409, "sale_ended", false, "The sale has ended")                                  \
    X(NOT_ADMITTED, 403, "not_admitted", false, "The waiting room has not admitted this shopper")  \
    X(LIMIT_REACHED, 409, "limit_reached", false, "The limit per shopper is reached")              \
    X(SOLD_OUT, 409, "sold_out", false, "Fewer units are left than asked for")                     \
    X(NOT_ENOUGH_LEFT, 409, "not_enough_left", false, "Fewer units are left than to take back")    \
    X(INVALID_STATE, 409, "invalid_state", false, "The resource is not in a state that allows it") \
    X(RECOVERING, 503, "recovering", true, "The stock of this sale is being recovered")            \
    X(OVERLOADED, 503, "overloaded", true, "The service has more work than it can take")           \
    X(UNAVAILABLE, 503, "unavailable", true, "A part the service needs does not answer")           \
    X(INTERNAL, 500, "internal_error", true, "The service made a mistake")                         \
    /* inside only */                                                                              \
    X(UNKNOWN, 503, "unavailable", true, "The outcome is not known") /* sent, never answered */    \
    X(DUPLICATE, 500, "internal_error", false, "A unique key exists")                              \
    X(CONFLICT, 503, "unavailable", true, "Deadlock or lock time-out; rolled back")                \
    X(FENCED, 503, "recovering", true, "The epoch has moved on")                                   \
    X(BUSY, 503, "overloaded", true, "A bounded queue is full")

enum status {
#define X(name, http, code, retryable, title) ST_##name,
    STATUS_TABLE(X)
#undef X
        ST_COUNT
};

struct status_info {
    const char *name;  /* for logs: "SOLD_OUT" */
    uint16_t http;     /* HTTP status */
    bool retryable;    /* the same request may succeed later; gets Retry-After with 429 and 503 */
    const char *code;  /* problem+json `code` and metric label */
    const char *title; /* problem+json `title` */
};

/* Row of st. Static memory, never NULL; any thread. */
const struct status_info *status_info(enum status st);
