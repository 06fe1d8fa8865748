#include "rules/payment_action.h"

enum payment_action payment_action_of(struct str text)
{
#define X(name, number, word)       \
    if (str_equal(text, STR(word))) \
        return PAYMENT_BY_##name;
    PAYMENT_ACTION_TABLE(X)
#undef X
    return PAYMENT_ACTION_NONE;
}
