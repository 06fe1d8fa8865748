#include "flow/id_list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_MAX = 4 };

static const unsigned sizes[ID_LIST_SIZES] = {1, 8, 16, 32, 64, 96, 128, 192, 256, ID_LIST_MAX};

enum status id_list_run(struct sql *sql, const struct id_list *list, const struct sql_val *first,
                        unsigned n_first, const struct uid *ids, unsigned n, sql_row_fn row,
                        void *arg, uint64_t *affected)
{
    struct sql_val args[FIRST_MAX + ID_LIST_MAX];
    unsigned size = 0, at = 0;
    assert(n >= 1 && n <= ID_LIST_MAX && n_first <= FIRST_MAX);
    while (sizes[size] < n)
        size++;
    for (unsigned i = 0; i < n_first; i++)
        args[at++] = first[i];
    for (unsigned i = 0; i < sizes[size]; i++)
        args[at++] = SQL_BYTES(ids[i < n ? i : n - 1].b, UID_LEN);
    return sql_run(sql, list->text[size], args, at, row, arg, affected);
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, UID_LEN);
}

unsigned id_list_sort(struct uid *ids, unsigned n)
{
    unsigned left = 0;
    qsort(ids, n, sizeof(*ids), by_id);
    for (unsigned i = 0; i < n; i++)
        if (left == 0 || !uid_equal(&ids[left - 1], &ids[i]))
            ids[left++] = ids[i];
    return left;
}

unsigned id_list_find(const struct uid *ids, unsigned n, const void *id)
{
    const struct uid *found = bsearch(id, ids, n, sizeof(*ids), by_id);
    return found ? (unsigned)(found - ids) : n;
}
