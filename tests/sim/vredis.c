/* The keys of a sale's shards, and the commands that functions.lua and the flows use on them. */
#include "vredis.h"

#include "sim.h"
#include "vmem.h"
#include "vos.h"

#include <stdarg.h>
#include <stdio.h>

struct rdata vredis_data;

enum kind { K_LEFT, K_HELD, K_LOG, K_SEEN };

struct key {
    struct rshard *shard;
    enum kind kind;
};

/* --- replies ----------------------------------------------------------------------------------- */

redisReply *reply_new(int type)
{
    redisReply *r = vmem_new(sizeof(*r));
    r->type = type;
    return r;
}

redisReply *reply_bytes(int type, const char *p, size_t n)
{
    redisReply *r = reply_new(type);
    r->str = vmem_new(n + 1);
    if (p)
        memcpy(r->str, p, n);
    r->len = n;
    return r;
}

redisReply *reply_integer(int64_t v)
{
    redisReply *r = reply_new(REDIS_REPLY_INTEGER);
    r->integer = v;
    return r;
}

redisReply *reply_array(size_t n)
{
    redisReply *r = reply_new(REDIS_REPLY_ARRAY);
    r->element = vmem_new((n + 1) * sizeof(redisReply *));
    r->elements = n;
    return r;
}

redisReply *reply_error(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return reply_bytes(REDIS_REPLY_ERROR, text, (size_t)n);
}

static redisReply *bulk(const struct str *v)
{
    return v ? reply_bytes(REDIS_REPLY_STRING, v->p, v->n) : reply_new(REDIS_REPLY_NIL);
}

static redisReply *ok(void)
{
    return reply_bytes(REDIS_REPLY_STATUS, "OK", 2);
}

/* The service frees replies of hiredis' making; these belong to the schedule. */
void freeReplyObject(void *reply)
{
}

/* --- keys -------------------------------------------------------------------------------------- */

/* su:{sale.shard}:left | held | log | seen */
static struct key key_of(struct str name)
{
    static const struct str kinds[] = {{"left", 4}, {"held", 4}, {"log", 3}, {"seen", 4}};
    struct key key = {0};
    const char *dot = memrchr(name.p, '.', name.n);
    unsigned shard = dot ? (unsigned)(dot[1] - '0') : SHARDS_MAX;
    if (shard >= SHARDS_MAX || dot[2] != '}')
        sim_abort("no key of a shard: %.*s", (int)name.n, name.p);
    key.shard = &vredis_data.shard[shard];
    struct str kind = {dot + 4, (size_t)(name.p + name.n - dot - 4)};
    for (int i = 0; i < 4; i++) {
        if (!str_equal(kind, kinds[i]))
            continue;
        key.kind = (enum kind)i;
        return key;
    }
    sim_abort("no key of a shard: %.*s", (int)name.n, name.p);
}

static struct rhash *hash_of(struct str name)
{
    struct key key = key_of(name);
    if (key.kind != K_LEFT && key.kind != K_HELD)
        sim_abort("no hash: %.*s", (int)name.n, name.p);
    return key.kind == K_LEFT ? &key.shard->left : &key.shard->held;
}

static struct rlog *log_of(struct str name)
{
    return &key_of(name).shard->log;
}

static struct rbits *bits_of(struct str name)
{
    return &key_of(name).shard->seen;
}

static bool *exists(struct str name)
{
    struct key key = key_of(name);
    bool *const on[] = {&key.shard->left.on, &key.shard->held.on, &key.shard->log.on,
                        &key.shard->seen.on};
    return on[key.kind];
}

/* --- hashes ------------------------------------------------------------------------------------ */

static int field_at(const struct rhash *h, struct str name)
{
    for (unsigned i = 0; h->on && i < h->n; i++)
        if (str_equal(h->field[i].name, name))
            return (int)i;
    return -1;
}

const struct str *rhash_get(const struct rhash *h, struct str name)
{
    int i = field_at(h, name);
    return i < 0 ? NULL : &h->field[i].value;
}

static struct str keep(struct str v)
{
    return (struct str){vmem_copy(v.p, v.n), v.n};
}

static bool hash_set(struct rhash *h, struct str name, struct str value)
{
    int i = field_at(h, name);
    if (!h->on)
        *h = (struct rhash){.on = true};
    bool fresh = i < 0;
    if (fresh) {
        if (h->n == FIELDS_MAX)
            sim_abort("a hash is full");
        i = (int)h->n++;
        h->field[i].name = keep(name);
    }
    h->field[i].value = keep(value);
    return fresh;
}

