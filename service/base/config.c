#include "base/config.h"

#include "base/buf.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 1 << 20 /* bytes; a larger file is not a configuration */ };

enum kind { KIND_STR, KIND_INT, KIND_BOOL };

struct row {
    const char *key;
    enum kind kind;
    const char *def; /* as it would stand in a file */
    int64_t min, max;
    const char *unit;
    unsigned flags;
    const char *help;
    size_t offset; /* of the field in struct config */
};

#define DEFAULT_STR(def)  def
#define DEFAULT_INT(def)  #def
#define DEFAULT_BOOL(def) ((def) ? "true" : "false")

static const struct row rows[] = {
#define X(kind, key, def, min, max, unit, flags, help)                \
    {#key,  KIND_##kind, DEFAULT_##kind(def),         min, max, unit, \
     flags, help,        offsetof(struct config, key)},
    CONFIG_TABLE(X)
#undef X
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* Where we are and what went wrong first. */
struct load {
    struct config *cfg;
    struct str rest;   /* text not read yet */
    int line;          /* of the file, from 1; 0 outside of it */
    bool seen[ROWS];   /* rows that the file has set */
    enum status st;    /* ST_OK until the first fault */
    char *error;       /* the fault, in a sentence */
    size_t error_size; /* bytes */
};

/* Keeps the first fault only. The sentence names keys and limits, never values: one may be a
 * secret. */
__attribute__((format(printf, 3, 4))) static enum status fail(struct load *ld, enum status st,
                                                              const char *fmt, ...)
{
    if (ld->st != ST_OK)
        return ld->st;
    ld->st = st;
    char sentence[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, args);
    va_end(args);
    if (ld->line)
        snprintf(ld->error, ld->error_size, "line %d: %s", ld->line, sentence);
    else
        snprintf(ld->error, ld->error_size, "%s", sentence);
    return st;
}

static bool is_hex(const char *z)
{
    return z[strspn(z, "0123456789abcdefABCDEF")] == '\0';
}

static bool is_master_key(const char *z)
{
    return z[0] == '\0' || (strlen(z) == 64 && is_hex(z));
}

static bool is_log_level(const char *z)
{
    return !strcmp(z, "debug") || !strcmp(z, "info") || !strcmp(z, "warn") || !strcmp(z, "error");
}

static bool is_access_log(const char *z)
{
    return !strcmp(z, "off") || !strcmp(z, "errors") || !strcmp(z, "all");
}

/* What a length cannot say about a text. */
static const struct {
    const char *key;
    bool (*good)(const char *value);
    const char *rule;
} shapes[] = {
    {"master_key", is_master_key, "empty or 64 hex digits"},
    {"log_level", is_log_level, "debug, info, warn or error"},
    {"access_log", is_access_log, "off, errors or all"},
};

static void *field_of(struct config *cfg, const struct row *row)
{
    return (char *)cfg + row->offset;
}

static void drop_string(const struct row *row, char **field)
{
    if (*field && row->flags & CF_SECRET)
        explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = NULL;
}

static enum status set_string(struct load *ld, const struct row *row, const char *value)
{
    size_t n = strlen(value);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (!strcmp(row->key, shapes[i].key) && !shapes[i].good(value))
            return fail(ld, ST_INVALID_REQUEST, "%s must be %s", row->key, shapes[i].rule);
    }
    if (n < (uint64_t)row->min || n > (uint64_t)row->max)
        return fail(ld, ST_INVALID_REQUEST,
                    "%s must be %" PRId64 " to %" PRId64 " bytes long, not %zu", row->key, row->min,
                    row->max, n);
    char *copy = strdup(value);
    if (!copy)
        return fail(ld, ST_UNAVAILABLE, "no memory for %s", row->key);
    drop_string(row, field_of(ld->cfg, row));
    *(char **)field_of(ld->cfg, row) = copy;
    return ST_OK;
}

static enum status set_int(struct load *ld, const struct row *row, const char *value)
{
    int64_t v = 0;
    size_t n = strlen(value);
    bool good = n > 0 && n <= 18 && strspn(value, "0123456789") == n;
    for (size_t i = 0; good && i < n; i++)
        v = v * 10 + (value[i] - '0');
    if (!good || v < row->min || v > row->max)
        return fail(ld, ST_INVALID_REQUEST,
                    "%s must be a whole number from %" PRId64 " to %" PRId64 "%s%s", row->key,
                    row->min, row->max, row->unit[0] ? " " : "", row->unit);
    *(int64_t *)field_of(ld->cfg, row) = v;
    return ST_OK;
}

