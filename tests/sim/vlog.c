/* The service's log, into the trace. */
#include "base/log.h"
#include "sim.h"

#include <stdio.h>
#include <string.h>

void log_write(struct log *lg, enum log_level level, const char *event, struct str request_id,
               const struct log_field *fields, unsigned n)
{
    char text[300] = "";
    size_t at = 0;
    /* The patrol is there for what nobody thought of; here, whatever it finds is a fault. */
    if (strcmp(event, "shard_healed") == 0 && !sim_unnoticed)
        sim_fail("P4: the patrol had to heal a shard");
    if (!sim_tracing)
        return;
    for (unsigned i = 0; i < n && at < sizeof(text) - 80; i++)
        at += (size_t)(fields[i].type == LOG_F_INT
                           ? snprintf(text + at, sizeof(text) - at, " %s=%lld", fields[i].key,
                                      (long long)fields[i].i)
                           : snprintf(text + at, sizeof(text) - at, " %s=%.*s", fields[i].key,
                                      (int)fields[i].s.n, fields[i].s.p));
    sim_trace("log %s%s", event, text);
}