static int64_t number(struct str v)
{
    size_t i = v.n > 0 && v.p[0] == '-';
    int64_t n = 0;
    for (; i < v.n && v.p[i] >= '0' && v.p[i] <= '9'; i++)
        n = n * 10 + (v.p[i] - '0');
    return v.n > 0 && v.p[0] == '-' ? -n : n;
}

typedef redisReply *(*command_fn)(unsigned n, const struct str *w);

static redisReply *hget(unsigned n, const struct str *w)
{
    return bulk(rhash_get(hash_of(w[1]), w[2]));
}

static redisReply *hmget(unsigned n, const struct str *w)
{
    redisReply *r = reply_array(n - 2);
    for (unsigned i = 2; i < n; i++)
        r->element[i - 2] = bulk(rhash_get(hash_of(w[1]), w[i]));
    return r;
}

static redisReply *hset(unsigned n, const struct str *w)
{
    int64_t fresh = 0;
    for (unsigned i = 2; i + 1 < n; i += 2)
        fresh += hash_set(hash_of(w[1]), w[i], w[i + 1]);
    return reply_integer(fresh);
}

static redisReply *hsetnx(unsigned n, const struct str *w)
{
    struct rhash *h = hash_of(w[1]);
    bool there = rhash_get(h, w[2]) != NULL;
    if (!there)
        hash_set(h, w[2], w[3]);
    return reply_integer(!there);
}

static redisReply *hdel(unsigned n, const struct str *w)
{
    struct rhash *h = hash_of(w[1]);
    int64_t gone = 0;
    for (unsigned i = 2; i < n; i++) {
        int at = field_at(h, w[i]);
        if (at < 0)
            continue;
        h->field[at] = h->field[--h->n];
        h->on = h->n > 0;
        gone++;
    }
    return reply_integer(gone);
}

static redisReply *hincrby(unsigned n, const struct str *w)
{
    char text[24];
    struct rhash *h = hash_of(w[1]);
    const struct str *old = rhash_get(h, w[2]);
    int64_t v = (old ? number(*old) : 0) + number(w[3]);
    int len = snprintf(text, sizeof(text), "%lld", (long long)v);
    hash_set(h, w[2], (struct str){text, (size_t)len});
    return reply_integer(v);
}

static redisReply *hgetall(unsigned n, const struct str *w)
{
    const struct rhash *h = hash_of(w[1]);
    unsigned fields = h->on ? h->n : 0;
    redisReply *r = reply_array((size_t)fields * 2);
    for (unsigned i = 0; i < fields; i++) {
        r->element[2 * i] = bulk(&h->field[i].name);
        r->element[2 * i + 1] = bulk(&h->field[i].value);
    }
    return r;
}

static redisReply *hscan(unsigned n, const struct str *w)
{
    redisReply *r = reply_array(2);
    r->element[0] = reply_bytes(REDIS_REPLY_STRING, "0", 1);
    r->element[1] = hgetall(n, w);
    return r;
}

/* --- any key ----------------------------------------------------------------------------------- */

static redisReply *exists_command(unsigned n, const struct str *w)
{
    int64_t found = 0;
    for (unsigned i = 1; i < n; i++)
        found += *exists(w[i]);
    return reply_integer(found);
}

static redisReply *del(unsigned n, const struct str *w)
{
    int64_t gone = 0;
    for (unsigned i = 1; i < n; i++) {
        bool *on = exists(w[i]);
        gone += *on;
        *on = false;
    }
    return reply_integer(gone);
}

/* --- the log ----------------------------------------------------------------------------------- */

static void entry_id(const struct rentry *e, char text[48])
{
    snprintf(text, 48, "%lld-%u", (long long)e->ms, e->seq);
}

static void log_make(struct rlog *log)
{
    if (!log->on)
        *log = (struct rlog){.on = true};
}

static redisReply *xadd(unsigned n, const struct str *w)
{
    struct rlog *log = log_of(w[1]);
    char id[48];
    if (!str_equal(w[2], STR("*")))
        sim_abort("XADD with an id");
    log_make(log);
    if (log->n == ENTRIES_MAX)
        sim_abort("a log is full");
    int64_t now = vos_wall_ms();
    log->seq = now > log->ms ? 0 : log->seq + 1;
    log->ms = now > log->ms ? now : log->ms;
    struct str *word = vmem_new((n - 3) * sizeof(*word));
    for (unsigned i = 3; i < n; i++)
        word[i - 3] = keep(w[i]);
    struct rentry *e = &log->entry[log->n++];
    *e = (struct rentry){log->ms, log->seq, n - 3, word};
    entry_id(e, id);
    return reply_bytes(REDIS_REPLY_STRING, id, strlen(id));
}

