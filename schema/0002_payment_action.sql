-- What a shopper is to do to pay: 1 open a page, 2 scan a code (rules/payment_action.h).
ALTER TABLE payments ADD COLUMN IF NOT EXISTS action TINYINT UNSIGNED NOT NULL DEFAULT 1;
