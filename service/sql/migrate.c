#include "sql/migrate.h"

#include "base/clock.h"
#include "sql/migrate_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum { OWNER_LEN = 16, WAIT_MS = 60000, POLL_MS = 50 };

/* The lease outlasts a statement many times over; an instance that died holds up the others this
 * long. */
#define LEASE_MS "30000"

/* `turns` makes every renewal a change, so that the count of changed rows tells who holds the
 * lease. */
static const char *const own_tables[] = {
    "CREATE TABLE IF NOT EXISTS schema_migrations (number INT UNSIGNED NOT NULL PRIMARY KEY,"
    " name VARBINARY(255) NOT NULL, sha256 BINARY(32) NOT NULL, applied_ms BIGINT NOT NULL)"
    " ENGINE = InnoDB",
    ("CREATE TABLE IF NOT EXISTS schema_lease (id TINYINT NOT NULL PRIMARY KEY,"
     " owner BINARY(16) NOT NULL, until_ms BIGINT NOT NULL, turns BIGINT NOT NULL) ENGINE = "
     "InnoDB"),
    "INSERT IGNORE INTO schema_lease (id, owner, until_ms, turns) VALUES (1, '', 0, 0)",
};

struct migration {
    struct sql *sql;
    struct log *log;
    struct migration_files files;
    uint8_t owner[OWNER_LEN];
    unsigned recorded; /* files that schema_migrations knows */
    unsigned applied;  /* now, by us */
    char *error;
    size_t size;
};

/* --- messages --- */

static enum status sql_problem(struct migration *m, const char *what, enum status st)
{
    snprintf(m->error, m->size, "%s: %u %s", what, sql_errno(m->sql), sql_error(m->sql));
    return st;
}

static enum status statement_problem(struct migration *m, const struct migration_file *f,
                                     unsigned line, enum status st)
{
    snprintf(m->error, m->size,
             "%s, line %u: %u %s. Statements before it took effect, the file is not recorded.",
             f->name, line, sql_errno(m->sql), sql_error(m->sql));
    return st;
}

/* --- the lease --- */

static enum status lease_update(struct migration *m, const char *text, bool *held)
{
    struct sql_val owner = SQL_BYTES(m->owner, OWNER_LEN);
    uint64_t changed = 0;
    enum status st =
        sql_run(m->sql, text, (struct sql_val[]){owner, owner}, 2, NULL, NULL, &changed);
    *held = changed == 1;
    return st == ST_OK ? st : sql_problem(m, "schema_lease", st);
}

static enum status lease_take(struct migration *m, bool *held)
{
    return lease_update(m,
                        "UPDATE schema_lease SET owner = ?, turns = turns + 1,"
                        " until_ms = " SQL_NOW_MS " + " LEASE_MS " WHERE id = 1"
                        " AND (owner = ? OR until_ms < " SQL_NOW_MS ")",
                        held);
}

static enum status lease_renew(struct migration *m)
{
    bool held;
    enum status st =
        lease_update(m,
                     "UPDATE schema_lease SET owner = ?, turns = turns + 1,"
                     " until_ms = " SQL_NOW_MS " + " LEASE_MS " WHERE id = 1 AND owner = ?",
                     &held);
    if (st == ST_OK && !held) {
        snprintf(m->error, m->size, "another instance took the schema lease over; start again");
        st = ST_CONFLICT;
    }
    return st;
}

/* Nobody needs to wait for the rest of the lease. Should it fail, it lapses. */
static void lease_release(struct migration *m)
{
    (void)!sql_run(m->sql, "UPDATE schema_lease SET until_ms = 0 WHERE id = 1 AND owner = ?",
                   (struct sql_val[]){SQL_BYTES(m->owner, OWNER_LEN)}, 1, NULL, NULL, NULL);
}

/* --- what was done before --- */

struct record_check {
    struct migration *m;
    unsigned seen;
    bool refused;
};

static bool refuse(struct record_check *check, const struct sql_val *name, int64_t number,
                   const char *why)
{
    snprintf(check->m->error, check->m->size, "%.*s (recorded as number %lld): %s", (int)name->s.n,
             name->s.p, (long long)number, why);
    check->refused = true;
    return false;
}

static bool check_record(void *arg, const struct sql_val *v, unsigned n)
{
    struct record_check *check = arg;
    const struct migration_files *files = &check->m->files;
    int64_t number = v[0].i;
    if (number != check->seen + 1)
        return refuse(check, &v[1], number, "a record before it is missing from schema_migrations");
    if (number > files->n)
        return refuse(check, &v[1], number,
                      "was applied, but its file is missing; is this an old version?");
    if (!str_equal(v[2].s, (struct str){(const char *)files->v[number - 1].sha, SHA256_LEN}))
        return refuse(
            check, &v[1], number,
            "was applied, but its file has changed since; put it back and add a new file");
    check->seen++;
    return true;
}

