"""Writing one file of a host store: nobody sees it until it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from manyhands.wire import store_files as files
from manyhands.wire.buffers import Buffer
from manyhands.wire.store_room import StoreRoom


class Writer:
    """A file of `size` bytes, all of them to be written. As a context it is abandoned unless it was committed."""

    def __init__(self, room: StoreRoom, name: str, size: int) -> None:
        """All the room it takes is taken here. Raises OSError if there is none, on disk either."""
        self._room = room
        self._size = size
        self._name = name
        self._made = room.make_file(size)
        self._is_open = True

    def write(self, offset: int, data: Buffer) -> None:
        self.write_pieces(offset, [data])

    def write_pieces(self, offset: int, pieces: Sequence[Buffer]) -> None:
        """One after the other, the first at `offset`. Several threads may write at a time."""
        end = offset + sum(map(len, pieces))
        if not 0 <= offset <= end <= self._size:
            raise ValueError(f"bytes {offset} to {end} do not lie in a file of {self._size}")
        files.write_pieces(self._made.descriptor, offset, pieces)

    def commit(self) -> None:
        """Give it its name. If there is one of that name already, that stays."""
        self._is_open = False
        self._room.finish(self._made, self._name)

    def abandon(self) -> None:
        """Remove it. Does nothing after `commit`."""
        if self._is_open:
            self._is_open = False
            self._room.abandon(self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.abandon()