static redisReply *xdel(unsigned n, const struct str *w)
{
    struct rlog *log = log_of(w[1]);
    int64_t gone = 0;
    for (unsigned i = 2; i < n; i++) {
        for (unsigned k = 0; log->on && k < log->n; k++) {
            char id[48];
            entry_id(&log->entry[k], id);
            if (!str_equal(w[i], str_from(id)))
                continue;
            memmove(&log->entry[k], &log->entry[k + 1], (log->n - k - 1) * sizeof(log->entry[0]));
            log->n--;
            gone++;
            break;
        }
    }
    return reply_integer(gone);
}

static redisReply *xlen(unsigned n, const struct str *w)
{
    const struct rlog *log = log_of(w[1]);
    return reply_integer(log->on ? log->n : 0);
}

static redisReply *entry_reply(const struct rentry *e)
{
    char id[48];
    redisReply *r = reply_array(2), *words = reply_array(e->words);
    entry_id(e, id);
    r->element[0] = reply_bytes(REDIS_REPLY_STRING, id, strlen(id));
    r->element[1] = words;
    for (unsigned i = 0; i < e->words; i++)
        words->element[i] = bulk(&e->word[i]);
    return r;
}

static unsigned count_of(unsigned n, const struct str *w)
{
    if (n == 4)
        return ENTRIES_MAX;
    if (n != 6 || !str_equal(w[4], STR("COUNT")))
        sim_abort("an XRANGE of an unknown form");
    return (unsigned)number(w[5]);
}

/* Whether e is behind (or at, when not exclusive) the id in `from`: "-", "1-0" or "(1-0". */
static bool is_from(const struct rentry *e, struct str from)
{
    if (str_equal(from, STR("-")))
        return true;
    bool exclusive = from.p[0] == '(';
    char text[48];
    long long ms = 0;
    unsigned seq = 0;
    snprintf(text, sizeof(text), "%.*s", (int)(from.n - exclusive), from.p + exclusive);
    if (sscanf(text, "%lld-%u", &ms, &seq) != 2)
        sim_abort("no id of an entry: %s", text);
    if (e->ms != ms)
        return e->ms > ms;
    return exclusive ? e->seq > seq : e->seq >= seq;
}

static redisReply *xrange(unsigned n, const struct str *w)
{
    const struct rlog *log = log_of(w[1]);
    unsigned max = count_of(n, w), found = 0;
    redisReply *r = reply_array(ENTRIES_MAX);
    if (!str_equal(w[3], STR("+")))
        sim_abort("an XRANGE of an unknown form");
    for (unsigned i = 0; log->on && i < log->n && found < max; i++)
        if (is_from(&log->entry[i], w[2]))
            r->element[found++] = entry_reply(&log->entry[i]);
    r->elements = found;
    return r;
}

static redisReply *xrevrange(unsigned n, const struct str *w)
{
    const struct rlog *log = log_of(w[1]);
    unsigned max = count_of(n, w), found = 0;
    redisReply *r = reply_array(ENTRIES_MAX);
    for (unsigned i = log->on ? log->n : 0; i > 0 && found < max; i--)
        r->element[found++] = entry_reply(&log->entry[i - 1]);
    r->elements = found;
    return r;
}

static redisReply *xgroup(unsigned n, const struct str *w)
{
    struct rlog *log = log_of(w[2]);
    if (!str_equal(w[1], STR("CREATE")))
        sim_abort("an XGROUP of an unknown form");
    if (log->on && log->group)
        return reply_error("BUSYGROUP Consumer Group name already exists");
    log_make(log);
    log->group = true;
    return ok();
}

/* --- bits -------------------------------------------------------------------------------------- */

static bool has_bit(const struct rbits *b, uint32_t bit)
{
    for (unsigned i = 0; b->on && i < b->n; i++)
        if (b->bit[i] == bit)
            return true;
    return false;
}

static bool set_bit(struct rbits *b, uint32_t bit)
{
    if (has_bit(b, bit))
        return true;
    if (!b->on)
        *b = (struct rbits){.on = true};
    if (b->n == BITS_MAX)
        sim_abort("too many bits");
    b->bit[b->n++] = bit;
    return false;
}

