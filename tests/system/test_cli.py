"""The command line with real processes: what it says, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until


def run_cli(*arguments: str, timeout: float = 30) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "manyhands", *arguments],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def status(address: str) -> dict:
    code, output = run_cli("status", address, "--json")
    assert code == 0, output
    return json.loads(output)


def test_master_says_how_to_join_and_ends_on_sigterm() -> None:
    master, address = start_master()
    with master:
        master.wait_for(f"manyhands worker {address}")
        master.wait_for(rf'Client\("{address}"\)')
        assert "warning" not in master.output
        assert master.stop() == 0


def test_other_addresses_than_loopback_are_warned_of() -> None:
    with Daemon("master", "--host", "0.0.0.0", "--port", "0") as master:
        master.wait_for("warning: anybody who can reach")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_worker_waits_for_its_master_and_shows_in_status(loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    env = {"MANYHANDS_LOOP": loop}
    with (
        Daemon("worker", address, "--slots", "3", "--name", "patient", env=env) as worker,
        Daemon("master", "--port", str(port), env=env) as master,
    ):
        master.wait_for("serves at")
        workers = wait_until(lambda: status(address)["workers"])
        assert [(w["name"], w["slots"], w["outstanding"]) for w in workers] == [("patient", 3, 0)]
        assert worker.stop() == 0
        wait_until(lambda: not status(address)["workers"])


def test_worker_comes_back_to_a_restarted_master() -> None:
    master, address = start_master()
    with Daemon("worker", address, "--slots", "1") as worker:
        wait_until(lambda: status(address)["workers"])
        master.kill()
        master.stop()
        with Daemon("master", "--port", address.rpartition(":")[2]) as again:
            again.wait_for("serves at")
            wait_until(lambda: status(address)["workers"], what="the worker in the new master's status")
        assert worker.process.poll() is None


def test_port_in_use() -> None:
    master, address = start_master()
    with master:
        code, output = run_cli("master", "--port", address.rpartition(":")[2])
        assert code == 1
        assert output.strip() == f"manyhands: cannot listen on {address}: is another master running there?"


def test_unknown_host_and_bad_address() -> None:
    code, output = run_cli("worker", "no-such-host.invalid:7077")
    assert code == 1
    assert "the host 'no-such-host.invalid' is unknown" in output
    assert "Traceback" not in output
    code, output = run_cli("worker", "127.0.0.1:port")
    assert code == 1
    assert "write HOST:PORT" in output


def test_status_without_a_master() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code, output = run_cli("status", f"127.0.0.1:{port}")
    assert code == 1
    assert f"127.0.0.1:{port}" in output
    assert "Traceback" not in output


def test_local_serves_others_and_leaves_nothing() -> None:
    with Daemon("local", "--port", "0", "--workers", "2", "--slots", "1") as local:
        address = local.wait_for(r"serves at (\S+)")[1]
        wait_until(lambda: len(status(address)["workers"]) == 2)
        code, output = run_cli("status", address)
        assert code == 0
        assert "2 workers, 2 slots" in output
        local.kill(signal.SIGINT)
        assert local.wait() == 0


def test_epochs_are_counted_in_the_data_directory(tmp_path: Path) -> None:
    for epoch in (1, 2):
        master, _ = start_master("--data-dir", str(tmp_path / "state"))
        master.stop()
        assert (tmp_path / "state" / "epoch").read_text() == f"{epoch}\n"


def test_help_suffices() -> None:
    for command in ("", "master", "worker", "local", "status"):
        code, output = run_cli(*([command] if command else []), "--help")
        assert code == 0
        assert "usage: manyhands" in output
