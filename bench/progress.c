#include "progress.h"

#include <inttypes.h>

bool progress_open(const char *path, FILE **out)
{
    *out = path ? fopen(path, "we") : NULL;
    return !path || *out;
}

void progress_write(FILE *out, const struct load_now *now, int64_t now_us)
{
    const uint64_t *n = now->counts;
    if (!out) {
        return;
    }
    fprintf(out,
            "{\"t\":%.6f,\"fresh\":%.6f,\"shoppers\":%" PRIu64 ",\"sent\":%" PRIu64
            ",\"acked\":%" PRIu64 ",\"queued\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"errors\":%" PRIu64 ",\"unanswered\":%" PRIu64 "}\n",
            (double)now_us / 1e6, (double)now->moments[AT_FRESH] / 1e6, n[COUNT_SHOPPERS],
            n[COUNT_SENT], n[COUNT_ORDERS], n[COUNT_QUEUED], n[COUNT_REFUSALS], n[COUNT_ERRORS],
            n[COUNT_LOST] + n[COUNT_TIMEOUTS]);
    fflush(out);
}

void progress_close(FILE **out)
{
    if (*out) {
        fclose(*out);
        *out = NULL;
    }
}
