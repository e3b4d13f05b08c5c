"""Items to bytes: arguments on the client, results in the slots.

Every item becomes a pickle of its own, so that a task which changes its argument cannot disturb the next, and any
run of items can be cut out by slicing bytes. `LoadedDefinitions.loads` is the inverse.
"""

from __future__ import annotations

import io
import pickle
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn, Protocol

from manyhands.wire import definitions
from manyhands.wire.bounds import ITEM_BYTES_MAX
from manyhands.wire.culprit import explain
from manyhands.wire.definitions import Name
from manyhands.wire.errors import EncodeError, ResultEncodeError
from manyhands.wire.pickler import ValuePickler
from manyhands.wire.sizes import shown

#: Types whose instances refer to nothing, so that pickling them needs no memo.
_ATOMS = frozenset((int, float, str, bytes, bool, type(None)))
#: Smaller arrays are not worth being shared.
SHARED_BYTES = 64 << 10


class _TooLong(Exception):
    """An item that no message can carry."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it is {size} bytes long when pickled, and at most {shown(ITEM_BYTES_MAX)} can travel")


class Source(Protocol):
    """Where an encoder's definitions are: `DefinitionRegistry` on the client, `LoadedDefinitions` in a slot."""

    def is_by_value(self, obj: object) -> bool: ...

    def reference(self, obj: object, function: bytes | None) -> Name | None: ...

    def needed(self, hash: bytes) -> frozenset[bytes]: ...


class Handle(Protocol):
    """A datum of the cluster, by its id; what holds it, too."""

    id: bytes
    #: Definitions that it refers to: (hash, blob) each.
    blobs: tuple[tuple[bytes, bytes], ...]

    def __manyhands_as_item__(self, handles: Handles) -> Any:
        """What `pickle` is to write for it, as `__reduce__` returns it; adds what has to be held meanwhile."""
        ...


#: By id.
Handles = dict[bytes, Handle]
#: What stands for a large array that is kept in the cluster; None: it travels as it is.
Share = Callable[[Any], Handle | None]


class EncodedItem(NamedTuple):
    """One item, and what is needed to decode it: definitions, those that definitions need included, and data."""

    data: bytes
    definitions: frozenset[bytes]
    handles: tuple[Handle, ...] = ()


