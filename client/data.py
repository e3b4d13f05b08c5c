"""A client's data in the cluster: put and fetched by any thread, held and released on the loop's."""

from __future__ import annotations

import logging
import mmap
import os
import secrets
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from manyhands.client.bringing import Bringing, Content
from manyhands.client.recognition import Recognition
from manyhands.client.refs import Ref
from manyhands.client.sharing import Sharing
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire import data_format, stored
from manyhands.wire.data_format import Encoded
from manyhands.wire.data_id import ID_BYTES
from manyhands.wire.host_store import DataMissing, HostStore
from manyhands.wire.pickling import Handle
from manyhands.wire.pull import serve
from manyhands.wire.session import ProtocolError

if TYPE_CHECKING:
    from manyhands.client.connection import Connection
    from manyhands.client.encoding import Encoding
    from manyhands.client.gathering import Blob

T = TypeVar("T")

logger = logging.getLogger("manyhands.client")

#: Smaller data travel with the message that tells of them.
INLINE_BYTES = 32 << 10


#: Guards the step from "no store" to "a store", for all connections.
_joining = threading.Lock()


class Arrived(bytes):
    """An encoded result that is no mere value: its `ref`, if it is in a store; `blobs`: what it may refer to."""

    ref: Ref[Any] | None = None
    blobs: tuple[Blob, ...] = ()

    @classmethod
    def of(cls, outcome: bytes, ref: Ref[Any] | None, blobs: Mapping[bytes, bytes]) -> Self:
        """An outcome of a job whose definitions are `blobs`."""
        arrived = cls(outcome)
        arrived.ref, arrived.blobs = ref, tuple(blobs.items())
        return arrived