static enum status set_bool(struct load *ld, const struct row *row, const char *value)
{
    static const struct {
        const char *word;
        bool v;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(value, words[i].word)) {
            *(bool *)field_of(ld->cfg, row) = words[i].v;
            return ST_OK;
        }
    }
    return fail(ld, ST_INVALID_REQUEST, "%s must be true or false", row->key);
}

static enum status set_value(struct load *ld, const struct row *row, const char *value)
{
    static enum status (*const setters[])(struct load *, const struct row *, const char *) = {
        [KIND_STR] = set_string,
        [KIND_INT] = set_int,
        [KIND_BOOL] = set_bool,
    };
    return setters[row->kind](ld, row, value);
}

static enum status set_defaults(struct load *ld)
{
    for (size_t i = 0; i < ROWS && ld->st == ST_OK; i++) {
        enum status st = set_value(ld, &rows[i], rows[i].def);
        assert(st != ST_INVALID_REQUEST);
    }
    return ld->st;
}

/* The word a key would be. What follows it is not repeated in an error: behind a forgotten "=" it
 * could be the secret itself. */
static int word_length(const char *name)
{
    int n = 0;
    while (n < 40 && (isalnum((unsigned char)name[n]) || name[n] == '_'))
        n++;
    return n;
}

static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct load *ld = user;
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(name, rows[i].key) != 0)
            continue;
        /* Also what an indented line is: inih takes it for more of the key before. */
        if (ld->seen[i])
            return fail(ld, ST_INVALID_REQUEST, "%s is given twice", name) == ST_OK;
        ld->seen[i] = true;
        return set_value(ld, &rows[i], value) == ST_OK;
    }
    return fail(ld, ST_INVALID_REQUEST, "%.*s is no key of ours", word_length(name), name) == ST_OK;
}

/* fgets for inih, which would take the rest of a line past its buffer for a line of its own. */
static char *read_line(char *to, int size, void *user)
{
    struct load *ld = user;
    if (ld->st != ST_OK || ld->rest.n == 0)
        return NULL;
    ld->line++;
    const char *end = memchr(ld->rest.p, '\n', ld->rest.n);
    size_t n = end ? (size_t)(end - ld->rest.p) + 1 : ld->rest.n;
    if (n > (size_t)size - 1) {
        fail(ld, ST_INVALID_REQUEST,
             "longer than %d bytes; give this setting in the environment instead", size - 2);
        return NULL;
    }
    if (memchr(ld->rest.p, '\0', n)) {
        fail(ld, ST_INVALID_REQUEST, "a NUL byte");
        return NULL;
    }
    memcpy(to, ld->rest.p, n);
    to[n] = '\0';
    ld->rest = (struct str){ld->rest.p + n, ld->rest.n - n};
    return to;
}

static enum status set_from_text(struct load *ld, struct str text)
{
    ld->rest = text;
    int bad_line = ini_parse_stream(read_line, ld, on_pair, ld);
    if (bad_line > 0 && ld->st == ST_OK) {
        ld->line = bad_line;
        fail(ld, ST_INVALID_REQUEST, "neither key = value nor a section");
    }
    if (bad_line < 0)
        fail(ld, ST_UNAVAILABLE, "no memory for the configuration");
    ld->line = 0;
    return ld->st;
}

static enum status set_from_file(struct load *ld, const char *path)
{
    char *text = NULL;
    FILE *file = fopen(path, "re");
    if (!file)
        return fail(ld, ST_INVALID_REQUEST, "cannot open %s: %s", path, strerror(errno));
    text = malloc(FILE_MAX + 1);
    if (!text) {
        fail(ld, ST_UNAVAILABLE, "no memory for the configuration");
        goto cleanup;
    }
    size_t n = fread(text, 1, FILE_MAX + 1, file);
    if (ferror(file))
        fail(ld, ST_INVALID_REQUEST, "cannot read %s: %s", path, strerror(errno));
    else if (n > FILE_MAX)
        fail(ld, ST_INVALID_REQUEST, "%s is larger than %d bytes", path, FILE_MAX);
    else
        set_from_text(ld, (struct str){text, n});
    explicit_bzero(text, n);
cleanup:
    free(text);
    fclose(file);
    return ld->st;
}

/* name: what stands between SNAPUP_ and "=". */
static bool names_key(struct str name, const char *key)
{
    if (name.n != strlen(key))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] != toupper((unsigned char)key[i]))
            return false;
    }
    return true;
}

