/* functions.lua in Lua 5.1, as Redis runs it. */
#include "sim.h"
#include "vredis.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

enum { FUNCTIONS_MAX = 32, CODE_MAX = 256 * 1024 };

static struct {
    lua_State *l;
    unsigned n;
    struct {
        char name[32];
        size_t len;
        int ref;
        bool writes;
    } function[FUNCTIONS_MAX];
} lua;

/* Rules taken out of the library: `make sim MUTANT=name`. The text must stand there exactly once. */
static const struct {
    const char *mutant, *text, *instead;
} edits[] = {
    {"no-epoch-in-reserve", "if not epoch or epoch ~= tonumber(args[1]) then return wrong_epoch",
     "if not epoch then return wrong_epoch"},
    {"release-without-name", "if string.sub(records, at, at + 15) == name and", "if"},
    {"no-limit", "elseif mine + qty > limit then", "elseif false then"},
    {"no-key-in-held", "if string.sub(records, at + 16, at + 31) == key then", "if false then"},
    {"load-without-epoch", "if now > epoch then return {'EPOCH', ctl[1]} end", ""},
    {"load-without-epoch", "if now ~= epoch then return {'EPOCH', ctl[1] or '0'} end", ""},
    {"no-log", "id = redis.call(unpack(order))", "id = '0-1'"},
    {"ack-without-name", "redis.call('XDEL', log, unpack(args, 3, 2 + acks))",
     "redis.call('DEL', log) redis.call('XGROUP', 'CREATE', log, 'x', '$', "
     "'MKSTREAM')"},
    {"added-twice", "math.max(total - had, 0)", "total"},
};

static void edit(char *code, const char *text, const char *instead)
{
    char *at = strstr(code, text);
    if (!at || strstr(at + 1, text))
        sim_abort("the mutant's text stands not once in functions.lua: %s", text);
    size_t old = strlen(text), fresh = strlen(instead);
    memmove(at + fresh, at + old, strlen(at + old) + 1);
    memcpy(at, instead, fresh);
}

/* --- values ------------------------------------------------------------------------------------ */

static void push_reply(lua_State *l, const redisReply *r)
{
    switch (r->type) {
    case REDIS_REPLY_INTEGER: lua_pushnumber(l, (lua_Number)r->integer); break;
    case REDIS_REPLY_STRING: lua_pushlstring(l, r->str, r->len); break;
    case REDIS_REPLY_NIL: lua_pushboolean(l, 0); break;
    case REDIS_REPLY_STATUS:
        lua_createtable(l, 0, 1);
        lua_pushlstring(l, r->str, r->len);
        lua_setfield(l, -2, "ok");
        break;
    case REDIS_REPLY_ARRAY:
        lua_createtable(l, (int)r->elements, 0);
        for (size_t i = 0; i < r->elements; i++) {
            push_reply(l, r->element[i]);
            lua_rawseti(l, -2, (int)i + 1);
        }
        break;
    default: luaL_error(l, "%s", r->str);
    }
}

static redisReply *table_reply(lua_State *l, int at);

static redisReply *value_reply(lua_State *l, int at)
{
    size_t n;
    const char *p;
    switch (lua_type(l, at)) {
    case LUA_TNUMBER: return reply_integer((int64_t)lua_tonumber(l, at));
    case LUA_TSTRING: p = lua_tolstring(l, at, &n); return reply_bytes(REDIS_REPLY_STRING, p, n);
    case LUA_TBOOLEAN: return lua_toboolean(l, at) ? reply_integer(1) : reply_new(REDIS_REPLY_NIL);
    case LUA_TTABLE: return table_reply(l, at);
    default: return reply_new(REDIS_REPLY_NIL);
    }
}

static redisReply *table_reply(lua_State *l, int at)
{
    size_t n = 0, max = lua_objlen(l, at) + 1;
    redisReply *r = reply_array(max);
    for (;; n++) {
        lua_rawgeti(l, at, (int)n + 1);
        if (lua_isnil(l, -1) || n == max) {
            lua_pop(l, 1);
            break;
        }
        r->element[n] = value_reply(l, lua_gettop(l));
        lua_pop(l, 1);
    }
    r->elements = n;
    return r;
}

/* --- what Redis gives a script ----------------------------------------------------------------- */

static int redis_call(lua_State *l)
{
    static struct str word[WORDS_MAX]; /* not on the stack, where each call would clear it */
    int n = lua_gettop(l);
    if (n > WORDS_MAX)
        sim_abort("a command of more than %d words", WORDS_MAX);
    for (int i = 0; i < n; i++)
        word[i].p = luaL_checklstring(l, i + 1, &word[i].n);
    push_reply(l, vredis_command((unsigned)n, word));
    return 1;
}

/* register_function(name, callback) or {function_name =, callback =, flags =} */
static int redis_register(lua_State *l)
{
    if (lua.n == FUNCTIONS_MAX)
        sim_abort("too many functions");
    bool table = lua_istable(l, 1), writes = true;
    if (table) {
        lua_getfield(l, 1, "flags");
        for (int i = 1; lua_istable(l, -1); i++) {
            lua_rawgeti(l, -1, i);
            const char *flag = lua_tostring(l, -1);
            if (!flag)
                break;
            writes = writes && strcmp(flag, "no-writes") != 0;
            lua_pop(l, 1);
        }
        lua_settop(l, 1);
        lua_getfield(l, 1, "function_name");
        lua_getfield(l, 1, "callback");
    }
    snprintf(lua.function[lua.n].name, sizeof(lua.function[0].name), "%s", lua_tostring(l, -2));
    lua.function[lua.n].len = strlen(lua.function[lua.n].name);
    lua.function[lua.n].writes = writes;
    lua.function[lua.n++].ref = luaL_ref(l, LUA_REGISTRYINDEX);
    return 0;
}

