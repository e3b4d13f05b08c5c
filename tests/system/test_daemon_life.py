"""Daemons from their start to their end: waiting for each other, refused, interrupted, without a terminal."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import MODULE, free_port, run_cli, status
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_worker_waits_for_its_master_and_shows_in_status(loop: str) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    env = {"MANYHANDS_LOOP": loop}
    with Daemon("worker", address, "--slots", "3", "--name", "patient", env=env) as worker:
        worker.wait_for(f"manyhands: no master answers at {address} yet .*; trying until one does")
        with Daemon("master", "--port", str(port), env=env) as master:
            master.wait_for("serves at")
            worker.wait_for(f"manyhands: joined the master at {address} with 3 slots")
            workers = wait_until(lambda: status(address)["workers"])
            assert [(w["name"], w["slots"], w["outstanding"]) for w in workers] == [("patient", 3, 0)]
            assert worker.stop() == 0
            wait_until(lambda: not status(address)["workers"])
    # Said once each, however many attempts there were.
    assert len(worker.lines) == 2, worker.output


def test_worker_comes_back_to_a_restarted_master() -> None:
    master, address = start_master()
    with Daemon("worker", address, "--slots", "1") as worker:
        wait_until(lambda: status(address)["workers"])
        master.kill()
        master.stop()
        with Daemon("master", "--port", address.rpartition(":")[2]) as again:
            again.wait_for("serves at")
            wait_until(lambda: status(address)["workers"], what="the worker in the new master's status")
            worker.wait_for(f"joined the master at {address} again")
        assert worker.process.poll() is None
        assert worker.output.count(f"lost the master at {address}") <= 2  # the second master has gone as well


# Makes a process say in its handshake that it runs an old Python.
OLD_PYTHON = 'import platform; platform.python_version = lambda: "3.9.18"; '


def test_other_minor_version_of_python_is_refused() -> None:
    master, address = start_master()
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    with master:
        worker = [
            sys.executable,
            "-P",
            "-c",
            f"{OLD_PYTHON}from manyhands.__main__ import main; raise SystemExit(main())",
        ]
        code, output = run_cli("worker", address, command=worker)
        assert (code, output.count("\n")) == (1, 1), output
        assert output.startswith("manyhands: this worker runs Python 3.9.18, the master ")
        assert output.endswith(f"start the worker with Python {ours}\n")
        client = [sys.executable, "-P", "-c", f"{OLD_PYTHON}import manyhands, sys; manyhands.Client(sys.argv[1])"]
        code, output = run_cli(address, command=client)
        assert code == 1
        kind, _, last = output.splitlines()[-1].partition(": ")
        assert kind == "manyhands.wire.errors.Refused"
        assert last.startswith(f"the master at {address} refused: this client runs Python 3.9.18, the master ")
        assert last.endswith(f"start the client with Python {ours}")
        wait_until(lambda: master.output.count("refused") == 2, what="the refusals in the master's output")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_daemons_leave_promptly_and_quietly(number: int, code: int) -> None:
    master, address = start_master()
    with (
        master,
        Daemon("worker", address, "--slots", "1") as joined,
        Daemon("worker", f"127.0.0.1:{free_port()}", "--slots", "1") as lonely,
        Daemon("local", "--port", "0", "--slots", "1") as local,
    ):
        joined.wait_for("joined the master")
        lonely.wait_for("no master answers")
        local.wait_for("serves at")
        for daemon in (joined, lonely, local, master):
            before = daemon.output
            daemon.kill(number)
            assert daemon.wait(timeout=5) == code
            assert daemon.output == before


def test_closed_standard_streams() -> None:
    """As some service managers start their children."""
    master, address = start_master()
    command = f"exec {shlex.join([*MODULE, 'worker', address, '--name', 'mute', '--slots', '1'])} <&- >&- 2>&-"
    with master, subprocess.Popen(["sh", "-c", command]) as worker, Client(address) as client:
        try:
            assert client.submit(print, "into the void").result(timeout=20) is None
            assert client.submit(abs, -5).result(timeout=20) == 5
        finally:
            worker.terminate()
        assert worker.wait(10) == 0


def test_local_serves_others_and_leaves_nothing() -> None:
    with Daemon("local", "--port", "0", "--workers", "2", "--slots", "1") as local:
        address = local.wait_for(r"serves at (\S+)")[1]
        wait_until(lambda: len(status(address)["workers"]) == 2)
        code, output = run_cli("status", address)
        assert code == 0
        assert "2 workers, 2 slots" in output
        assert local.stop() == 0


def test_a_data_directory_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    master, _ = start_master("--data-dir", str(state))
    with master:
        code, output = run_cli("master", "--port", "0", "--data-dir", state)
        assert code == 1
        assert f"another master keeps its journal in {state}: stop that one, or name another folder" in output
    (state / "journal.sqlite").write_bytes(b"something else")
    code, output = run_cli("master", "--port", "0", "--data-dir", state)
    assert code == 1
    assert f"{state / 'journal.sqlite'} is not a manyhands journal: move it away" in output
