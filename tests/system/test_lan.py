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

DATA_CLIENT = """
import os, sys, time
from pathlib import Path
import numpy as np
from manyhands import Client

address, folder, token = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

def meet(name, count):
    # No task of that name goes on before `count` run: so each is on another worker.
    (folder / f"{name}-{os.getpid()}").touch()
    deadline = time.monotonic() + 20
    while len(list(folder.glob(f"{name}-*"))) < count:
        assert time.monotonic() < deadline, name
        time.sleep(0.01)

def ends(array):
    meet("ends", 2)
    return float(array[0] + array[-1])

def make(number):
    meet("make", 3)
    return np.full(300_000, float(number))

def total(arrays):
    meet("total", 3)
    return float(sum(array[-1] for array in arrays))

with Client(address, token_file=token) as client:
    client.wait_for_workers(2, timeout=30)
    shared = client.put(np.arange(1_000_000.0))
    assert [future.result(30) for future in [client.submit(ends, shared) for _ in range(2)]] == [999_999.0] * 2
    (folder / "shared").touch()
    client.wait_for_workers(3, timeout=30)
    kept = [future.result(30) for future in [client.with_options(keep_results=True).submit(make, k) for k in range(3)]]
    assert [future.result(30) for future in [client.submit(total, kept) for _ in range(3)]] == [3.0] * 3
    (folder / "kept").touch()
    large = client.put(np.arange(2_000_000.0))
    print([future.result(30) for future in [client.submit(lambda a: float(a[-1]), large) for _ in range(6)]])
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


def start_worker(lan: Lan, host: str, address: str, token: Path, *options: str, slots: int = 2) -> Daemon:
    size = ("--slots", str(slots), "--drain-timeout", "1")
    return lan.daemon(host, "worker", address, "--name", host, *size, "--token-file", str(token), *options)


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


def test_data_come_to_hosts_that_others_cannot_reach_and_past_one_that_is_cut_off(lan: Lan, tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(DATA_CLIENT)

    def moved(host: str, direction: str) -> int:
        return int(lan("exec", host, "cat", f"/sys/class/net/eth0/statistics/{direction}_bytes"))

    def after(sign: str) -> bool:
        assert client.poll() is None, client.communicate()
        return (tmp_path / sign).exists()

    master, address = start_master(lan)
    token = token_file(tmp_path, "worker")
    with (
        master,
        start_worker(lan, "worker1", address, token, slots=1),
        start_worker(lan, "worker2", address, token, slots=1),
    ):
        client = lan.script("client", script, address, str(tmp_path), str(token_file(tmp_path, "client")))
        try:
            wait_until(lambda: after("shared"), 30, "both have what was put")
            assert moved("master", "tx") < 1.5 * 8e6, "each got it from the master"
            # Others will look for it on their own hosts.
            with start_worker(lan, "worker3", address, token, "--data-host", "127.0.0.1", slots=1):
                wait_until(lambda: after("kept"), 30, "all three have what each of them kept")
                before = moved("worker2", "rx")
                lan("rate", "worker2", "20mbit")
                wait_until(lambda: moved("worker2", "rx") > before + 1e6, 30, "it begins to get what was put next")
                lan("cut", "worker2")
                out, err = client.communicate(timeout=30)
        except Exception as error:
            client.kill()
            error.add_note(f"master: {master.output}\nclient: {client.communicate()}")
            raise
        assert client.returncode == 0, err
        assert json.loads(out) == [1_999_999.0] * 6
