/* ctl.h - what the verbs of snapupctl share: what was asked for, one HTTP call, exit codes.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

/* Exit codes; scripts rely on them. */
enum {
    CTL_OK = 0,
    CTL_WARNING = 1,     /* works, but something wants a look */
    CTL_FAILING = 2,     /* does not work, a promise is broken, or we may not know */
    CTL_UNREACHABLE = 3, /* nobody answered, or not Snapup */
    CTL_USAGE = 64,
};

struct ctl {
    const char *url; /* of the service, or unix:/path of its socket */
    const char *key; /* bearer credential, or NULL */
    long wait_s;     /* audit: for pending work to settle */
    bool json;       /* output for programs */
    int argc;        /* words behind the verb */
    char **argv;
};

/* GETs path. Returns the HTTP status, or 0 when nobody answered and error has a sentence. body is
 * appended to (initialised by the caller, whose it is). */
long ctl_get(const struct ctl *ctl, const char *path, struct buf *body, char *error, size_t size);

/* Says on stderr, or in JSON on stdout, why there is nothing to show. Returns code. */
int ctl_complain(const struct ctl *ctl, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Verbs; each returns an exit code. */
int ctl_doctor(const struct ctl *ctl);
int ctl_audit(const struct ctl *ctl);
