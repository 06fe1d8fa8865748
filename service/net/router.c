#include "net/router.h"

#include "net/http_chars.h"

#include <stdlib.h>

enum { DEPTH_MAX = 16, NONE = UINT32_MAX };

/* One segment of the patterns, in a tree whose siblings are chained; index 0 is the root. */
struct node {
    struct str literal; /* p == NULL: captures any segment but an empty one */
    uint32_t child, sibling;
    const struct route *route[HTTP_METHOD_OTHER];
};

struct router {
    struct node *nodes;
    uint32_t count;
};

/* Cuts the first segment off a path that begins behind a '/'; false behind the last one. */
static bool segment_next(struct str *rest, struct str *segment)
{
    if (!rest->p)
        return false;
    const char *slash = rest->n > 0 ? memchr(rest->p, '/', rest->n) : NULL;
    size_t n = slash ? (size_t)(slash - rest->p) : rest->n;
    *segment = (struct str){rest->p, n};
    *rest = slash ? (struct str){slash + 1, rest->n - n - 1} : (struct str){0};
    return true;
}

static struct str path_start(struct str path)
{
    return (struct str){path.p + 1, path.n - 1};
}

static bool is_capture(struct str segment)
{
    return segment.n > 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
}

/* Child of the node for a pattern's segment, made if need be. Literals stand before the capture. */
static uint32_t node_child(struct router *r, uint32_t parent, struct str segment)
{
    struct str literal = segment;
    if (is_capture(segment))
        literal = (struct str){0};
    uint32_t *link = &r->nodes[parent].child;
    for (; *link != NONE; link = &r->nodes[*link].sibling) {
        const struct node *n = &r->nodes[*link];
        if (!n->literal.p ? !literal.p : literal.p && str_equal(n->literal, literal))
            return *link;
        if (!n->literal.p)
            break;
    }
    uint32_t made = r->count++;
    r->nodes[made] = (struct node){.literal = literal, .child = NONE, .sibling = *link};
    *link = made;
    return made;
}

static bool route_add(struct router *r, const struct route *route)
{
    struct str pattern = str_from(route->pattern), segment;
    if (pattern.n == 0 || pattern.p[0] != '/' || route->method >= HTTP_METHOD_OTHER)
        return false;
    unsigned depth = 0, captures = 0;
    uint32_t at = 0;
    struct str rest = path_start(pattern);
    while (segment_next(&rest, &segment)) {
        captures += is_capture(segment);
        if (++depth > DEPTH_MAX || captures > ROUTE_PARAMS_MAX)
            return false;
        at = node_child(r, at, segment);
    }
    if (r->nodes[at].route[route->method])
        return false;
    r->nodes[at].route[route->method] = route;
    return true;
}

static size_t count_segments(const struct route *routes, unsigned n)
{
    size_t count = 0;
    for (unsigned i = 0; i < n; i++) {
        for (const char *p = routes[i].pattern; *p; p++)
            count += *p == '/';
    }
    return count;
}

enum status router_create(const struct route *routes, unsigned n, struct router **out)
{
    enum status st = ST_INTERNAL;
    struct router *r = calloc(1, sizeof(*r));
    if (!r)
        return ST_INTERNAL;
    r->nodes = calloc(count_segments(routes, n) + 1, sizeof(*r->nodes));
    if (!r->nodes)
        goto cleanup;
    r->nodes[0] = (struct node){.child = NONE, .sibling = NONE};
    r->count = 1;
    for (unsigned i = 0; i < n; i++) {
        if (!route_add(r, &routes[i])) {
            st = ST_INVALID_REQUEST;
            goto cleanup;
        }
    }
    *out = r;
    return ST_OK;
cleanup:
    router_destroy(&r);
    return st;
}

void router_destroy(struct router **r)
{
    if (!*r)
        return;
    free((*r)->nodes);
    free(*r);
    *r = NULL;
}

/* A walk through the tree: what it looks for, and the captures on the way. */
struct walk {
    const struct router *r;
    enum http_method method;
    struct str captured[ROUTE_PARAMS_MAX];
    unsigned captures;
    uint32_t allowed;
};

static const struct route *node_route(struct walk *w, const struct node *n)
{
    for (unsigned m = 0; m < HTTP_METHOD_OTHER; m++)
        w->allowed |= n->route[m] ? 1u << m : 0;
    if (n->route[HTTP_GET])
        w->allowed |= 1u << HTTP_HEAD;
    if (w->method == HTTP_METHOD_OTHER)
        return NULL;
    if (w->method == HTTP_HEAD && !n->route[HTTP_HEAD])
        return n->route[HTTP_GET];
    return n->route[w->method];
}

