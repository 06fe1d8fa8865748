/* plan.pml - who wants what. A plan is chosen by -DPLAN=...; each is small enough to be searched to the end.
 *
 * An attempt is one POST: an order id of its own (its number, 0..), a shopper, an idempotency key, and the
 * instance that took it. Instance 0 may crash, be paused and lose answers; instance 1 lives.
 *
 *   SAME_KEY   one shopper sends one key twice, to both instances (a retry)
 *   TWO_KEYS   one shopper with two keys, allowed one unit: the limit
 *   RIVALS     two shoppers, one unit: the last one
 *   THREE      one shopper's retry and a rival, one unit
 *   TAKE       an order, and the operator who takes one unit back
 */
#define SAME_KEY 1
#define TWO_KEYS 2
#define RIVALS   3
#define THREE    4
#define TAKE     5

#ifndef PLAN
#define PLAN SAME_KEY
#endif

#if PLAN == THREE
#define N 3
#else
#define N 2
#endif

#ifndef STOCK
#if PLAN == SAME_KEY || PLAN == TWO_KEYS || PLAN == TAKE
#define STOCK 2 /* enough, so that nothing but the rule at hand refuses a second unit */
#else
#define STOCK 1
#endif
#endif

#if PLAN == SAME_KEY
#define LIMIT 2
#else
#define LIMIT 1
#endif

/* Sets of attempts are bit masks. */
#define bit_of(a)       (1 << (a))
#define has(set, a)     (((set) >> (a)) & 1)
#define with(set, a)    ((set) | bit_of(a))
#define without(set, a) ((set) & ~bit_of(a))
#define count(set)      (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))

#if PLAN == SAME_KEY
#define same_key(a)     3
#define same_shopper(a) 3
#elif PLAN == TWO_KEYS
#define same_key(a)     bit_of(a)
#define same_shopper(a) 3
#elif PLAN == THREE
#define same_key(a)     ((a) == 2 -> 4 : 3)
#define same_shopper(a) ((a) == 2 -> 4 : 3)
#else
#define same_key(a)     bit_of(a)
#define same_shopper(a) bit_of(a)
#endif

#define is_take(a)  (PLAN == TAKE && (a) == 1)
#if PLAN == TAKE
#define TAKES       bit_of(1)
#else
#define TAKES       0
#endif
/* The instance that took attempt a. */
#if PLAN == TAKE || defined(ONE_INSTANCE)
#define instance_of(a) 0
#else
#define instance_of(a) ((a) == 0 -> 0 : 1)
#endif
#define other(a)       (1 - ((a) & 1)) /* the attempt that may have the same key */
