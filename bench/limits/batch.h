/* batch.h - orders that go through the stores together: rows as Snapup writes them, of shoppers that
 * are made up.
 *
 * Redis does what snapup_reserve has to do for its answer to be of use (units, holds, log; settled
 * entries of the log deleted) and decides nothing. MariaDB inserts the rows and commits. Instances
 * belong to one thread each. What fails is said on stderr.
 */
#pragma once

#include "redis/row.h"

#include <hiredis/hiredis.h>

enum { BATCH_MAX = 256, GROUP_MAX = 1024, LOG_ID_LEN = 31, SHOPPER_LEN = 19 };

struct bare_conn;
struct worker;

struct batch {
    struct batch *next;
    struct worker *worker; /* whose connections wait for it; NULL: nobody's */
    unsigned n;
    char log_id[LOG_ID_LEN + 1]; /* once Redis has it */
    struct bare_conn *conns[BATCH_MAX];
    struct row rows[BATCH_MAX];
    char shoppers[BATCH_MAX][SHOPPER_LEN + 1];
    uint8_t bytes[BATCH_MAX][ROW_MAX];
    size_t lengths[BATCH_MAX];
};

/* Makes rows. */
struct batch_source {
    struct uid_source *ids;
    uint32_t tag, made;
};

void batch_source_init(struct batch_source *src);
/* NULL without memory. Freed with free. */
struct batch *batch_new(struct worker *worker);
/* Appends a row; b has fewer than BATCH_MAX. */
void batch_add(struct batch *b, struct batch_source *src);

/* --- Redis ---------------------------------------------------------------------------------- */

enum { CALL_SETTLED_MAX = 256, CALL_ARGS_MAX = 7 + CALL_SETTLED_MAX + BATCH_MAX };

/* A call as hiredis wants it; points into itself and the batch. */
struct call {
    int argc;
    const char *argv[CALL_ARGS_MAX];
    size_t lengths[CALL_ARGS_MAX];
    char keys[3][32];
    unsigned settled_n;
    char settled[CALL_SETTLED_MAX][LOG_ID_LEN + 1]; /* to be deleted by the next call */
    char settled_text[12];
};

void call_init(struct call *call, unsigned shard);
/* Remembers b's entry as settled; past CALL_SETTLED_MAX it stays in the log. */
void call_settle(struct call *call, const struct batch *b);
void call_fill(struct call *call, const struct batch *b);
/* Keeps the log entry's id; false when the answer is none. */
bool call_answered(struct batch *b, const redisReply *reply);
/* Loads the function and deletes the keys of shards 0 to 63. */
bool call_prepare(const char *socket);

/* --- MariaDB -------------------------------------------------------------------------------- */

struct table;

/* Makes database and table anew. */
bool table_prepare(const char *socket);
struct table *table_open(const char *socket);
void table_close(struct table **t);
/* Inserts the batches from first on, GROUP_MAX rows at most, and commits. */
bool table_insert(struct table *t, const struct batch *first);
