#include "flow/idempotency.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/hmac.h"
#include "flow/engine.h"

#include <stdlib.h>

enum { TAKE_OVER_MS = 30000 };

struct earlier {
    const struct idem_key *key;
    struct idem *out;
    struct buf *body;
    bool found, same;
    int64_t started_ms;
};

void idem_hash(struct str a, struct str b, uint8_t out[KEY_LEN])
{
    uint8_t halves[2 * SHA256_LEN], full[SHA256_LEN];
    sha256(a, halves);
    sha256(b, halves + SHA256_LEN);
    sha256((struct str){(char *)halves, sizeof(halves)}, full);
    memcpy(out, full, KEY_LEN);
}

static bool on_earlier(void *arg, const struct sql_val *c, unsigned n)
{
    struct earlier *e = arg;
    e->found = true;
    e->same = c[0].s.n == KEY_LEN && memcmp(c[0].s.p, e->key->fingerprint, KEY_LEN) == 0;
    memcpy(e->out->resource.b, c[1].s.p, UID_LEN);
    e->out->status = (uint16_t)c[2].i;
    e->out->replay = c[2].i != 0;
    if (e->same && e->out->replay)
        buf_add(e->body, c[3].s);
    e->started_ms = c[4].i;
    return true;
}

static enum status look_up(struct session *s, const struct idem_key *k, struct earlier *e)
{
    const struct sql_val key[] = {SQL_INT(k->storefront), SQL_STR(k->caller), SQL_Z(k->route),
                                  SQL_BYTES(k->idem, KEY_LEN)};
    return sql_run(s->sql,
                   "SELECT fingerprint, resource, status, body, started_ms FROM idempotency "
                   "WHERE storefront = ? AND caller = ? AND route = ? AND idem = ?",
                   key, 4, on_earlier, e, NULL);
}

/* One of those who come after the time takes it up: the guarded UPDATE picks him. */
static enum status take_over(struct session *s, const struct idem_key *k, int64_t started_ms,
                             int64_t now)
{
    uint64_t changed = 0;
    const struct sql_val args[] = {
        SQL_INT(now),    SQL_INT(k->storefront),      SQL_STR(k->caller),
        SQL_Z(k->route), SQL_BYTES(k->idem, KEY_LEN), SQL_INT(started_ms)};
    enum status st =
        sql_run(s->sql,
                "UPDATE idempotency SET started_ms = ? WHERE storefront = ? AND "
                "caller = ? AND route = ? AND idem = ? AND status = 0 AND started_ms = ?",
                args, 6, NULL, NULL, &changed);
    return st == ST_OK && changed == 0 ? ST_IDEMPOTENCY_IN_PROGRESS : st;
}

static enum status judge_earlier(struct session *s, const struct idem_key *key, struct idem *out,
                                 struct buf *body, int64_t now)
{
    struct earlier e = {.key = key, .out = out, .body = body};
    const struct uid ours = out->resource;
    enum status st = look_up(s, key, &e);
    if (st != ST_OK)
        return st;
    if (!e.found)
        return ST_IDEMPOTENCY_IN_PROGRESS; /* abandoned this moment */
    if (!e.same)
        return ST_IDEMPOTENCY_MISMATCH;
    if (out->replay)
        return ST_OK;
    out->resumed = true;
    if (uid_equal(&out->resource, &ours))
        return ST_OK; /* this very claim: the answer to its COMMIT was lost */
    if (now - e.started_ms < TAKE_OVER_MS)
        return ST_IDEMPOTENCY_IN_PROGRESS;
    return take_over(s, key, e.started_ms, now);
}

