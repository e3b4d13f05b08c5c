"""Ref: the user's handle to a datum that is kept in the cluster; it arrives in tasks as its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from manyhands.wire import stored
from manyhands.wire.pickling import Handle, Handles
from manyhands.wire.sizes import shown

if TYPE_CHECKING:
    from manyhands.client.data import Data
    from manyhands.client.gathering import Blob

T_co = TypeVar("T_co", covariant=True)


class Ref(Generic[T_co]):
    """A datum of the cluster: an object that was `put`, or a result that has stayed where it was computed.

    As an argument of a task, or anywhere inside one, it stands for its value; `Client.get` brings that here. The datum
    is kept for as long as there is a Ref to it, a task that needs it, or a value here that is mapped from it, and no
    longer than the client's session.
    """

    __slots__ = ("__weakref__", "_data", "_inner", "blobs", "id", "is_copied", "size_bytes")

    def __init__(
        self,
        data: Data,
        id: bytes,
        size_bytes: int,
        blobs: tuple[Blob, ...] = (),
        inner: tuple[Handle, ...] = (),
        *,
        is_copied: bool = False,
    ) -> None:
        """inner: what the object itself refers to. is_copied: each task gets a copy that it may change, as of an array
        that was no Ref in the user's hands.
        """
        self._data = data
        self._inner = inner
        #: 16 bytes, the same in the whole cluster.
        self.id = id
        #: Of the datum, in bytes.
        self.size_bytes = size_bytes
        #: Definitions that its pickle refers to.
        self.blobs = blobs
        self.is_copied = is_copied

    def __del__(self) -> None:
        self._data.release(self.id)

    @property
    def owner(self) -> Data:
        """Whose it is: a Ref is of use to its client only."""
        return self._data

    def __manyhands_as_item__(self, handles: Handles) -> Any:
        """See wire.pickling.Handle."""
        handles[self.id] = self
        handles.update((handle.id, handle) for handle in self._inner)
        return (stored.load_copy if self.is_copied else stored.load), (self.id,)

    def __manyhands_key__(self) -> Any:
        """By what is put, its content, the results of calls with it are found in a checkpoint."""
        return self.id

    def __reduce__(self) -> Any:
        raise TypeError("a Ref means something to its client and in the arguments of its calls only: get() its value")

    def __repr__(self) -> str:
        return f"<Ref {self.id.hex()}, {shown(self.size_bytes)}>"
