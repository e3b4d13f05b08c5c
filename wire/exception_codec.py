"""A task's exception to bytes and back: itself if at all possible, always with the traceback it had there."""

from __future__ import annotations

import pickle
from types import TracebackType
from typing import Any, NamedTuple

from manyhands.wire.definitions import LoadedDefinitions, UnknownDefinition
from manyhands.wire.errors import DecodeError, EncodeError, RemoteError, RemoteTraceback
from manyhands.wire.pickling import Encoder

#: Exceptions of one chain that travel; the text of the traceback tells of the others.
_MAX_CHAIN = 16
#: Characters of a message or traceback; of a longer one the middle is left out. The exception itself stays whole.
_MAX_TEXT = 256 << 10
#: Pickled bytes of one exception; a message holds 2 GiB at most, and the chain has others.
_MAX_DATA = 100 << 20


class _Link(NamedTuple):
    """One exception of a chain. Built of plain values, so that it can be read where nothing else can."""

    type_name: str
    message: str
    data: bytes  # pickled; empty if that was impossible
    reason: str  # why it was
    cause: int | None  # index in the chain
    context: int | None
    hides_context: bool


def encode_exception(
    error: BaseException, encoder: Encoder, loaded: LoadedDefinitions
) -> tuple[bytes, frozenset[bytes]]:
    """(bytes for `decode_exception`, the definitions they need). Never fails because of the exception.

    Called in the process where it was raised, whose definitions are `loaded`: each pickle is tried there, as
    many exceptions can be pickled and not unpickled.
    """
    chain = _chain(error)
    indices = {id(each): index for index, each in enumerate(chain)}
    links: list[tuple[Any, ...]] = []
    needed: set[bytes] = set()
    for each in chain:
        _, data, definitions, reason = _encode(each, encoder, loaded)
        needed |= definitions
        cause, context = indices.get(id(each.__cause__)), indices.get(id(each.__context__))
        name = _type_name(each)
        links.append((name, _shortened(_text(each)), data, reason, cause, context, bool(each.__suppress_context__)))
    return pickle.dumps((links, _shortened(_format(error))), 5), frozenset(needed)


def decode_exception(data: bytes, loaded: LoadedDefinitions) -> BaseException:
    """The exception with a RemoteTraceback as its `__cause__`, or a RemoteError if it cannot be rebuilt here.

    Its own `__cause__`, if it had one, is the RemoteTraceback's; `__context__` stays where it was.
    """
    encoded, text = pickle.loads(data)
    links = [_Link(*each) for each in encoded]
    chain = [_decode(link, loaded) for link in links]
    for error, link in zip(chain, links, strict=True):
        error.__context__ = None if link.context is None else chain[link.context]
        error.__cause__ = None if link.cause is None else chain[link.cause]
        error.__suppress_context__ = link.hides_context
    remote = RemoteTraceback(text)
    remote.__cause__ = chain[0].__cause__
    chain[0].__cause__ = remote
    return chain[0]


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    for each in chain:
        for other in (each.__cause__, each.__context__):
            if other is not None and len(chain) < _MAX_CHAIN and not any(other is known for known in chain):
                chain.append(other)
    return chain


class _Encoded(NamedTuple):
    """What is pickled in an exception's place, its bytes (empty if nothing can be), and why nothing can be."""

    form: object
    data: bytes
    needed: frozenset[bytes]
    reason: str


def _encode(error: BaseException, encoder: Encoder, loaded: LoadedDefinitions) -> _Encoded:
    """As its class pickles it; else without calling its __init__ and without attributes that cannot be pickled."""
    reason = ""
    for make in (lambda: error, lambda: _Rebuilt(error, encoder, loaded)):
        try:
            form = make()
            data, needed, _ = encoder.encode_one(form)
            copy = loaded.loads(data)
        except UnknownDefinition as unknown:  # dropped here meanwhile; the client has it
            reason = reason or str(unknown)
        except (EncodeError, DecodeError) as failure:
            reason = reason or getattr(failure, "reason", "") or str(failure)
        else:
            if len(data) > _MAX_DATA:
                reason = f"it is {len(data)} bytes long when pickled"
                break
            if _is_same(copy, error):
                return _Encoded(form, data, needed, "")
            reason = reason or "it is not the same after a round trip through pickle"
    stand_in = RemoteError(_type_name(error), _shortened(_text(error)), reason)
    return _Encoded(stand_in, b"", frozenset(), reason)


def _is_same(copy: object, error: BaseException) -> bool:
    if type(copy) is not type(error) or _text(copy) != _text(error):
        return False
    if not isinstance(copy, BaseExceptionGroup) or not isinstance(error, BaseExceptionGroup):
        return True
    members = zip(copy.exceptions, error.exceptions, strict=True)
    return all(isinstance(one, RemoteError) or _is_same(one, other) for one, other in members)


class _Rebuilt:
    """Pickled as what `_rebuild` makes; a group's members each in the best way there is."""

    def __init__(self, error: BaseException, encoder: Encoder, loaded: LoadedDefinitions) -> None:
        state = {}
        for name, value in vars(error).items():
            try:
                encoder.encode_one(value)
            except EncodeError:
                continue
            state[name] = value
        args = error.args
        if isinstance(error, BaseExceptionGroup):
            args = error.message, [_encode(each, encoder, loaded).form for each in error.exceptions]
        self._arguments = type(error), args, state

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._arguments


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    vars(error).update(state)
    return error


def _decode(link: _Link, loaded: LoadedDefinitions) -> BaseException:
    reason = link.reason
    if link.data:
        try:
            error = loaded.loads(link.data)
        except UnknownDefinition:
            reason = "the definition of its class is not here any more"
        except DecodeError as failure:
            reason = failure.reason
        else:
            if isinstance(error, BaseException):
                return error
    return RemoteError(link.type_name, link.message, reason)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(error: object) -> str:
    try:
        return str.__str__(str(error))  # a __str__ may return an instance of a subclass, which others do not have
    except Exception as failure:  # noqa: BLE001 - a user's __str__
        return f"<{type(failure).__name__} in __str__>"


def _shortened(text: str) -> str:
    left_out = len(text) - _MAX_TEXT
    if left_out <= 0:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]}\n... {left_out} characters left out ...\n{text[-half:]}"


def _format(error: BaseException) -> str:
    """The traceback from the first frame that is not ours; all of it if there is none."""
    import traceback

    start: TracebackType | None = error.__traceback__
    while start is not None and start.tb_frame.f_globals.get("__name__", "").startswith("manyhands."):
        start = start.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, start or error.__traceback__))
    except Exception:  # noqa: BLE001 - a user's __str__ or __notes__
        return f"{_type_name(error)}: {_text(error)}\n"
