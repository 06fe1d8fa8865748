"""What the tests of starting, stopping and upgrading share."""

import http.client
import threading

from snapup import PATIENCE_S, Client, mint, unique, wait_until


class Hammer:
    """Threads that buy one after another, each over a connection of its own for every request, or (kept)
    over one for as long as it stays. All that is not a 201 is kept in `odd`; so is every connection
    that is refused, reset, or closed before the answer."""

    def __init__(self, daemon, sale, threads=4, kept=False):
        self.daemon, self.sale, self.kept = daemon, sale, kept
        self.sold, self.odd = 0, []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._buy, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_sold(50)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive()

    def wait_sold(self, more):
        """Until that many more purchases went through."""
        enough = self.sold + more
        wait_until(lambda: self.odd or self.sold >= enough, 4 * PATIENCE_S,
                   lambda: f"{self.sold} sold, {enough} wanted")
        self.assert_flawless()

    def assert_flawless(self):
        assert self.odd == [], (len(self.odd), self.odd[:5])

    def _buy(self):
        client = Client(self.daemon.host, self.daemon.port)
        body = {"sale": self.sale.id, "sku": self.sale.sku, "qty": 1}
        while not self.stopping.is_set():
            try:
                answer = client.post("/v1/orders", body, token=mint(unique("shopper-")))
                fault = None if answer.status == 201 else repr(answer)
            except (OSError, http.client.HTTPException) as error:
                fault = repr(error)
            with self.lock:
                if fault:
                    self.odd.append(fault)
                else:
                    self.sold += 1
            if not self.kept:
                client.close()
        client.close()


def log_entries(shop, sale, shards=1):
    """Entries in the intent log of a sale."""
    return sum(shop.redis("XLEN", f"su:{{{sale.id}.{shard}}}:log") for shard in range(shards))
