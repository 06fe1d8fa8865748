/* log.h - JSON lines that do not wait.
 *
 * A line is built on the caller's stack and copied into a bounded ring; one writer thread drains it
 * to a descriptor. A full ring drops the line and counts it (metric log_dropped). Every line has
 * `ts`, `level`, `event`, and `request_id` when there is one. Secrets have no formatter: callers
 * never pass tokens, keys or signatures. Any thread.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR
}; /* who acts: nobody, nobody, soon, now */

struct log;

struct log_field {
    const char *key; /* literal */
    enum { LOG_F_STR, LOG_F_INT } type;
    struct str s;
    int64_t i;
};

#define LF_STR(k, v) ((struct log_field){(k), LOG_F_STR, (v), 0})         /* struct str */
#define LF_Z(k, v)   ((struct log_field){(k), LOG_F_STR, str_from(v), 0}) /* C string */
#define LF_INT(k, v) ((struct log_field){(k), LOG_F_INT, {0}, (v)})

/* Writes to fd (not closed by us) lines of level and above. Starts the writer thread. */
STATUS_MUSTCHECK
enum status log_create(int fd, enum log_level level, struct log **out);
/* Writes out what waits, ends the thread. */
void log_destroy(struct log **lg);
/* Waits until every line has been written, at most ms; for an end without log_destroy. */
void log_flush(struct log *lg, int ms);
void log_set_level(struct log *lg, enum log_level level);
bool log_level_parse(const char *text, enum log_level *level);
uint64_t log_dropped(struct log *lg);

/* event: a fixed snake_case word. request_id may be empty. lg may be NULL (tests): then nothing.
 * Lines end at 4 KiB: a field that does not fit is left out, and `cut` says how many were. Bytes
 * that are not UTF-8 become '?'. */
void log_write(struct log *lg, enum log_level level, const char *event, struct str request_id,
               const struct log_field *fields, unsigned n);

#define LOG(lg, level, event, ...)                                                              \
    log_write((lg), (level), (event), (struct str){0}, (const struct log_field[]){__VA_ARGS__}, \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
#define LOG_RQ(lg, level, event, request_id, ...)                                            \
    log_write((lg), (level), (event), (request_id), (const struct log_field[]){__VA_ARGS__}, \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
