"""Worlds in which things break: each with a database, a Redis and instances of its own.

    world       World: what a test breaks, and mends. Nobody else is in it.

Tests with a world spend most of their time waiting for leases to lapse. So all that were selected run
beside each other, on WORLDS threads with a world each; pytest then reports them in order. They may
use no other fixture than `world`.
"""

import concurrent.futures
import os
import pathlib
import queue
import shutil
import signal
import sys
import tempfile

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import snapup  # noqa: E402
from worlds import World  # noqa: E402

WORLDS = 8


def pytest_configure(config):
    # Fixtures end what they started on Ctrl-C; SIGTERM is to do the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def folder():
    # Short, since Unix sockets in it have to fit into 107 bytes.
    path = pathlib.Path(tempfile.mkdtemp(prefix="snapup-ft."))
    yield path
    if os.environ.get("SNAPUP_KEEP"):
        print(f"\nkept: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb(folder):
    stack = snapup.Stack(folder / "stack")
    try:
        stack.start("mariadb")
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def beside_each_other(request, folder, mariadb):
    """Starts every selected test that has a world; the future of each by its item."""
    items = [item for item in request.session.items if "world" in item.fixturenames]
    free = queue.Queue()
    worlds = [World(folder / f"w{n}", mariadb, f"world{n}") for n in range(min(WORLDS, len(items)))]
    for world in worlds:
        free.put(world)

    def run(item):
        world = free.get()
        try:
            params = item.callspec.params if hasattr(item, "callspec") else {}
            with world.test():
                item.obj(world=world, **params)
        finally:
            free.put(world)

    with concurrent.futures.ThreadPoolExecutor(len(worlds)) as pool:
        try:
            yield {item: pool.submit(run, item) for item in items}
        finally:
            pool.shutdown(cancel_futures=True)
            for world in worlds:
                world.end()


@pytest.fixture
def world(request, beside_each_other):
    return beside_each_other[request.node]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if "world" not in pyfuncitem.fixturenames:
        return None
    pyfuncitem.funcargs["world"].result()
    return True
