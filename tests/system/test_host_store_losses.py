"""Processes that use a host store and are killed: what they leave is found and removed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manyhands.wire.host_store import HostStore
from manyhands.wire.store_files import find_unfinished

CLUSTER = bytes(range(16))
A, B = b"a" * 16, b"b" * 16
BEGIN = """
import sys
from pathlib import Path
from manyhands.wire.host_store import HostStore
folder, cluster = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
def join():
    return HostStore.join(cluster, folder=folder / "shm", disk=folder / "disk", limit_bytes=3000)
"""
END = """
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(folder: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has run `code`; killed in the end, if not before."""
    command = [sys.executable, "-P", "-c", BEGIN + code + END, str(folder), CLUSTER.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()


def join(folder: Path, cluster: bytes = CLUSTER) -> HostStore:
    return HostStore.join(cluster, folder=folder / "shm", disk=folder / "disk", limit_bytes=3000)


@pytest.mark.parametrize("cluster", [CLUSTER, b"another cluster."], ids=["same", "another"])
def test_the_next_to_come_removes_what_a_killed_process_left(tmp_path: Path, cluster: bytes) -> None:
    fill = "store = join(); store.put(b'a' * 16, [bytes(2000)]); store.put(b'b' * 16, [bytes(2000)])"
    with process(tmp_path, fill):
        (left,) = (tmp_path / "shm").iterdir()
        (spilled,) = (tmp_path / "disk").iterdir()
        assert (left / B.hex()).exists()
        assert (spilled / A.hex()).exists()
    store = join(tmp_path, cluster)
    assert store.ids() == []
    assert list((tmp_path / "shm").iterdir()) == [store.path]
    assert not (store.path / "spill" / A.hex()).exists()
    assert len(list((tmp_path / "disk").iterdir())) == 1
    store.close()


def test_what_a_killed_writer_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    store = join(tmp_path)
    with store.writer(A, 1000) as living:
        with process(tmp_path, "s = join(); writers = [s.writer(b'x' * 16, size) for size in (999, 5000)]"):
            store.remove_unfinished()
            assert len(find_unfinished(store.path)) == 2
            assert len(find_unfinished(store.path / "spill")) == 1
        store.remove_unfinished()
        assert len(find_unfinished(store.path)) == 1
        assert not find_unfinished(store.path / "spill")
        store.check_invariants()
        living.write(0, bytes(1000))
        living.commit()
    assert store.ids() == [A]
    store.close()


def test_the_store_lives_as_long_as_one_that_joined(tmp_path: Path) -> None:
    store = join(tmp_path)
    store.put(A, [b"a"])
    with process(tmp_path, "store = join(); assert store.read(b'a' * 16) == b'a'") as other:
        store.close()
        assert (store.path / A.hex()).exists()
        again = join(tmp_path)
        assert again.identity == store.identity
        other.kill()
    assert again.read(A) == b"a"
    again.close()
    assert not list((tmp_path / "shm").iterdir())


def test_a_forked_child_neither_holds_nor_removes_the_store(tmp_path: Path) -> None:
    fork = """
import os
store = join()
reading, writing = os.pipe()
child = os.fork()
if not child:
    store.close()
    os.read(reading, 1)  # lives on until its parent has let go
    os._exit(0)
store.put(b"a" * 16, [b"a"])
store.close()
assert not store.path.exists()
os.write(writing, b"x")
assert os.waitpid(child, 0)[1] == 0
"""
    with process(tmp_path, fork):
        assert not list((tmp_path / "shm").iterdir())
