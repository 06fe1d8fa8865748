/* crowd.h - the shoppers of a rush and the request bytes of each, made before the clock starts.
 *
 * One arena holds one complete request per shopper. Shopper ids are zero-padded, so all requests
 * are equally long and shopper i's begins at i * stride; the id leads back to the number, so
 * neither the journal nor the comparison with MariaDB needs a lookup. Immutable once made.
 */
#pragma once

#include "options.h"

#include "base/status.h"
#include "base/str.h"

enum {
    CROWD_TAG_LEN = 10,
    CROWD_SALE_LEN = CROWD_TAG_LEN + 5,
    CROWD_SHOPPER_LEN = CROWD_TAG_LEN + 9
};

/* Salts of crowd_share. */
enum { CROWD_ASYNC = 1, CROWD_AGAIN = 2 };

#define CROWD_SKU "unit"

struct crowd {
    char tag[CROWD_TAG_LEN + 1];   /* unique to the run */
    char sale[CROWD_SALE_LEN + 1]; /* "rush-" and the tag */
    char *arena;                   /* n * stride bytes */
    size_t stride;                 /* bytes of one request */
    uint32_t n;                    /* shoppers */
};

/* Names the run: fills tag and sale. */
void crowd_name(struct crowd *c);
/* Signs the tokens and writes the requests. ST_OK; ST_INVALID_REQUEST when the signing key's id is
 * not valid; ST_INTERNAL without memory. */
STATUS_MUSTCHECK
enum status crowd_fill(struct crowd *c, const struct options *o);
void crowd_fini(struct crowd *c);

static inline struct str crowd_request(const struct crowd *c, uint32_t shopper)
{
    return (struct str){c->arena + shopper * c->stride, c->stride};
}

/* Whether the shopper belongs to a share of the crowd; another salt draws another share. */
bool crowd_share(uint32_t shopper, uint32_t salt, uint32_t percent);
/* The number of a shopper id of this run; false when it is somebody else's. */
bool crowd_shopper(const struct crowd *c, struct str id, uint32_t *shopper);
