#include "run_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A day at two samples a second is some 20 MB; past this it is something else. */
static const long FILE_MAX = 64L << 20;

enum { RUN_VERSION = 1 };

/* Opened and of a size that we read. */
static FILE *open_bounded(const char *file, char *error, size_t size)
{
    FILE *in = fopen(file, "re");
    if (!in) {
        snprintf(error, size, "%s: %m", file);
        return NULL;
    }
    long length = fseek(in, 0, SEEK_END) == 0 ? ftell(in) : -1;
    if (length < 0 || length > FILE_MAX || fseek(in, 0, SEEK_SET) != 0) {
        snprintf(error, size, "%s: no regular file, or larger than %ld MB", file, FILE_MAX >> 20);
        fclose(in);
        return NULL;
    }
    return in;
}

enum status run_read(const char *file, json_t **run, char *error, size_t size)
{
    FILE *in = open_bounded(file, error, size);
    if (!in) {
        return ST_INVALID_REQUEST;
    }
    json_error_t why;
    json_t *got = json_loadf(in, JSON_REJECT_DUPLICATES, &why);
    fclose(in);
    if (!got) {
        snprintf(error, size, "%s: line %d: %s", file, why.line, why.text);
        return ST_INVALID_REQUEST;
    }
    if (strcmp(run_text(got, "object"), "run") != 0 || run_number(got, "version") != RUN_VERSION) {
        snprintf(error, size, "%s: not a run that `snapup-bench --json` wrote", file);
        json_decref(got);
        return ST_INVALID_REQUEST;
    }
    *run = got;
    return ST_OK;
}

const json_t *run_at(const json_t *run, const char *path)
{
    while (run && *path) {
        size_t n = strcspn(path, "/");
        run = json_object_getn(run, path, n);
        path += n + (path[n] == '/');
    }
    return run;
}

double run_value(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double run_number(const json_t *run, const char *path)
{
    return run_value(run_at(run, path));
}

const char *run_text(const json_t *run, const char *path)
{
    const char *text = json_string_value(run_at(run, path));
    return text ? text : "";
}
