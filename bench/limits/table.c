#include "batch.h"

#include <mysql.h>

#include <stdio.h>
#include <stdlib.h>

enum { COLS = 8 };

struct table {
    MYSQL *my;
    MYSQL_STMT *insert;
    /* The columns of a group, as array binding wants them. */
    const void *ids[GROUP_MAX], *shoppers[GROUP_MAX], *keys[GROUP_MAX];
    unsigned long id_lengths[GROUP_MAX], shopper_lengths[GROUP_MAX], key_lengths[GROUP_MAX];
    uint32_t storefronts[GROUP_MAX], items[GROUP_MAX], shards[GROUP_MAX], qtys[GROUP_MAX];
    int64_t amounts[GROUP_MAX];
};

static bool failed(const char *why)
{
    fprintf(stderr, "snapup-limits: MariaDB: %s\n", why);
    return false;
}

static MYSQL *connect_to(const char *socket)
{
    MYSQL *my = mysql_init(NULL);
    if (my && !mysql_real_connect(my, NULL, "root", NULL, NULL, 0, socket, 0)) {
        failed(mysql_error(my));
        mysql_close(my);
        return NULL;
    }
    return my;
}

/* Columns and keys of Snapup's `orders`, without its rules. */
bool table_prepare(const char *socket)
{
    static const char *const statements[] = {
        "CREATE DATABASE IF NOT EXISTS bare COLLATE utf8mb4_bin",
        "DROP TABLE IF EXISTS bare.orders",
        "CREATE TABLE bare.orders (id BINARY(16) NOT NULL PRIMARY KEY, "
        "storefront INT UNSIGNED NOT NULL, shopper VARBINARY(64) NOT NULL, "
        "idem BINARY(16) NOT NULL, item INT UNSIGNED NOT NULL, shard TINYINT UNSIGNED NOT NULL, "
        "qty INT UNSIGNED NOT NULL, amount BIGINT NOT NULL, state TINYINT UNSIGNED NOT NULL, "
        "gen TINYINT UNSIGNED NOT NULL DEFAULT 0, changed_ms BIGINT NULL, "
        "UNIQUE KEY by_shopper (storefront, shopper, idem)) ENGINE = InnoDB",
    };
    MYSQL *my = connect_to(socket);
    bool done = my != NULL;
    for (size_t i = 0; done && i < sizeof(statements) / sizeof(statements[0]); i++) {
        done = mysql_query(my, statements[i]) == 0 || failed(mysql_error(my));
    }
    mysql_close(my);
    return done;
}

struct table *table_open(const char *socket)
{
    static const char insert[] =
        "INSERT INTO bare.orders (id, storefront, shopper, idem, item, shard, qty, amount, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)";
    struct table *t = calloc(1, sizeof(*t));
    if (!t) {
        return NULL;
    }
    t->my = connect_to(socket);
    t->insert = t->my ? mysql_stmt_init(t->my) : NULL;
    if (!t->insert || mysql_autocommit(t->my, 0) ||
        mysql_stmt_prepare(t->insert, insert, sizeof(insert) - 1)) {
        if (t->insert) {
            failed(mysql_stmt_error(t->insert));
            mysql_stmt_close(t->insert);
        }
        mysql_close(t->my);
        free(t);
        return NULL;
    }
    return t;
}

void table_close(struct table **t)
{
    mysql_stmt_close((*t)->insert);
    mysql_close((*t)->my);
    free(*t);
    *t = NULL;
}

static unsigned gather(struct table *t, const struct batch *first)
{
    unsigned n = 0;
    for (const struct batch *b = first; b; b = b->next) {
        for (unsigned i = 0; i < b->n && n < GROUP_MAX; i++, n++) {
            const struct row *row = &b->rows[i];
            t->ids[n] = row->id.b;
            t->id_lengths[n] = UID_LEN;
            t->storefronts[n] = row->storefront;
            t->shoppers[n] = row->shopper.p;
            t->shopper_lengths[n] = row->shopper.n;
            t->keys[n] = row->key;
            t->key_lengths[n] = KEY_LEN;
            t->items[n] = row->item;
            t->shards[n] = 0;
            t->qtys[n] = row->qty;
            t->amounts[n] = row->amount;
        }
    }
    return n;
}

static MYSQL_BIND numbers(void *values, enum enum_field_types type)
{
    return (MYSQL_BIND){.buffer = values, .buffer_type = type, .is_unsigned = 1};
}

static MYSQL_BIND bytes(void *values, unsigned long *lengths)
{
    return (MYSQL_BIND){.buffer = values, .buffer_type = MYSQL_TYPE_BLOB, .length = lengths};
}

bool table_insert(struct table *t, const struct batch *first)
{
    unsigned n = gather(t, first);
    MYSQL_BIND cols[COLS] = {
        bytes(t->ids, t->id_lengths),           numbers(t->storefronts, MYSQL_TYPE_LONG),
        bytes(t->shoppers, t->shopper_lengths), bytes(t->keys, t->key_lengths),
        numbers(t->items, MYSQL_TYPE_LONG),     numbers(t->shards, MYSQL_TYPE_LONG),
        numbers(t->qtys, MYSQL_TYPE_LONG),      numbers(t->amounts, MYSQL_TYPE_LONGLONG),
    };
    mysql_stmt_attr_set(t->insert, STMT_ATTR_ARRAY_SIZE, &n);
    if (mysql_stmt_bind_param(t->insert, cols) || mysql_stmt_execute(t->insert)) {
        return failed(mysql_stmt_error(t->insert));
    }
    return mysql_commit(t->my) == 0 || failed(mysql_error(t->my));
}
