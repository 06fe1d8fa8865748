#include "flow/lease.h"

#include "base/clock.h"
#include "flow/engine.h"

static bool on_time(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return true;
}

/* Orders are named and expire by wall time: all instances go by MariaDB's. */
enum status lease_follow_clock(struct session *s)
{
    int64_t shared_ms = 0, from_ms = clock_wall_ms(), from_us = clock_mono_us();
    enum status st = sql_run(s->sql, "SELECT " SQL_NOW_MS, NULL, 0, on_time, &shared_ms, NULL);
    int64_t took_ms = (clock_mono_us() - from_us) / 1000;
    if (st != ST_OK)
        return st;
    int64_t step_ms = clock_follow(shared_ms, from_ms + took_ms / 2, took_ms);
    if (step_ms != 0)
        LOG(s->engine->log, LOG_WARN, "clock_corrected", LF_INT("step_ms", step_ms),
            LF_Z("advice", "this machine's clock and MariaDB's differ: run NTP on both"));
    return ST_OK;
}

enum status lease_renew(struct session *s)
{
    const struct uid *me = &s->engine->instance;
    const struct sql_val args[] = {SQL_BYTES(me->b, UID_LEN), SQL_BYTES(me->b, UID_LEN),
                                   SQL_INT(INSTANCE_LEASE_MS), SQL_INT(INSTANCE_LEASE_MS)};
    return sql_run(s->sql,
                   "INSERT INTO leases (name, owner, until_ms) VALUES (?, ?, " SQL_NOW_MS " + ?) "
                   "ON DUPLICATE KEY UPDATE until_ms = " SQL_NOW_MS " + ?",
                   args, 4, NULL, NULL, NULL);
}

void lease_leave(struct session *s)
{
    const struct sql_val me[] = {SQL_BYTES(s->engine->instance.b, UID_LEN)};
    if (sql_run(s->sql, "DELETE FROM leases WHERE owner = ?", me, 1, NULL, NULL, NULL) != ST_OK)
        LOG(s->engine->log, LOG_INFO, "lease_left_to_lapse", LF_INT("ms", INSTANCE_LEASE_MS));
}

enum status lease_take(struct session *s, const char *name, int64_t ms, bool *mine)
{
    uint64_t changed = 0;
    const struct uid *me = &s->engine->instance;
    const struct sql_val prolong[] = {SQL_BYTES(me->b, UID_LEN), SQL_INT(ms), SQL_Z(name),
                                      SQL_BYTES(me->b, UID_LEN)};
    const struct sql_val begin[] = {SQL_Z(name), SQL_BYTES(me->b, UID_LEN), SQL_INT(ms)};
    enum status st = sql_run(s->sql,
                             "UPDATE leases SET owner = ?, until_ms = " SQL_NOW_MS " + ? "
                             "WHERE name = ? AND (owner = ? OR until_ms < " SQL_NOW_MS ")",
                             prolong, 4, NULL, NULL, &changed);
    if (st == ST_OK && changed == 0)
        st = sql_run(s->sql,
                     "INSERT IGNORE INTO leases (name, owner, until_ms) "
                     "VALUES (?, ?, " SQL_NOW_MS " + ?)",
                     begin, 3, NULL, NULL, &changed);
    *mine = st == ST_OK && changed > 0;
    return st;
}
