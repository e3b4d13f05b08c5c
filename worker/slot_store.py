"""The slot's part in the data of its host: where items find them, and where results that stay are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from manyhands.wire.buffers import Buffer
from manyhands.wire.errors import DataLost
from manyhands.wire.host_store import DataMissing, HostStore

#: Data that may stay mapped for the next item: it takes the kernel 13 ms to map 100 MB, page by page.
_KEPT_MAX = 4
#: After that they are mapped anew, so that the store sees that they are used.
_KEPT_SECONDS = 1.0


class _Kept(NamedTuple):
    view: memoryview
    since: float


class SlotStore:
    """Nothing until the agent has joined a store. `place` names the worker in errors.

    What an item has read stays mapped for the next one, but not without one: what is dropped should not take memory
    for a reader's sake who has gone.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._store: HostStore | None = None
        self._prefix = b""
        self._written = 0
        #: The one that was read last comes last.
        self._kept: dict[bytes, _Kept] = {}
        self._read: set[bytes] = set()

    def use(self, prefix: bytes, path: str) -> None:
        """The store is in this folder. Ids of what is written there begin with `prefix`, and count from 0 on."""
        try:
            self._store = HostStore.at(Path(path))
        except FileNotFoundError:  # the agent has left it meanwhile, for another cluster's
            self._store = None
        self._prefix, self._written = prefix, 0
        self.forget()

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return bool(self._kept)

    def forget(self) -> None:
        """Keep nothing."""
        self._kept.clear()

    def forgetting(self, loads: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Like `loads`; but what it does not read is not kept any more."""

        def load(data: Any) -> Any:
            self._read.clear()
            try:
                return loads(data)
            finally:
                for id in self._kept.keys() - self._read:
                    del self._kept[id]

        return load

    def map(self, id: bytes, offset: int = 0, length: int | None = None, *, copy_on_write: bool = False) -> memoryview:
        """See HostStore. Raises DataLost."""
        if offset or length is not None or copy_on_write:
            return self._map(id, offset, length, copy_on_write)
        now = monotonic()
        kept = self._kept.pop(id, None)
        if kept is None or kept.since < now - _KEPT_SECONDS:
            kept = _Kept(self._map(id, 0, None, False), now)
        self._kept[id] = kept
        self._read.add(id)
        if len(self._kept) > _KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return kept.view

    def _map(self, id: bytes, offset: int, length: int | None, copy_on_write: bool) -> memoryview:
        try:
            if self._store is not None:
                return self._store.map(id, offset, length, copy_on_write=copy_on_write)
        except DataMissing:
            pass
        raise DataLost(id, f"it is not in the store of {self._place} any more")

    def put(self, parts: Sequence[Buffer], id: bytes = b"") -> bytes | None:
        """Keep a datum under this id, or a new one; return which. None: there is no room, or no store."""
        if self._store is None:
            return None
        new = self._prefix + self._written.to_bytes(8, "big")
        try:
            self._store.put(id or new, parts)
        except OSError:
            return None
        self._written += not id
        return id or new
