#include "base/status.h"

#include <assert.h>

static const struct status_info rows[ST_COUNT] = {
#define X(name, http, code, retryable, title) [ST_##name] = {#name, http, retryable, code, title},
    STATUS_TABLE(X)
#undef X
};

const struct status_info *status_info(enum status st)
{
    assert((unsigned)st < ST_COUNT);
    return &rows[st];
}
