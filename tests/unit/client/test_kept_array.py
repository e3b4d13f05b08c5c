"""Arrays compared with what was kept of them: the truth, whoever wrote, and without reading them where it can be."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from manyhands.client import kept_array, write_watch
from manyhands.client.kept_array import PLACES, WATCHED_BYTES, KeptArray

needs_kernel = pytest.mark.skipif(
    write_watch._kernel() is None, reason="the kernel is older than Linux 6.7, or does not let us watch memory"
)
SIZE = 3 * WATCHED_BYTES


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each comparison read."""
    sizes: list[int] = []
    equal_bytes = kept_array.equal_bytes

    def counted(one: Any, other: Any) -> bool:
        sizes.append(len(one))
        return equal_bytes(one, other)

    monkeypatch.setattr(kept_array, "equal_bytes", counted)
    return sizes


def kept_and_found_equal(array: np.ndarray, times: int = 3) -> KeptArray:
    kept = KeptArray(array.copy())
    assert all(kept.equals(array) for _ in range(times))
    return kept


@needs_kernel
def test_who_stays_the_same_is_read_twice(compared: list[int]) -> None:
    array = np.random.default_rng(1).integers(0, 255, SIZE, dtype="u1")
    kept = kept_and_found_equal(array, times=2)
    assert compared == [SIZE, SIZE]
    del compared[:]
    assert all(kept.equals(array) for _ in range(50))
    assert sum(compared) < 50 * 2 * 65536, "the ends of it, which share pages with others"


@needs_kernel
def test_who_is_written_to_is_read_again_and_then_no_more(compared: list[int]) -> None:
    array = np.zeros(SIZE, "u1")
    kept = kept_and_found_equal(array)
    array[SIZE // 2] = 0
    del compared[:]
    assert kept.equals(array), "the same byte was written"
    assert compared == [SIZE]
    assert kept.equals(array)
    assert sum(compared) < SIZE + 2 * 65536


def test_small_ones_are_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_array, "write_watch", lambda *_: pytest.fail("watched"))
    kept_and_found_equal(np.zeros(WATCHED_BYTES - 1, "u1"))


def test_what_others_may_write_to_is_not_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept_array, "write_watch", lambda *_: pytest.fail("watched"))
    mapped = np.memmap(tmp_path / "file", "u1", "w+", shape=SIZE)
    kept = kept_and_found_equal(np.asarray(mapped))
    with (tmp_path / "file").open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"x")
    assert not kept.equals(np.asarray(mapped))


def read_from_a_file(array: np.ndarray, at: int) -> None:
    """The kernel writes, not we."""
    reading, writing = os.pipe()
    os.write(writing, b"\xff")
    assert os.readv(reading, [memoryview(array)[at : at + 1]]) == 1
    os.close(reading)
    os.close(writing)


def write_in_a_thread(array: np.ndarray, at: int) -> None:
    thread = threading.Thread(target=array.__setitem__, args=(at, 255))
    thread.start()
    thread.join()


def write_past_numpy(array: np.ndarray, at: int) -> None:
    ctypes.memset(array.ctypes.data + at, 255, 1)


def write_through_a_view(array: np.ndarray, at: int) -> None:
    array[at:].view("i1")[0] = -1


WAYS: list[Callable[[np.ndarray, int], None]] = [
    lambda array, at: array.__setitem__(at, 255),
    read_from_a_file,
    write_in_a_thread,
    write_past_numpy,
    write_through_a_view,
]


