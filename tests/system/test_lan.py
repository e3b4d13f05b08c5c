"""Several hosts for real: a job goes on while hosts are cut off, killed and unplugged, and packets vanish."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import run_cli
from tests.support.daemons import Daemon, wait_until
from tests.support.lan import Lan, NoLan

#: Seconds that the master's link is down. Longer than every timeout is 20; the usual run has less time.
OUTAGE = float(os.environ.get("MANYHANDS_TEST_OUTAGE", "4"))
HEARTBEAT_TIMEOUT = 3.0

CLIENT = """
import itertools, json, os, sys, time
from pathlib import Path
from manyhands import Client

address, folder, token = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

def step(index):
    if not (folder / "enough").exists():  # or what was asked for ahead would take its time
        time.sleep(0.05)
    return index * index, os.getppid()

def items():
    for index in itertools.count():
        if (folder / "enough").exists():
            return
        yield index

with Client(address, token_file=token) as client:
    client.wait_for_workers(3, timeout=30)
    agents = set()
    for index, (square, agent) in enumerate(client.map(step, items())):
        assert square == index * index, (index, square)
        agents.add(agent)
        (folder / "count").write_text(str(index + 1))
    stats = client.get_stats()
    print(json.dumps({"done": index + 1, "agents": sorted(agents), "completed": stats["tasks_completed"]}))
"""


@pytest.fixture
def lan() -> Iterator[Lan]:
    if sys.platform != "linux" or not shutil.which("ip"):
        pytest.skip("scripts/lan needs Linux and iproute2")
    try:
        with Lan(f"mh-test-{os.getpid()}") as lan:
            yield lan
    except NoLan as reason:
        pytest.skip(f"no network of several hosts can be made here: {reason}")


def start_master(lan: Lan) -> tuple[Daemon, str]:
    master = lan.daemon(
        "master", "master", "--host", "0.0.0.0", "--no-journal", "--heartbeat-timeout", str(HEARTBEAT_TIMEOUT)
    )
    master.wait_for("serves at")
    return master, f"{lan('address', 'master')}:7077"


def token_file(folder: Path, role: str) -> Path:
    """What somebody on another machine was given."""
    code, output = run_cli("token", "show")
    found = re.search(rf"^{role}:\n  MANYHANDS_TOKEN=(\S+)", output, re.MULTILINE)
    assert found is not None, (code, output)
    path = folder / role
    path.touch(mode=0o600)
    path.write_text(found[1])
    return path


def start_worker(lan: Lan, host: str, address: str, token: Path) -> Daemon:
    return lan.daemon(
        host, "worker", address, "--name", host, "--slots", "2", "--drain-timeout", "1", "--token-file", str(token)
    )


def names(lan: Lan, address: str) -> set[str]:
    shown = lan("exec", "master", sys.executable, "-P", "-m", "manyhands", "status", address, "--json")
    return {worker["name"] for worker in json.loads(shown)["workers"]}


@pytest.mark.timeout(90 + 2 * OUTAGE)
def test_a_job_outlives_what_befalls_its_hosts(lan: Lan, tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    if shutil.which("nft"):
        lan("loss", "worker3", "5")
    master, address = start_master(lan)
    token = token_file(tmp_path, "worker")
    with (
        master,
        start_worker(lan, "worker1", address, token) as cut,
        start_worker(lan, "worker2", address, token) as killed,
        start_worker(lan, "worker3", address, token) as lossy,
    ):
        client = lan.script("client", script, address, str(tmp_path), str(token_file(tmp_path, "client")))
        try:
            story(lan, address, tmp_path, killed)
            out, err = client.communicate(timeout=40)
        except Exception as error:
            client.kill()
            for daemon in (master, cut, lossy):
                error.add_note(f"{daemon.process.args}: {daemon.output}")
            error.add_note(f"client: {client.communicate()}")
            raise
        assert client.returncode == 0, err
        told = json.loads(out)
        assert told["done"] == told["completed"] > 100
        assert {cut.process.pid, killed.process.pid, lossy.process.pid} <= set(told["agents"])
    if not shutil.which("nft"):
        pytest.skip("all but the lost packets was tried: there is no nft (apt-get install nftables)")


def story(lan: Lan, address: str, folder: Path, killed: Daemon) -> None:
    def go_on(what: str, more: int = 30) -> None:
        count = folder / "count"
        before = int(count.read_text() or 0) if count.exists() else 0
        wait_until(lambda: int((count.exists() and count.read_text()) or 0) > before + more, 40, f"{what}: it goes on")

    go_on("at first", 60)
    # Silently: nobody is told, so the silence has to be noticed.
    lan("cut", "worker1")
    began = time.monotonic()
    wait_until(lambda: "worker1" not in names(lan, address), what="the host that was cut off is given up")
    assert time.monotonic() - began < HEARTBEAT_TIMEOUT + 2
    go_on("without worker1")
    lan("heal", "worker1")
    wait_until(lambda: "worker1" in names(lan, address), 30, "it is back")
    killed.kill(signal.SIGKILL)
    killed.wait()
    wait_until(lambda: names(lan, address) == {"worker1", "worker3"}, what="the killed one is gone")
    go_on("without worker2")
    lan("unplug", "master")
    until = time.monotonic() + OUTAGE
    wait_until(lambda: time.monotonic() > until, OUTAGE + 5)
    lan("heal", "master")
    go_on("after the master's outage")
    (folder / "enough").touch()


def test_hosts_talk_tcp_though_they_share_a_machine_and_a_user(lan: Lan, tmp_path: Path) -> None:
    """The short way's names belong to one network namespace, so each host has names of its own."""

    def peers(host: str) -> set[str]:
        """Of the TCP connections there, but those of `status`, which come and go."""
        lines = lan("exec", host, "ss", "--no-header", "--tcp", "--numeric", "state", "established").splitlines()
        return {line.split()[3].rpartition(":")[0].removeprefix("[::ffff:").rstrip("]") for line in lines}

    master, address = start_master(lan)
    token = token_file(tmp_path, "worker")
    with master, start_worker(lan, "worker1", address, token), start_worker(lan, "master", address, token):
        wait_until(lambda: names(lan, address) == {"worker1", "master"})
        assert peers("worker1") == {lan("address", "master")}
        # The worker beside the master takes the short way.
        assert peers("master") == {lan("address", "worker1")}
