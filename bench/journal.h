/* journal.h - what each shopper of a rush was told: the other side of MariaDB's story.
 *
 * One entry per shopper, kept in memory. It is written only from answers that arrived, so it holds
 * what the world knows, whatever the service believes. One thread.
 */
#pragma once

#include "base/ids.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* X(name, text): how a shopper's tries ended */
#define JOURNAL_TOLD(X)                   \
    X(UNSENT, "was never sent")           \
    X(NOTHING, "ended without an answer") \
    X(ORDER, "was acknowledged")          \
    X(QUEUED, "was promised an order")    \
    X(REFUSAL, "was refused")             \
    X(RETRY, "was asked to try again")

enum told {
#define X(name, text) TOLD_##name,
    JOURNAL_TOLD(X)
#undef X
        TOLD_COUNT
};

struct journal_entry {
    struct uid order;  /* TOLD_ORDER only */
    struct uid queued; /* was_queued only: the order that the last 202 named */
    uint8_t told;      /* enum told */
    uint8_t rows;      /* verify.c: live orders that MariaDB has for the shopper, at most 255 */
    bool matched;      /* verify.c: the acknowledged order was among them */
    bool was_queued;   /* was answered 202 */
    bool queued_found; /* verify.c: MariaDB has the order of the last 202, in whatever state */
    bool requeued;     /* was answered 202 again, with another order: the one before is gone */
    bool changed;      /* was acknowledged twice, with two orders */
    bool denied;       /* was refused after it was told of an order */
};

struct journal {
    struct journal_entry *shoppers;
    uint32_t n;
};

/* ST_OK or ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status journal_init(struct journal *j, uint32_t shoppers);
void journal_fini(struct journal *j);

/* The request left. Until something else is known, it ended without an answer. Who was told of an
 * order and asks again keeps knowing it. */
void journal_sent(struct journal *j, uint32_t shopper);
/* 201. True when it is the shopper's first. */
bool journal_ack(struct journal *j, uint32_t shopper, const struct uid *order);
/* 202. True when it is the shopper's first. */
bool journal_queued(struct journal *j, uint32_t shopper, const struct uid *order);
/* Refused (4xx), or asked to try again: 401, 429, 5xx and `idempotency_in_progress`, after which the
 * order may come to be. */
void journal_refused(struct journal *j, uint32_t shopper, bool retry);
/* Whether the shopper was told of an order, by 201 or 202. */
bool journal_has_order(const struct journal *j, uint32_t shopper);

uint64_t journal_count(const struct journal *j, enum told told);
