"""One shop for the whole session, and a close eye on its processes.

    shop        Shop: the daemon of the session with its stack and sandbox
    shop_with   the same shop through a daemon of its own, with settings:
                    shop_with(header_timeout_ms=300).buy(...)
    instance    the same as a context manager, to end the daemon (cleanly) before the test ends:
                    with instance(workers=1) as other: shop.at(other).buy(...)

SNAPUP_BUILD=asan|release chooses what is tested. SNAPUP_KEEP=1 keeps the temporary folder.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.dont_write_bytecode = True
import snapup  # noqa: E402

LOG_SHOWN_CHARS = 4000


def pytest_configure(config):
    # Fixtures end what they started on Ctrl-C; SIGTERM is to do the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def folder():
    # Short, since Unix sockets in it have to fit into 107 bytes.
    path = pathlib.Path(tempfile.mkdtemp(prefix="snapup-it."))
    yield path
    if os.environ.get("SNAPUP_KEEP"):
        print(f"\nkept: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(folder):
    stack = snapup.Stack(folder / "stack")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def processes(stack):
    """Every daemon and sandbox of the session. Ended, and asked how they fared, at its end."""
    started = []
    yield started
    complaints = []
    for process in reversed(started):
        try:
            process.stop()
        except AssertionError as hang:
            complaints.append(str(hang))
        complaint = process.complaint()
        if complaint:
            complaints.append(complaint)
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture(scope="session")
def settings(folder, stack):
    """What all daemons of the session share."""
    return {
        **stack.settings,
        "production": 0,
        "workers": 2,
        "master_key": os.urandom(32).hex(),
        "sandbox_secret": os.urandom(16).hex(),
        "schema_dir": snapup.ROOT / "schema",
        "functions_file": snapup.ROOT / "service/redis/functions.lua",
        "openapi_file": snapup.ROOT / "service/api/openapi.yaml",
    }


@pytest.fixture(scope="session")
def shop(folder, stack, processes, settings):
    port = snapup.free_port()
    sandbox = snapup.Sandbox(folder, settings["sandbox_secret"],
                             f"http://127.0.0.1:{port}/v1/webhooks/sandbox")
    processes.append(sandbox)
    sandbox.start()
    settings["sandbox_url"] = sandbox.url
    main = snapup.Instance(folder, settings, port=port)
    processes.append(main)
    main.command("migrate")
    main.command("demo")
    main.start()
    return snapup.Shop(main, stack, sandbox)


@pytest.fixture
def instance(folder, shop, processes):
    """Factory of context managers, each a further daemon that ends (cleanly) with its block; with
    start_it=False it is the test that starts it."""

    @contextlib.contextmanager
    def start(start_it=True, **settings):
        name = f"snapup-{len(processes)}"
        daemon = snapup.Instance(folder, {**shop.instance.settings, **settings}, name=name)
        processes.append(daemon)
        if start_it:
            daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()

    return start


@pytest.fixture
def shop_with(shop, instance):
    with contextlib.ExitStack() as daemons:
        yield lambda **settings: shop.at(daemons.enter_context(instance(**settings)))


# The test that killed the daemon is told so, instead of all that come after it.
@pytest.fixture(autouse=True)
def daemon_survives(request):
    if "shop" not in request.fixturenames:
        yield
        return
    main = request.getfixturevalue("shop").instance
    if not main.alive:
        pytest.fail("the daemon is gone since an earlier test", pytrace=False)
    request.node.log_from = main.log_size()
    request.node.daemon = main
    yield
    if not main.alive:
        pytest.fail(main.complaint() or "the daemon ended during this test", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed and hasattr(item, "daemon"):
        log = item.daemon.log(item.log_from)[-LOG_SHOWN_CHARS:]
        report.sections.append(("the daemon's log during this test", log or "(nothing)"))
