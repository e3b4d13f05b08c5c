"""Stores results as they arrive: a thread that gathers them for a moment and adds them to the file together."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from manyhands.client.checkpoint_store import MAX_RESULT_BYTES, RUN_BYTES, RUN_COUNT, CheckpointStore, Run, StoredClass
from manyhands.client.content_key import KEY_BYTES
from manyhands.wire.errors import CheckpointError

#: Seconds in which results are gathered: what a killed client loses, at most.
GATHER_INTERVAL = 0.1
#: Bytes that are on their way to the file, beyond which whoever reads or feeds waits.
MAX_WAITING_BYTES = 64 << 20
#: Seconds that the interpreter's end waits for the latest results to be stored.
EXIT_TIMEOUT = 60.0

logger = logging.getLogger("manyhands.client")


class Expected(Protocol):
    """A job whose results are kept."""

    def take(self, lo: int, hi: int) -> bytes | None:
        """The keys of these tasks, which have ended; None if their results are not kept."""
        ...

    def needed(self, payload: bytes) -> tuple[Iterable[tuple[bytes, bytes]], Iterable[StoredClass]]:
        """The definitions and classes that these outcomes refer to, as far as they are not stored."""
        ...


class Arrived(NamedTuple):
    """Results of consecutive tasks: outcome k is payload[ends[k - 1] - base : ends[k] - base], with ends[-1] = base."""

    job: Expected
    first: int
    base: int
    ends: Sequence[int]
    payload: bytes


class _Ended(NamedTuple):
    """Tasks without a result."""

    job: Expected
    lo: int
    hi: int


class CheckpointWriter:
    """Methods may be called from any thread; those that wait, from any but the loop's."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._queue: SimpleQueue[Arrived | _Ended | threading.Event | None] = SimpleQueue()
        self._hurry = threading.Event()
        self._has_room = threading.Event()
        self._has_room.set()
        self._put_bytes = 0  # counted by the loop's thread alone
        self._taken_bytes = 0  # by the writing thread alone
        #: Why nothing more is stored, if so.
        self.failure: CheckpointError | None = None
        self._is_told = False
        self._thread = threading.Thread(target=self._run, name="manyhands-checkpoint", daemon=True)
        self._thread.start()
        _writers.add(self)

    # ------------------------------------------------------------ for the loop's thread

    def put(self, arrived: Arrived) -> None:
        """Store these results soon."""
        self._put_bytes += len(arrived.payload)
        if self._put_bytes - self._taken_bytes > MAX_WAITING_BYTES:
            self._has_room.clear()
            self._hurry.set()
        self._queue.put(arrived)

    def skip(self, job: Expected, lo: int, hi: int) -> None:
        """These tasks ended without a result."""
        self._queue.put(_Ended(job, lo, hi))

    # ------------------------------------------------------------ for others

    def check(self) -> None:
        """Raise CheckpointError if results cannot be stored any more."""
        if self.failure is not None:
            self._is_told = True
            raise self.failure

    def wait_for_room(self) -> None:
        """Wait while the file lags too far behind."""
        self._has_room.wait()

    def flush(self) -> None:
        """Return when all that was put before is stored. Raises CheckpointError if it is not."""
        if self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            self._hurry.set()
            done.wait()
        self.check()

    def stop(self) -> None:
        """Store what was put before, then close the file. Does not wait; a finalizer may call it."""
        self._queue.put(None)
        self._hurry.set()

    def join(self) -> None:
        """After `stop`, at the interpreter's end: the last occasion to tell what nobody was told."""
        self._thread.join(EXIT_TIMEOUT)
        if self.failure is not None and not self._is_told:
            logger.error("%s", self.failure)

    # ------------------------------------------------------------ the writing thread

    def _run(self) -> None:
        try:
            while self._write_batch():
                pass
        finally:
            self._has_room.set()
            self._store.close()

    def _write_batch(self) -> bool:
        """Gather for a moment, store; False after `stop`."""
        batch = [self._queue.get()]
        if isinstance(batch[0], Arrived | _Ended):
            self._hurry.wait(GATHER_INTERVAL)
        self._hurry.clear()
        while True:
            try:
                batch.append(self._queue.get_nowait())
            except Empty:
                break
        try:
            self._write([each for each in batch if isinstance(each, Arrived | _Ended)])
        except CheckpointError as error:
            self._fail(error)
        except Exception as error:
            logger.exception("while results were being stored in the checkpoint %s", self._store.path)
            self._fail(CheckpointError(self._store.path, f"cannot be written: {type(error).__name__}: {error}"))
        for each in batch:
            if isinstance(each, threading.Event):
                each.set()
        return None not in batch

    def _fail(self, error: CheckpointError) -> None:
        if self.failure is None:
            self.failure = error

    def _write(self, batch: list[Arrived | _Ended]) -> None:
        runs: list[Run] = []
        definitions: dict[bytes, bytes] = {}
        classes: dict[str, StoredClass] = {}
        gathered = _Gathered()
        arrived = [each for each in batch if isinstance(each, Arrived)]
        # In the order of the tasks, as they will probably be looked up.
        for each in sorted(arrived, key=lambda each: (id(each.job), each.first)):
            keys = each.job.take(each.first, each.first + len(each.ends))
            if keys is None or self.failure is not None:
                continue
            blobs, named = each.job.needed(each.payload)
            definitions.update(blobs)
            classes.update({one.tracker: one for one in named})
            runs += gathered.add(keys, each)
        for ended in batch:
            if isinstance(ended, _Ended):
                ended.job.take(ended.lo, ended.hi)
        runs += gathered.rest()
        try:
            if runs:
                self._store.add(runs, definitions.items(), classes.values())
        finally:
            self._taken_bytes += sum(len(each.payload) for each in arrived)
            if self._put_bytes - self._taken_bytes <= MAX_WAITING_BYTES:
                self._has_room.set()


class _Gathered:
    """Cuts and joins what arrived into rows of a good size."""

    def __init__(self) -> None:
        self._keys = bytearray()
        self._ends: list[int] = []
        self._payload = bytearray()

    def add(self, keys: bytes, arrived: Arrived) -> list[Run]:
        """The rows that became full."""
        full: list[Run] = []
        ends, lo, start = arrived.ends, 0, arrived.base
        while lo < len(ends):
            last = min(len(ends), lo + RUN_COUNT - len(self._ends))
            hi = bisect_right(ends, start + RUN_BYTES - len(self._payload), lo, last)
            if hi == lo and self._ends:
                full += self.rest()
                continue
            hi = max(hi, lo + 1)  # one that is larger than a row should be has its own
            end = ends[hi - 1]
            if end - start > MAX_RESULT_BYTES:
                logger.warning("a result of %d bytes is too large for a checkpoint: it is not kept", end - start)
            else:
                shift = len(self._payload) - start
                self._keys += keys[KEY_BYTES * lo : KEY_BYTES * hi]
                self._payload += arrived.payload[start - arrived.base : end - arrived.base]
                self._ends += [each + shift for each in ends[lo:hi]]
            lo, start = hi, end
        return full

    def rest(self) -> list[Run]:
        """What has been gathered, if anything."""
        if not self._ends:
            return []
        run = Run(bytes(self._keys), self._ends, bytes(self._payload))
        self._keys, self._ends, self._payload = bytearray(), [], bytearray()
        return [run]


_writers: weakref.WeakSet[CheckpointWriter] = weakref.WeakSet()


def _stop_all() -> None:
    for writer in list(_writers):
        writer.stop()
    for writer in list(_writers):
        writer.join()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    # Their threads are the parent's.
    os.register_at_fork(after_in_child=_writers.clear)