/* struct.unpack(format, bytes, at): big-endian integers, then where the next begins. */
static int struct_unpack(lua_State *l)
{
    size_t n;
    const char *format = luaL_checkstring(l, 1), *p = luaL_checklstring(l, 2, &n);
    size_t at = lua_gettop(l) > 2 ? (size_t)lua_tointeger(l, 3) - 1 : 0;
    int found = 0;
    for (const char *f = format; *f; f++) {
        if (*f == '>')
            continue;
        size_t size = f[0] == 'I' && f[1] >= '1' && f[1] <= '8' ? (size_t)(f[1] - '0') : 0;
        if (size == 0 || at + size > n)
            return luaL_error(l, "struct.unpack(%s) does not fit", format);
        uint64_t v = 0;
        for (size_t i = 0; i < size; i++)
            v = v << 8 | (uint8_t)p[at + i];
        lua_pushnumber(l, (lua_Number)v);
        at += size;
        found++;
        f++;
    }
    lua_pushinteger(l, (lua_Integer)at + 1);
    return found + 1;
}

static int struct_pack(lua_State *l)
{
    const char *format = luaL_checkstring(l, 1);
    int arg = 2;
    luaL_Buffer b;
    luaL_buffinit(l, &b);
    for (const char *f = format; *f; f++) {
        if (*f == '>')
            continue;
        int size = f[0] == 'I' && f[1] >= '1' && f[1] <= '8' ? f[1] - '0' : 0;
        if (size == 0)
            return luaL_error(l, "struct.pack(%s) is not known", format);
        uint64_t v = (uint64_t)lua_tonumber(l, arg++);
        while (size-- > 0)
            luaL_addchar(&b, (char)(v >> 8 * size));
        f++;
    }
    luaL_pushresult(&b);
    return 1;
}

static const luaL_Reg redis_library[] = {
    {"call", redis_call}, {"register_function", redis_register}, {NULL, NULL}};
static const luaL_Reg struct_library[] = {
    {"pack", struct_pack}, {"unpack", struct_unpack}, {NULL, NULL}};

/* --- the library ------------------------------------------------------------------------------- */

static char *read_code(const char *file)
{
    static char code[CODE_MAX];
    FILE *f = fopen(file, "re");
    size_t n = f ? fread(code, 1, CODE_MAX / 2, f) : 0;
    if (f)
        fclose(f);
    if (n == 0)
        sim_abort("%s cannot be read", file);
    code[n] = '\0';
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++)
        if (sim_mutated(edits[i].mutant))
            edit(code, edits[i].text, edits[i].instead);
    return code;
}

void vredis_lua_start(const char *file)
{
    char *code = read_code(file);
    /* The first line, "#!lua name=snapup", is Redis' alone. */
    char *body = strchr(code, '\n');
    lua.l = luaL_newstate();
    if (!lua.l || !body)
        sim_abort("no Lua");
    luaL_openlibs(lua.l);
    luaL_register(lua.l, "redis", redis_library);
    luaL_register(lua.l, "struct", struct_library);
    if (luaL_loadbuffer(lua.l, body, strlen(body), "functions.lua") || lua_pcall(lua.l, 0, 0, 0))
        sim_abort("functions.lua: %s", lua_tostring(lua.l, -1));
    lua_settop(lua.l, 0);
}

static int function_at(struct str name)
{
    for (unsigned i = 0; i < lua.n; i++)
        if (str_equal(name, (struct str){lua.function[i].name, lua.function[i].len}))
            return (int)i;
    sim_abort("functions.lua has no %.*s", (int)name.n, name.p);
}

bool vredis_function_writes(struct str name)
{
    return lua.function[function_at(name)].writes;
}

static void push_words(lua_State *l, const struct str *word, unsigned n)
{
    lua_createtable(l, (int)n, 0);
    for (unsigned i = 0; i < n; i++) {
        lua_pushlstring(l, word[i].p, word[i].n);
        lua_rawseti(l, -2, (int)i + 1);
    }
}

redisReply *vredis_fcall(struct str name, const struct str *keys, unsigned nkeys,
                         const struct str *args, unsigned nargs)
{
    lua_State *l = lua.l;
    if (!vredis_data.functions)
        return reply_error("ERR Function not found");
    lua_rawgeti(l, LUA_REGISTRYINDEX, lua.function[function_at(name)].ref);
    push_words(l, keys, nkeys);
    push_words(l, args, nargs);
    bool failed = lua_pcall(l, 2, 1, 0) != 0;
    if (failed) /* what it wrote before stays written, in Redis, too */
        sim_fail("functions.lua, %.*s: %s", (int)name.n, name.p, lua_tostring(l, -1));
    redisReply *r = failed ? reply_error("ERR script failed") : value_reply(l, 1);
    lua_settop(l, 0);
    return r;
}
