#include "flow/group.h"

enum { TRIES = 3 };

/* A row's own fault, or a quarrel over one: the others need not suffer. */
static bool fails_alone(enum status st)
{
    return st == ST_CONFLICT || st == ST_DUPLICATE || st == ST_INTERNAL;
}

void group_run(struct session *s, const struct group_kind *kind, void *ctx, struct job **jobs,
               unsigned n)
{
    enum status st = ST_OK;
    bool careful = false;
    for (unsigned i = 0; i < TRIES && n > 0; i++) {
        st = kind->once(ctx, jobs, n, careful);
        if (st == ST_OK || st == ST_UNAVAILABLE || st == ST_OVERLOADED)
            break;
        metrics_add(s->metrics, M_GROUP_FALLBACKS, 1);
        if (n > 1 && fails_alone(st) && (careful || st != ST_DUPLICATE)) {
            group_run(s, kind, ctx, jobs, n / 2);
            group_run(s, kind, ctx, jobs + n / 2, n - n / 2);
            return;
        }
        careful = true;
    }
    if (n > 0)
        kind->ended(ctx, jobs, n, st);
}