enum status idem_begin(struct session *s, const struct idem_key *key, struct idem *out,
                       struct buf *body)
{
    int64_t now = clock_wall_ms();
    *out = (struct idem){.resource = uid_make(s->ids, now)};
    if (!key->given)
        return ST_OK;
    const struct sql_val row[] = {SQL_INT(key->storefront),
                                  SQL_STR(key->caller),
                                  SQL_Z(key->route),
                                  SQL_BYTES(key->idem, KEY_LEN),
                                  SQL_BYTES(key->fingerprint, KEY_LEN),
                                  SQL_BYTES(out->resource.b, UID_LEN),
                                  SQL_INT(now)};
    enum status st = sql_run(s->sql,
                             "INSERT INTO idempotency (storefront, caller, route, idem, "
                             "fingerprint, resource, status, body, started_ms) "
                             "VALUES (?, ?, ?, ?, ?, ?, 0, '', ?)",
                             row, 7, NULL, NULL, NULL);
    CRASH_POINT(idem_after_claim);
    return st == ST_DUPLICATE ? judge_earlier(s, key, out, body, now) : st;
}

void idem_finish(struct session *s, const struct idem_key *k, uint16_t status, struct str body)
{
    if (!k->given)
        return;
    CRASH_POINT(idem_before_finish);
    const struct sql_val args[] = {SQL_INT(status),        SQL_STR(body),
                                   SQL_INT(k->storefront), SQL_STR(k->caller),
                                   SQL_Z(k->route),        SQL_BYTES(k->idem, KEY_LEN)};
    if (sql_run(s->sql,
                "UPDATE idempotency SET status = ?, body = ? WHERE storefront = ? AND caller = ? "
                "AND route = ? AND idem = ?",
                args, 6, NULL, NULL, NULL) != ST_OK)
        LOG(s->engine->log, LOG_WARN, "idempotency_not_kept", LF_Z("route", k->route));
}

bool idem_abandon(struct session *s, const struct idem_key *k, enum status st)
{
    if (!k->given)
        return true;
    const struct sql_val key[] = {SQL_INT(k->storefront), SQL_STR(k->caller), SQL_Z(k->route),
                                  SQL_BYTES(k->idem, KEY_LEN)};
    enum status freed =
        status_info(st)->retryable
            ? sql_run(
                  s->sql,
                  "UPDATE idempotency SET started_ms = 0 WHERE storefront = ? AND caller = ? AND "
                  "route = ? AND idem = ? AND status = 0",
                  key, 4, NULL, NULL, NULL)
            : sql_run(
                  s->sql,
                  "DELETE FROM idempotency WHERE storefront = ? AND caller = ? AND route = ? AND "
                  "idem = ? AND status = 0",
                  key, 4, NULL, NULL, NULL);
    if (freed != ST_OK)
        LOG(s->engine->log, LOG_WARN, "idempotency_not_freed", LF_Z("route", k->route));
    return freed == ST_OK;
}

/* --- many at once ----------------------------------------------------------------------------- */

struct claim_row {
    struct str caller, route;
    struct uid resource;
    uint8_t idem[KEY_LEN], fingerprint[KEY_LEN];
    uint32_t storefront;
    int64_t started_ms;
};

static struct claim_row claim_row_of(const struct idem_key *key, const struct uid *resource,
                                     int64_t now_ms)
{
    struct claim_row r = {.caller = key->caller,
                          .route = str_from(key->route),
                          .resource = *resource,
                          .storefront = key->storefront,
                          .started_ms = now_ms};
    memcpy(r.idem, key->idem, KEY_LEN);
    memcpy(r.fingerprint, key->fingerprint, KEY_LEN);
    return r;
}

struct claiming {
    struct idem_claim *claim;
    unsigned n, cursor; /* next that RETURNING can name */
};

/* RETURNING names the inserted rows in the order in which they were sent. */
static bool on_claimed(void *arg, const struct sql_val *c, unsigned n)
{
    struct claiming *k = arg;
    while (k->cursor < k->n) {
        struct idem_claim *one = &k->claim[k->cursor++];
        if (memcmp(c[0].s.p, one->out.resource.b, UID_LEN) == 0) {
            one->st = ST_OK;
            break;
        }
    }
    return true;
}

