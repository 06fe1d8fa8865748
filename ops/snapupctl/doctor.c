/* doctor - asks a running service how it is, and says what to do. */
#include "ctl.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 1 << 20, ERROR_MAX = 300 };

enum level { LEVEL_OK, LEVEL_WARN, LEVEL_FAIL };

static const char *const level_names[] = {"OK", "WARN", "FAIL"};

struct report {
    json_t *checks; /* what --json prints */
    enum level worst;
    unsigned count[LEVEL_FAIL + 1];
    bool json;
};

static void add(struct report *r, enum level level, const char *name, const char *detail)
{
    r->count[level]++;
    if (level > r->worst)
        r->worst = level;
    json_array_append_new(r->checks, json_pack("{s:s, s:s, s:s}", "name", name, "level",
                                               level_names[level], "detail", detail));
    if (!r->json)
        printf("%-4s  %-30s  %s\n", level_names[level], name, detail);
}

/* The checks of /readyz; any other value than `good` is a failure. */
static const struct {
    const char *name, *good, *is_good, *advice;
} rows[] = {
    {"sql", "ok", "MariaDB answers",
     "MariaDB does not answer: is it up, and may sql_user connect? See sql_connect_failed in the "
     "log."},
    {"redis", "ok", "Redis answers",
     "Redis does not answer: is it up, and is redis_password right? See redis_unreachable in the "
     "log."},
    {"gates", "ok", "sales are loaded",
     "a sale is being loaded into Redis. This takes seconds; if it stays so, see shard_rebuilt and "
     "redis_may_evict in the log."},
};

static void check_parts(struct report *r, const json_t *readyz)
{
    const json_t *checks = json_object_get(readyz, "checks");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *value = json_string_value(json_object_get(checks, rows[i].name));
        bool good = value && strcmp(value, rows[i].good) == 0;
        add(r, good ? LEVEL_OK : LEVEL_FAIL, rows[i].name, good ? rows[i].is_good : rows[i].advice);
    }
    if (json_is_true(json_object_get(checks, "draining")))
        add(r, LEVEL_FAIL, "draining", "the process is ending; ask the one that takes its place");
}

static void check_warnings(struct report *r, const json_t *readyz)
{
    size_t i;
    json_t *warning;
    json_array_foreach(json_object_get(readyz, "warnings"), i, warning)
    {
        const char *code = json_string_value(json_object_get(warning, "code"));
        const char *detail = json_string_value(json_object_get(warning, "detail"));
        add(r, LEVEL_WARN, code ? code : "?", detail ? detail : "");
    }
}

static int finish(struct report *r)
{
    static const char *const words[] = {"ok", "warning", "failing"};
    static const int codes[] = {CTL_OK, CTL_WARNING, CTL_FAILING};
    if (r->json) {
        json_t *all = json_pack("{s:s, s:O}", "status", words[r->worst], "checks", r->checks);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else {
        printf("%s: %u ok, %u to look at, %u failing\n", words[r->worst], r->count[LEVEL_OK],
               r->count[LEVEL_WARN], r->count[LEVEL_FAIL]);
    }
    json_decref(r->checks);
    return codes[r->worst];
}

int ctl_doctor(const struct ctl *ctl)
{
    char error[ERROR_MAX];
    struct buf body;
    buf_init(&body, BODY_MAX);
    long status = ctl_get(ctl, "/livez", &body, error, sizeof(error));
    bool alive = status == 200;
    buf_reset(&body);
    if (status != 0)
        status = ctl_get(ctl, "/readyz", &body, error, sizeof(error));
    json_t *readyz =
        status != 0 ? json_loadb(body.data ? body.data : "", body.len, JSON_REJECT_DUPLICATES, NULL)
                    : NULL;
    buf_fini(&body);
    if (status == 0)
        return ctl_complain(ctl, CTL_UNREACHABLE, "%s does not answer: %s", ctl->url, error);
    if (!json_is_object(json_object_get(readyz, "checks"))) {
        json_decref(readyz);
        return ctl_complain(
            ctl, CTL_UNREACHABLE,
            "%s answers, but not like Snapup (status %ld): is it the address of the "
            "service itself?",
            ctl->url, status);
    }
    struct report r = {.checks = json_array(), .json = ctl->json};
    add(&r, alive ? LEVEL_OK : LEVEL_FAIL, "process",
        alive ? "it answers" : "/livez is not 200: end it and start it again");
    check_parts(&r, readyz);
    check_warnings(&r, readyz);
    json_decref(readyz);
    return finish(&r);
}
