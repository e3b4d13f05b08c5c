"""Pickles that leave a trace where they are unpickled, and frames with one in each of their bytes fields."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import HASH_BYTES, pack_ends

#: As long as a hash or a session's name, and so taken for one: who unpickles it dies of SIGABRT.
SHORT_BOMB = b"cos\nabort\n(tR.".ljust(HASH_BYTES, b"\0")


class _Explosive:
    def __init__(self, source: str) -> None:
        self._source = source

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (self._source,)


def make_bomb(folder: Path, place: str) -> bytes:
    """Unpickled, it leaves a file that names `place` and the process; and it is None."""
    return pickle.dumps(_Explosive(f"import os; open({str(folder)!r} + f'/{place} in {{os.getpid()}}', 'a').close()"))


def craters(folder: Path) -> dict[int, set[str]]:
    """The places of the bombs that went off, by process."""
    found: dict[int, set[str]] = {}
    for path in folder.iterdir():
        place, _, process = path.name.rpartition(" in ")
        found.setdefault(int(process), set()).add(place)
    return found


class Place(NamedTuple):
    """A bytes field of a message, by way of the fields that lead to it."""

    path: tuple[FieldDescriptor, ...]

    def __str__(self) -> str:
        return ".".join(field.name for field in self.path)


def bytes_fields(message: Descriptor, above: tuple[FieldDescriptor, ...] = ()) -> Iterator[Place]:
    """Every one of a message and of the messages in it."""
    for field in message.fields:
        if field.type == field.TYPE_BYTES:
            yield Place((*above, field))
        elif field.type == field.TYPE_MESSAGE and field not in above:
            yield from bytes_fields(field.message_type, (*above, field))


def define(blob: bytes) -> pb.Define:
    return pb.Define(hash=blake2b(blob, digest_size=HASH_BYTES).digest(), blob=blob)


def ends_of(payload: bytes) -> bytes:
    """Of a payload that is one item."""
    return pack_ends(array("I", [len(payload)]))


def make_frame(place: Place, bomb: bytes, known: Mapping[str, object]) -> pb.Frame:
    """A frame with `bomb` at `place`, and beside it what makes it worth reading; `known`: values by a field's name."""
    frame = pb.Frame()
    message: Message = frame
    for field in place.path[:-1]:
        value = getattr(message, field.name)
        message = value.add() if hasattr(value, "add") else value
        _fill(message, known)
    _put(message, place.path[-1].name, bomb)
    _agree(message, place.path[-1].name)
    return frame


def _fill(message: Any, known: Mapping[str, object]) -> None:
    """What is known, and of enumerations the first that says something; a kind's body is for the path to choose."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None:
            continue
        if field.name in known and field.type != field.TYPE_MESSAGE:
            value = known[field.name]
            if field.type == field.TYPE_BYTES and isinstance(value, int):
                value = value.to_bytes(16, "big")  # a datum's name
            _put(message, field.name, value)
        elif field.type == field.TYPE_ENUM:
            _put(message, field.name, field.enum_type.values[1].number)


def _put(message: Any, name: str, value: object) -> None:
    held = getattr(message, name)
    if hasattr(held, "append"):
        held.append(value)
    else:
        setattr(message, name, value)


def _agree(message: Any, bombed: str) -> None:
    """What is worked out from the bombed field: the master looks at that first."""
    names = message.DESCRIPTOR.fields_by_name
    if "ends" in names and bombed != "ends":
        message.ends = ends_of(message.payload)
    if isinstance(message, pb.Define) and bombed == "blob":
        message.CopyFrom(define(message.blob))
