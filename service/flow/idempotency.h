/* idempotency.h - one key, one effect, one answer, for POSTs other than orders.
 *
 * begin ─▶ work under the chosen resource id ─▶ finish (keeps the answer) or abandon (refusals are
 * not kept). A try that died between begin and finish is taken up by the next one after a while,
 * under the same resource id, which the work uses to notice what was done.
 */
#pragma once

#include "base/buf.h"
#include "base/ids.h"
#include "flow/jobs.h"
#include "redis/row.h"

struct idem_key {
    uint32_t storefront;
    struct str caller; /* shopper, or empty */
    const char *route;
    uint8_t idem[KEY_LEN];
    uint8_t fingerprint[KEY_LEN]; /* of path and body */
    bool given;                   /* false: no header; begin only makes an id */
};

struct idem {
    struct uid resource;
    bool resumed; /* an earlier try under this id may have got somewhere */
    bool replay;  /* finished before: answer status and body */
    uint16_t status;
};

/* ST_OK; ST_IDEMPOTENCY_MISMATCH; ST_IDEMPOTENCY_IN_PROGRESS. A replayed body is appended to body.
 */
STATUS_MUSTCHECK
enum status idem_begin(struct session *s, const struct idem_key *key, struct idem *out,
                       struct buf *body);
/* Failures are logged only: the effect stands, and a later try finds it by the resource id. */
void idem_finish(struct session *s, const struct idem_key *key, uint16_t status, struct str body);
/* After a failure with st: a definite refusal frees the key; where something may have been done,
 * the next try is to take it up at once, under the same resource id. False: MariaDB did not do it
 * (logged), and the key has to wait for its time. */
bool idem_abandon(struct session *s, const struct idem_key *key, enum status st);

/* The same for many keys at once, inside a transaction of the caller's, whose end is theirs.
 * begin_group ─▶ work ─▶ finish_group; or work, then claim_group alone, where keys that were here
 * before may cost the work. */
struct idem_claim {
    const struct idem_key *key; /* given */
    struct idem out;            /* in: resource, the id to choose */
    struct buf *body;
    enum status st; /* as idem_begin's */
};
STATUS_MUSTCHECK
enum status idem_begin_group(struct session *s, struct idem_claim *claims, unsigned n);
struct idem_answer {
    const struct idem_key *key; /* given */
    struct uid resource;
    uint16_t status;
    struct str body;
};
STATUS_MUSTCHECK
enum status idem_finish_group(struct session *s, const struct idem_answer *answers, unsigned n);
/* Claims the keys and keeps their answers; status 0 claims alone. ST_DUPLICATE: a key was here
 * before, and the transaction is not to be committed. */
STATUS_MUSTCHECK
enum status idem_claim_group(struct session *s, const struct idem_answer *answers, unsigned n);

/* First half of SHA-256: key and fingerprint. */
void idem_hash(struct str a, struct str b, uint8_t out[KEY_LEN]);
