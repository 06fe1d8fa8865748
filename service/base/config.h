/* config.h - every setting, one row each; file, environment, help and README come from the table.
 *
 * Order of strength: default, file (INI, section names ignored), SNAPUP_<KEY> in the environment.
 * An unknown key, a key given twice in the file, a value out of bounds or of the wrong type is an
 * error that names the key, never the value. Lines are inih's: up to 198 bytes, and a ";" after a
 * blank opens a comment; the environment has neither limit. The struct is filled before threads
 * start and read-only afterwards, but for the CF_RELOAD fields: these are the main thread's, which
 * alone reads and reloads them and tells others what they need to know.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

/* What a row says beside its bounds. */
enum {
    CF_SECRET = 1, /* its value is never shown */
    CF_RELOAD = 2, /* SIGHUP puts it into effect; others wait for the next start */
};

/* X(kind, key, default, min, max, unit, flags, help)   kind: STR (min/max: length), INT, BOOL */
#define CONFIG_TABLE(X)                                                                           \
    X(STR, listen, "127.0.0.1:8080", 1, 255, "", 0,                                               \
      "Address and port, `[v6]:port`, or `unix:/path` on which HTTP is served.")                  \
    X(INT, workers, 0, 0, WORKERS_MAX, "threads", 0,                                              \
      "Event loops that serve HTTP; 0 takes one per core.")                                       \
    X(INT, committers, 2, 1, 16, "threads", 0, "Threads that commit groups of orders.")           \
    X(INT, query_threads, 4, 1, 64, "threads", 0,                                                 \
      "Threads for reads and slow writes, each with one connection to either store.")             \
    X(STR, redis, "unix:/run/redis/redis.sock", 1, 255, "", 0,                                    \
      "Redis: `unix:/path` or `host:port`.")                                                      \
    X(STR, redis_password, "", 0, 255, "", CF_SECRET,                                             \
      "Password for Redis AUTH; empty sends none.")                                               \
    X(INT, redis_timeout_ms, 2000, 10, 60000, "ms", 0, "Deadline of one Redis command.")          \
    X(STR, sql, "unix:/run/mysqld/mysqld.sock", 1, 255, "", 0,                                    \
      "MariaDB: `unix:/path` or `host:port`.")                                                    \
    X(STR, sql_user, "snapup", 1, 80, "", 0, "MariaDB user.")                                     \
    X(STR, sql_password, "", 0, 255, "", CF_SECRET, "MariaDB password.")                          \
    X(STR, sql_database, "snapup", 1, 64, "", 0, "MariaDB database; migrations create tables.")   \
    X(INT, sql_timeout_ms, 5000, 100, 60000, "ms", 0,                                             \
      "Deadline to connect to MariaDB and for one statement.")                                    \
    X(STR, schema_dir, "schema", 1, 4000, "", 0, "Folder of the numbered migrations.")            \
    X(STR, functions_file, "service/redis/functions.lua", 1, 4000, "", 0,                         \
      "The Redis function library to load.")                                                      \
    X(STR, openapi_file, "service/api/openapi.yaml", 1, 4000, "", 0,                              \
      "The document served at /openapi.yaml.")                                                    \
    X(INT, commit_depth_max, 20000, 100, 1000000, "orders", 0,                                    \
      "Orders reserved and not yet durable; past it purchases get 503 `overloaded`.")             \
    X(INT, commit_group_max, 1024, 1, 4096, "orders", 0, "Most orders in one transaction.")       \
    X(INT, reserve_batch_max, 256, 1, RESERVE_BATCH_MAX, "orders", 0,                             \
      "Most purchases in one Redis call.")                                                        \
    X(INT, query_depth_max, 2000, 10, 100000, "jobs", 0,                                          \
      "Jobs waiting for a query thread; past it 503 `overloaded`.")                               \
    X(INT, conns_max, 16384, 16, 1000000, "connections", CF_RELOAD, "Open connections in all.")   \
    X(INT, conns_per_address_max, 12288, 1, 1000000, "connections", CF_RELOAD,                    \
      "Open connections of one address; lower it where shoppers connect directly.")               \
    X(INT, request_line_max, 8192, 256, 65536, "bytes", CF_RELOAD, "Longest request line.")       \
    X(INT, header_max, 16384, 1024, 262144, "bytes", CF_RELOAD,                                   \
      "Largest request line and header section together.")                                        \
    X(INT, header_timeout_ms, 10000, 100, 600000, "ms", CF_RELOAD,                                \
      "From the first byte of a request to the end of its header.")                               \
    X(INT, body_timeout_ms, 20000, 100, 600000, "ms", CF_RELOAD,                                  \
      "From the end of the header to the end of the body.")                                       \
    X(INT, idle_timeout_ms, 75000, 100, 3600000, "ms", CF_RELOAD, "Kept-alive and silent.")       \
    X(INT, write_timeout_ms, 20000, 100, 600000, "ms", CF_RELOAD,                                 \
      "Peer reads nothing of an answer.")                                                         \
    X(INT, output_max, 262144, 4096, 16777216, "bytes", CF_RELOAD,                                \
      "Unsent answer bytes of one connection before it is not read any further.")                 \
    X(STR, log_level, "info", 4, 5, "", CF_RELOAD,                                                \
      "`debug` (also adds Server-Timing to answers), `info`, `warn` or `error`.")                 \
    X(STR, access_log, "errors", 2, 6, "", CF_RELOAD,                                             \
      "Requests to log: `off`, `errors` (5xx) or `all`.")                                         \
    X(INT, drain_delay_ms, 0, 0, 600000, "ms", CF_RELOAD,                                         \
      "How long a stopping process still listens, unready and closing what it answers.")          \
    X(INT, stop_grace_ms, 10000, 100, 600000, "ms", CF_RELOAD,                                    \
      "Most time for what is in flight and the end of a stopping process, after "                 \
      "`drain_delay_ms`.")                                                                        \
    X(INT, upgrade_timeout_ms, 60000, 100, 600000, "ms", CF_RELOAD,                               \
      "How long a new program (SIGUSR2) may take to become ready.")                               \
    X(STR, master_key, "", 0, 64, "", CF_SECRET,                                                  \
      "64 hex digits; seals signing secrets in MariaDB. Required.")                               \
    X(BOOL, production, 1, 0, 1, "", 0, "Refuses demo keys and the sandbox channel.")             \
    X(STR, sandbox_url, "", 0, 255, "", 0,                                                        \
      "Base URL of `snapup-sandbox`, as browsers reach it; empty turns the sandbox channel off.") \
    X(STR, sandbox_secret, "", 0, 128, "", CF_SECRET,                                             \
      "Shared secret of the sandbox channel's notifications.")                                    \
    X(STR, state_file, "", 0, 4000, "", 0,                                                        \
      "File to write the listening address to once ready; empty writes none.")

