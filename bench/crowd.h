/* crowd.h - the shoppers of a run: their names, tokens, and what each of them wants.
 *
 * Tokens are signed before the clock starts and lie in one arena, equally long: shopper ids are
 * zero-padded, and an id leads back to its number, so neither the journal nor the comparison with
 * MariaDB needs a look-up. Whatever else tells shoppers apart (kind, item, habits) follows from the
 * number. Immutable once made.
 */
#pragma once

#include "options.h"

#include "base/status.h"
#include "base/str.h"

enum {
    CROWD_TAG_LEN = 10,
    CROWD_SALE_MAX = SCENARIO_NAME_MAX + 1 + CROWD_TAG_LEN,
    CROWD_SHOPPER_LEN = CROWD_TAG_LEN + 9,
    CROWD_SKU_LEN = 9, /* "unit-0001" */
};

/* Salts of crowd_share. */
enum { CROWD_ASYNC = 1, CROWD_AGAIN, CROWD_KIND, CROWD_ITEM };

struct crowd {
    char tag[CROWD_TAG_LEN + 1];   /* unique to the run */
    char sale[CROWD_SALE_MAX + 1]; /* the scenario's name and the tag */
    uint32_t items;
    double *popularity; /* per item: the share of shoppers who want it or one before it */
    char *tokens;       /* n * token_len bytes */
    size_t token_len;
    uint32_t n; /* shoppers */
};

/* Names the run and signs n tokens. ST_OK; ST_INVALID_REQUEST when the signing key's id is not
 * valid; ST_INTERNAL without memory. */
STATUS_MUSTCHECK
enum status crowd_create(struct crowd *c, const struct options *o, const struct scenario *s,
                         uint32_t n);
void crowd_fini(struct crowd *c);

static inline struct str crowd_token(const struct crowd *c, uint32_t shopper)
{
    return (struct str){c->tokens + shopper * c->token_len, c->token_len};
}

/* A number below `below` that the shopper keeps; another salt draws independently. */
uint32_t crowd_draw(uint32_t shopper, uint32_t salt, uint32_t below);
/* Whether the shopper belongs to a share of the crowd. */
bool crowd_share(uint32_t shopper, uint32_t salt, uint32_t percent);
/* The number of the item that he wants. */
uint32_t crowd_item(const struct crowd *c, uint32_t shopper);
/* Writes CROWD_SKU_LEN bytes and a NUL. */
void crowd_sku(uint32_t item, char out[CROWD_SKU_LEN + 1]);
/* Writes CROWD_SHOPPER_LEN bytes and a NUL. */
void crowd_id(const struct crowd *c, uint32_t shopper, char out[CROWD_SHOPPER_LEN + 1]);
/* The number of a shopper id of this run; false when it is somebody else's. */
bool crowd_shopper(const struct crowd *c, struct str id, uint32_t *shopper);
