/* vredis.h - a virtual Redis that runs the service's own functions.lua.
 *
 *   vredis.c           keys of the shards and the commands on them
 *   vredis_lua.c       FCALL: Lua 5.1 with redis.call over those commands
 *   vredis_network.c   restarts, refusals; with vredis_link.c and vredis_session.c: connections, lost answers
 */
#pragma once

#include "base/str.h"
#include "redis/args.h"
#include "redis/redis.h"
#include "vsql.h"

#include <hiredis/hiredis.h>

enum { FIELDS_MAX = 48, ENTRIES_MAX = 96, BITS_MAX = 32, WORDS_MAX = 256 };

/* Values never change in place, so that a copy of the struct is a copy of the data. */
struct rhash {
    bool on;
    unsigned n;
    struct {
        struct str name, value;
    } field[FIELDS_MAX];
};

struct rentry {
    int64_t ms;
    unsigned seq, words;
    const struct str *word;
};

struct rlog {
    bool on, group;
    unsigned n, seq;
    int64_t ms; /* of the last id */
    struct rentry entry[ENTRIES_MAX];
};

struct rbits {
    bool on;
    unsigned n;
    uint32_t bit[BITS_MAX];
};

struct rshard {
    struct rhash left, held;
    struct rlog log;
    struct rbits seen;
};

struct rdata {
    bool functions; /* the library is loaded */
    struct rshard shard[SHARDS_MAX];
};

extern struct rdata vredis_data;

/* Runs one command; the answer lives until the schedule ends. */
redisReply *vredis_command(unsigned n, const struct str *word);
const struct str *rhash_get(const struct rhash *h, struct str name);

redisReply *reply_new(int type);
redisReply *reply_bytes(int type, const char *p, size_t n);
redisReply *reply_integer(int64_t v);
redisReply *reply_array(size_t n);
__attribute__((format(printf, 1, 2))) redisReply *reply_error(const char *format, ...);

/* functions.lua with the mutant's change, once per process. */
void vredis_lua_start(const char *file);
bool vredis_function_writes(struct str name);
redisReply *vredis_fcall(struct str name, const struct str *keys, unsigned nkeys,
                         const struct str *args, unsigned nargs);

enum redis_loss { REDIS_KEPT, REDIS_EMPTY, REDIS_OLD };

void vredis_reset(void);
void vredis_set_faults(const struct store_faults *faults);
struct redis_identity vredis_identity(void);
/* The copy that REDIS_OLD goes back to. */
void vredis_save(void);
/* Another process answers after a while, with another run id. */
void vredis_restart(enum redis_loss loss, int64_t away_us);
/* The data is that of the copy again, and nothing tells. */
void vredis_roll_back(void);
/* FLUSHALL, FUNCTION FLUSH: the process goes on. */
void vredis_flush(bool functions_only);
/* Calls that write are refused with this error; NULL: no longer. */
void vredis_refuse(const char *error, int64_t for_us);
/* Whether anything of its data was ever lost in this schedule. */
bool vredis_lost_data(void);
