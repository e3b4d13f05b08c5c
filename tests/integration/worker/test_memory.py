"""Tasks that use more memory than they may, in real slots: what counts, what does not, and who is to blame."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from tests.integration.worker.running import RunningWorker
from tests.support.daemons import wait_until

from manyhands import Client, current_task
from manyhands.errors import TaskMemoryExceeded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is counted on Linux only")

MIB = 1 << 20
LIMIT = 96 * MIB
TOO_MUCH = 112 * MIB
#: Enough to be looked at several times.
A_WHILE = 0.25


def take(size: int) -> bytearray:
    """Memory that is written to, or the kernel would not give it."""
    return bytearray(b"x") * size


def hog(size: int, seconds: float = 15.0) -> int:
    kept = take(size)
    time.sleep(seconds)
    return len(kept)


@pytest.fixture
def limited(client: Client) -> Client:
    return client.with_options(memory=LIMIT)


def test_it_is_ended_and_nobody_else_is(worker: RunningWorker, limited: Client) -> None:
    neighbour = worker.client.submit(hog, TOO_MUCH, A_WHILE)
    greedy = limited.submit(hog, TOO_MUCH)
    others = [limited.submit(pow, 2, n) for n in range(20)]
    with pytest.raises(TaskMemoryExceeded, match=r"task \d+ used [\d.]+ MiB .* its limit is 96 MiB") as caught:
        greedy.result(20)
    error = caught.value
    assert LIMIT < error.used_bytes < TOO_MUCH + 100 * MIB
    assert (error.limit_bytes, error.limit, error.worker) == (LIMIT, "memory", "w")
    assert neighbour.result(20) == TOO_MUCH, "it has no limit"
    assert [other.result(20) for other in others] == [2**n for n in range(20)]
    assert f"of private memory, more than 96 MiB (the task's memory=), while it ran task {error.task}" in (
        worker.printed()
    )


def hold_the_lock_and_grow() -> None:
    """In C, with the interpreter's lock: nothing in this process can run meanwhile."""
    memory = mmap.mmap(-1, TOO_MUCH, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ctypes.PyDLL(None).memset(ctypes.c_void_p(address), 1, ctypes.c_size_t(TOO_MUCH))
    ctypes.PyDLL(None).usleep(15_000_000)


def grow_in_a_child(where: str) -> None:
    """In a session of its own, so that it is not in the slot's group."""
    if os.fork() == 0:
        os.setsid()
        Path(where).write_text(str(os.getpid()))
        hog(TOO_MUCH)
    time.sleep(15)


def test_nothing_depends_on_the_help_of_the_task(limited: Client) -> None:
    with pytest.raises(TaskMemoryExceeded):
        limited.submit(hold_the_lock_and_grow).result(20)


def test_children_count_and_end_with_it(limited: Client, tmp_path: Path) -> None:
    with pytest.raises(TaskMemoryExceeded):
        limited.submit(grow_in_a_child, str(tmp_path / "pid")).result(20)
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())


def read_a_file(path: str) -> int:
    with Path(path).open("r+b") as file:
        file.truncate(TOO_MUCH)
        mapped = mmap.mmap(file.fileno(), TOO_MUCH)
    for offset in range(0, TOO_MUCH, mmap.PAGESIZE):
        mapped[offset] = 1
    time.sleep(A_WHILE)
    return sum(mapped[:: mmap.PAGESIZE])


def write_shared_memory(_: str) -> int:
    shared = SharedMemory(create=True, size=TOO_MUCH)
    try:
        assert shared.buf is not None
        for offset in range(0, TOO_MUCH, MIB):
            shared.buf[offset : offset + MIB] = take(MIB)
        time.sleep(A_WHILE)
        return TOO_MUCH // mmap.PAGESIZE
    finally:
        shared.close()
        shared.unlink()


def share_with_children(_: str) -> int:
    """Each has all of it, and as long as nobody writes there is only one."""
    kept = mmap.mmap(-1, LIMIT // 2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, len(kept), mmap.PAGESIZE):
        kept[offset] = 1
    children = [os.fork() for _ in range(3)]
    if 0 in children:
        time.sleep(A_WHILE)
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    return TOO_MUCH // mmap.PAGESIZE


@pytest.mark.parametrize("task", [read_a_file, write_shared_memory, share_with_children])
def test_what_others_can_use_as_well_does_not_count(
    limited: Client, task: Callable[[str], int], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert limited.submit(task, str(tmp_path / "file")).result(20) == TOO_MUCH // mmap.PAGESIZE


def test_what_earlier_tasks_left_is_not_blamed_on_the_next(worker: RunningWorker, tmp_path: Path) -> None:
    def leave(name: str) -> int:
        sys.left_by_a_test = take(TOO_MUCH)  # type: ignore[attr-defined]
        (tmp_path / name).touch()
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)  # so that both slots get one
        return os.getpid()

    def innocent() -> int:
        time.sleep(A_WHILE)
        return os.getpid()

    left_at = {future.result(20) for future in [worker.client.submit(leave, name) for name in "ab"]}
    assert worker.client.with_options(memory=LIMIT).submit(innocent).result(20) not in left_at
    assert "runs again in its next process, uncharged" in worker.printed()


def test_the_next_attempt(limited: Client) -> None:
    def greedy_at_first() -> int:
        return current_task().attempt or hog(TOO_MUCH)

    again = limited.with_options(retries=1, retry_delay=0.0, retry_on=TaskMemoryExceeded)
    assert again.submit(greedy_at_first).result(20) == 1
    assert again.with_options(retry_on=MemoryError).submit(greedy_at_first).result(20) == 1
    with pytest.raises(TaskMemoryExceeded):
        again.with_options(retry_on=OSError).submit(greedy_at_first).result(20)


def test_in_a_map_of_short_ones(limited: Client) -> None:
    sizes = [MIB, TOO_MUCH, 2 * MIB, MIB]
    seconds = [15.0 if size == TOO_MUCH else 0.0 for size in sizes]
    outcomes = list(limited.map(hog, sizes, seconds, return_exceptions=True))
    assert [isinstance(each, TaskMemoryExceeded) for each in outcomes] == [False, True, False, False]
    assert sum(limited.map(abs, range(20_000))) == sum(range(20_000))
