"""The client's definitions: functions and classes pickled once, named by the hash of what came out.

What goes into which blob. Functions and local modules are pickled where they are met, so that all functions of
one blob share their globals, as they do on the client. Classes get a definition of their own, because items
refer to them: a class that another one's methods mention is a reference. Two exceptions, see `survey`:

- a class whose functions could change state outside it, or read what the blob's own functions assign, goes in by
  value, or the two would see different copies of that state;
- classes that refer to one another form a group: one blob holds them all, their definitions refer into it.
"""

from __future__ import annotations

import pickle
import threading
import types
from types import FunctionType, ModuleType
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from manyhands.wire.blob_store import MAX_BYTES, BlobStore
from manyhands.wire.cloudpickle_parts import TRACKED_CLASSES, TRACKER_IDS, tracker_id
from manyhands.wire.culprit import explain
from manyhands.wire.definition_pickler import DefinitionPickler, Reference
from manyhands.wire.definitions import Name, UnknownDefinition
from manyhands.wire.errors import EncodeError
from manyhands.wire.local_modules import CachedFunction, LocalModules
from manyhands.wire.survey import Survey, survey

_DEFINABLE = (
    *(FunctionType, CachedFunction, type),
    *(types.MethodDescriptorType, types.WrapperDescriptorType),
)

#: Objects remembered of one blob, the latest: a lambda in a loop is made anew each time, and never seen again.
MAX_OBJECTS = 8


class _Known(NamedTuple):
    obj: object  # kept alive, so that its id stays its own
    hash: bytes
    survey: Survey


def is_definable(function: object) -> bool:
    """Whether it gets a definition: other callables (partials, bound methods, instances) travel as data."""
    if isinstance(function, types.BuiltinFunctionType):
        return isinstance(function.__self__, ModuleType | type | None)
    return isinstance(function, _DEFINABLE)


