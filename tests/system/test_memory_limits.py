"""Limits of memory across processes: a master that is restarted keeps the task's, `manyhands worker` has its own."""

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.daemons import Daemon, start_master, wait_until

from manyhands import Client
from manyhands.errors import TaskMemoryExceeded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is counted on Linux only")


def hog(size: int) -> None:
    kept = bytearray(b"x") * size
    time.sleep(15)
    del kept


def journaled_blocks(journal: Path) -> int:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM blocks").fetchone()[0])


def test_the_smaller_limit_counts_also_after_a_restart_of_the_master(tmp_path: Path) -> None:
    master, address = start_master("--data-dir", str(tmp_path))
    with Client(address) as client:
        greedy = client.with_options(memory="80 MiB").submit(hog, 100 << 20)
        wait_until(lambda: journaled_blocks(tmp_path / "journal.sqlite"))
        master.kill()
        master.stop()
        master = Daemon("master", "--port", address.rpartition(":")[2], "--data-dir", str(tmp_path))
        with master, Daemon("worker", address, "--slots", "1", "--memory", "150MiB") as worker:
            worker.wait_for("with 1 slot, which may use 150 MiB of memory each")
            with pytest.raises(TaskMemoryExceeded, match="its limit is 80 MiB"):
                greedy.result(20)
            with pytest.raises(TaskMemoryExceeded, match="this worker allows 150 MiB for each slot") as caught:
                client.with_options(memory="1TB").submit(hog, 150 << 20).result(20)
            assert caught.value.limit == "--memory"
            assert client.submit(abs, -1).result(20) == 1
            assert worker.output.count("it was killed") == 2
            client.shutdown()