class EncodedParts(NamedTuple):
    """A pickle and its large buffers, which are the object's own: not copied. What it needs: see EncodedItem."""

    data: bytes
    buffers: list[pickle.PickleBuffer]
    definitions: frozenset[bytes]
    handles: tuple[Handle, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


class EncodedItems(NamedTuple):
    """Item k is payload[ends[k-1]:ends[k]]; the first one starts at 0. What they need: see EncodedItem."""

    ends: array[int]
    payload: bytes
    definitions: frozenset[bytes]
    handles: tuple[Handle, ...] = ()


class Feed:
    """Items to be encoded, pulled from an iterable as late as possible, and what is left over between two calls."""

    __slots__ = ("error", "has_ended", "held", "iterator", "position")

    def __init__(self, items: Iterable[Any]) -> None:
        #: Items handed out so far: encoded or failed.
        self.position = 0
        #: The iterator has ended or raised.
        self.has_ended = False
        self.iterator: Iterator[Any] = iter(items)
        self.error: Exception | None = None
        self.held: EncodedItem | None = None  # encoded, but too big for the block it came in

    @property
    def is_exhausted(self) -> bool:
        """Nothing will come any more, neither items nor an exception."""
        return self.has_ended and self.error is None and self.held is None


class _ItemPickler(ValuePickler):
    """Refers to definitions where it can, else puts functions and classes in by value."""

    def __init__(
        self, file: io.BytesIO, source: Source, buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None
    ) -> None:
        super().__init__(file, source.is_by_value, buffer_callback)
        self._file = file
        self._source = source
        self._references: dict[int, tuple[object, Any]] = {}
        self.begin(None)

    def begin(self, function: bytes | None, share: Share | None = None) -> None:
        """A new call: definitions are looked up again, since users may have changed their objects."""
        if self._references:
            self._references.clear()
        self._function = function
        self._share = share
        self.needed: set[bytes] = set()
        self.handles: Handles = {}

    def dump_item(self, obj: Any, start: int) -> None:
        """Write its pickle to the file, which ends at `start`."""
        try:
            self.dump_raw(obj)
        except pickle.PicklingError:
            if not self.forget():
                raise
            self.rewind(start)
            self.dump_raw(obj)
        self.clear_memo()
        if self.globals_ref:
            self.globals_ref.clear()

    def rewind(self, start: int) -> None:
        """Drop what was written from `start` on."""
        self._file.seek(start)
        self._file.truncate()
        self.clear_memo()
        self.globals_ref.clear()

    def reduce_handle(self, obj: Handle) -> Any:
        return obj.__manyhands_as_item__(self.handles)

    def reduce_array(self, obj: Any) -> Any:
        handle = None if self._share is None or obj.nbytes < SHARED_BYTES else self._share(obj)
        return NotImplemented if handle is None else handle.__manyhands_as_item__(self.handles)

    def reduce_by_value(self, obj: Any) -> Any:
        known = self._references.get(id(obj))
        if known is None:
            known = self._references[id(obj)] = obj, self._refer(obj)  # obj: so that its id stays its own
        return self.inline(obj) if known[1] is None else known[1]

    def _refer(self, obj: Any) -> Any:
        name = self._source.reference(obj, self._function)
        if name is None:
            return None
        hash, key = name
        self.needed |= self._source.needed(hash)
        return definitions.load, ((hash,) if key is None else name)


class _PartsPickler(_ItemPickler):
    """Leaves large buffers out of its pickles."""

    def __init__(self, source: Source) -> None:
        self._large: list[pickle.PickleBuffer] = []
        # No method as the callback: that would be a cycle that keeps what was pickled.
        super().__init__(io.BytesIO(), source, partial(_is_in_band, self._large))

    def rewind(self, start: int) -> None:
        super().rewind(start)
        self._large.clear()

    def encode(self, obj: Any) -> EncodedParts:
        """Of no use any more if this raises."""
        self.dump_item(obj, 0)
        if self._file.tell() > ITEM_BYTES_MAX:
            raise _TooLong(self._file.tell())
        handles = tuple(self.handles.values())
        parts = EncodedParts(self._file.getvalue(), self._large.copy(), frozenset(self.needed), handles)
        self.rewind(0)
        self.begin(None)
        return parts


def _is_in_band(large: list[pickle.PickleBuffer], buffer: pickle.PickleBuffer) -> bool:
    if memoryview(buffer).nbytes < SHARED_BYTES:
        return True
    large.append(buffer)
    return False


class Encoder:
    """Not for several threads at once; but a user's iterator or __reduce__ may use it while it is at work."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._file = io.BytesIO()
        self._pickler = _ItemPickler(self._file, source)
        self._parts_pickler: _PartsPickler | None = None
        atom_pickler = pickle.Pickler(self._file, 5)
        atom_pickler.fast = True  # no memo: nothing to clear, and one item cannot refer back to another
        self._dump_atom = atom_pickler.dump
        self._is_busy = False

    def encode_items(
        self,
        feed: Feed,
        max_bytes: int,
        max_items: int,
        *,
        function: bytes | None = None,
        max_seconds: float | None = None,
        share: Share | None = None,
    ) -> EncodedItems:
        """The next items: at least one unless the feed ends, at most `max_items`, and more than one only while
        they stay within `max_bytes` in all and `max_seconds` have not passed.

        function: the hash of the function they are for, with whose definition they may share classes.
        What the iterator raises is raised when all items before it have been returned, and ends the feed. An item
        that cannot be pickled raises EncodeError in the same way, and counts as one item; the feed goes on.
        """
        if self._is_busy:
            return Encoder(self._source).encode_items(
                feed, max_bytes, max_items, function=function, max_seconds=max_seconds, share=share
            )
        self._is_busy = True
        try:
            self._pickler.begin(function, share)
            return self._encode_items(feed, max_bytes, max_items, max_seconds)
        finally:
            self._reset()

    def encode_one(
        self, obj: Any, *, function: bytes | None = None, what: str = "the argument", share: Share | None = None
    ) -> EncodedItem:
        """Raises EncodeError; `what` names the item in it."""
        if self._is_busy:
            return Encoder(self._source).encode_one(obj, function=function, what=what, share=share)
        self._is_busy = True
        pickler = self._pickler
        try:
            pickler.begin(function, share)
            pickler.dump_item(obj, 0)
            if self._file.tell() > ITEM_BYTES_MAX:
                raise _TooLong(self._file.tell())
            return EncodedItem(self._file.getvalue(), frozenset(pickler.needed), tuple(pickler.handles.values()))
        except Exception as error:
            raise self._explain(what, obj, error) from error
        finally:
            self._reset()

    def encode_call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        function: bytes | None = None,
        share: Share | None = None,
    ) -> EncodedItem:
        """The item (args, kwargs). Raises EncodeError that names the argument."""
        try:
            return self.encode_one((args, kwargs), function=function, share=share)
        except EncodeError:
            named = [(f"argument {index}", value) for index, value in enumerate(args, 1)]
            named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
            for what, value in named:
                self.encode_one(value, function=function, what=what)
            raise

    def encode_parts(self, obj: Any, what: str = "the object") -> EncodedParts:
        """As a pickle of at most ITEM_BYTES_MAX, beside buffers of at least SHARED_BYTES each. Raises EncodeError."""
        # Taken while it is at work: whoever needs one then, or after an interrupt, makes another.
        pickler, self._parts_pickler = self._parts_pickler or _PartsPickler(self._source), None
        try:
            parts = pickler.encode(obj)
        except Exception as error:
            raise self._explain(what, obj, error) from error
        self._parts_pickler = pickler
        return parts

    def encode_result(self, obj: Any) -> EncodedItem:
        """What a task returned. Raises ResultEncodeError."""
        try:
            return self.encode_one(obj)
        except EncodeError as error:
            raise ResultEncodeError.of(error) from error

    def _encode_items(self, feed: Feed, max_bytes: int, max_items: int, max_seconds: float | None) -> EncodedItems:
        if feed.error is not None:
            self._raise(feed)
        file, pickler, atoms = self._file, self._pickler, _ATOMS
        tell, dump_atom, dump = file.tell, self._dump_atom, pickler.dump_item
        deadline = None if max_seconds is None else time.monotonic() + max_seconds
        ends = array("I")
        end = self._take_held(feed, ends)
        count = len(ends)
        if not count or (count < max_items and end < max_bytes):
            try:
                for item in feed.iterator:
                    start = end
                    try:
                        if type(item) in atoms:
                            dump_atom(item)
                        else:
                            dump(item, start)
                        end = tell()
                        if end > max_bytes and self._is_held(feed, start, end):
                            break
                    except Exception as error:  # noqa: BLE001 - whatever a user's __reduce__ raises
                        self._pickler.rewind(start)
                        feed.error = self._explain(f"item {feed.position + count}", item, error)
                        feed.error.__cause__ = error
                        break
                    ends.append(end)
                    count += 1
                    if count >= max_items or end >= max_bytes or (deadline and time.monotonic() > deadline):
                        break
                else:
                    feed.has_ended = True
            except Exception as error:  # noqa: BLE001 - whatever the user's iterator raises
                feed.error, feed.has_ended = error, True
            if feed.error is not None and not count:
                self._raise(feed)
        feed.position += count
        return EncodedItems(ends, file.getvalue(), frozenset(pickler.needed), tuple(pickler.handles.values()))

    @staticmethod
    def _raise(feed: Feed) -> NoReturn:
        error, feed.error = feed.error, None
        assert error is not None
        feed.position += not feed.has_ended
        raise error

    def _take_held(self, feed: Feed, ends: array[int]) -> int:
        if feed.held is None:
            return 0
        held, feed.held = feed.held, None
        self._pickler.needed |= held.definitions
        self._pickler.handles.update((handle.id, handle) for handle in held.handles)
        ends.append(len(held.data))
        return self._file.write(held.data)

    def _is_held(self, feed: Feed, start: int, end: int) -> bool:
        """Whether the item that exceeds a block is put off to the next, as it is not its first. Raises _TooLong."""
        if end - start > ITEM_BYTES_MAX:
            raise _TooLong(end - start)
        if not start:
            return False
        with self._file.getbuffer() as written:
            held = bytes(written[start:])
        self._pickler.rewind(start)
        pickler = self._pickler
        feed.held = EncodedItem(held, frozenset(pickler.needed), tuple(pickler.handles.values()))
        return True

    def _reset(self) -> None:
        self._pickler.rewind(0)
        self._pickler.begin(None)
        self._is_busy = False

    def _explain(self, what: str, obj: Any, error: Exception) -> EncodeError:
        if isinstance(error, _TooLong):
            way_out = "cut it into parts, or hand it over in a file"
            return EncodeError(what, "", type(obj).__qualname__, str(error), way_out)
        scratch = Encoder(self._source)
        return explain(what, obj, error, scratch.attempt)

    def attempt(self, obj: Any) -> None:
        try:
            self._pickler.dump_item(obj, 0)
        finally:
            self._reset()


def split(payload: bytes, ends: Iterable[int]) -> Iterator[bytes]:
    """The items' bytes, one by one."""
    return (payload[start:end] for start, end in pairwise((0, *ends)))
