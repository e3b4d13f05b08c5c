"""The receiving side of definitions: blobs by hash, and the functions and classes made from them.

A *definition* is a pickle of one function or class, named by its hash. Pickled items and other definitions refer
to it as `load(hash)`, or as `load(hash, tracker_id)` for a class that travels inside another one's blob (see
`registry`). `pickle` has no way to hand a context to such a call, so it looks in the definitions of the process,
`use()`, or of the thread, while it is inside `loads` of another set.

A class is one object in a process however often its definition arrives: cloudpickle's class tracker sees to it.
The price is that a second version of the same class (somebody assigned to a class attribute) changes the first.
So each class remembers which definition set it last, its *owner*, and a blob is run again when a class it set, or
rests on, has been set by another since.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import FunctionType
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from manyhands.wire.cloudpickle_parts import TRACKED_CLASSES, TRACKER_IDS, set_class_state, tracker_id
from manyhands.wire.errors import DataLost, DecodeError, RemoteModuleError
from manyhands.wire.local_modules import CachedFunction, LocalModules

#: How many definitions a process keeps.
MAX_DEFINITIONS = 1024

#: A definition's hash and, for a class inside its blob, the class's tracker id.
Name = tuple[bytes, str | None]
Buffer = bytes | bytearray | memoryview
_A = TypeVar("_A")


class UnknownDefinition(LookupError):
    """The blob is not here: get it, `add_blob` it, and try again. Not an error for users to see."""

    def __init__(self, hash: bytes) -> None:
        super().__init__(hash)
        self.hash = hash


class Origin(Protocol):
    """Where definitions come from, on the client itself: what it sent out comes back as the same object."""

    def original(self, hash: bytes, key: str | None) -> Any | None: ...

    def find_blob(self, hash: bytes) -> bytes | None: ...


class _Definition:
    """A blob and what it made. Never loaded twice: a new one takes its place."""

    __slots__ = ("blob", "checked", "classes", "hash", "is_loaded", "is_used", "parts", "untouchable", "value")

    def __init__(self, hash: bytes, blob: bytes) -> None:
        self.hash = hash
        self.blob = blob
        self.value: Any = None
        self.is_loaded = False
        self.is_used = False  # since the last look for one to drop
        self.checked = -1  # the count of changes at which its parts were last known to be up to date
        self.classes: dict[str, type] = {}  # made by this blob, by tracker id
        self.parts: dict[type, bytes] = {}  # classes it rests on, and their owners when it was loaded
        self.untouchable: set[type] = set()


class _Thread(threading.local):
    definitions: LoadedDefinitions | None = None
    opened: tuple[_Definition, ...] = ()  # blobs being unpickled, innermost last


_process_wide: LoadedDefinitions | None = None
_thread = _Thread()


class LoadedDefinitions:
    """The definitions of one process. Safe to use from several threads.

    place: how errors name this process, e.g. "worker 'w1'". max_count: definitions beyond it are dropped, those
    not used lately first, and asked for again when needed. origin: on the client, its registry.
    """

    def __init__(
        self, place: str = "this process", max_count: int = MAX_DEFINITIONS, origin: Origin | None = None
    ) -> None:
        self.place = place
        self._origin = origin
        self._max_count = max_count
        self._definitions: OrderedDict[bytes, _Definition] = OrderedDict()
        self._owners: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Any, Name] = WeakKeyDictionary()
        self._modules = LocalModules(roots=())
        self._changes = 0  # how often a class went from one owner to another
        self._lock = threading.RLock()

    def use(self) -> None:
        """Make these the definitions of the process. Called once, at its start."""
        global _process_wide  # noqa: PLW0603 - pickle calls `load` with nothing but its arguments
        _process_wide = self

    def add_blob(self, hash: bytes, blob: bytes) -> None:
        """Keep a definition; it is unpickled when first needed."""
        with self._lock:
            if hash not in self._definitions:
                self._definitions[hash] = _Definition(hash, blob)
            else:
                self._definitions.move_to_end(hash)
            while len(self._definitions) > self._max_count:
                oldest, definition = next(iter(self._definitions.items()))
                if definition.is_used:
                    definition.is_used = False
                    self._definitions.move_to_end(oldest)
                else:
                    del self._definitions[oldest]

    def __contains__(self, hash: bytes) -> bool:
        return hash in self._definitions

    def loads(self, data: Buffer) -> Any:
        """Unpickle one item. Raises UnknownDefinition, RemoteModuleError or DecodeError."""
        return self._run(pickle.loads, data)

    def load_at(self, file: io.BytesIO, position: int) -> Any:
        """Unpickle what begins there. Raises as `loads` does."""
        file.seek(position)
        return self._run(pickle.load, file)

    def load(self, hash: bytes) -> Any:
        """The function or class of this definition. Raises as `loads` does."""
        return self._run(self.resolve, hash)

    def _run(self, function: Callable[[_A], Any], argument: _A) -> Any:
        try:
            if _process_wide is self:
                return function(argument)
            outer, _thread.definitions = _thread.definitions, self
            try:
                return function(argument)
            finally:
                _thread.definitions = outer
        except (UnknownDefinition, DataLost):
            raise
        except ModuleNotFoundError as error:
            raise RemoteModuleError(str(error), self.place, error.name or str(error)) from error
        except Exception as error:
            raise DecodeError(f"{type(error).__name__}: {error}", self.place) from error

    # ------------------------------------------------------------ references to definitions

    def resolve(self, hash: bytes, key: str | None = None) -> Any:
        """What `load(hash, key)` stands for. Raises UnknownDefinition, or what unpickling the blob raises."""
        if self._origin is not None and (original := self._origin.original(hash, key)) is not None:
            return original
        definition = self._definitions.get(hash)
        if definition is None or definition.checked != self._changes:
            with self._lock:
                definition = self._refresh(hash)
        definition.is_used = True
        if _thread.opened:
            _thread.opened[-1].parts.update(definition.parts)
        return definition.value if key is None else definition.classes[key]

    def _refresh(self, hash: bytes) -> _Definition:
        definition = self._definitions.get(hash)
        if definition is None:
            blob = self._origin.find_blob(hash) if self._origin is not None else None
            if blob is None:
                raise UnknownDefinition(hash)
            self.add_blob(hash, blob)
            definition = self._definitions[hash]
        if not definition.is_loaded or any(self._owners.get(c) != owner for c, owner in definition.parts.items()):
            definition = self._open(hash, definition.blob)
        definition.checked = self._changes
        return definition

    def _open(self, hash: bytes, blob: bytes) -> _Definition:
        definition = _Definition(hash, blob)
        outer, _thread.opened = _thread.opened, (*_thread.opened, definition)
        try:
            value = definition.value = pickle.loads(blob)
        finally:
            _thread.opened = outer
        definition.is_loaded = True
        self._definitions[hash] = definition
        if isinstance(value, FunctionType | CachedFunction) or value in definition.classes.values():
            self._names[value] = (hash, None)
        return definition

    def is_by_value(self, obj: object) -> bool:
        """Whether results have to carry its definition, or a reference to it."""
        return self._modules.is_by_value(obj)

    def reference(self, obj: object, function: bytes | None) -> Name | None:
        """The definition that made this function or class; None for one made here."""
        return self._names.get(obj)

    def needed(self, hash: bytes) -> frozenset[bytes]:
        """Definitions to have for resolving this one. Who sent them to us has them."""
        return frozenset((hash,))

    # ------------------------------------------------------------ what blobs call

    def make_class(self, make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
        """An empty class to be filled, or the one of this tracker id that is here already."""
        key: str = arguments[-2]
        existing = TRACKED_CLASSES.get(key)
        own = None if existing is None else TRACKER_IDS.get(existing)
        cls = make(*arguments)
        if own is not None:
            TRACKER_IDS[cls] = own  # by which it has been sent: cloudpickle takes the latest it met
        opened = _thread.opened[-1]
        opened.classes[key] = cls
        if existing is not None and self._origin is not None and cls not in self._owners:
            opened.untouchable.add(cls)  # the client's own class, perhaps changed since it was pickled
        return cls

    def fill_class(self, cls: type, state: Any) -> None:
        """Set its attributes, and remember whose they are."""
        opened = _thread.opened[-1]
        if cls in opened.untouchable:
            return
        set_class_state(cls, state)
        owner = self._owners.get(cls)
        if owner is not None and owner != opened.hash:
            self._changes += 1
        self._owners[cls] = opened.parts[cls] = opened.hash
        self._names[cls] = (opened.hash, tracker_id(cls))


# What pickles refer to by these names: renaming them breaks what is in flight between versions.


def _current() -> LoadedDefinitions:
    definitions = _thread.definitions or _process_wide
    if definitions is None:
        raise RuntimeError("no definitions here: call LoadedDefinitions(...).use() at the start of the process")
    return definitions


def load(hash: bytes, key: str | None = None) -> Any:
    return _current().resolve(hash, key)


def make_class(make: Callable[..., type], *arguments: Any) -> type:
    return _current().make_class(make, arguments)


def fill_class(cls: type, state: Any) -> None:
    _current().fill_class(cls, state)
