#include "api/page.h"

#include "api/problem.h"

#include <stdlib.h>

enum { LIMIT_DEFAULT = 20, LIMIT_MAX = 100 };

enum status query_known(struct api *api, struct exchange *x, const char *const *keys)
{
    struct str other;
    if (query_only(x->head->query, keys, &other))
        return ST_OK;
    problem_answer(api, x,
                   &(struct problem){.st = ST_INVALID_REQUEST,
                                     .detail = "The query parameter is not known.",
                                     .param = other});
    return ST_INVALID_REQUEST;
}

enum status query_number(struct api *api, struct exchange *x, const char *key, int64_t min,
                         int64_t max, int64_t *value)
{
    char text[20], *end = text;
    enum status st = query_get(x->head->query, key, text, sizeof(text));
    if (st == ST_NOT_FOUND)
        return ST_OK;
    int64_t n = st == ST_OK && text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : -1;
    if (st == ST_OK && end != text && *end == '\0' && n >= min && n <= max) {
        *value = n;
        return ST_OK;
    }
    problem_param(api, x, key, "The query parameter is not a number in its bounds.");
    return ST_INVALID_REQUEST;
}

enum status page_read(struct api *api, struct exchange *x, struct page *page)
{
    static const char *const keys[] = {"limit", "starting_after", NULL};
    int64_t limit = LIMIT_DEFAULT;
    if (query_known(api, x, keys) != ST_OK ||
        query_number(api, x, "limit", 1, LIMIT_MAX, &limit) != ST_OK)
        return ST_INVALID_REQUEST;
    page->limit = (unsigned)limit;
    page->after[0] = '\0';
    enum status st = query_get(x->head->query, "starting_after", page->after, sizeof(page->after));
    if (st == ST_OK || st == ST_NOT_FOUND)
        return ST_OK;
    problem_param(api, x, "starting_after", "This is no id.");
    return ST_INVALID_REQUEST;
}
