#include "html_priv.h"
#include "markup.h"
#include "run_json.h"

enum { HEADS_MAX = 16 };

void html_table(struct page *p, const char *caption, const char *const *heads)
{
    const char *all[HEADS_MAX];
    size_t n = 0;
    all[n++] = *heads++;
    if (p->other) {
        all[n++] = "Run";
    }
    while (*heads && n < HEADS_MAX - 1) {
        all[n++] = *heads++;
    }
    all[n] = NULL;
    markup_table(p->out, caption, all);
}

void html_row(struct page *p, const json_t *run, const char *head)
{
    markup_row(p->out, head);
    if (p->other) {
        markup_cell(p->out, run == p->other ? "other" : "this");
    }
}

static bool is_same(const json_t *a, const json_t *b, const char *const *keys)
{
    bool same = true;
    for (; *keys; keys++) {
        const json_t *of_a = json_object_get(a, *keys);
        same = same && of_a && json_equal(of_a, json_object_get(b, *keys));
    }
    return same;
}

/* The item of the list with the same keys; NULL: none. */
static const json_t *twin_of(const json_t *item, const json_t *list, const char *const *keys)
{
    size_t i;
    json_t *found;
    json_array_foreach(list, i, found)
    {
        if (is_same(item, found, keys)) {
            return found;
        }
    }
    return NULL;
}

void html_pairs(struct page *p, const json_t *items, const json_t *others, const char *const *keys,
                html_pair_fn pair, const void *arg)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        pair(p, item, twin_of(item, others, keys), arg);
    }
    json_array_foreach(others, i, item)
    {
        if (!twin_of(item, items, keys)) {
            pair(p, NULL, item, arg);
        }
    }
}

struct each {
    html_item_fn item;
    const void *arg;
};

static void each_of_pair(struct page *p, const json_t *mine, const json_t *others, const void *arg)
{
    const struct each *each = arg;
    if (mine) {
        each->item(p, p->run, mine, each->arg);
    }
    if (others) {
        each->item(p, p->other, others, each->arg);
    }
}

void html_each(struct page *p, const json_t *items, const json_t *others, const char *const *keys,
               html_item_fn each, const void *arg)
{
    html_pairs(p, items, others, keys, each_of_pair, &(struct each){each, arg});
}

void html_members(struct page *p, const char *path, html_pair_fn pair)
{
    const char *name;
    json_t *value;
    json_t *mine = (json_t *)run_at(p->run, path);
    json_t *others = (json_t *)run_at(p->other, path);
    json_object_foreach(mine, name, value)
    {
        pair(p, value, json_object_get(others, name), name);
    }
    json_object_foreach(others, name, value)
    {
        if (!json_object_get(mine, name)) {
            pair(p, NULL, value, name);
        }
    }
}
