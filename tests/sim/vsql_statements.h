/* vsql_statements.h - between the files that say what a statement does to the rows.
 *
 *   vsql_orders.c    orders and stock
 *   vsql_control.c   catalogue, shards, leases, cursors, outbox
 *
 * Texts are compared whole: a changed text is an unknown one until its row here is changed, too.
 */
#pragma once

#include "vos.h"
#include "vsql.h"

#define NOW_MS "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS INTEGER)"

typedef struct vconn vconn;
typedef const struct sql_val *args_t;
typedef enum status status_t;

#define SEE(c, name, i) ((const struct name##_row *)row_see(c, T_##name, i))
#define U(v)            SQL_BYTES((v).b, UID_LEN)

extern const struct statement vsql_orders[], vsql_control[];
extern const unsigned vsql_orders_n, vsql_controls_n;

struct uid uid_of(const struct sql_val *v);
int uid_order(const struct uid *a, const struct uid *b);
unsigned stock_place(int64_t item, int64_t shard);

typedef bool (*match_fn)(const void *row, args_t a);
/* Changes or reads a locked row. Returns whether it counts as affected. */
typedef bool (*touch_fn)(void *row, args_t a, struct vout *out);

/* Locks each row that matches and touches it. */
status_t each_locked(vconn *c, enum table t, match_fn match, touch_fn touch, args_t a,
                     struct vout *out);
/* Whether a row that matches exists, once those who are making or unmaking one have decided. */
status_t find_decided(vconn *c, enum table t, match_fn match, args_t a, bool *found);