class DefinitionRegistry:
    """Safe to use from several threads. One is enough for a process, however many clients it has.

    local: which modules travel by value. max_bytes: of blobs that nobody has pinned.
    """

    def __init__(self, local: LocalModules | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._local = LocalModules() if local is None else local
        self._blobs = BlobStore(max_bytes)
        self._known: dict[int, _Known] = {}
        self._originals: WeakValueDictionary[bytes, Any] = WeakValueDictionary()
        self._lock = threading.RLock()
        self._open: list[object] = []  # what is being defined, outermost first
        self._surveys: dict[int, tuple[object, Survey]] = {}  # valid until that is done

    # ------------------------------------------------------------ definitions

    def define(self, obj: Any) -> bytes:
        """The hash of its definition as it is now. Raises EncodeError.

        For functions and classes. Any other value, such as a tuple of exception classes, is a blob of its own.
        """
        known = self._recall(obj)
        if known is not None and self._blobs.touch(known.hash):
            return known.hash
        with self._lock:
            self._open.append(obj)
            try:
                hash = self._define(obj)
            finally:
                self._open.pop()
                if not self._open:
                    self._surveys.clear()
            if not self._open:
                self._evict(self._blobs.find(hash).needed)
            return hash

    def define_with_blobs(self, obj: Any) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
        """As `define`; with all that is needed to load it, before another thread's definitions push that out."""
        with self._lock:
            hash = self.define(obj)
            return hash, tuple([(each, self._blobs.find(each).data) for each in self.needed(hash)])

    def _recall(self, obj: object) -> _Known | None:
        known = self._known.get(id(obj))
        return known if known is not None and known.obj is obj and known.survey.holds() else None

    def _define(self, obj: Any) -> bytes:
        seen = self.survey(obj)
        group = self._group(obj, seen)
        if len(group) > 1:
            whole = self._pickle(tuple(group), group, seen)
            reference = pickle.dumps(Reference((whole, tracker_id(obj))), 5)
            hash = self._blobs.put(reference, self.needed(whole))
        else:
            hash = self._pickle(obj, group, seen)
        if isinstance(obj, type | FunctionType | CachedFunction):
            self._originals[hash] = obj
        if seen.cacheable:
            self._remember(obj, hash, seen)
        return hash

    def _remember(self, obj: Any, hash: bytes, seen: Survey) -> None:
        objects = self._blobs.find(hash).objects
        objects.pop(id(obj), None)
        objects[id(obj)] = None
        self._known[id(obj)] = _Known(obj, hash, seen)
        if len(objects) > MAX_OBJECTS:
            oldest = next(iter(objects))
            del objects[oldest]
            self._known.pop(oldest, None)

    def _group(self, obj: Any, seen: Survey) -> list[Any]:
        """`obj` and, if it is a class, the classes it refers to that refer to it; always in the same order."""
        if id(obj) not in seen.classes or seen.shared:
            return [obj]
        group = [cls for cls in seen.classes.values() if id(obj) in self.survey(cls).classes]
        return sorted(group, key=tracker_id)

    def _pickle(self, value: Any, roots: list[Any], seen: Survey) -> bytes:
        """First as it is; if that fails and local modules are part of it, without what fails in them."""
        is_lenient = False
        while True:
            pickler = DefinitionPickler(self, roots, seen, is_lenient)
            try:
                data = pickler.dumps(value)
            except Exception as error:
                if is_lenient or not seen.uses:
                    raise self._explain(roots[0], error) from error
                is_lenient = True
            else:
                return self._blobs.put(data, frozenset(pickler.needed), frozenset(pickler.classes))

    def _explain(self, obj: Any, error: Exception) -> EncodeError:
        kind = "class" if isinstance(obj, type) else "function" if callable(obj) else "a value of type"
        name = getattr(obj, "__qualname__", type(obj).__qualname__)

        def dump(child: Any) -> None:
            DefinitionPickler(self, [child], self.survey(child), is_lenient=True).dumps(child)

        return explain(f"{kind} {name!r}", obj, error, dump)

    def survey(self, obj: Any) -> Survey:
        """Its survey, made once during a `define`."""
        known = self._surveys.get(id(obj))
        if known is None:
            known = self._surveys[id(obj)] = obj, survey(obj, self.is_by_value)
        return known[1]

    def is_open(self, obj: object) -> bool:
        """Whether it is being defined, so that nothing it refers to can refer back to its definition."""
        return any(outer is obj for outer in self._open)

    # ------------------------------------------------------------ what encoders and decoders ask

    def is_by_value(self, obj: object) -> bool:
        """Whether it travels with its definition, not just its name."""
        return self._local.is_by_value(obj)

    def reference(self, obj: Any, function: bytes | None) -> Name | None:
        """How an item for `function` refers to this function, class or module; None: it does not, it holds it.

        A function with state belongs to its item, as does a closure, which often was made for it.
        """
        if isinstance(obj, type):
            key = TRACKER_IDS.get(obj)
            if function is not None and key is not None and key in self._blobs.find(function).classes:
                return function, key
        elif not isinstance(obj, ModuleType):
            if getattr(obj, "__closure__", None) or not isinstance(obj, FunctionType | CachedFunction):
                return None
            known = self._recall(obj)
            if (survey(obj, self.is_by_value) if known is None else known.survey).shared:
                return None
        return self.define(obj), None

    def needed(self, hash: bytes) -> frozenset[bytes]:
        """All definitions needed to load this one, itself included. Raises UnknownDefinition."""
        return self._blobs.find(hash).needed

    def original(self, hash: bytes, key: str | None) -> Any | None:
        """The object that was defined under this name, if it is still there."""
        return self._originals.get(hash) if key is None else TRACKED_CLASSES.get(key)

    # ------------------------------------------------------------ blobs

    def blob(self, hash: bytes) -> bytes:
        """The bytes to send. Raises UnknownDefinition if they were dropped, which `pin` prevents."""
        return self._blobs.find(hash).data

    def classes_in(self, hash: bytes) -> dict[str, type]:
        """Those that travel in this blob, by tracker id; none if it was dropped."""
        try:
            trackers = self._blobs.find(hash).classes
        except UnknownDefinition:
            return {}
        return {each: cls for each in sorted(trackers) if (cls := TRACKED_CLASSES.get(each)) is not None}

    def find_blob(self, hash: bytes) -> bytes | None:
        """The bytes to send, or None if they were dropped."""
        try:
            return self.blob(hash)
        except UnknownDefinition:
            return None

    def pin(self, hash: bytes) -> None:
        """Keep the blob, and all it needs, until `unpin` was called as often. Raises UnknownDefinition."""
        with self._lock:
            self._blobs.pin(hash)

    def unpin(self, hash: bytes) -> None:
        """The inverse of one `pin`."""
        with self._lock:
            self._blobs.unpin(hash)
            if not self._open:
                self._evict(frozenset())

    def _evict(self, keep: frozenset[bytes]) -> None:
        for blob in self._blobs.evict(keep):
            for each in blob.objects:
                self._known.pop(each, None)
