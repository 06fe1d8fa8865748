-- Payments: what a shopper is to do, and rows that change in place.

-- Sales go on meanwhile: whoever reads a table for long must not keep them behind this file.
SET SESSION lock_wait_timeout = 5;

-- What a shopper is to do to pay: 1 open a page, 2 scan a code (rules/payment_action.h).
ALTER TABLE payments ADD COLUMN IF NOT EXISTS action TINYINT UNSIGNED NOT NULL DEFAULT 1;

-- A row that changes its state keeps its length and is changed where it is. 0: never changed; rows from
-- before this file may have NULL, which means the same.
ALTER TABLE orders ALTER COLUMN changed_ms SET DEFAULT 0;
ALTER TABLE payments ALTER COLUMN changed_ms SET DEFAULT 0;

-- Nothing looks events up by their payment.
ALTER TABLE webhook_events DROP INDEX IF EXISTS by_payment;
