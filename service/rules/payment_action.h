/* payment_action.h - what the shopper is to do to pay: the words of the API and their numbers.
 *
 * Pure. Numbers are those in MariaDB (payments.action).
 */
#pragma once

#include "base/str.h"

/* X(name, number, text) */
#define PAYMENT_ACTION_TABLE(X)                              \
    X(REDIRECT, 1, "redirect") /* open the channel's page */ \
    X(QR_CODE, 2, "qr_code")   /* scan what the channel gave a code for */

enum payment_action {
    PAYMENT_ACTION_NONE = 0,
#define X(name, number, text) PAYMENT_BY_##name = number,
    PAYMENT_ACTION_TABLE(X)
#undef X
        PAYMENT_ACTIONS
};

/* NONE for a word that is none of them. */
enum payment_action payment_action_of(struct str text);
