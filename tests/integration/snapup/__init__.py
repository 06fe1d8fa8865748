"""A running Snapup and the means to talk to it, for the integration tests.

Nothing but the standard library. The pieces:

    Stack       private Redis and MariaDB (ops/stack), with sql() and redis()
    Sandbox     the payment channel's player, snapup-sandbox
    Instance    one daemon: its client, its log, start/stop/kill/upgrade
    Client      HTTP with keep-alive; request() never raises on a status
    RawConn     bytes on a socket, for requests that no client would send
    Shop        what tests ask for: make_sale, buy, pay, audit, webhook, ...

Waits are never a guess: wait_until() polls a condition and gives up with a message.
"""

from .basics import (  # noqa: F401
    BUILD, KID, OPERATOR_KEY, PATIENCE_S, ROOT, SECRET, STOREFRONT_KEY, b64url, free_port, in_parallel,
    mint, parse_time, sign_bytes, sign_webhook, unique, wait_until,
)
from .http import Client, RawConn  # noqa: F401
from .processes import Instance, Sandbox, Stack, clean_env  # noqa: F401
from .shop import Sale, Shop  # noqa: F401
