/* audit - were all promises kept for a sale? */
#include "ctl.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>

enum { BODY_MAX = 4 << 20, ERROR_MAX = 300, PATH_LEN = 512 };

static void print_checks(const json_t *audit)
{
    size_t i;
    json_t *check;
    json_array_foreach(json_object_get(audit, "checks"), i, check)
    {
        const char *name = "?", *promise = "?";
        int ok = 0;
        json_int_t expected = 0, found = 0;
        json_unpack(check, "{s:s, s:s, s:b, s:I, s:I}", "name", &name, "promise", &promise, "ok",
                    &ok, "expected", &expected, "found", &found);
        printf("%-4s  %s  %-30s", ok ? "OK" : "FAIL", promise, name);
        if (ok)
            printf("  %lld\n", (long long)found);
        else
            printf("  found %lld, expected %lld\n", (long long)found, (long long)expected);
    }
}

static int refused(const struct ctl *ctl, long status, const json_t *problem)
{
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    if (status == 401 && !ctl->key)
        return ctl_complain(
            ctl, CTL_FAILING,
            "a key is needed: put a storefront's or an operator's into SNAPUPCTL_KEY "
            "or name its file with --key-file");
    return ctl_complain(ctl, CTL_FAILING, "%s: %s (status %ld)", ctl->argv[0],
                        detail ? detail : "refused", status);
}

static int show(const struct ctl *ctl, const json_t *audit)
{
    bool ok = json_is_true(json_object_get(audit, "ok"));
    if (ctl->json) {
        json_dumpf(audit, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_checks(audit);
        printf("%s: %s\n", ctl->argv[0], ok ? "every promise is kept" : "A PROMISE IS BROKEN");
    }
    return ok ? CTL_OK : CTL_FAILING;
}

int ctl_audit(const struct ctl *ctl)
{
    char error[ERROR_MAX], path[PATH_LEN];
    struct buf body;
    char *sale = curl_easy_escape(NULL, ctl->argv[0], 0);
    snprintf(path, sizeof(path), "/v1/sales/%.300s/audit?wait=%ld", sale ? sale : "", ctl->wait_s);
    curl_free(sale);
    buf_init(&body, BODY_MAX);
    long status = ctl_get(ctl, path, &body, error, sizeof(error));
    json_t *answer = json_loadb(body.data ? body.data : "", body.len, JSON_REJECT_DUPLICATES, NULL);
    buf_fini(&body);
    int code;
    if (status == 0)
        code = ctl_complain(ctl, CTL_UNREACHABLE, "%s does not answer: %s", ctl->url, error);
    else if (status == 200 && json_is_array(json_object_get(answer, "checks")))
        code = show(ctl, answer);
    else
        code = refused(ctl, status, answer);
    json_decref(answer);
    return code;
}
