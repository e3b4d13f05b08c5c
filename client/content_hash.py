"""A hash of what a value is, the same in every process: of data, and of the code of functions, classes and modules.

Pickles do not serve: the order of a set depends on PYTHONHASHSEED, that of references on who else holds an object, and
code carries line numbers. So values are written out canonically, and their writing is hashed:

- sets in the order of their elements' hashes, dicts in their own, objects as `__reduce_ex__` takes them apart;
- functions as their instructions, defaults, closure and the globals they read; classes as their members in the order of
  names, but without docstrings; both followed transitively. They are numbered as they are met, and written one after
  the other, so that they may refer to one another. What a package has counts with its name and version;
- arrays by dtype, shape and bytes.

It matters neither which objects are one and the same nor, but for those in a cycle, how often each is referred to.
"""

from __future__ import annotations

import functools
import io
import struct
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, TypeVar

from manyhands.client.content_definitions import Definition, write_cell, write_code, write_definition
from manyhands.client.content_origin import package_name, version_of
from manyhands.wire.local_modules import CachedFunction
from manyhands.wire.pickler import UNSENDABLE, Unsendable, ValuePickler

DIGEST_BYTES = 16
#: A method of this name returns what of an object counts, in place of all of it.
KEY_METHOD = "__manyhands_key__"

#: Caches and locks say nothing of what a function does.
_EMPTY = (
    *(weakref.ref, weakref.WeakKeyDictionary, weakref.WeakSet, weakref.WeakValueDictionary),
    *(type(threading.Lock()), type(threading.RLock()), threading.local),
)
#: What is longer than this is replaced by its hash, and remembered.
_MAX_INLINE = 64


