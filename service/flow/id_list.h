/* id_list.h - statements over a list of ids, prepared once for each of a few lengths.
 *
 * A list is filled up to the next length by repeating an id, so that the connection's cache holds
 * ID_LIST_SIZES statements instead of one per length.
 */
#pragma once

#include "base/ids.h"
#include "sql/sql.h"

enum { ID_LIST_SIZES = 10, ID_LIST_MAX = 512 };

struct id_list {
    const char *text[ID_LIST_SIZES];
};

#define ID_LIST_2(list) list "," list
#define ID_LIST_8       ID_LIST_2(ID_LIST_2(ID_LIST_2("?")))
#define ID_LIST_16      ID_LIST_2(ID_LIST_8)
#define ID_LIST_32      ID_LIST_2(ID_LIST_16)
#define ID_LIST_64      ID_LIST_2(ID_LIST_32)
#define ID_LIST_128     ID_LIST_2(ID_LIST_64)
/* The texts around the list, both literals: before "... IN (", after ")...". The lengths are those
 * of id_list.c, close together, since MariaDB looks at each element. */
#define ID_LIST(before, after)                                                                \
    {                                                                                         \
        {                                                                                     \
            before "?" after, before ID_LIST_8 after, before ID_LIST_16 after,                \
                before ID_LIST_32 after, before ID_LIST_64 after,                             \
                before ID_LIST_64 "," ID_LIST_32 after, before ID_LIST_128 after,             \
                before ID_LIST_128 "," ID_LIST_64 after, before ID_LIST_2(ID_LIST_128) after, \
                before ID_LIST_2(ID_LIST_2(ID_LIST_128)) after,                               \
        }                                                                                     \
    }

/* As sql_run, with the ids for the list's ?; `first` for the n_first ? before it. 1 <= n <=
 * ID_LIST_MAX; with n_first <= 4. */
STATUS_MUSTCHECK
enum status id_list_run(struct sql *sql, const struct id_list *list, const struct sql_val *first,
                        unsigned n_first, const struct uid *ids, unsigned n, sql_row_fn row,
                        void *arg, uint64_t *affected);
/* Sorts and drops repetitions; returns how many are left. */
unsigned id_list_sort(struct uid *ids, unsigned n);
/* Index of id in a sorted list, or n. */
unsigned id_list_find(const struct uid *ids, unsigned n, const void *id);
