"""What a call's result is kept under: a hash of its function's content and its arguments'."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b
from types import FunctionType
from typing import Any

from manyhands.client.content_definitions import Definition
from manyhands.client.content_hash import ATOMS, definition_digest, digest, value_digest
from manyhands.client.content_origin import package_name
from manyhands.wire.culprit import explain
from manyhands.wire.errors import ContentError
from manyhands.wire.survey import Survey, survey

KEY_BYTES = 16
#: Changes whenever the same content would get another key. Bytecode differs between Python's minor versions.
_FORMAT = f"manyhands 1 python {sys.version_info.major}.{sys.version_info.minor} ".encode()
#: Functions and classes remembered: few, as each is kept alive, with all it refers to.
_MAX_KNOWN = 64


def _is_written_out(obj: Any) -> bool:
    return package_name(obj) is None


class ContentKeys:
    """One for the process: it remembers the hashes of functions and classes as long as nothing of theirs changes."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[Definition, bytes, Survey]] = OrderedDict()
        self._lock = threading.Lock()

    def of_definition(self, definition: Definition) -> bytes:
        """The hash of a function, class or module. Raises as `value_digest` does."""
        known = self._known.get(id(definition))
        if known is not None and known[0] is definition and known[2].holds():
            return known[1]
        hash = definition_digest(definition)
        seen = survey(definition, _is_written_out)
        if seen.cacheable:
            with self._lock:
                self._known[id(definition)] = definition, hash, seen
                self._known.move_to_end(id(definition))
                if len(self._known) > _MAX_KNOWN:
                    self._known.popitem(last=False)
        return hash

    def calls(self, function: Callable[..., Any], context: Callable[[], Any] | None = None) -> CallKeys:
        """For calls of this function, with what `context` makes, both as they are now. Raises ContentError."""
        content = _FORMAT + self._of_callable(function)
        if context is not None:
            content += b"context" + self._of_callable(context)
        return CallKeys(digest(content), self.of_definition)

    def _of_callable(self, function: Callable[..., Any]) -> bytes:
        try:
            if isinstance(function, FunctionType | type):
                return b"@" + self.of_definition(function)
            return b"#" + value_digest(function, self.of_definition)
        except Exception as error:
            name = getattr(function, "__qualname__", type(function).__qualname__)
            raise _explained(f"function {name!r}", function, error) from error


class CallKeys:
    """Keys of one function's calls, which remember the classes met: for calls made at about the same time."""

    def __init__(self, function: bytes, of_definition: Callable[[Definition], bytes]) -> None:
        self._function = function
        self._of_one = function + b"1:"
        self._of_definition = of_definition
        self._met: dict[int, tuple[Definition, bytes]] = {}

    def _hash(self, definition: Definition) -> bytes:
        known = self._met.get(id(definition))
        if known is None:
            known = self._met[id(definition)] = definition, self._of_definition(definition)
        return known[1]

    def _content(self, value: Any) -> bytes:
        atom = ATOMS.get(type(value))
        return b"#" + value_digest(value, self._hash) if atom is None else atom(value)

    def of_items(self, items: list[Any], number: int, *, is_star: bool) -> tuple[bytes, ContentError | None]:
        """The keys of a map's calls, of which the first has this number; only those before one that has no content."""
        if not is_star:
            prefix, atoms = self._of_one, ATOMS
            try:
                return b"".join(
                    [blake2b(prefix + atoms[type(item)](item), digest_size=KEY_BYTES).digest() for item in items]
                ), None
            except KeyError:  # not all of them are that simple
                pass
        keys = bytearray()
        for position, item in enumerate(items, number):
            try:
                keys += self.key(item if is_star else (item,), what=f"item {position}")
            except ContentError as error:
                return bytes(keys), error
        return bytes(keys), None

    def key(self, args: Iterable[Any], kwargs: dict[str, Any] | None = None, *, what: str = "the call") -> bytes:
        """Of one call. Raises ContentError, in which `what` names the arguments."""
        parts = tuple(args)
        try:
            content = b"".join([b"%d:" % len(parts), *map(self._content, parts)])
            if kwargs:
                content += self._content(kwargs)
        except Exception as error:
            subject = parts[0] if len(parts) == 1 and not kwargs else (parts, kwargs) if kwargs else parts
            raise _explained(what, subject, error) from error
        return digest(self._function + content)


def _explained(what: str, subject: Any, error: Exception) -> ContentError:
    told = explain(what, subject, error, value_digest)
    return ContentError(told.what, told.path, told.culprit, told.reason, told.way_out)


@functools.cache
def content_keys() -> ContentKeys:
    """This process's."""
    return ContentKeys()


def content_of(function: Callable[..., Any]) -> bytes:
    """The key of `function()`. Raises ContentError."""
    return content_keys().calls(function).key(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=content_keys.cache_clear)