static void set_from_variable(struct load *ld, struct str name, const char *value)
{
    static const char *const others[] = {
        "state",    "config", "build", "bench_scenarios",
#ifdef SNAPUP_CRASH_POINTS
        "crash_at", /* read where it is needed; see base/crash.h */
#endif
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (names_key(name, others[i]))
            return;
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (names_key(name, rows[i].key)) {
            set_value(ld, &rows[i], value);
            return;
        }
    }
    fail(ld, ST_INVALID_REQUEST, "SNAPUP_%.*s is no setting of ours", word_length(name.p), name.p);
}

static enum status set_from_env(struct load *ld, char *const *env)
{
    static const char prefix[] = "SNAPUP_";
    for (; *env && ld->st == ST_OK; env++) {
        if (strncmp(*env, prefix, sizeof(prefix) - 1) != 0)
            continue;
        const char *name = *env + sizeof(prefix) - 1;
        const char *equals = strchr(name, '=');
        if (equals)
            set_from_variable(ld, (struct str){name, (size_t)(equals - name)}, equals + 1);
    }
    return ld->st;
}

static struct load begin(struct config *cfg, char *error, size_t size)
{
    memset(cfg, 0, sizeof(*cfg));
    if (size)
        error[0] = '\0';
    struct load ld = {.cfg = cfg, .st = ST_OK, .error = error, .error_size = size};
    set_defaults(&ld);
    return ld;
}

enum status config_load(struct config *cfg, const char *path, char *const *env, char *error,
                        size_t size)
{
    struct load ld = begin(cfg, error, size);
    if (ld.st == ST_OK && path)
        set_from_file(&ld, path);
    if (ld.st == ST_OK && env)
        set_from_env(&ld, env);
    if (ld.st != ST_OK)
        config_fini(cfg);
    return ld.st;
}

enum status config_parse(struct config *cfg, struct str text, char *error, size_t size)
{
    struct load ld = begin(cfg, error, size);
    if (ld.st == ST_OK)
        set_from_text(&ld, text);
    if (ld.st != ST_OK)
        config_fini(cfg);
    return ld.st;
}

void config_fini(struct config *cfg)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].kind == KIND_STR)
            drop_string(&rows[i], field_of(cfg, &rows[i]));
    }
    memset(cfg, 0, sizeof(*cfg));
}

static bool same(const struct config *a, const struct config *b, const struct row *row)
{
    const char *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;
    switch (row->kind) {
    case KIND_STR: return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case KIND_INT: return *(const int64_t *)x == *(const int64_t *)y;
    case KIND_BOOL: return *(const bool *)x == *(const bool *)y;
    }
    return false;
}

/* What cfg loses goes to next, which frees it. */
static void swap_field(struct config *cfg, struct config *next, const struct row *row)
{
    static const size_t sizes[] = {
        [KIND_STR] = sizeof(char *), [KIND_INT] = sizeof(int64_t), [KIND_BOOL] = sizeof(bool)};
    char kept[sizeof(int64_t)];
    void *a = field_of(cfg, row), *b = field_of(next, row);
    memcpy(kept, a, sizes[row->kind]);
    memcpy(a, b, sizes[row->kind]);
    memcpy(b, kept, sizes[row->kind]);
}

void config_adopt(struct config *cfg, struct config *next, char changed[CONFIG_KEYS_MAX],
                  char held_back[CONFIG_KEYS_MAX])
{
    size_t lengths[2] = {0};
    changed[0] = held_back[0] = '\0';
    for (size_t i = 0; i < ROWS; i++) {
        if (same(cfg, next, &rows[i]))
            continue;
        bool now = rows[i].flags & CF_RELOAD;
        char *list = now ? changed : held_back;
        size_t *n = &lengths[now];
        if (*n + strlen(rows[i].key) + 2 <= CONFIG_KEYS_MAX)
            *n += (size_t)sprintf(list + *n, "%s%s", *n > 0 ? " " : "", rows[i].key);
        if (now)
            swap_field(cfg, next, &rows[i]);
    }
    config_fini(next);
}

void config_table_markdown(struct buf *out)
{
    BUF_LIT(out, "| key | default | unit | SIGHUP | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < ROWS; i++) {
        const char *quote = rows[i].def[0] ? "`" : "";
        buf_printf(out, "| `%s` | %s%s%s | %s | %s | %s |\n", rows[i].key, quote, rows[i].def,
                   quote, rows[i].unit, rows[i].flags & CF_RELOAD ? "yes" : "", rows[i].help);
    }
}
