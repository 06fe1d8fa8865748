/* vredis_network.h - the virtual Redis as its connections see it: when calls arrive, and who answers.
 *
 * Between vredis_network.c (the server and what befalls it), vredis_link.c (redis/link.h, a loop's) and
 * vredis_session.c (redis/session.h, a thread's). All of it on the scheduler's one thread.
 */
#pragma once

#include "redis/link.h"
#include "redis/session.h"
#include "sim.h"
#include "vredis.h"

enum { VREDIS_LATE_US = 700000 }; /* a late call comes so long after its time-out, at most */

struct vredis_server {
    struct store_faults faults;
    unsigned process; /* which Redis answers now; its ids follow from it */
    int64_t away_until_us, refuse_until_us;
    const char *error;
    bool lost_data;
    struct rdata saved;
};
extern struct vredis_server vredis_server;

/* A call on its way. */
struct call {
    struct call *next;
    struct redis_link *link; /* NULL: a session's */
    unsigned generation;     /* of the link's connection */
    unsigned process;        /* the Redis it was sent to */
    unsigned n;
    const struct str *word;
    redisReply *reply;
    redis_reply_fn fn;
    void *arg;
    int64_t sent_us;
    bool cut_after;
};

bool vredis_is_away(void);
/* How long the next message takes. */
int64_t vredis_latency(void);
struct call *vredis_call_new(const struct args *args);
/* Done by the server; the reply is in the call. */
void vredis_execute(struct call *c);

/* Every connection of a living process ends within a moment. */
void vredis_cut_links(void);
void vredis_forget_links(void);
