"""Another user of the same machine gets nowhere: not to sockets, not to files, and not in without a token."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

import pytest
from tests.support.daemons import Daemon, start_master
from tests.support.other_user import THROUGH, UID, attempt

from manyhands import Client
from manyhands.errors import TaskCrashed, TaskTimeout
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody reaches, unlike pytest's own; what is in it is another matter."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "public").write_text("for all to read")
        yield path


def test_his_attempts_are_real(folder: Path) -> None:
    assert attempt("read", folder / "public") == "for all to read"
    (folder / "public").chmod(0o600)
    assert attempt("read", folder / "public") == "PermissionError"


def test_he_cannot_connect_to_an_embedded_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with Client(slots=1) as client:
        socket = Path(client._connection.address)
        assert client.submit(pow, 2, 10).result() == 1024
        assert socket.is_socket()
        assert socket.is_relative_to(folder)
        assert attempt("connect", socket) == "PermissionError"
        assert attempt("listing", socket.parent) == "PermissionError"


def test_the_same_host_socket_hangs_up_on_him(folder: Path) -> None:
    hello = make_hello(pb.ROLE_CLIENT)
    hello.session = os.urandom(16)
    frame = pb.Frame(hello=hello).SerializeToString()
    said = (Struct("<I").pack(len(frame)) + frame).hex()
    master, address = start_master("--verbose")
    with master:
        socket = f"@manyhands/{os.geteuid()}/{address}"
        assert attempt("say", socket, said) in {"", "BrokenPipeError", "ConnectionResetError"}
        with Client(address) as client:  # who comes the same way as its own user is let in
            client.wait_for_workers(0)
        assert len([line for line in master.lines if "joined" in line]) == 1


def test_he_cannot_read_a_masters_data(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o755)
    master, address = start_master("--data-dir", str(data))
    with master, Daemon("worker", address, "--slots", "1"), Client(address) as client:
        assert client.submit(pow, 2, 10).result() == 1024
        found = {path.name for path in data.iterdir()}
        assert {"journal.sqlite", "journal.sqlite-wal", "lock"} <= found
        assert set(attempt("listing", data).split()) == found
        for path in data.iterdir():
            assert attempt("listing" if path.is_dir() else "read", path) == "PermissionError", path


def test_his_worker_needs_a_token(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    homes = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "TMPDIR"), str(home))
    data = folder / "data"
    with start_master("--data-dir", str(data))[0] as first:
        token = first.wait_for(r"MANYHANDS_TOKEN=(\S+) manyhands worker")[1]
    master, address = start_master("--data-dir", str(data), "--verbose")
    with master, Client(address) as client:
        with Daemon("worker", address, "--name", "none", env=homes, through=THROUGH) as worker:
            assert worker.wait() == 1
            worker.wait_for("it wants a token")
        with Daemon(
            "worker", address, "--slots", "1", env={**homes, "MANYHANDS_TOKEN": token}, through=THROUGH
        ) as worker:
            worker.wait_for("joined")
            assert client.submit(os.getuid).result() == UID
            with pytest.raises(TaskTimeout):
                client.with_options(timeout=0.2).submit(time.sleep, 60).result()
            with pytest.raises(TaskCrashed):
                client.submit(os._exit, 1).result()
