#include "flow/accounts.h"

#include "base/clock.h"
#include "base/hmac.h"

enum { SECRET_MAX = 256 };

static bool on_number(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return true;
}

static enum status find_storefront(struct session *s, struct str id, int64_t *no)
{
    const struct sql_val key[] = {SQL_STR(id)};
    *no = 0;
    return sql_run(s->sql, "SELECT no FROM storefronts WHERE id = ?", key, 1, on_number, no, NULL);
}

/* The number of a storefront, made now if it is new; in the caller's transaction. */
static enum status need_storefront(struct session *s, struct str id, int64_t *no)
{
    enum status st = find_storefront(s, id, no);
    if (st != ST_OK || *no != 0)
        return st;
    st = sql_run(s->sql, "UPDATE counters SET n = n + 1 WHERE name = 'storefront'", NULL, 0, NULL,
                 NULL, NULL);
    if (st == ST_OK)
        st = sql_run(s->sql, "SELECT n FROM counters WHERE name = 'storefront' FOR UPDATE", NULL, 0,
                     on_number, no, NULL);
    const struct sql_val row[] = {SQL_INT(*no), SQL_STR(id), SQL_INT(clock_wall_ms())};
    return st == ST_OK
               ? sql_run(s->sql, "INSERT INTO storefronts (no, id, created_ms) VALUES (?, ?, ?)",
                         row, 3, NULL, NULL, NULL)
               : st;
}

static enum status add_key(struct session *s, struct str key, int64_t storefront, const char *role,
                           bool demo)
{
    uint8_t hash[SHA256_LEN];
    sha256(key, hash);
    const struct sql_val row[] = {SQL_BYTES(hash, sizeof(hash)), SQL_INT(storefront), SQL_Z(role),
                                  SQL_INT(demo), SQL_INT(clock_wall_ms())};
    return sql_run(s->sql,
                   "INSERT IGNORE INTO api_keys (hash, storefront, role, demo, created_ms) "
                   "VALUES (?, ?, ?, ?, ?)",
                   row, 5, NULL, NULL, NULL);
}

static enum status add_signing(struct session *s, const uint8_t master_key[SEAL_KEY_LEN],
                               int64_t storefront, const struct new_storefront *wish)
{
    uint8_t sealed[SECRET_MAX + SEAL_OVERHEAD];
    if (wish->signing.n > SECRET_MAX)
        return ST_INVALID_REQUEST;
    enum status st = seal(master_key, wish->kid, wish->signing, sealed);
    if (st != ST_OK)
        return st;
    const struct sql_val row[] = {SQL_STR(wish->kid), SQL_INT(storefront),
                                  SQL_BYTES(sealed, wish->signing.n + SEAL_OVERHEAD),
                                  SQL_INT(wish->demo), SQL_INT(clock_wall_ms())};
    return sql_run(s->sql,
                   "INSERT IGNORE INTO signing_keys (kid, storefront, sealed, demo, created_ms) "
                   "VALUES (?, ?, ?, ?, ?)",
                   row, 5, NULL, NULL, NULL);
}

static enum status end(struct session *s, enum status st)
{
    if (st == ST_OK)
        st = catalog_touch(s->sql);
    if (st == ST_OK)
        return sql_commit(s->sql);
    sql_rollback(s->sql);
    return st;
}

enum status accounts_add_storefront(struct session *s, const uint8_t master_key[SEAL_KEY_LEN],
                                    const struct new_storefront *wish)
{
    int64_t no = 0;
    enum status st = sql_begin(s->sql);
    if (st != ST_OK)
        return st;
    st = need_storefront(s, wish->id, &no);
    if (st == ST_OK && wish->key.n > 0)
        st = add_key(s, wish->key, no, "storefront", wish->demo);
    if (st == ST_OK && wish->kid.n > 0)
        st = add_signing(s, master_key, no, wish);
    return end(s, st);
}

enum status accounts_add_operator(struct session *s, struct str key, bool demo)
{
    enum status st = sql_begin(s->sql);
    return st == ST_OK ? end(s, add_key(s, key, 0, "operator", demo)) : st;
}