static enum status insert_claims(struct session *s, struct claim_row *r, struct claiming *k)
{
    const size_t stride = sizeof(*r);
    const struct sql_col cols[] = {{SQL_C_U32, &r->storefront, stride, 0},
                                   {SQL_C_VAR, &r->caller, stride, 0},
                                   {SQL_C_VAR, &r->route, stride, 0},
                                   {SQL_C_FIXED, &r->idem, stride, KEY_LEN},
                                   {SQL_C_FIXED, &r->fingerprint, stride, KEY_LEN},
                                   {SQL_C_FIXED, &r->resource, stride, UID_LEN},
                                   {SQL_C_I64, &r->started_ms, stride, 0}};
    return sql_run_bulk(s->sql,
                        "INSERT IGNORE INTO idempotency (storefront, caller, route, idem, "
                        "fingerprint, resource, status, body, started_ms) "
                        "VALUES (?, ?, ?, ?, ?, ?, 0, '', ?) RETURNING resource",
                        cols, 7, k->n, on_claimed, k, NULL);
}

enum status idem_begin_group(struct session *s, struct idem_claim *claims, unsigned n)
{
    struct claiming k = {claims, n, 0};
    int64_t now = clock_wall_ms();
    struct claim_row *rows = malloc(n * sizeof(*rows));
    if (!rows)
        return ST_OVERLOADED;
    for (unsigned i = 0; i < n; i++) {
        claims[i].out = (struct idem){.resource = claims[i].out.resource};
        claims[i].st = ST_DUPLICATE;
        rows[i] = claim_row_of(claims[i].key, &claims[i].out.resource, now);
    }
    enum status st = insert_claims(s, rows, &k);
    for (unsigned i = 0; i < n && st == ST_OK; i++) {
        struct idem_claim *c = &claims[i];
        if (c->st != ST_DUPLICATE)
            continue;
        c->st = judge_earlier(s, c->key, &c->out, c->body, now);
        if (c->st != ST_OK && c->st != ST_IDEMPOTENCY_MISMATCH &&
            c->st != ST_IDEMPOTENCY_IN_PROGRESS)
            st = c->st; /* MariaDB's */
    }
    free(rows);
    return st;
}

struct answer_row {
    struct claim_row claim;
    uint32_t status;
    struct str body;
};

static enum status write_answers(struct session *s, const char *text,
                                 const struct idem_answer *answers, unsigned n)
{
    int64_t now = clock_wall_ms();
    struct answer_row *r = malloc(n * sizeof(*r));
    if (!r)
        return ST_OVERLOADED;
    for (unsigned i = 0; i < n; i++)
        r[i] = (struct answer_row){claim_row_of(answers[i].key, &answers[i].resource, now),
                                   answers[i].status, answers[i].body};
    const struct claim_row *k = &r->claim;
    const size_t stride = sizeof(*r);
    const struct sql_col cols[] = {{SQL_C_U32, &k->storefront, stride, 0},
                                   {SQL_C_VAR, &k->caller, stride, 0},
                                   {SQL_C_VAR, &k->route, stride, 0},
                                   {SQL_C_FIXED, &k->idem, stride, KEY_LEN},
                                   {SQL_C_FIXED, &k->fingerprint, stride, KEY_LEN},
                                   {SQL_C_FIXED, &k->resource, stride, UID_LEN},
                                   {SQL_C_U32, &r->status, stride, 0},
                                   {SQL_C_VAR, &r->body, stride, 0},
                                   {SQL_C_I64, &k->started_ms, stride, 0}};
    enum status st = sql_run_bulk(s->sql, text, cols, 9, n, NULL, NULL, NULL);
    free(r);
    return st;
}

#define INSERT_ANSWERS                                                        \
    "INSERT INTO idempotency (storefront, caller, route, idem, fingerprint, " \
    "resource, status, body, started_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

enum status idem_finish_group(struct session *s, const struct idem_answer *answers, unsigned n)
{
    CRASH_POINT(idem_before_finish);
    /* An UPDATE in fact, for the rows are there: MariaDB takes an array of INSERTs as one statement
     * and runs one of UPDATEs one after the other. */
    return write_answers(
        s, INSERT_ANSWERS " ON DUPLICATE KEY UPDATE status = VALUES(status), body = VALUES(body)",
        answers, n);
}

enum status idem_claim_group(struct session *s, const struct idem_answer *answers, unsigned n)
{
    return write_answers(s, INSERT_ANSWERS, answers, n);
}
