"""A proxy for Unix sockets that fails on demand: latency, slices, cuts, half answers, silence in one
direction, and a COMMIT whose answer is lost.

One thread with an event loop serves all connections. The attributes of `trouble` are read for each piece
that passes; set them from any thread.
"""

import asyncio
import contextlib
import dataclasses
import threading

UP, DOWN = "up", "down"  # towards the server, towards the client


@dataclasses.dataclass
class Trouble:
    latency_s: float = 0.0    # each piece waits so long
    slice_bytes: int = 0      # pieces are passed on so many bytes at a time
    silent: str = ""          # UP, DOWN or both ("updown"): nothing passes; it passes once this ends
    refuse: bool = False      # connections are closed as soon as they are made
    half: bool = False        # the next answer is cut in its middle
    swallow_after: bytes = b""  # the answer to a request with these bytes never arrives; then a cut


class Proxy:
    def __init__(self, path, upstream):
        self.path, self.upstream = str(path), str(upstream)
        self.trouble = Trouble()
        self.writers = set()
        self.swallowed = 0  # answers
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._call(self._listen())

    def heal(self):
        self.trouble = Trouble()

    def cut(self):
        """Breaks every connection."""
        self._call(self._abort_all())

    def stop(self):
        self.trouble = Trouble(refuse=True)
        self._call(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _listen(self):
        self.server = await asyncio.start_unix_server(self._serve, self.path)

    async def _close(self):
        self.server.close()
        await self._abort_all()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _abort_all(self):
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, client_in, client_out):
        if self.trouble.refuse:
            client_out.transport.abort()
            return
        try:
            server_in, server_out = await asyncio.open_unix_connection(self.upstream)
        except OSError:
            client_out.transport.abort()
            return
        pair = {client_out, server_out}
        self.writers |= pair
        state = {"swallow": False}
        try:
            await asyncio.gather(self._pump(client_in, server_out, UP, state),
                                 self._pump(server_in, client_out, DOWN, state))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for writer in pair:
                with contextlib.suppress(RuntimeError):
                    writer.transport.abort()
            self.writers -= pair

    async def _pump(self, source, target, way, state):
        while True:
            data = await source.read(65536)
            if not data:
                raise ConnectionResetError  # ends the other direction as well
            if self.trouble.latency_s:
                await asyncio.sleep(self.trouble.latency_s)
            while way in self.trouble.silent:
                await asyncio.sleep(0.005)
            trouble = self.trouble
            if way == UP and trouble.swallow_after and trouble.swallow_after in data:
                state["swallow"] = True
            if way == DOWN and state["swallow"]:
                self.swallowed += 1
                raise ConnectionResetError
            if way == DOWN and trouble.half and len(data) > 1:
                trouble.half = False
                target.write(data[:len(data) // 2])
                await target.drain()
                raise ConnectionResetError
            step = trouble.slice_bytes or len(data)
            for at in range(0, len(data), step):
                target.write(data[at:at + step])
                await target.drain()
                if step < len(data):
                    await asyncio.sleep(0)
