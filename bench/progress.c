#include "progress.h"

#include <inttypes.h>

bool progress_open(const char *path, FILE **out)
{
    *out = path ? fopen(path, "we") : NULL;
    return !path || *out;
}

void progress_write(FILE *out, const struct rush *r, int64_t now_us)
{
    if (!out) {
        return;
    }
    fprintf(out,
            "{\"t\":%.6f,\"fresh\":%.6f,\"shoppers\":%" PRIu64 ",\"sent\":%" PRIu64
            ",\"acked\":%" PRIu64 ",\"queued\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"errors\":%" PRIu64 ",\"unanswered\":%" PRIu64 "}\n",
            (double)now_us / 1e6, (double)r->fresh_us / 1e6, r->shoppers, r->sent, r->orders,
            r->queued, r->refusals, r->errors_all, r->lost + r->timeouts);
    fflush(out);
}

void progress_close(FILE **out)
{
    if (*out) {
        fclose(*out);
        *out = NULL;
    }
}
