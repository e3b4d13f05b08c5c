"""A checkpoint as calls use it: keys in, earlier results out; and what of a job's results is to be kept."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from manyhands.client.checkpoint_store import CheckpointStore, Found, Missing, StoredClass
from manyhands.client.checkpoint_writer import Arrived, CheckpointWriter
from manyhands.client.content_key import KEY_BYTES, content_keys
from manyhands.client.encoding import Encoding
from manyhands.client.gathering import Blob
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import unpack_ends
from manyhands.wire.cloudpickle_parts import TRACKED_CLASSES

#: In every outcome that refers to a definition.
_REFERENCE = b"manyhands.wire.definitions"
#: Tasks whose keys are kept, and dropped, together.
_PAGE = 1024


class Checkpoint:
    """One directory's, in this process; see `checkpoint`. Raises CheckpointError where its file fails."""

    def __init__(self, directory: str, encoding: Encoding) -> None:
        self.store = CheckpointStore(directory)
        self.writer = CheckpointWriter(CheckpointStore(directory, is_checked=True))  # waits for nobody who reads
        self._encoding = encoding
        self._lock = threading.Lock()
        self._stored: set[bytes] = set()  # definitions
        self._adopted = -1  # how many stored classes there were at the last look
        encoding.add_source(self)
        finalizer = weakref.finalize(self, _drop, self.store, self.writer)
        finalizer.atexit = False  # the writers see to the interpreter's end

    def find(self, keys: bytes) -> list[Found | Missing]:
        """See CheckpointStore.find."""
        self.writer.check()
        return self.store.find(keys)

    def find_one(self, key: bytes) -> Found | None:
        """See CheckpointStore.find_one."""
        self.writer.check()
        return self.store.find_one(key)

    def look_again(self) -> None:
        """Have what this process computed a moment ago, and others stored, be found from now on."""
        self.writer.flush()
        self.store.look_again()

    def outcomes(self, found: Found) -> list[bytes]:
        """Earlier results, encoded. What they refer to can be decoded from now on."""
        outcomes = self.store.outcomes(found)
        if _REFERENCE in b"".join(outcomes):
            self._adopt()
        return outcomes

    def find_blob(self, hash: bytes) -> bytes | None:
        """A definition that results refer to, sent out by an earlier process."""
        return self.store.find_blob(hash)

    def _adopt(self) -> None:
        """Have results of classes that are still what they were be instances of those, not of copies."""
        stored = self.store.classes()
        with self._lock:
            if len(stored) == self._adopted:
                return
            self._adopted = len(stored)
        for each in stored:
            cls = _find_class(each)
            if cls is not None and content_keys().of_definition(cls) == each.content:
                TRACKED_CLASSES.setdefault(each.tracker, cls)

    def take_definitions(self, blobs: dict[bytes, bytes]) -> list[Blob]:
        """Those not stored yet; they are, from now on."""
        with self._lock:
            new = [(hash, blob) for hash, blob in blobs.items() if hash not in self._stored]
            self._stored.update(hash for hash, _ in new)
        return new

    def classes_in(self, hash: bytes) -> list[StoredClass]:
        """The classes in a definition of this process. Runs user code."""
        found = []
        for tracker, cls in self._encoding.classes_in(hash).items():
            try:
                content = content_keys().of_definition(cls)
            except Exception:  # noqa: BLE001, S112 - no content to know it by, whatever a user's __reduce__ raises
                continue
            found.append(StoredClass(tracker, cls.__module__, cls.__qualname__, content))
        return found


def _drop(store: CheckpointStore, writer: CheckpointWriter) -> None:
    """Nobody uses it any more. A finalizer, so it waits for nobody."""
    writer.stop()
    store.close()


def _find_class(stored: StoredClass) -> type | None:
    """What this process has under the class's name."""
    found: Any = sys.modules.get(stored.module)
    for part in stored.name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


class Keeper:
    """See jobs.Keeper. Holds the keys of the job's open tasks, and what its results may refer to."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._writer = checkpoint.writer
        self._pages: dict[int, tuple[bytearray, list[int]]] = {}  # keys, and how many of them are still needed
        self._blobs: dict[bytes, bytes] = {}
        self._classes: dict[str, StoredClass] = {}

    # ------------------------------------------------------------ for whoever feeds and reads

    def know(self, blobs: Iterable[Blob]) -> None:
        """See jobs.Keeper."""
        for hash, blob in blobs:
            if hash not in self._blobs:
                self._classes.update({each.tracker: each for each in self._checkpoint.classes_in(hash)})
                self._blobs[hash] = blob

    def expect(self, first: int, keys: bytes) -> None:
        """See jobs.Keeper."""
        done, count = 0, len(keys) // KEY_BYTES
        while done < count:
            number, offset = divmod(first + done, _PAGE)
            size = min(_PAGE - offset, count - done)
            page = self._pages.setdefault(number, (bytearray(KEY_BYTES * _PAGE), [_PAGE]))
            page[0][KEY_BYTES * offset : KEY_BYTES * (offset + size)] = keys[
                KEY_BYTES * done : KEY_BYTES * (done + size)
            ]
            done += size

    def wait_for_room(self) -> None:
        """See jobs.Keeper."""
        self._writer.wait_for_room()
        self._writer.check()

    # ------------------------------------------------------------ for the loop's thread

    def keep_run(self, message: pb.Results) -> None:
        """See jobs.Keeper."""
        ends = unpack_ends(message.ends)
        self._writer.put(Arrived(self, message.first, message.base, ends, message.payload))

    def keep(self, index: int, outcome: bytes) -> None:
        """See jobs.Keeper."""
        self._writer.put(Arrived(self, index, 0, (len(outcome),), outcome))

    def skip(self, lo: int, hi: int) -> None:
        """See jobs.Keeper."""
        self._writer.skip(self, lo, hi)

    # ------------------------------------------------------------ for the writing thread

    def take(self, lo: int, hi: int) -> bytes | None:
        """See Expected."""
        parts: list[bytes] = []
        while lo < hi:
            number, offset = divmod(lo, _PAGE)
            size = min(_PAGE - offset, hi - lo)
            page = self._pages.get(number)
            if page is None:
                return None
            parts.append(bytes(page[0][KEY_BYTES * offset : KEY_BYTES * (offset + size)]))
            page[1][0] -= size
            if not page[1][0]:
                del self._pages[number]
            lo += size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def needed(self, payload: bytes) -> tuple[Sequence[Blob], Sequence[StoredClass]]:
        """See Expected."""
        if _REFERENCE not in payload:
            return (), ()
        return self._checkpoint.take_definitions(self._blobs.copy()), list(self._classes.copy().values())


_lock = threading.Lock()
_open: weakref.WeakValueDictionary[str, Checkpoint] = weakref.WeakValueDictionary()


def checkpoint(directory: str, encoding: Encoding) -> Checkpoint:
    """This process's checkpoint in `directory`, opened if it is not yet. Raises CheckpointError."""
    with _lock:
        path = str(Path(directory).resolve())
        found = _open.get(path)
        if found is None or not found.store.is_there:
            found = _open[path] = Checkpoint(path, encoding)
        return found


def _forget() -> None:
    """In a forked child: the writing threads are its parent's."""
    global _lock, _open  # noqa: PLW0603
    _lock = threading.Lock()
    _open = weakref.WeakValueDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
