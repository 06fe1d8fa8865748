"""What tests arrange behind the service's back: a second storefront, keys that come and go, a moment
in which nobody can commit."""

import contextlib
import hashlib
import threading

from snapup import unique, wait_until

# Shorter than the 3 s for which the service waits for a lock: it shall wait, not fail.
LOCK_S_MAX = 2.5

# Daemons notice new and revoked keys by this number.
TOUCH = "UPDATE counters SET n = n + 1 WHERE name = 'catalog'"


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


@contextlib.contextmanager
def other_storefront(shop):
    """The key of a storefront that is not the demo's; gone again afterwards."""
    name, key = unique("other-"), unique("sk_")
    shop.sql(
        "UPDATE counters SET n = n + 1 WHERE name = 'storefront';"
        "INSERT INTO storefronts (no, id, created_ms) "
        f"SELECT n, '{name}', 0 FROM counters WHERE name = 'storefront';"
        "INSERT INTO api_keys (hash, storefront, role, demo, created_ms) "
        f"SELECT UNHEX('{digest(key)}'), no, 'storefront', 1, 0 FROM storefronts WHERE id = '{name}';"
        + TOUCH
    )
    wait_until(lambda: is_live(shop, key))
    try:
        yield key
    finally:
        revoke(shop, key)


def revoke(shop, key):
    shop.sql(f"DELETE FROM api_keys WHERE hash = UNHEX('{digest(key)}');" + TOUCH)


def is_live(shop, key):
    """Whether the daemon takes the key: it then says that there is no such sale."""
    answer = shop.client.get("/v1/sales/none/audit", token=key)
    assert answer.status in (401, 404), answer
    return answer.status == 404


@contextlib.contextmanager
def commits_held_up(shop):
    """Within this block (at most LOCK_S_MAX seconds) no order can be committed; all else goes on.

    It locks the gap behind the newest order, into which every new one has to go."""
    name = unique("lock")

    def hold():
        with contextlib.suppress(AssertionError):  # the end of the block kills it
            shop.sql("START TRANSACTION;"
                     f"SELECT id FROM orders WHERE id >= UNHEX('{'FF' * 16}') FOR UPDATE;"
                     f"SELECT '{name}', SLEEP({LOCK_S_MAX})")

    def sleeper():
        rows = shop.sql("SELECT id FROM information_schema.processlist "
                        f"WHERE state = 'User sleep' AND info LIKE '%{name}%'")
        return rows and rows[0]["id"]

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    session = wait_until(sleeper)
    try:
        yield
    finally:
        with contextlib.suppress(AssertionError):  # it may have ended by itself
            shop.sql(f"KILL {session}")
        holder.join()
