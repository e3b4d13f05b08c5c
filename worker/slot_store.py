"""The slot's part in the data of its host: where items find them, and where results that stay are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from manyhands.wire.buffers import Buffer
from manyhands.wire.errors import DataLost
from manyhands.wire.host_store import DataMissing, HostStore


class SlotStore:
    """Nothing until the agent has joined a store. `place` names the worker in errors."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._store: HostStore | None = None
        self._prefix = b""
        self._written = 0

    def use(self, prefix: bytes, path: str) -> None:
        """The store is in this folder. Ids of what is written there begin with `prefix`, and count from 0 on."""
        try:
            self._store = HostStore.at(Path(path))
        except FileNotFoundError:  # the agent has left it meanwhile, for another cluster's
            self._store = None
        self._prefix, self._written = prefix, 0

    def map(self, id: bytes, offset: int = 0, length: int | None = None, *, copy_on_write: bool = False) -> memoryview:
        """See HostStore. Mapped anew each time: what is dropped should not take memory for one reader's sake.

        Raises DataLost.
        """
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
