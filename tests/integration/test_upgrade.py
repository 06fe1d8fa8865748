"""A new program takes the place of the old one, and nobody is refused."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket

import pytest

from helpers_process import Hammer
from snapup import BUILD, RawConn, unique


@pytest.fixture
def config_file(folder):
    return folder / f"{unique('conf-')}.conf"


def put_program(path, text=None):
    """A program at path, in one step as a package manager would: a copy of the daemon, or a script."""
    new = path.with_name(path.name + ".new")
    if text is None:
        shutil.copy(BUILD / "snapup", new)
    else:
        new.write_text(text)
        new.chmod(0o755)
    new.rename(path)


@pytest.mark.parametrize("before,after", [(2, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("kept", [False, True])
def test_nobody_is_refused(shop, instance, config_file, before, after, kept):
    """Also when the number of workers, and so of sockets, changes with the file."""
    sale = shop.make_sale(stock=1000000)
    config_file.write_text(f"workers = {before}\n")
    with instance(start_it=False, config=config_file) as daemon:
        daemon.settings.pop("workers")
        daemon.start()
        old = daemon.pid
        with Hammer(daemon, sale, kept=kept) as hammer:
            config_file.write_text(f"workers = {after}\n")
            daemon.upgrade()
            assert daemon.pid != old and daemon.alive
            hammer.wait_sold(100)
        hammer.assert_flawless()
        daemon.wait_ready()
        assert daemon.events("listening")[-1]["inherited"] == before
        assert daemon.events("listening")[-1]["workers"] == after
        assert daemon.metric("snapup_reserve_won_total") >= 100
    assert shop.assert_audit_ok(sale)["items"][0]["live"] == hammer.sold


def open_pipes(pid):
    count = 0
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a connection that has gone meanwhile
            count += os.readlink(fd).startswith("pipe:")
    return count


def test_again_and_again(shop, instance):
    """Descriptors and the environment are as they were."""
    sale = shop.make_sale(stock=1000000)
    with instance() as daemon, Hammer(daemon, sale) as hammer:
        pipes = {open_pipes(daemon.pid)}
        for _ in range(3):
            daemon.upgrade()
            hammer.wait_sold(20)
            pipes.add(open_pipes(daemon.pid))
            variables = pathlib.Path(f"/proc/{daemon.pid}/environ").read_bytes().split(b"\0")
            assert sum(v.startswith(b"LISTEN_") for v in variables) == 3
        assert len(pipes) == 1
    hammer.assert_flawless()


def test_kept_unix_socket(shop, instance, folder):
    """The path stays bound all the time."""
    path = folder / unique("sock-")
    with instance(start_it=False) as daemon:
        daemon.settings["listen"] = f"unix:{path}"
        daemon.start(wait=False)
        daemon.wait_event("ready")
        with socket.socket(socket.AF_UNIX) as conn:
            conn.connect(str(path))
            daemon.upgrade()
        with socket.socket(socket.AF_UNIX) as conn:
            conn.connect(str(path))
            conn.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert conn.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_replaced_file_is_picked_up(shop, instance, folder):
    program = folder / unique("snapup-")
    put_program(program)
    with instance(start_it=False) as daemon:
        daemon.program = program
        daemon.start()
        put_program(program)
        assert os.stat(f"/proc/{daemon.pid}/exe").st_ino != program.stat().st_ino
        daemon.upgrade()
        assert os.stat(f"/proc/{daemon.pid}/exe").st_ino == program.stat().st_ino
        daemon.client.get("/readyz").expect(200)


@pytest.mark.parametrize("script,why,status", [
    ("#!/bin/sh\nexit 3\n", "it ended", 3),
    ("#!/bin/sh\nexec sleep 60\n", "it was not ready in time", -signal.SIGKILL),
    ("no program at all\n", "it ended", 127),
])
def test_a_bad_program_changes_nothing(shop, instance, folder, script, why, status):
    sale = shop.make_sale(stock=1000000)
    program = folder / unique("snapup-")
    put_program(program)
    with instance(start_it=False, upgrade_timeout_ms=500) as daemon:
        daemon.program = program
        daemon.start()
        old = daemon.pid
        with Hammer(daemon, sale) as hammer:
            put_program(program, script)
            daemon.signal(signal.SIGUSR2)
            failed = daemon.wait_event("upgrade_failed")
            assert (failed["why"], failed["exit_status"]) == (why, status)
            hammer.wait_sold(20)
            assert daemon.alive and daemon.pid == old
            child = daemon.events("upgrading")[-1]["pid"]
            assert not pathlib.Path(f"/proc/{child}").exists()
        hammer.assert_flawless()


def test_a_program_that_refuses_to_start_changes_nothing(shop, instance, config_file):
    config_file.write_text("")
    with instance(config=config_file) as daemon:
        config_file.write_text("nonsense = 1\n")
        daemon.signal(signal.SIGUSR2)
        assert daemon.wait_event("upgrade_failed")["exit_status"] == 1
        assert "nonsense is no key of ours" in daemon.log()
        daemon.client.get("/readyz").expect(200)
        config_file.write_text("")
        daemon.upgrade()
        daemon.client.get("/readyz").expect(200)


def test_a_stop_ends_the_next_program_too(shop, instance, folder):
    program = folder / unique("snapup-")
    put_program(program)
    with instance(start_it=False) as daemon:
        daemon.program = program
        daemon.start()
        put_program(program, "#!/bin/sh\nexec sleep 60\n")
        daemon.signal(signal.SIGUSR2)
        child = daemon.wait_event("upgrading")["pid"]
        assert daemon.stop() == 0
        assert not pathlib.Path(f"/proc/{child}").exists()


# --- Sockets given at the start ----------------------------------------------------------------------


@pytest.mark.parametrize("sockets", [1, 3])
def test_socket_activation(shop, instance, sockets):
    """What is asked before the daemon runs is answered by it, whichever socket it came by."""
    with instance(start_it=False, workers=2) as daemon:
        given = [socket.create_server((daemon.host, 0)) for _ in range(sockets)]
        daemon.settings["listen"] = "127.0.0.1:1"  # must not matter
        daemon.port = daemon.client.port = given[0].getsockname()[1]
        early = [RawConn(*s.getsockname()[:2]) for s in given for _ in range(3)]
        for conn in early:
            conn.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        daemon.start_given(given)
        for s in given:
            s.close()
        for conn in early:
            assert conn.read_answer().status == 200
            conn.close()
        daemon.wait_ready()
        listening = daemon.events("listening")[-1]
        assert listening["inherited"] == sockets
        assert listening["listen"] == f"{daemon.host}:{daemon.port}"
        daemon.upgrade()
        daemon.client.get("/readyz").expect(200)


def test_what_is_no_listening_socket_is_refused(shop, instance):
    with instance(start_it=False) as daemon, socket.socket() as deaf:
        daemon.expected_codes = (1,)
        daemon.start_given([deaf])
        assert daemon.child.wait(30) == 1
        assert "LISTEN_FDS" in daemon.log()


def test_sockets_meant_for_another_process_are_left(shop, instance):
    """LISTEN_PID names somebody else: the variables were inherited by mistake."""
    with instance(start_it=False) as daemon:
        os.environ.update(LISTEN_PID="1", LISTEN_FDS="1")
        try:
            daemon.start()
        finally:
            del os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]
        assert daemon.events("listening")[-1]["inherited"] == 0