static redisReply *getbit(unsigned n, const struct str *w)
{
    return reply_integer(has_bit(bits_of(w[1]), (uint32_t)number(w[2])));
}

static redisReply *setbit(unsigned n, const struct str *w)
{
    struct rbits *b = bits_of(w[1]);
    uint32_t bit = (uint32_t)number(w[2]);
    if (str_equal(w[3], STR("1")))
        return reply_integer(set_bit(b, bit));
    if (has_bit(b, bit))
        sim_abort("a bit is unset");
    if (!b->on)
        *b = (struct rbits){.on = true};
    return reply_integer(0);
}

/* SETRANGE key offset bytes: only sets bits, as a load does. */
static redisReply *setrange(unsigned n, const struct str *w)
{
    struct rbits *b = bits_of(w[1]);
    uint32_t first = (uint32_t)number(w[2]) * 8;
    for (size_t i = 0; i < w[3].n; i++)
        for (unsigned k = 0; w[3].p[i] != 0 && k < 8; k++)
            if (w[3].p[i] & 0x80 >> k)
                set_bit(b, first + (uint32_t)i * 8 + k);
    return reply_integer((int64_t)(first / 8 + w[3].n));
}

/* BITFIELD key SET u1 bit 1 ... */
static redisReply *bitfield(unsigned n, const struct str *w)
{
    redisReply *r = reply_array((n - 2) / 4);
    for (unsigned i = 2; i + 3 < n; i += 4) {
        if (!str_equal(w[i], STR("SET")) || !str_equal(w[i + 1], STR("u1")))
            sim_abort("a BITFIELD of an unknown form");
        r->element[(i - 2) / 4] = reply_integer(set_bit(bits_of(w[1]), (uint32_t)number(w[i + 2])));
    }
    return r;
}

/* The bitmap as a string; its first bit is the highest of the first byte. */
static redisReply *get(unsigned n, const struct str *w)
{
    const struct rbits *b = bits_of(w[1]);
    uint32_t top = 0;
    if (key_of(w[1]).kind != K_SEEN)
        sim_abort("GET of a key that is no bitmap");
    if (!b->on)
        return reply_new(REDIS_REPLY_NIL);
    for (unsigned i = 0; i < b->n; i++)
        top = b->bit[i] > top ? b->bit[i] : top;
    redisReply *r = reply_bytes(REDIS_REPLY_STRING, NULL, top / 8 + 1);
    for (unsigned i = 0; i < b->n; i++)
        r->str[b->bit[i] / 8] |= (char)(0x80 >> b->bit[i] % 8);
    return r;
}

/* CONFIG GET: nothing to warn of. */
static redisReply *config(unsigned n, const struct str *w)
{
    return reply_array(0);
}

/* FCALL name 4 keys args */
static redisReply *fcall(unsigned n, const struct str *w)
{
    unsigned keys = (unsigned)number(w[2]);
    return vredis_fcall(w[1], w + 3, keys, w + 3 + keys, n - 3 - keys);
}

static const struct {
    struct str name;
    command_fn run;
} commands[] = {
    {{"HGET", 4}, hget},         {{"HMGET", 5}, hmget},     {{"HSET", 4}, hset},
    {{"HSETNX", 6}, hsetnx},     {{"HDEL", 4}, hdel},       {{"HINCRBY", 7}, hincrby},
    {{"HSCAN", 5}, hscan},       {{"HGETALL", 7}, hgetall}, {{"EXISTS", 6}, exists_command},
    {{"DEL", 3}, del},           {{"XADD", 4}, xadd},       {{"XDEL", 4}, xdel},
    {{"XLEN", 4}, xlen},         {{"XRANGE", 6}, xrange},   {{"XREVRANGE", 9}, xrevrange},
    {{"XGROUP", 6}, xgroup},     {{"GETBIT", 6}, getbit},   {{"SETBIT", 6}, setbit},
    {{"SETRANGE", 8}, setrange}, {{"CONFIG", 6}, config},   {{"BITFIELD", 8}, bitfield},
    {{"GET", 3}, get},           {{"FCALL", 5}, fcall},
};

redisReply *vredis_command(unsigned n, const struct str *word)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (str_equal(word[0], commands[i].name))
            return commands[i].run(n, word);
    sim_abort("a command that vredis.c does not know: %.*s", (int)word[0].n, word[0].p);
}