class Data:
    """One connection's. Methods are for any thread unless they say otherwise."""

    def __init__(self, connection: Connection, encoding: Encoding) -> None:
        self._connection = connection
        self._encoding = encoding
        self._store: HostStore | None = None
        self.sharing = Sharing(self._share)
        self._recognition = Recognition(partial(self._mapped, copy_on_write=False))
        #: What is said of data to a master that knows nothing of them, until they are released: of those that were put
        #: here at first, and of all after the end of a session.
        self._puts: dict[bytes, pb.PutData] = {}
        #: Those of them that the master is still to take over: until then they are held here, Ref or no Ref.
        self._untaken: set[bytes] = set()
        #: On the loop's thread: Refs to each datum, and those that nobody refers to any more, as is to be said.
        self._held: Counter[bytes] = Counter()
        self._releasing: list[bytes] = []
        self.bringing = Bringing(connection)
        connection.data = self
        _all.add(self)

    # ------------------------------------------------------------ the store of this host

    def join_store(self) -> HostStore:
        """The store that this process shares with others of its user on this host. Raises OSError."""
        with _joining:
            if self._store is None:
                self._connection.check_open()
                self._store = HostStore.join(self._connection.cluster_id)
                self._connection.background.post(self._tell_store)
            return self._store

    def join_neighbours(self) -> None:
        """Join the store if others of the cluster have: workers here may then leave results there."""
        try:
            if self._connection.cluster_id and HostStore.exists(self._connection.cluster_id):
                self.join_store()
        except OSError as error:
            logger.warning("results of workers on this host will be copied, not shared: %s", error)

    def _join_to_tell(self) -> None:
        try:
            self.join_store()
        except OSError as error:
            logger.warning("no data can be kept on this host: %s", error)
            # One without anything in it: the master finds that they are lost, rather than wait to hear where they are.
            self._connection.send_data(pb.Body(join_store=pb.JoinStore(store=f"none, {secrets.token_hex(8)}")))

    def _tell_store(self) -> None:
        assert self._store is not None
        self._connection.send_data(pb.Body(join_store=pb.JoinStore(store=self._store.identity)))

    def close(self, cause: BaseException) -> None:
        """On the loop's thread: nothing more will be put or fetched."""
        self.bringing.fail(cause)
        if self._store is not None:
            self._store.close()

    # ------------------------------------------------------------ putting

    def put(self, obj: Any, *, is_copied: bool = False) -> Ref[Any]:
        """Keep an object in the cluster. Raises EncodeError, and what new work is refused with, if it is."""
        self._connection.check_open()
        encoded, blobs, inner = self._encoding.encode_datum(obj)
        return self._keep(encoded, blobs, inner, is_copied=is_copied)

    def _share(self, array: Any) -> tuple[Ref[Any], Any]:
        ref = self.put(array, is_copied=True)
        return ref, self.get(ref)

    def _keep(
        self, encoded: Encoded, blobs: tuple[Blob, ...], inner: tuple[Handle, ...] = (), *, is_copied: bool = False
    ) -> Ref[Any]:
        if encoded.size <= INLINE_BYTES:
            id = os.urandom(ID_BYTES)
            content = b"".join(encoded.parts)
        else:
            content = b""
            store = self.join_store()
            known = self._recognition.find(encoded)
            if known is not None:
                id = known.id
            else:
                id = os.urandom(ID_BYTES)
                store.put(id, encoded.parts)
        ref: Ref[Any] = Ref(self, id, encoded.size, blobs, inner, is_copied=is_copied)
        message = pb.PutData(id=id, size=encoded.size, content=content)
        self._puts.setdefault(id, message)  # at once: it may be asked for before the loop's thread has run
        self._connection.room.count_unsent(len(content))
        self._connection.background.post(partial(self._hold, message))
        if not content:
            self._recognition.remember(encoded, ref)
        return ref

    def _hold(self, message: pb.PutData) -> None:
        self._connection.room.count_unsent(-len(message.content))
        id = message.id
        self._held[id] += 1
        if self._held[id] == 1:
            self._connection.send_data(pb.Body(put_data=message))
            if not message.content:
                self._untaken.add(id)

    def release(self, id: bytes) -> None:
        """A Ref is gone; called by finalizers."""
        if self._connection.forked is None and self._connection.failure is None:
            self._connection.background.post(partial(self._release, id))

    def _release(self, id: bytes) -> None:
        self._held[id] -= 1
        if self._held[id] <= 0 and id in self._untaken:
            # Tasks may need it, and the master may not even have begun to fetch it.
            self._held[id] = 1
            self._when_taken(id, partial(self._release, id))
        elif self._held[id] <= 0:
            del self._held[id]
            self._puts.pop(id, None)
            self._releasing.append(id)
            if len(self._releasing) == 1:
                self._connection.background.loop.call_soon(self._send_released)

    def _when_taken(self, id: bytes, tell: Callable[[], None]) -> None:
        def taken() -> None:
            self._untaken.discard(id)
            tell()

        self.bringing.when_kept(id, partial(self._is_here, id), taken)

    def when_all_taken(self, tell: Callable[[], None]) -> None:
        """On the loop's thread: have `tell` called once the master has all that was put for good, or has lost it."""
        left = set(self._untaken)
        if not left:
            tell()

        def taken(id: bytes) -> None:
            left.discard(id)
            if not left:
                tell()

        for id in list(left):
            self._when_taken(id, partial(taken, id))

    def _send_released(self) -> None:
        released, self._releasing = self._releasing, []
        gone = [id for id in released if id not in self._held]
        if gone:
            self._connection.send_data(pb.Body(release_data=pb.ReleaseData(ids=gone)))

    # ------------------------------------------------------------ results

    def adopt(self, results: pb.Results, blobs: Mapping[bytes, bytes]) -> dict[int, Ref[Any]]:
        """On the loop's thread: the results that are in a store, by index. The master has this client hold them."""
        refs: dict[int, Ref[Any]] = {}
        for each in results.stored:
            self._held[each.id] += 1
            self._puts.setdefault(each.id, pb.PutData(id=each.id, size=each.size))
            refs[each.index] = Ref(self, each.id, each.size, tuple(blobs.items()))
        return refs

    def ref_of(self, outcome: bytes) -> Ref[Any]:
        """What stands for a result that is to be kept. Raises what new work is refused with, if it is."""
        if isinstance(outcome, Arrived) and outcome.ref is not None:
            return outcome.ref
        blobs = outcome.blobs if isinstance(outcome, Arrived) else ()
        return self._keep(data_format.encode(outcome, ()), blobs)

    # ------------------------------------------------------------ getting

    def get(self, ref: Ref[T], timeout: float | None = None) -> T:
        """The value of a datum. Raises DataLost, TimeoutError, DecodeError."""
        return self.gather([ref], timeout)[0]

    def gather(self, refs: Sequence[Ref[T]], timeout: float | None = None) -> list[T]:
        """The same of several: what is elsewhere is on its way at the same time."""
        for ref in refs:
            if not isinstance(ref, Ref):
                raise TypeError(f"it takes a Ref, as put() returns it, not {ref!r}")
            if ref.owner is not self:
                raise ValueError(f"{ref!r} is of another client's session: get it there, and put it here")
        self._connection.check_forked()
        deadline = None if timeout is None else time.monotonic() + timeout
        coming = [self._begin(ref.id, copy_on_write=False) for ref in refs]
        return [
            self._encoding.decode_datum(self._end(ref.id, each, deadline, copy_on_write=False))
            for ref, each in zip(refs, coming, strict=True)
        ]

    def bring(self, id: bytes, *, copy_on_write: bool) -> memoryview:
        """A datum's bytes: mapped if they are on this host, else fetched. Raises DataLost."""
        return self._end(id, self._begin(id, copy_on_write=copy_on_write), None, copy_on_write=copy_on_write)

    def _begin(self, id: bytes, *, copy_on_write: bool) -> memoryview | Content:
        if (view := self._mapped(id, copy_on_write=copy_on_write)) is not None:
            return view
        put = self._puts.get(id)
        if put is not None and put.content:
            return memoryview(put.content)
        return self.bringing.fetch(id, partial(self._is_here, id))

    def _end(
        self, id: bytes, coming: memoryview | Content, deadline: float | None, *, copy_on_write: bool
    ) -> memoryview:
        if isinstance(coming, memoryview):
            return self._held_by(coming, id)
        content = coming.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if content is not None:
            return memoryview(content) if copy_on_write else memoryview(content).toreadonly()
        view = self._mapped(id, copy_on_write=copy_on_write)
        assert view is not None, "it was there a moment ago, and this client holds it"
        return self._held_by(view, id)

    def _held_by(self, view: memoryview, id: bytes) -> memoryview:
        """Hold a datum for as long as it is mapped, Ref or no Ref: its memory is in use, and cannot be used again."""
        if isinstance(view.obj, mmap.mmap):
            self._connection.background.post(partial(self._hold_mapped, id))
            weakref.finalize(view.obj, self.release, id).atexit = False
        return view

    def _hold_mapped(self, id: bytes) -> None:
        self._held[id] += 1

    def _mapped(self, id: bytes, *, copy_on_write: bool) -> memoryview | None:
        if self._store is None:
            return None
        try:
            return self._store.map(id, copy_on_write=copy_on_write)
        except DataMissing:
            return None

    def _is_here(self, id: bytes) -> bool:
        return self._mapped(id, copy_on_write=False) is not None

    def holds(self, id: bytes) -> bool:
        """Whether there are Refs to it."""
        return id in self._held

    # ------------------------------------------------------------ what the master says, on the loop's thread

    def on_fetch(self, message: pb.Fetch) -> None:
        """The master wants part of what was put."""
        part = pb.Part(id=message.id, offset=message.offset, missing=True)
        try:
            if self._store is not None:
                part = serve(message, self._store)
        except (ProtocolError, OSError) as error:
            logger.warning("the master asked for data that cannot be read here: %s", error)
        self._connection.send_data(pb.Body(part=part))

    def on_forget(self, message: pb.Forget) -> None:
        """Nobody needs these."""
        if self._store is not None:
            for id in message.ids:
                if id not in self._held:
                    self._store.drop(id)

    def on_new_master(self) -> None:
        """It may have been restarted: what it does not write down must be said again."""
        if self._store is not None:
            self._tell_store()
        self.bringing.ask_again()

    def on_session_lost(self, cause: BaseException) -> None:
        """The master knows nothing of our data: they are put again, and those that are not here are lost."""
        if self._store is not None:
            self._tell_store()
        elif self._puts:
            self._join_to_tell()
        for message in self._puts.values():
            self._connection.send_data(pb.Body(put_data=message))
        self.bringing.fail(cause)


class _Clients:
    """Where the results of all clients of this process are found; see wire.stored."""

    def map(self, id: bytes, *, copy_on_write: bool = False) -> memoryview:
        for data in list(_all):
            if data.holds(id):
                return data.bring(id, copy_on_write=copy_on_write)
        raise DataMissing(id)


_all: weakref.WeakSet[Data] = weakref.WeakSet()
stored.use(_Clients())
