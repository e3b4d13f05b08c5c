"""One client without manners and one with: what the first costs the second, and the master's memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until
from tests.support.rude_client import RudeClient

from manyhands import Client
from manyhands.errors import MasterFull
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import LinkLost

CLIENT_MEMORY = 128 << 20
#: What a call may take while others behave badly: far less than the seconds that it took before there were limits.
PATIENCE = 1.0


class Cluster:
    """A master with a worker, as separate processes, and a client that behaves."""

    def __init__(self, stack: ExitStack, *arguments: str) -> None:
        impatient = "--drain-timeout", "0.2"
        master, self.address = start_master(
            "--no-journal", "--client-memory", str(CLIENT_MEMORY), *impatient, *arguments
        )
        self.master = stack.enter_context(master)
        self.worker = stack.enter_context(Daemon("worker", self.address, "--slots", "2", *impatient))
        self.client = stack.enter_context(Client(self.address))
        self.client.wait_for_workers(1, timeout=20)
        self.slowest(20)

    def slowest(self, count: int = 100) -> float:
        """Seconds that the slowest of so many calls took, one after the other."""
        slowest = 0.0
        for number in range(count):
            began = time.monotonic()
            assert self.client.submit(abs, -number).result(60) == number
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    def memory(self, daemon: Daemon) -> int:
        """Bytes that a process has in memory."""
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        (resident,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        return int(resident) << 10


@pytest.fixture
def arguments() -> list[str]:
    return []


@pytest.fixture
def cluster(arguments: list[str]) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, *arguments)


@pytest.mark.parametrize("arguments", [[], ["--tcp-only"]], ids=["unix", "tcp"])
def test_who_reads_nothing_costs_bounded_memory_and_nobody_elses_time(cluster: Cluster) -> None:
    with RudeClient(cluster.address, "deaf") as deaf:
        job = deaf.open_job()
        for first in range(0, 5000, 100):  # 500 MB of results
            deaf.say(deaf.block(job, first, [(bytes, (100_000,))] * 100))
        assert cluster.slowest() < PATIENCE
        wait_until(lambda: cluster.memory(cluster.master) > 64 << 20, what="results that nobody reads")
        assert cluster.slowest(300) < PATIENCE
        assert cluster.memory(cluster.master) < 300 << 20
        assert cluster.memory(cluster.worker) < 150 << 20
        assert not deaf.dropped.is_set(), "it may read one day"


def test_who_floods_is_refused_what_goes_beyond_and_nobody_waits(cluster: Cluster) -> None:
    with RudeClient(cluster.address, "flood") as flood:
        job = flood.open_job(max_parallel=1)
        flood.say(flood.block(job, 0, [(time.sleep, (600,))]))
        for first in range(1, 301, 3):
            flood.say(flood.block(job, first, [(len, (bytes(1 << 20),))] * 3))
        assert cluster.slowest() < PATIENCE
        assert cluster.memory(cluster.master) < CLIENT_MEMORY + (200 << 20)


def test_who_opens_many_jobs_costs_nobody_elses_time(cluster: Cluster) -> None:
    with RudeClient(cluster.address, "jobs") as opener:
        for _ in range(500):
            job = opener.open_job()
            opener.say(opener.block(job, 0, [(abs, (-1,))] * 100))
        assert cluster.slowest() < PATIENCE


def test_who_cancels_many_ranges_at_once_is_dropped(cluster: Cluster) -> None:
    with RudeClient(cluster.address, "cancel") as peer:
        job = peer.open_job()
        ranges = [pb.Range(lo=2 * number, hi=2 * number + 1) for number in range(100_000)]
        cancel = pb.Body(cancel=pb.Cancel(job=job, ranges=ranges))
        try:
            peer.say_in_parts(cancel)
        except LinkLost:
            peer.dropped.set()
        assert cluster.slowest() < PATIENCE
        assert peer.dropped.wait(10)


def test_a_client_that_sends_more_than_there_is_room_for_waits(cluster: Cluster) -> None:
    client = cluster.client
    count = 3 * CLIENT_MEMORY // 2 >> 20
    blocker = client.with_options(priority=1).map(time.sleep, [1.0] * 2)
    sizes = [client.submit(len, bytes(1 << 20)) for _ in range(count)]
    assert all(size.result(60) == 1 << 20 for size in sizes)
    list(blocker)
    assert sum(client.map(len, [bytes(1 << 20)] * count)) == count << 20


def test_one_block_that_is_larger_than_all_the_room_fails_with_the_limit_in_its_message(cluster: Cluster) -> None:
    with pytest.raises(
        MasterFull, match=r"it may have 128 MiB.*--client-memory.*submit again when some of that is done"
    ):
        cluster.client.submit(len, bytes(CLIENT_MEMORY)).result(30)
    assert cluster.slowest() < PATIENCE
