"""checkpoint_computation: one call's result in a file, computed again only if what computes it has changed."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cloudpickle

from manyhands.client.content_key import KEY_BYTES, content_of
from manyhands.wire.errors import CheckpointError, DecodeError, ResultEncodeError

T = TypeVar("T")

#: How a file begins. The last byte is the version of what follows: key, length of the result, its checksum, result.
_MAGIC = b"manyhands computation\n\x01"
_HEADER = struct.Struct(f"<{KEY_BYTES}sQ16s")


class _Stored(NamedTuple):
    key: bytes
    result: bytes


def checkpoint_computation(fn: Callable[[], T], path: str | os.PathLike[str], force_recompute: bool = False) -> T:
    """`fn()`, or what an earlier call has stored at `path`, if `fn` and all that it refers to are what they were.

    Needs no cluster. What counts of `fn` is its code, that of your functions and classes it uses, its defaults, closure
    and the globals it reads, and the versions of the packages it uses; comments and docstrings do not. The result
    is stored atomically: whatever happens meanwhile, the file holds the former result or the new one. With
    `force_recompute` the stored result is not looked at.

    Raises whatever `fn` raises (nothing is stored then), ContentError if `fn` refers to what cannot be known
    again, ResultEncodeError if its result cannot be pickled, and CheckpointError for a file that is not one of ours, is
    damaged or cannot be written.
    """
    key = content_of(fn)
    file = Path(path).absolute()
    with _explained(file):
        stored = _read(file, is_needed=not force_recompute)
    if stored is not None and stored.key == key and not force_recompute:
        earlier: T = _decode(stored.result, file)
        return earlier
    result = fn()
    data = _encode(result)
    with _explained(file):
        _write(file, _Stored(key, data))
    return result


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        way_out = "check the path, its permissions and the free space"
        raise CheckpointError(str(file), f"cannot be used: {error.strerror or error}", way_out) from error


def _read(file: Path, *, is_needed: bool) -> _Stored | None:
    """What the file holds; None if there is none, or if it is damaged and not needed. Raises CheckpointError."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    if content[: len(_MAGIC) - 1] != _MAGIC[:-1]:
        raise CheckpointError(str(file), "is no stored computation but some other file", "name another path")
    if content[len(_MAGIC) - 1 : len(_MAGIC)] != _MAGIC[-1:]:
        reason = "was stored by another version of manyhands"
        raise CheckpointError(str(file), reason, "use that version, or name another path")
    start = len(_MAGIC) + _HEADER.size
    if len(content) >= start:
        key, length, checksum = _HEADER.unpack_from(content, len(_MAGIC))
        result = content[start:]
        if len(result) == length and _checksum(key, result) == checksum:
            return _Stored(key, result)
    if is_needed:
        way_out = "delete it, or call this with force_recompute=True, to compute it again"
        raise CheckpointError(str(file), "is damaged: its content does not match its checksum", way_out)
    return None


def _write(file: Path, stored: _Stored) -> None:
    """In place of what was there, once it is on the disk as a whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(8)}.part")
    try:
        with unfinished.open("xb") as writing:
            header = _HEADER.pack(stored.key, len(stored.result), _checksum(stored.key, stored.result))
            writing.write(_MAGIC + header)
            writing.write(stored.result)
            writing.flush()
            os.fsync(writing.fileno())
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    directory = os.open(file.parent, os.O_RDONLY)  # so that the name, too, outlives a power failure
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _checksum(key: bytes, result: bytes) -> bytes:
    return blake2b(result, digest_size=16, key=key).digest()


def _encode(result: object) -> bytes:
    with contextlib.suppress(Exception):  # it holds a lambda, or whatever else only cloudpickle can
        return pickle.dumps(result, protocol=5)  # classes by name: they come back as themselves
    try:
        data: bytes = cloudpickle.dumps(result, protocol=5)
    except Exception as error:
        kind = type(result)
        raise ResultEncodeError("", f"{kind.__module__}.{kind.__qualname__}", str(error)) from error
    return data


def _decode(data: bytes, file: Path) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:
        told = DecodeError(f"{type(error).__name__}: {error}", f"{file}, which an earlier call stored")
        raise told from error