/* A literal is tried before the capture beside it; depth is bounded by the patterns'. */
static const struct route *find(struct walk *w, const struct node *n, struct str rest)
{
    struct str segment;
    if (!segment_next(&rest, &segment))
        return node_route(w, n);
    for (uint32_t i = n->child; i != NONE; i = w->r->nodes[i].sibling) {
        const struct node *child = &w->r->nodes[i];
        bool capture = !child->literal.p;
        if (capture ? segment.n == 0 : !str_equal(child->literal, segment))
            continue;
        if (capture)
            w->captured[w->captures++] = segment;
        const struct route *found = find(w, child, rest);
        if (found)
            return found;
        w->captures -= capture;
    }
    return NULL;
}

/* Decodes percent-encoding, of which NUL and other control characters never are part. Returns the
 * length, or -1 for bad encoding, or -2 for no room. */
static ptrdiff_t decode(struct str s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? http_hex(s.p[i + 1]) : -1;
            int low = high >= 0 ? http_hex(s.p[i + 2]) : -1;
            if (low < 0)
                return -1;
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f)
            return -1;
        if (n == size)
            return -2;
        out[n++] = (char)c;
    }
    return (ptrdiff_t)n;
}

static enum status store_param(struct route_match *m, unsigned i, struct str captured, size_t *used)
{
    char *text = m->text + *used;
    ptrdiff_t n = decode(captured, text, ROUTE_PARAM_LEN - *used);
    if (n == -2)
        return ST_NOT_FOUND; /* longer than the name of anything we have */
    if (n < 0 || (n > 0 && memchr(text, '/', (size_t)n)))
        return ST_INVALID_REQUEST;
    struct str decoded = {text, (size_t)n};
    if (str_equal(decoded, STR(".")) || str_equal(decoded, STR("..")))
        return ST_NOT_FOUND;
    m->param[i] = decoded;
    *used += (size_t)n;
    return ST_OK;
}

enum status router_match(const struct router *r, enum http_method method, struct str path,
                         struct route_match *m)
{
    struct walk w;
    w.r = r;
    w.method = method;
    w.captures = 0;
    w.allowed = 0;
    m->route = NULL;
    m->allowed = 0;
    memset(m->param, 0, sizeof(m->param));
    if (path.n == 0 || path.p[0] != '/')
        return ST_NOT_FOUND;
    const struct route *route = find(&w, &r->nodes[0], path_start(path));
    m->allowed = w.allowed;
    if (!route)
        return w.allowed ? ST_METHOD : ST_NOT_FOUND;
    size_t used = 0;
    for (unsigned i = 0; i < w.captures; i++) {
        enum status st = store_param(m, i, w.captured[i], &used);
        if (st != ST_OK)
            return st;
    }
    m->route = route;
    return ST_OK;
}

/* Cuts the first key=value off a query string; false when it is used up. */
static bool pair_next(struct str *rest, struct str *key, struct str *value)
{
    while (rest->n > 0) {
        const char *amp = memchr(rest->p, '&', rest->n);
        struct str pair = {rest->p, amp ? (size_t)(amp - rest->p) : rest->n};
        size_t skip = pair.n + (amp != NULL);
        *rest = (struct str){rest->p + skip, rest->n - skip};
        if (pair.n == 0)
            continue;
        const char *equals = memchr(pair.p, '=', pair.n);
        size_t n = equals ? (size_t)(equals - pair.p) : pair.n;
        *key = (struct str){pair.p, n};
        *value = equals ? (struct str){equals + 1, pair.n - n - 1} : (struct str){0};
        return true;
    }
    return false;
}

enum status query_get(struct str query, const char *key, char *out, size_t size)
{
    struct str wanted = str_from(key), name, value, found = {0};
    unsigned times = 0;
    while (pair_next(&query, &name, &value)) {
        if (!str_equal(name, wanted))
            continue;
        found = value;
        times++;
    }
    if (times == 0)
        return ST_NOT_FOUND;
    if (times > 1 || size == 0)
        return ST_INVALID_REQUEST;
    ptrdiff_t n = decode(found, out, size - 1);
    if (n < 0)
        return ST_INVALID_REQUEST;
    out[n] = '\0';
    return ST_OK;
}

bool query_only(struct str query, const char *const *keys, struct str *param)
{
    struct str name, value;
    while (pair_next(&query, &name, &value)) {
        const char *const *key = keys;
        while (*key && !str_equal(name, str_from(*key)))
            key++;
        if (!*key) {
            *param = name;
            return false;
        }
    }
    return true;
}