enum {
    WORKERS_MAX = 64,        /* the bound of workers */
    RESERVE_BATCH_MAX = 1024 /* the bound of reserve_batch_max */
};

struct config {
#define CONFIG_FIELD_STR                               char *
#define CONFIG_FIELD_INT                               int64_t
#define CONFIG_FIELD_BOOL                              bool
#define X(kind, key, def, min, max, unit, flags, help) CONFIG_FIELD_##kind key;
    CONFIG_TABLE(X)
#undef X
};

/* Defaults, then the file (path may be NULL), then env ("NAME=value" array, NULL-terminated; may be
 * NULL). On ST_INVALID_REQUEST, error (size bytes) names the key and the reason and cfg is empty.
 * SNAPUP_ variables that are no key are refused, but for SNAPUP_STATE, SNAPUP_CONFIG and
 * SNAPUP_BUILD, which belong to the scripts around us. */
STATUS_MUSTCHECK
enum status config_load(struct config *cfg, const char *path, char *const *env, char *error,
                        size_t size);
void config_fini(struct config *cfg);

/* Moves into cfg what next says otherwise and CF_RELOAD allows, and empties next. Keys moved are
 * listed in changed, keys that differ but need a restart in held_back: separated by blanks, never
 * with values. */
enum { CONFIG_KEYS_MAX = 1024 };
void config_adopt(struct config *cfg, struct config *next, char changed[CONFIG_KEYS_MAX],
                  char held_back[CONFIG_KEYS_MAX]);

/* The same checks on INI text in memory, for the fuzzer and tests. */
STATUS_MUSTCHECK
enum status config_parse(struct config *cfg, struct str text, char *error, size_t size);

struct buf;
/* Markdown table of all keys, for README (make docs checks it). */
void config_table_markdown(struct buf *out);
