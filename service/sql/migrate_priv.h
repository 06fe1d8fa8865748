/* migrate_priv.h - between migrate.c and the reading of its files (migrate_files.c); for them and
 * tests.
 */
#pragma once

#include "sql/migrate.h"

#include "base/hmac.h"

enum {
    MIGRATION_FILES_MAX = 9999,
    MIGRATION_FILE_MAX = 1024 * 1024, /* bytes */
    MIGRATION_NAME_MAX = 256,         /* bytes, with NUL: as readdir gives them */
};

struct migration_file {
    unsigned number;
    char name[MIGRATION_NAME_MAX];
    char *text;
    size_t n; /* bytes of text */
    uint8_t sha[SHA256_LEN];
};

struct migration_files {
    struct migration_file *v; /* v[i].number == i + 1 */
    unsigned n;
};

/* Reads the folder. Names that do not end in `.sql` or begin with a dot are nobody's business.
 * ST_OK, or ST_INVALID_REQUEST with error set; *files is empty then. */
STATUS_MUSTCHECK
enum status migration_files_read(const char *dir, struct migration_files *files, char *error,
                                 size_t size);
void migration_files_free(struct migration_files *files);

/* Takes the next statement, without its `;`, off the front of *rest. *line counts lines taken so
 * far and *at gets the statement's first one. False at the end; then *rest is not empty if a
 * statement had begun. */
bool migration_next(struct str *rest, unsigned *line, struct str *statement, unsigned *at);

/* migrate_run with another patience. */
STATUS_MUSTCHECK
enum status migrate_run_within(struct sql *s, const char *dir, struct log *log, unsigned *applied,
                               char *error, size_t size, int64_t wait_ms);
