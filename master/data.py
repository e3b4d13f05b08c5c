"""The data that somebody needs: what they are, who has them, and whether they can be had; pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from manyhands.master.recipes import Recipe


#: The size of a datum of which nobody has told yet.
UNKNOWN_SIZE = -1


class Datum:
    """One datum. Whoever needs it holds it: clients' sessions, open blocks. It goes with the last holder."""

    __slots__ = ("__weakref__", "id", "is_kept", "is_noted", "lost", "on_gone", "recipe", "size", "stores")

    def __init__(self, id: bytes) -> None:
        self.id = id
        #: Bytes; UNKNOWN_SIZE: whoever has it is still to tell.
        self.size = UNKNOWN_SIZE
        #: The master has it, and will have it after a restart if it keeps a journal.
        self.is_kept = False
        #: The journal has it as needed by tasks, whatever becomes of clients.
        self.is_noted = False
        #: Hosts' stores that have it, by identity; the master's own may be one of them.
        self.stores: set[str] = set()
        #: Why it is gone for good, if it is.
        self.lost = ""
        #: How it was computed, if it was, and there was room to remember that.
        self.recipe: Recipe | None = None
        #: Told when it goes.
        self.on_gone: Callable[[Datum], None] | None = None

    @property
    def is_available(self) -> bool:
        """Whether a task that needs it can be sent out."""
        return self.is_kept or bool(self.stores)

    @property
    def is_coming(self) -> bool:
        """Whether it cannot be had, and may come."""
        return not (self.is_available or self.lost)

    def __del__(self) -> None:
        if self.on_gone is not None:
            self.on_gone(self)


class DataRegistry:
    """All data that somebody holds, by id. `on_gone` is told of each that nobody holds any more."""

    def __init__(self, on_gone: Callable[[Datum], None]) -> None:
        self._all: WeakValueDictionary[bytes, Datum] = WeakValueDictionary()
        self._on_gone = on_gone

    def add(self, id: bytes, size: int) -> Datum:
        """A datum of that name, known before or not. Raises ValueError if it was said to be of another size."""
        datum = self.expect(id)
        if datum.size == UNKNOWN_SIZE:
            datum.size = size
        elif datum.size != size:
            raise ValueError(f"the datum {id.hex()} has {datum.size} bytes, not {size}")
        return datum

    def expect(self, id: bytes) -> Datum:
        """The datum of that name, of which nobody may have told yet."""
        datum = self._all.get(id)
        if datum is None:
            datum = self._all[id] = Datum(id)
            datum.on_gone = self._on_gone
        return datum

    def get(self, id: bytes) -> Datum | None:
        """The datum, if anybody holds it, and it is known what it is."""
        datum = self._all.get(id)
        return datum if datum is not None and datum.size != UNKNOWN_SIZE else None

    def all(self) -> list[Datum]:
        """For looking."""
        return list(self._all.values())