@pytest.mark.parametrize("at", [0, 1, SIZE // 2, SIZE // 2 + 1, SIZE - 2, SIZE - 1])
@pytest.mark.parametrize("write", WAYS)
def test_whoever_writes_is_seen(write: Callable[[np.ndarray, int], None], at: int) -> None:
    array = np.zeros(SIZE, "u1")
    kept = kept_and_found_equal(array)
    write(array, at)
    assert not kept.equals(array)
    assert not kept.equals(array), "nor later"
    array[at] = 0
    assert kept.equals(array)


@needs_kernel
def test_what_was_never_written_has_no_pages_of_its_own_yet(compared: list[int]) -> None:
    array = np.zeros(64 * WATCHED_BYTES, "u1")
    kept = kept_and_found_equal(array)
    array[40 * WATCHED_BYTES + 12345] = 1
    assert not kept.equals(array)


def test_a_view_s_writes_are_its_base_s() -> None:
    base = np.zeros(2 * SIZE, "u1")
    view, other = base[1 : SIZE + 1], base[SIZE // 2 : SIZE + SIZE // 2]
    kept_view, kept_other = kept_and_found_equal(view), kept_and_found_equal(other)
    base[SIZE - 5] = 1
    assert not kept_other.equals(other)
    assert not kept_view.equals(view), "whose pages were looked at in between"
    base[SIZE - 5] = 0
    assert kept_view.equals(view)
    base[SIZE - 5] = 1
    assert not kept_view.equals(view)


def test_of_the_same_memory_two_are_kept() -> None:
    array = np.zeros(SIZE, "u1")
    one, other = kept_and_found_equal(array), kept_and_found_equal(array)
    array[SIZE // 2] = 1
    assert not other.equals(array)
    assert not one.equals(array)


@needs_kernel
def test_memory_is_watched_again_once_the_first_watch_has_ended(compared: list[int]) -> None:
    array = np.zeros(SIZE, "u1")
    kept_and_found_equal(array)
    gc.collect()
    kept = kept_and_found_equal(array)
    del compared[:]
    assert kept.equals(array)
    assert sum(compared) < SIZE


def test_one_that_was_moved_while_its_memory_is_used_by_another() -> None:
    np.ones(8 * SIZE, "u1")  # what was freed once makes the allocator keep such sizes together in its heap
    array, following = np.zeros(SIZE, "u1"), np.zeros(SIZE, "u1")
    kept = kept_and_found_equal(array)
    before = array.ctypes.data
    array.resize(2 * SIZE, refcheck=False)
    array.resize(SIZE, refcheck=False)
    assert array.ctypes.data != before
    follower = np.zeros(SIZE, "u1")
    assert all(kept.equals(array) for _ in range(3))
    array[SIZE // 2] = 1
    assert not kept.equals(array)
    assert not following.any()
    assert not follower.any()


@needs_kernel
def test_a_device_s_writes_are_seen_where_it_is_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.zeros(SIZE, "u1")
    kept = kept_and_found_equal(array)
    monkeypatch.setattr(write_watch.WriteWatch, "is_untouched", lambda _: True)
    array[SIZE // PLACES | 1] = 1
    assert not kept.equals(array)


def test_two_threads_do_not_compare_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.zeros(SIZE, "u1")
    kept = kept_and_found_equal(array)
    array[0] = 1
    equal_bytes, finished = kept_array.equal_bytes, threading.Event()
    other = threading.Thread(target=lambda: (kept.equals(array), finished.set()))

    def slow(one: Any, two: Any) -> bool:
        if threading.current_thread() is not other and not other.is_alive():
            other.start()
            assert not finished.wait(0.1)
        return equal_bytes(one, two)

    monkeypatch.setattr(kept_array, "equal_bytes", slow)
    assert not kept.equals(array)
    other.join()
    assert finished.is_set()


FORKED = """
import os, sys
import numpy as np
from manyhands.client.kept_array import KeptArray

array = np.zeros(3 << 20, "u1")
kept = KeptArray(array.copy())
assert all(kept.equals(array) for _ in range(3))
child = os.fork()
if child == 0:
    array[1 << 20] = 1
    was_seen = not kept.equals(array)
    array[1 << 20] = 0
    ours = KeptArray(array.copy())
    are_equal = all(ours.equals(array) for _ in range(3))
    array[2 << 20] = 1
    os._exit(7 if was_seen and are_equal and not ours.equals(array) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert kept.equals(array)
array[1 << 20] = 1
assert not kept.equals(array)
"""


def test_a_process_that_was_forked_off_sees_its_own_writes() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)


def test_without_the_kernel_s_help(monkeypatch: pytest.MonkeyPatch, compared: list[int]) -> None:
    monkeypatch.setattr(kept_array, "write_watch", lambda *_: None)
    array = np.zeros(SIZE, "u1")
    kept = kept_and_found_equal(array, times=5)
    assert compared == [SIZE] * 5
    array[SIZE // 2] = 1
    assert not kept.equals(array)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sys.platform", "darwin"),
        ("os.uname", lambda: SimpleNamespace(machine="riscv64")),
        ("struct.calcsize", lambda _: 4),
    ],
)
def test_where_there_is_no_such_thing(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    monkeypatch.setattr(f"manyhands.client.write_watch.{name}", value)
    assert write_watch._kernel.__wrapped__() is None


def test_where_it_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_watch, "_is_filtered", lambda: False)
    monkeypatch.setattr(write_watch, "_open_userfaultfd", lambda: (_ for _ in ()).throw(PermissionError("userfaultfd")))
    assert write_watch._kernel.__wrapped__() is None


def test_a_filter_of_system_calls_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_watch, "_is_filtered", lambda: True)
    monkeypatch.setattr(write_watch, "_open_userfaultfd", lambda: pytest.fail("tried"))
    assert write_watch._kernel.__wrapped__() is None


class Comparing(RuleBasedStateMachine):
    """Overlapping views of one base, written and compared in any order: what is said of each is so."""

    @initialize()
    def make(self) -> None:
        self.base = np.zeros(2 * SIZE, "u1")
        self.views = [self.base[start : start + SIZE] for start in (0, 0, 777, SIZE // 2, SIZE)]
        self.kept = [KeptArray(view.copy()) for view in self.views]

    @rule(at=st.integers(0, 2 * SIZE - 1), value=st.integers(0, 1), write=st.sampled_from(WAYS[2:]))
    def write(self, at: int, value: int, write: Callable[[np.ndarray, int], None]) -> None:
        if value:
            write(self.base, at)
        else:
            self.base[:] = 0

    @rule(index=st.integers(0, 4), times=st.integers(1, 4))
    def compare(self, index: int, times: int) -> None:
        view, kept = self.views[index], self.kept[index]
        for _ in range(times):
            assert kept.equals(view) == bool(np.array_equal(view, kept._kept))

    @rule(index=st.integers(0, 4))
    def keep(self, index: int) -> None:
        self.kept[index] = KeptArray(self.views[index].copy())


TestComparing = Comparing.TestCase
TestComparing.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


@pytest.fixture(autouse=True)
def _nothing_is_watched_any_more() -> Iterator[None]:
    yield
    gc.collect()
    kernel = write_watch._kernel()
    assert kernel is None or not kernel._watched