def digest(data: bytes | bytearray) -> bytes:
    """The hash of something written."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def _sized(tag: bytes, data: bytes) -> bytes:
    return b"%s%d:%s" % (tag, len(data), data)


#: How values are written that refer to nothing.
ATOMS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: lambda value: b"i%d;" % value if -(1 << 64) < value < 1 << 64 else _sized(b"I", b"%x" % value),
    float: lambda value: b"f" + struct.pack(">d", value),
    complex: lambda value: b"c" + struct.pack(">dd", value.real, value.imag),
    str: lambda value: _sized(b"s", value.encode("utf-8", "surrogatepass")),
    bytes: lambda value: _sized(b"b", value) if len(value) <= _MAX_INLINE else b"B" + digest(value),
    type(Ellipsis): lambda _: b".",
    type(NotImplemented): lambda _: b"!",
}


def definition_digest(definition: Definition) -> bytes:
    """Of a function, class or module and all that it refers to. Raises as `value_digest` does."""
    walk = _Walk(None, frozenset())
    walk.write(definition)
    return walk.finish()


def value_digest(value: Any, of_definition: Callable[[Definition], bytes] = definition_digest) -> bytes:
    """Of any value. `of_definition` may remember those of the functions and classes it refers to.

    Raises TypeError, or whatever a `__reduce__` raises, for what has no content: a lock, an open file.
    """
    walk = _Walk(of_definition, frozenset())
    walk.write(value)
    return walk.finish()


class _Walk:
    """One writing. `of_definition`: None to write out the definitions that are met, too.

    sets: those around this writing, by id, as what is in a set may refer to it.
    """

    def __init__(self, of_definition: Callable[[Definition], bytes] | None, sets: frozenset[int]) -> None:
        self._of_definition = of_definition
        self._sets = sets
        self._out = bytearray()
        self._stack: dict[int, int] = {}  # values being written, by id, with their depth
        self._lowest = sys.maxsize  # depth of the outermost value that what is being written refers back to
        # What is kept here keeps its id.
        self._written: dict[int, tuple[object, bytes]] = {}
        self._cyclic: dict[int, tuple[object, int]] = {}
        self._numbers: dict[int, tuple[Definition, int]] = {}
        self._queue: deque[Definition] = deque()

    def finish(self) -> bytes:
        """Write the definitions that were met, and return the hash of everything."""
        while self._queue:
            self._out += b"\n"
            write_definition(self, self._queue.popleft())
        return digest(self._out)

    def write(self, value: Any) -> None:
        kind = type(value)
        atom = ATOMS.get(kind)
        if atom is not None:
            self._out += atom(value)
        elif isinstance(value, types.FunctionType | type | types.ModuleType):
            self._refer(value)
        else:
            self._write_once(value, kind)

    def _refer(self, definition: Definition) -> None:
        name = package_name(definition)
        if name is not None:
            self.write_package(name)
        elif self._of_definition is not None:
            self._out += b"@" + self._of_definition(definition)
        else:
            known = self._numbers.get(id(definition))
            if known is None:
                known = self._numbers[id(definition)] = definition, len(self._numbers)
                self._queue.append(definition)
            self._out += b"@%d;" % known[1]

    def _write_once(self, value: Any, kind: type) -> None:
        """What refers to nothing around it is the same wherever it stands, and is written out only once.

        What is part of a cycle is written again as its distance from here or, when it is complete, its number.
        """
        key = id(value)
        if key in self._written:
            self._out += self._written[key][1]
            return
        depth = self._stack.get(key)
        if depth is not None:
            self._out += b"^%d;" % (len(self._stack) - depth)
            self._lowest = min(self._lowest, depth)
            return
        if key in self._cyclic:
            self._out += b"~%d;" % self._cyclic[key][1]
            self._lowest = -1
            return
        outer, self._lowest = self._lowest, sys.maxsize
        depth = self._stack[key] = len(self._stack)
        start = len(self._out)
        _writer_of(kind)(self, value)
        del self._stack[key]
        if self._lowest >= depth:
            if len(self._out) - start > _MAX_INLINE:
                short = b"#" + digest(self._out[start:])
                self._out[start:] = short
                self._written[key] = value, short
            self._lowest = outer
        else:
            self._cyclic[key] = value, len(self._cyclic)
            self._lowest = min(outer, self._lowest)

    def try_write(self, value: Any) -> None:
        start, stack, lowest = len(self._out), dict(self._stack), self._lowest
        try:
            self.write(value)
        except Exception:  # noqa: BLE001 - whatever a user's __reduce__ raises
            del self._out[start:]
            self._stack, self._lowest = stack, lowest
            self.write_kind(value)

    # ------------------------------------------------------------ kinds of values

    def write_text(self, text: str) -> None:
        self._out += ATOMS[str](text)

    def write_package(self, name: str) -> None:
        self.write_text(f"{name} {version_of(name)}")

    def _write_all(self, tag: bytes, values: Any) -> None:
        self._out += b"%s%d:" % (tag, len(values))
        for value in values:
            self.write(value)

    def write_list(self, value: list[Any]) -> None:
        self._write_all(b"[", value)

    def write_tuple(self, value: tuple[Any, ...]) -> None:
        self._write_all(b"(", value)

    def write_dict(self, value: Mapping[Any, Any]) -> None:
        self._out += b"{%d:" % len(value)
        for key, each in value.items():
            self.write(key)
            self.write(each)

    def write_namespace(self, value: Mapping[str, Any]) -> None:
        self._out += b"n%d:" % len(value)
        for name in sorted(value):
            self.write_text(name)
            self.write(value[name])

    def write_set(self, value: set[Any] | frozenset[Any]) -> None:
        self._out += b"<%d:" % len(value) if type(value) is set else b">%d:" % len(value)
        if id(value) in self._sets:
            return
        inside = self._sets | {id(value)}
        written = []
        for element in value:
            atom = ATOMS.get(type(element))
            if atom is None:
                walk = _Walk(self._of_definition, inside)
                walk.write(element)
                written.append(b"#" + walk.finish())
            else:
                written.append(atom(element))
        self._out += b"".join(sorted(written))

    def write_buffer(self, value: bytearray | memoryview) -> None:
        self._out += type(value).__name__.encode() + digest(bytes(value))

    def write_array(self, value: Any) -> None:
        dtype = value.dtype
        self._out += b"array"
        self.write(dtype)
        self.write(value.shape)
        if dtype.hasobject:
            self.write_list(value.ravel().tolist())
        else:
            self._out += digest(value.tobytes())

    def write_kind(self, value: Any) -> None:
        """Only of which class it is."""
        self._out += b"kind"
        self.write(type(value))

    def write_chosen(self, value: Any) -> None:
        """What its class says that counts."""
        self.write_kind(value)
        self.write(getattr(value, KEY_METHOD)())

    def write_parts(self, tag: str, *parts: Any) -> None:
        self._out += tag.encode()
        for part in parts:
            self.write(part)

    def write_object(self, value: Any) -> None:
        name = package_name(value)
        if name is not None:
            self.write_package(name)
            return
        kind = type(value)
        way_out = getattr(kind, UNSENDABLE, None)
        if way_out is None and isinstance(value, io.TextIOWrapper) and value not in (sys.stdout, sys.stderr):
            way_out = "open the file inside the task, and pass its path"  # cloudpickle would read it
        if way_out is not None:
            raise Unsendable(value, way_out)
        try:
            reduce = ValuePickler.dispatch_table[kind]
        except KeyError:
            reduced: Any = value.__reduce_ex__(4)
        else:
            reduced = reduce(value)
        if isinstance(reduced, str):
            self.write_package(f"{getattr(value, '__module__', None) or kind.__module__}.{reduced}")
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        self._out += b"object"
        self.write(make)
        self.write_tuple(arguments)
        if isinstance(state, dict) and all(type(each) is str for each in state):
            self.write_namespace(state)
        else:
            self.write(state)
        self._write_all(b"[", [] if items is None else list(items))
        self._write_all(b"[", [] if pairs is None else list(pairs))


def _writer_of(kind: type) -> Callable[[_Walk, Any], None]:
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer
    if hasattr(kind, KEY_METHOD):
        return _Walk.write_chosen
    if issubclass(kind, _EMPTY):
        return _Walk.write_kind
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return _Walk.write_array
    return _Walk.write_object


def _parts(tag: str, *names: str) -> Callable[[_Walk, Any], None]:
    return lambda walk, value: walk.write_parts(tag, *[getattr(value, name) for name in names])


def _write_method(walk: _Walk, value: Any) -> None:
    name = package_name(value)
    if name is None:
        walk.write_parts("method", value.__func__, value.__self__)
    else:
        walk.write_package(name)


def _write_cached(walk: _Walk, value: Any) -> None:
    parameters = value.cache_parameters()
    walk.write_parts("cached", value.__wrapped__, parameters["maxsize"], parameters["typed"])


_DESCRIPTOR = _parts("descriptor", "__objclass__", "__name__")

#: By exact type.
_WRITERS: dict[type, Callable[[_Walk, Any], None]] = {
    list: _Walk.write_list,
    tuple: _Walk.write_tuple,
    dict: _Walk.write_dict,
    types.MappingProxyType: _Walk.write_dict,
    set: _Walk.write_set,
    frozenset: _Walk.write_set,
    bytearray: _Walk.write_buffer,
    memoryview: _Walk.write_buffer,
    types.CodeType: write_code,
    types.CellType: write_cell,
    types.MethodType: _write_method,
    property: _parts("property", "fget", "fset", "fdel"),  # not its docstring
    staticmethod: _parts("static", "__func__"),
    classmethod: _parts("classmethod", "__func__"),
    functools.cached_property: _parts("cached property", "func"),
    CachedFunction: _write_cached,
    # cloudpickle gives each a random number.
    TypeVar: _parts("type variable", "__name__", "__bound__", "__constraints__", "__covariant__", "__contravariant__"),
    types.MemberDescriptorType: _DESCRIPTOR,
    types.GetSetDescriptorType: _DESCRIPTOR,
    types.MethodDescriptorType: _DESCRIPTOR,
    types.WrapperDescriptorType: _DESCRIPTOR,
    types.ClassMethodDescriptorType: _DESCRIPTOR,
}
