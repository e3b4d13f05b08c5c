"""The disk of the master's journal fills up: new work is refused with a reason, everything else goes on."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.chaos.small_disk import SmallDisk
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client
from manyhands.errors import MasterFull

pytestmark = pytest.mark.skipif(not SmallDisk.is_possible(), reason="only root can mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    disk.mount()
    yield disk
    disk.unmount()


#: Tasks of 10 ms: some are left when the disk is full and work is seen to go on.
COUNT = 600


def slow(index: int) -> int:
    time.sleep(0.01)
    return index


def test_intake_stops_with_a_reason_and_what_was_acknowledged_survives_even_a_death(disk: SmallDisk) -> None:
    arguments = ["--data-dir", str(disk.path / "state")]
    master, address = start_master(*arguments)
    port = address.rpartition(":")[2]
    with Client(address) as client, Daemon("worker", address, "--name", "w", "--slots", "1"):
        urgent = client.with_options(priority=1)
        accepted = [client.submit(slow, index) for index in range(COUNT)]
        assert accepted[0].result(timeout=20) == 0
        time.sleep(0.3)  # acknowledged by now
        disk.fill()

        def is_refused() -> bool:
            futures = [urgent.submit(len, bytes(200_000)) for _ in range(20)]
            for future in futures:
                try:
                    assert future.result(timeout=30) == 200_000
                except MasterFull as full:
                    assert "make room on its disk, then submit again" in str(full)
                    return True
            return False

        wait_until(is_refused, 30)
        done = sum(future.done() for future in accepted)
        wait_until(lambda: sum(future.done() for future in accepted) > done, what="running work goes on")
        master.kill()
        master.stop()
        with Daemon("master", "--port", port, *arguments) as again:
            again.wait_for("serves at")
            assert [future.result(timeout=60) for future in accepted] == list(range(COUNT))
            disk.free()

            def is_taken() -> bool:
                try:
                    return urgent.submit(len, bytes(200_000)).result(timeout=30) == 200_000
                except MasterFull:
                    return False

            wait_until(is_taken, 30)


def test_what_is_put_meanwhile_is_kept_once_there_is_room(disk: SmallDisk) -> None:
    arguments = ["--data-dir", str(disk.path / "state")]
    master, address = start_master(*arguments)
    with master, Client(address) as client, Daemon("worker", address, "--slots", "1"):
        assert client.submit(abs, -1).result(timeout=20) == 1
        disk.fill()
        ref = client.put(np.ones(500_000))
        master.wait_for("data wait to be written to the disk")
        disk.free()
        master.wait_for("data are written again to the disk")

        def total() -> float | None:
            try:
                return float(client.submit(np.sum, ref).result(timeout=30))
            except MasterFull:  # it has not noticed yet
                return None

        assert wait_until(total, 30) == 500_000
