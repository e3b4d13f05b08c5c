"""What pickles refer to of the data kept in the cluster: `load(id)` stands for a datum's value.

`pickle` has no way to hand a context to such a call, so it looks where this process finds data, `use()`.
"""

from __future__ import annotations

import pickle
from typing import Any, Protocol

from manyhands.wire import data_format


class Source(Protocol):
    """Where data are found."""

    def map(self, id: bytes, *, copy_on_write: bool = False) -> memoryview:
        """The datum's bytes. Raises DataMissing."""
        ...


_source: Source | None = None


def use(source: Source) -> None:
    """Make this the source of the process."""
    global _source  # noqa: PLW0603 - pickle calls `load` with nothing but its arguments
    _source = source


# Pickles refer to these by their names: renaming them breaks what is in flight between versions.


def load(id: bytes) -> Any:
    """What its owner sees as a Ref: its arrays are read-only, as others have the same bytes before them."""
    return data_format.decode(_map(id, copy_on_write=False))


def load_copy(id: bytes) -> Any:
    """What nobody has called shared: an array may be written to, and nobody else sees what."""
    return data_format.decode(_map(id, copy_on_write=True))


class _Reference:
    def __init__(self, id: bytes) -> None:
        self._id = id

    def __reduce__(self) -> tuple[Any, ...]:
        return load_copy, (self._id,)


def item(id: bytes) -> bytes:
    """An item that arrives as what `load_copy` returns."""
    return pickle.dumps(_Reference(id), 5)


def _map(id: bytes, *, copy_on_write: bool) -> memoryview:
    if _source is None:
        raise RuntimeError("no data here: call stored.use(...) at the start of the process")
    return _source.map(id, copy_on_write=copy_on_write)
