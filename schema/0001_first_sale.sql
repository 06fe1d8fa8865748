-- Storefronts, sales, orders and payments: the authority behind every promise (DESIGN section 4).
--
-- Ids that come from outside are VARBINARY: `Bob` and `bob` are two shoppers (rule R16). Times are
-- milliseconds since 1970 UTC, money is minor units, both BIGINT. No AUTO_INCREMENT: numbers are taken
-- from `counters` by a guarded UPDATE, so distributed databases can run the same schema. Every statement
-- may run twice: an instance that dies half-way leaves the file to the next one, from its first line.

CREATE TABLE IF NOT EXISTS counters (
    name VARBINARY(32) NOT NULL PRIMARY KEY,
    n BIGINT NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO counters (name, n) VALUES ('storefront', 0), ('sale', 0), ('item', 0), ('catalog', 1);

-- Politeness between instances: who does a chore that one of them should do. Correctness never depends
-- on a lease; times are MariaDB's.
CREATE TABLE IF NOT EXISTS leases (
    name VARBINARY(64) NOT NULL PRIMARY KEY,
    owner BINARY(16) NOT NULL,
    until_ms BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS storefronts (
    no INT UNSIGNED NOT NULL PRIMARY KEY,
    id VARBINARY(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE KEY by_id (id)
) ENGINE = InnoDB;

-- Keys of storefronts (sk_) and operators (op_, storefront 0), kept as SHA-256.
CREATE TABLE IF NOT EXISTS api_keys (
    hash BINARY(32) NOT NULL PRIMARY KEY,
    storefront INT UNSIGNED NOT NULL,
    role VARBINARY(16) NOT NULL,
    demo TINYINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    CONSTRAINT api_keys_role CHECK (role IN ('storefront', 'operator'))
) ENGINE = InnoDB;

-- Secrets that shoppers' tokens are signed with, sealed by the master key; two live ones per storefront
-- allow rotation.
CREATE TABLE IF NOT EXISTS signing_keys (
    kid VARBINARY(64) NOT NULL PRIMARY KEY,
    storefront INT UNSIGNED NOT NULL,
    sealed VARBINARY(512) NOT NULL,
    demo TINYINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
) ENGINE = InnoDB;

-- `state` is what was decided; `scheduled`, `open` and `ended` by the clock follow from it and the times.
CREATE TABLE IF NOT EXISTS sales (
    no INT UNSIGNED NOT NULL PRIMARY KEY,
    id VARBINARY(64) NOT NULL,
    storefront INT UNSIGNED NOT NULL,
    name VARBINARY(800) NOT NULL,
    kind VARBINARY(16) NOT NULL,
    currency BINARY(3) NOT NULL,
    state VARBINARY(16) NOT NULL,
    starts_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL,
    pay_within_s INT UNSIGNED NOT NULL,
    shards TINYINT UNSIGNED NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE KEY by_id (id),
    CONSTRAINT sales_kind CHECK (kind IN ('flash')),
    CONSTRAINT sales_state CHECK (state IN ('draft', 'published', 'paused', 'ended')),
    CONSTRAINT sales_times CHECK (starts_ms < ends_ms),
    CONSTRAINT sales_shards CHECK (shards BETWEEN 1 AND 64)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS items (
    no INT UNSIGNED NOT NULL PRIMARY KEY,
    sale INT UNSIGNED NOT NULL,
    sku VARBINARY(64) NOT NULL,
    name VARBINARY(800) NOT NULL,
    price BIGINT NOT NULL,
    list_price BIGINT NULL,
    per_shopper INT UNSIGNED NOT NULL,
    stock BIGINT NOT NULL,
    UNIQUE KEY by_sku (sale, sku),
    CONSTRAINT items_price CHECK (price > 0),
    CONSTRAINT items_stock CHECK (stock >= 0)
) ENGINE = InnoDB;

-- One row per sale shard: the fence. `epoch` counts the loads of the shard into Redis; `opened` is the
-- last epoch whose load began (rule R7), and run and replication ids are those of the Redis it went to
-- (rule R1). `owner` and `until_ms` are the rebuild lease (rule R6).
CREATE TABLE IF NOT EXISTS shards (
    sale INT UNSIGNED NOT NULL,
    shard TINYINT UNSIGNED NOT NULL,
    epoch BIGINT NOT NULL,
    opened BIGINT NOT NULL,
    ready TINYINT NOT NULL,
    run_id VARBINARY(64) NOT NULL,
    repl_id VARBINARY(64) NOT NULL,
    owner BINARY(16) NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (sale, shard)
) ENGINE = InnoDB;

-- Units of an item in a shard. The guarded UPDATE of `held` is fence and oversell guard at once; the
-- CHECK stands behind it. `held` counts unpaid and paid units; `added` is the running total of units
-- ever given (rule R5).
CREATE TABLE IF NOT EXISTS shard_stock (
    item INT UNSIGNED NOT NULL,
    shard TINYINT UNSIGNED NOT NULL,
    epoch BIGINT NOT NULL,
    allocated BIGINT NOT NULL,
    held BIGINT NOT NULL,
    added BIGINT NOT NULL,
    PRIMARY KEY (item, shard),
    CONSTRAINT shard_stock_not_oversold CHECK (held >= 0 AND held <= allocated)
) ENGINE = InnoDB;

-- Every change of allocated units, with its reason.
CREATE TABLE IF NOT EXISTS stock_movements (
    id BINARY(16) NOT NULL PRIMARY KEY,
    item INT UNSIGNED NOT NULL,
    shard TINYINT UNSIGNED NOT NULL,
    delta BIGINT NOT NULL,
    reason VARBINARY(800) NOT NULL,
    created_ms BIGINT NOT NULL,
    KEY by_item (item, id)
) ENGINE = InnoDB;

-- Orders are a log: the key begins with the time. The unique key makes a replay harmless and lists a
-- shopper's orders; `idem` is the first half of the SHA-256 of the idempotency key. States are those of
-- service/rules/order_state.c. The deadline is not stored: it follows from id and sale.
CREATE TABLE IF NOT EXISTS orders (
    id BINARY(16) NOT NULL PRIMARY KEY,
    storefront INT UNSIGNED NOT NULL,
    shopper VARBINARY(64) NOT NULL,
    idem BINARY(16) NOT NULL,
    item INT UNSIGNED NOT NULL,
    shard TINYINT UNSIGNED NOT NULL,
    qty INT UNSIGNED NOT NULL,
    amount BIGINT NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    gen TINYINT UNSIGNED NOT NULL DEFAULT 0,
    changed_ms BIGINT NULL,
    UNIQUE KEY by_shopper (storefront, shopper, idem),
    CONSTRAINT orders_state CHECK (state BETWEEN 1 AND 6),
    CONSTRAINT orders_qty CHECK (qty > 0 AND amount > 0)
) ENGINE = InnoDB;

-- How far the deadline sweep has come, per length of the time to pay. An order that commits late pulls
-- the cursor back in its own transaction.
CREATE TABLE IF NOT EXISTS expiry_cursors (
    pay_within_s INT UNSIGNED NOT NULL PRIMARY KEY,
    upto BINARY(16) NOT NULL
) ENGINE = InnoDB;

-- Attempts to pay. `state` as in service/rules/payment_state.c; `unapplied` is money that arrived for an
-- order that could not take it.
CREATE TABLE IF NOT EXISTS payments (
    id BINARY(16) NOT NULL PRIMARY KEY,
    order_id BINARY(16) NOT NULL,
    channel VARBINARY(16) NOT NULL,
    phase VARBINARY(16) NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    amount BIGINT NOT NULL,
    currency BINARY(3) NOT NULL,
    channel_ref VARBINARY(64) NOT NULL DEFAULT '',
    action_url VARBINARY(512) NOT NULL DEFAULT '',
    return_url VARBINARY(1024) NOT NULL DEFAULT '',
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NULL,
    KEY by_order (order_id),
    CONSTRAINT payments_state CHECK (state BETWEEN 1 AND 5)
) ENGINE = InnoDB;

-- Every notification a channel sent, once. `outcome` says what it did; `unmatched` ones wait for their
-- payment and are shown by the audit.
CREATE TABLE IF NOT EXISTS webhook_events (
    channel VARBINARY(16) NOT NULL,
    event VARBINARY(64) NOT NULL,
    payment BINARY(16) NOT NULL,
    order_id BINARY(16) NOT NULL,
    type VARBINARY(64) NOT NULL,
    amount BIGINT NOT NULL,
    currency BINARY(3) NOT NULL,
    channel_ref VARBINARY(64) NOT NULL,
    outcome VARBINARY(16) NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (channel, event),
    KEY by_payment (payment),
    KEY by_outcome (outcome)
) ENGINE = InnoDB;

-- Movements that Redis must be told, written with the change they follow from and deleted once Redis
-- has them. `epoch` was read under the shard_stock lock (rule R4).
CREATE TABLE IF NOT EXISTS outbox (
    id BINARY(16) NOT NULL PRIMARY KEY,
    kind TINYINT UNSIGNED NOT NULL,
    sale INT UNSIGNED NOT NULL,
    shard TINYINT UNSIGNED NOT NULL,
    item INT UNSIGNED NOT NULL,
    epoch BIGINT NOT NULL,
    order_id BINARY(16) NOT NULL,
    gen TINYINT UNSIGNED NOT NULL,
    shopper VARBINARY(64) NOT NULL,
    n BIGINT NOT NULL
) ENGINE = InnoDB;

-- POSTs with a key, but for orders, which have their own. `resource` is the id that the first try chose, so
-- that a try that died can be taken up again; `status` is 0 while it runs, then the first answer is kept.
CREATE TABLE IF NOT EXISTS idempotency (
    storefront INT UNSIGNED NOT NULL,
    caller VARBINARY(64) NOT NULL,
    route VARBINARY(32) NOT NULL,
    idem BINARY(16) NOT NULL,
    fingerprint BINARY(16) NOT NULL,
    resource BINARY(16) NOT NULL,
    status SMALLINT UNSIGNED NOT NULL,
    body MEDIUMBLOB NOT NULL,
    started_ms BIGINT NOT NULL,
    PRIMARY KEY (storefront, caller, route, idem)
) ENGINE = InnoDB;
