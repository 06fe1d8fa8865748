#include "sql/migrate_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- names --- */

static bool is_sql(const char *name)
{
    size_t n = strlen(name);
    return name[0] != '.' && n > 4 && strcmp(name + n - 4, ".sql") == 0;
}

/* NNNN_name.sql; 0 for anything else. */
static unsigned number_of(const char *name)
{
    unsigned number = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        number = number * 10 + (unsigned)(name[i] - '0');
    }
    return name[4] == '_' ? number : 0;
}

static int by_number(const void *a, const void *b)
{
    const struct migration_file *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static enum status add_name(struct migration_files *files, const char *name, char *error,
                            size_t size)
{
    unsigned number = number_of(name);
    if (!number || files->n == MIGRATION_FILES_MAX) {
        snprintf(error, size, "%s: migrations are named NNNN_name.sql, from 0001 on", name);
        return ST_INVALID_REQUEST;
    }
    struct migration_file *v = realloc(files->v, (files->n + 1) * sizeof(*v));
    if (!v) {
        snprintf(error, size, "no memory");
        return ST_INVALID_REQUEST;
    }
    files->v = v;
    v += files->n++;
    memset(v, 0, sizeof(*v));
    v->number = number;
    snprintf(v->name, sizeof(v->name), "%s", name);
    return ST_OK;
}

static enum status read_names(const char *dir, struct migration_files *files, char *error,
                              size_t size)
{
    DIR *d = opendir(dir);
    if (!d) {
        snprintf(error, size, "%s: %s", dir, strerror(errno));
        return ST_INVALID_REQUEST;
    }
    enum status st = ST_OK;
    struct dirent *e;
    while (st == ST_OK && (e = readdir(d)))
        if (is_sql(e->d_name))
            st = add_name(files, e->d_name, error, size);
    closedir(d);
    return st;
}

static enum status check_numbers(struct migration_files *files, char *error, size_t size)
{
    if (files->n)
        qsort(files->v, files->n, sizeof(files->v[0]), by_number);
    for (unsigned i = 0; i < files->n; i++) {
        if (files->v[i].number == i + 1)
            continue;
        snprintf(error, size, "%s: the number should be %04u; numbers have no gaps and no doubles",
                 files->v[i].name, i + 1);
        return ST_INVALID_REQUEST;
    }
    return ST_OK;
}

/* --- contents --- */

static bool read_all(int fd, char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = read(fd, text + at, n - at);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        if (got > 0)
            at += (size_t)got;
    }
    return true;
}

static bool read_text(int fd, struct migration_file *f)
{
    struct stat sb;
    if (fstat(fd, &sb) || !S_ISREG(sb.st_mode) || sb.st_size > MIGRATION_FILE_MAX)
        return false;
    f->n = (size_t)sb.st_size;
    f->text = malloc(f->n + 1);
    return f->text && read_all(fd, f->text, f->n);
}

static enum status read_file(const char *dir, struct migration_file *f, char *error, size_t size)
{
    char path[4096 + MIGRATION_NAME_MAX];
    snprintf(path, sizeof(path), "%s/%s", dir, f->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && read_text(fd, f);
    if (fd >= 0)
        close(fd);
    if (!ok) {
        snprintf(error, size, "%s cannot be read, or is over %d bytes", path, MIGRATION_FILE_MAX);
        return ST_INVALID_REQUEST;
    }
    sha256((struct str){f->text, f->n}, f->sha);
    return ST_OK;
}

enum status migration_files_read(const char *dir, struct migration_files *files, char *error,
                                 size_t size)
{
    *files = (struct migration_files){0};
    enum status st = read_names(dir, files, error, size);
    if (st == ST_OK)
        st = check_numbers(files, error, size);
    for (unsigned i = 0; st == ST_OK && i < files->n; i++)
        st = read_file(dir, &files->v[i], error, size);
    if (st != ST_OK)
        migration_files_free(files);
    return st;
}

void migration_files_free(struct migration_files *files)
{
    for (unsigned i = 0; i < files->n; i++)
        free(files->v[i].text);
    free(files->v);
    *files = (struct migration_files){0};
}

/* --- statements --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct str trimmed(struct str s)
{
    while (s.n && is_blank(s.p[0]))
        s = (struct str){s.p + 1, s.n - 1};
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static struct str take_line(struct str *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct str line = {rest->p, n};
    size_t taken = end ? n + 1 : n;
    *rest = (struct str){rest->p + taken, rest->n - taken};
    return line;
}

bool migration_next(struct str *rest, unsigned *line, struct str *statement, unsigned *at)
{
    const char *first = NULL; /* where the statement begins */
    while (rest->n) {
        struct str s = trimmed(take_line(rest));
        ++*line;
        if (s.n == 0 || (s.n >= 2 && s.p[0] == '-' && s.p[1] == '-'))
            continue;
        if (!first) {
            first = s.p;
            *at = *line;
        }
        if (s.p[s.n - 1] == ';') {
            *statement = (struct str){first, (size_t)(s.p + s.n - 1 - first)};
            return true;
        }
    }
    if (first)
        *rest = (struct str){first, (size_t)(rest->p - first)};
    return false;
}