static enum status read_records(struct migration *m)
{
    struct record_check check = {.m = m};
    enum status st =
        sql_run(m->sql, "SELECT number, name, sha256 FROM schema_migrations ORDER BY number", NULL,
                0, check_record, &check, NULL);
    if (st != ST_OK)
        return sql_problem(m, "schema_migrations", st);
    if (check.refused)
        return ST_INVALID_REQUEST;
    m->recorded = check.seen;
    return ST_OK;
}

/* --- applying --- */

static enum status apply_statements(struct migration *m, const struct migration_file *f)
{
    struct str rest = {f->text, f->n}, statement;
    unsigned line = 0, at = 0;
    while (migration_next(&rest, &line, &statement, &at)) {
        enum status st = lease_renew(m);
        if (st != ST_OK)
            return st;
        st = sql_exec(m->sql, statement);
        if (st != ST_OK)
            return statement_problem(m, f, at, st);
    }
    return ST_OK;
}

/* Before anything of the file takes effect. */
static enum status check_whole(struct migration *m, const struct migration_file *f)
{
    struct str rest = {f->text, f->n}, statement;
    unsigned line = 0, at = 0, n = 0;
    while (migration_next(&rest, &line, &statement, &at))
        n++;
    if (n && !rest.n)
        return ST_OK;
    if (n || rest.n)
        snprintf(m->error, m->size,
                 "%s, line %u: the statement does not end in `;` at the end of a line", f->name,
                 at);
    else
        snprintf(m->error, m->size, "%s has no statement", f->name);
    return ST_INVALID_REQUEST;
}

static enum status apply_file(struct migration *m, const struct migration_file *f)
{
    enum status st = check_whole(m, f);
    if (st == ST_OK)
        st = lease_renew(m);
    if (st == ST_OK)
        st = apply_statements(m, f);
    if (st != ST_OK)
        return st;
    st = sql_run(
        m->sql,
        "INSERT INTO schema_migrations (number, name, sha256, applied_ms)"
        " VALUES (?, ?, ?, " SQL_NOW_MS ")",
        (struct sql_val[]){SQL_INT(f->number), SQL_Z(f->name), SQL_BYTES(f->sha, SHA256_LEN)}, 3,
        NULL, NULL, NULL);
    if (st != ST_OK)
        return sql_problem(m, f->name, st);
    m->recorded++;
    m->applied++;
    LOG(m->log, LOG_INFO, "migration_applied", LF_Z("file", f->name));
    return ST_OK;
}

/* With the lease. Another instance may have finished since the records were read. */
static enum status apply_rest(struct migration *m)
{
    enum status st = read_records(m);
    while (st == ST_OK && m->recorded < m->files.n)
        st = apply_file(m, &m->files.v[m->recorded]);
    return st;
}

/* --- waiting for one's turn --- */

static enum status prepare(struct migration *m)
{
    for (unsigned i = 0; i < sizeof(own_tables) / sizeof(own_tables[0]); i++) {
        enum status st = sql_exec(m->sql, str_from(own_tables[i]));
        if (st != ST_OK)
            return sql_problem(m, "MariaDB", st);
    }
    return ST_OK;
}

static enum status bring_up(struct migration *m, int64_t wait_ms)
{
    const int64_t deadline_us = clock_mono_us() + wait_ms * 1000;
    for (;;) {
        enum status st = read_records(m);
        if (st != ST_OK || m->recorded == m->files.n)
            return st;
        bool held = false;
        st = lease_take(m, &held);
        if (st != ST_OK)
            return st;
        if (held) {
            st = apply_rest(m);
            lease_release(m);
            return st;
        }
        if (clock_mono_us() > deadline_us) {
            snprintf(m->error, m->size,
                     "another instance has been migrating for %lld s; see schema_lease",
                     (long long)(wait_ms / 1000));
            return ST_BUSY;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

enum status migrate_run_within(struct sql *s, const char *dir, struct log *log, unsigned *applied,
                               char *error, size_t size, int64_t wait_ms)
{
    struct migration m = {.sql = s, .log = log, .error = error, .size = size};
    if (getrandom(m.owner, sizeof(m.owner), 0) != sizeof(m.owner)) {
        snprintf(error, size, "no random bytes");
        return ST_INTERNAL;
    }
    enum status st = migration_files_read(dir, &m.files, error, size);
    if (st == ST_OK)
        st = prepare(&m);
    if (st == ST_OK)
        st = bring_up(&m, wait_ms);
    migration_files_free(&m.files);
    if (st == ST_OK && applied)
        *applied = m.applied;
    return st;
}

enum status migrate_run(struct sql *s, const char *dir, struct log *log, unsigned *applied,
                        char *error, size_t size)
{
    return migrate_run_within(s, dir, log, applied, error, size, WAIT_MS);
}
