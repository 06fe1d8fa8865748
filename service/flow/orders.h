/* orders.h - orders as MariaDB has them: read, listed, cancelled.
 */
#pragma once

#include "flow/jobs.h"
#include "redis/row.h"
#include "rules/order_state.h"
#include "rules/payment_action.h"
#include "rules/payment_state.h"

enum { ORDER_PAYMENTS_MAX = 20, LIST_MAX = 100, SHOPPER_MAX = 64 };

struct payment {
    struct uid id, order;
    enum payment_state state;
    enum payment_action action;
    int64_t amount, created_ms;
    char channel[17], phase[17], currency[4], channel_ref[65];
    char action_url[513];
    char return_url[1025];
};

struct order {
    struct uid id;
    uint32_t storefront, item;
    unsigned shard;
    char shopper[SHOPPER_MAX + 1];
    uint32_t qty;
    int64_t amount;
    enum order_state state;
    uint8_t gen;
    int64_t changed_ms;      /* of the last change of state; 0: none */
    unsigned payments;       /* filled by order_get and order_list */
    struct payment *payment; /* [payments], newest first; the caller frees with order_free */
};

/* Who asks: an order of anybody else is not found. shopper empty: any shopper of the storefront;
 * storefront 0: any storefront. */
struct order_scope {
    uint32_t storefront;
    struct str shopper;
};

STATUS_MUSTCHECK
enum status order_get(struct session *s, const struct uid *id, const struct order_scope *scope,
                      struct order *out);
void order_free(struct order *o);
/* By idempotency key: ST_ORDER_NOT_FOUND when the key has no order. Payments are filled, too. */
STATUS_MUSTCHECK
enum status order_by_key(struct session *s, uint32_t storefront, struct str shopper,
                         const uint8_t key[KEY_LEN], struct order *out);
/* Newest first, older than `after` (NULL: from the newest), at most n <= LIST_MAX; *more: there are
 * older ones. scope->storefront must be set. */
STATUS_MUSTCHECK
enum status order_list(struct session *s, const struct order_scope *scope, const struct uid *after,
                       unsigned n, struct order *out, unsigned *found, bool *more);
/* While unpaid; again: ST_OK with the order as it is. ST_INVALID_STATE with *out filled otherwise.
 */
STATUS_MUSTCHECK
enum status order_cancel(struct session *s, const struct uid *id, const struct order_scope *scope,
                         struct order *out);

/* Columns that order_from_row expects, in order. */
#define ORDER_COLUMNS ORDER_COLUMNS_OF("")
/* t: "" or a table's alias and a dot. */
#define ORDER_COLUMNS_OF(t)                                                                 \
    t "id, " t "storefront, " t "shopper, " t "item, " t "shard, " t "qty, " t "amount, " t \
      "state, " t "gen, COALESCE(" t "changed_ms, 0)"
enum { ORDER_COLUMNS_N = 10 };
void order_from_row(struct order *o, const struct sql_val *cols);
/* Milliseconds until which it may be paid: from its id and its sale. */
int64_t order_pay_by(const struct order *o, const struct sale *sale);
/* In a transaction: reads and locks one order. ST_ORDER_NOT_FOUND. Payments are not filled. */
STATUS_MUSTCHECK
enum status order_lock(struct session *s, const struct uid *id, struct order *out);
/* In a transaction, after order_lock: moves it to `to`. */
STATUS_MUSTCHECK
enum status order_move(struct session *s, struct order *o, enum order_state to);
bool order_in_scope(const struct order *o, const struct order_scope *scope);
