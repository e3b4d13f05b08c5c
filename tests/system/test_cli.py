"""The command line with real processes: what it accepts, what it says, and what it says when that fails."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.command_line import MODULE, free_port, run_cli, status
from tests.support.daemons import Daemon, start_master

from manyhands import Client, __version__


def test_master_says_how_to_join_and_ends_on_sigterm() -> None:
    master, address = start_master()
    with master:
        master.wait_for(f"manyhands worker {address}")
        master.wait_for(rf'Client\("{address}"\)')
        master.wait_for(f"manyhands status {address}")
        assert "On this machine you need no token" in master.output
        assert "warning" not in master.output
        assert master.stop() == 0


def test_other_addresses_than_loopback_are_served_with_tokens() -> None:
    with Daemon("master", "--host", "0.0.0.0", "--port", "0") as master:
        address = master.wait_for(r"serves at (\S+)")[1]
        assert not address.startswith("0.0.0.0")
        master.wait_for(rf"MANYHANDS_TOKEN=mh1\.\S+ manyhands worker {address}")
        assert "warning" not in master.output
        assert "--host 0.0.0.0" not in master.output


def test_port_in_use() -> None:
    master, address = start_master()
    with master:
        code, output = run_cli("master", "--port", address.rpartition(":")[2])
        assert code == 1
        assert output.strip() == (
            f"manyhands: cannot listen on {address}: is another master running there? If so, choose another with --port"
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["worker", "no-such-host.invalid:7077"], "the host 'no-such-host.invalid' is unknown"),
        (["status", "no-such-host.invalid"], "the host 'no-such-host.invalid' is unknown"),
        (["worker", "a..b:7077"], "the host 'a..b' is unknown"),
        (["worker", "127.0.0.1:port"], "'127.0.0.1:port' is not an address: write HOST:PORT, such as "),
        (["worker", ":7077"], "':7077' is not an address: write HOST:PORT, such as "),
        (["worker", "127.0.0.1:70777"], "'127.0.0.1:70777' is not an address: write HOST:PORT, such as "),
        (["master", "--host", "no-such-host.invalid"], "--host takes an address of this machine, or 0.0.0.0 for all"),
        (["local", "--host", "192.0.2.177"], "this machine has no such address; --host 0.0.0.0 means all that it has"),
        (
            ["master", "--port", "0", "--data-dir", __file__],
            f"cannot keep a certificate and tokens in {__file__}/access: File exists; name anoth",
        ),
    ],
)
def test_what_the_user_can_mend_is_said_in_one_sentence(arguments: list[str], sentence: str) -> None:
    code, output = run_cli(*arguments)
    assert code == 1
    assert sentence in output
    assert output.startswith("manyhands: ")
    assert output.count("\n") == 1


def test_status_without_a_master() -> None:
    port = free_port()
    code, output = run_cli("status", f"127.0.0.1:{port}")
    assert code == 1
    assert output.startswith(f"manyhands: no master answers at 127.0.0.1:{port}: ")
    assert output.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_output_that_nobody_reads(arguments: list[str]) -> None:
    """As with `| head`: no complaint."""
    master, address = start_master()
    with master:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*MODULE, "status", address, *arguments],
            stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, "")


def test_address_of_the_other_kind() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with Daemon("local", "--host", "::1", "--port", "0", "--slots", "1") as local:
        address = local.wait_for(r"serves at (\[::1\]:\d+)")[1]
        assert "warning" not in local.output
        assert status(address)["workers"][0]["slots"] == 1
        with Client(address) as client:
            assert client.submit(pow, 2, 10).result(timeout=20) == 1024


@pytest.mark.parametrize("command", [MODULE, [str(Path(sys.executable).with_name("manyhands"))]], ids=["-m", "script"])
def test_both_ways_to_start_it(command: Sequence[str]) -> None:
    assert run_cli("--version", command=command) == (0, f"manyhands {__version__}\n")


def test_status_for_programs_and_for_people() -> None:
    with Daemon("local", "--port", "0", "--slots", "1") as local:
        address = local.wait_for(r"serves at (\S+)")[1]
        with Client(address) as client:
            results = client.with_options(name="halves").map(lambda x: x / 2, range(100))
            assert len(list(results)) == 100
            code, output = run_cli("status", address, "--json")
            assert code == 0
            found = json.loads(output)
            assert found["clients"] == 1
            assert [(w["name"], w["slots"], w["completed"]) for w in found["workers"]] == [("local-0", 1, 100)]
            code, output = run_cli("status", address)
            assert code == 0
            assert "1 worker, 1 slot, 1 client" in output
            assert re.search(r"local-0 .* 100 ", output)
