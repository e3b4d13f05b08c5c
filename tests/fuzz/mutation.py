"""One field of a message changed, whichever message it is: found by its descriptor, chosen by a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

_FLOATS = (math.nan, math.inf, -math.inf, -1.0, -0.0, 5e-324, 1e-9, 1e9, 2e9, 1e18, 1e300, 1.7e308)
_TEXTS = (
    "",
    "\0",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nb\r\nINFO joined",
    "\u202etxt.exe",
    "'; DROP TABLE jobs; --",
    "../../etc/passwd",
    "%s%n{0}",
    "x" * 300,
    "\U0001f469\u200d\U0001f4bb",
)
_WHOLE = (0, 1, 2, 255, 256)


def mutate(message: Message, rng: Random, *, large: int = 100_000) -> str:
    """Change one field somewhere in `message`, which must have one; return which, and how. Texts and bytes may grow to
    `large` bytes.
    """
    places = list(_places(message, ""))
    owner, field, path = rng.choice(places)
    return f"{path}: {_change(owner, field, rng, large)}"


def _places(message: Message, path: str) -> Iterator[tuple[Message, Field, str]]:
    """Every field of the message and of those in it that are there; of alternatives only the present one."""
    descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        where = f"{path}.{field.name}" if path else field.name
        if field.containing_oneof is not None and not message.HasField(field.name):
            continue
        yield message, field, where
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if _is_repeated(field):
            for number, each in enumerate(getattr(message, field.name)[:8]):
                yield from _places(each, f"{where}[{number}]")
        elif message.HasField(field.name):
            yield from _places(getattr(message, field.name), where)


def _is_repeated(field: Field) -> bool:
    return bool(field.label == Field.LABEL_REPEATED)


def _change(owner: Message, field: Field, rng: Random, large: int) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _change_map(getattr(owner, field.name), rng)
    if _is_repeated(field):
        return _change_list(getattr(owner, field.name), field, rng, large)
    if field.message_type is not None:
        if owner.HasField(field.name) and rng.random() < 0.7:
            owner.ClearField(field.name)
            return "dropped"
        getattr(owner, field.name).SetInParent()
        return "made present"
    value = _value(getattr(owner, field.name), field, rng, large)
    setattr(owner, field.name, value)
    return f":= {shown(value)}"


def _change_map(entries: Any, rng: Random) -> str:
    if entries and rng.random() < 0.5:
        entries.clear()
        return "emptied"
    for number in range(rng.choice((1, 100))):
        entries[f"{rng.choice(_TEXTS)}{number}"] = rng.choice(_TEXTS)
    return "filled"


def _change_list(items: Any, field: Field, rng: Random, large: int) -> str:
    kind = rng.choice(("emptied", "duplicated", "reversed", "doubled", "one dropped", "one changed", "many"))
    before = list(items)
    if kind == "emptied":
        after = []
    elif kind == "duplicated":
        after = [each for each in before for _ in range(2)]
    elif kind == "reversed":
        after = before[::-1]
    elif kind == "doubled":
        after = before + before
    elif kind == "one dropped":
        after = before[1:]
    elif kind == "many":
        after = (before[:1] or [_new(field, rng, large)]) * rng.choice((10, 1000))
    else:
        after = [*before, _new(field, rng, large)]
    copies = [_copied(each) for each in after]
    del items[:]
    items.extend(copies)
    return f"{kind}: {len(copies)}"


def _copied(item: Any) -> Any:
    if not isinstance(item, Message):
        return item
    copy = type(item)()
    copy.CopyFrom(item)
    return copy


def _new(field: Field, rng: Random, large: int) -> Any:
    if field.message_type is None:
        return _value(b"" if field.type == Field.TYPE_BYTES else 0, field, rng, large)
    made: Message = field.message_type._concrete_class()
    for inner in made.DESCRIPTOR.fields:
        if inner.message_type is None and not _is_repeated(inner) and rng.random() < 0.7:
            setattr(made, inner.name, _value(getattr(made, inner.name), inner, rng, large))
    return made


def _value(now: Any, field: Field, rng: Random, large: int) -> Any:
    """Another value for a scalar field."""
    kind = field.type
    if kind == Field.TYPE_BOOL:
        return not now
    if kind in (Field.TYPE_DOUBLE, Field.TYPE_FLOAT):
        return rng.choice(_FLOATS)
    if kind == Field.TYPE_STRING:
        return "y" * rng.choice((1000, large)) if rng.random() < 0.1 else rng.choice(_TEXTS)
    if kind == Field.TYPE_BYTES:
        return _bytes(now, rng, large)
    if kind == Field.TYPE_ENUM:
        return rng.choice((*field.enum_type.values_by_number, 99, -1, -(1 << 31), (1 << 31) - 1))
    bits = 64 if kind in (Field.TYPE_UINT64, Field.TYPE_INT64, Field.TYPE_SINT64) else 32
    lowest, highest = (
        (0, (1 << bits) - 1)
        if kind in (Field.TYPE_UINT64, Field.TYPE_UINT32)
        else (
            -(1 << bits - 1),
            (1 << bits - 1) - 1,
        )
    )
    edges = (*_WHOLE, lowest, highest, highest - 1, highest >> 1, (highest >> 1) + 1, now + 1, now - 1, now * 2)
    return min(max(rng.choice((*edges, rng.getrandbits(bits - 1), 1 << rng.randrange(bits - 1))), lowest), highest)


def _bytes(now: bytes, rng: Random, large: int) -> bytes:
    kind = rng.choice(("empty", "cut", "longer", "flipped", "swapped", "other", "large"))
    if kind == "empty" or (not now and kind in ("cut", "flipped", "swapped")):
        return b""
    if kind == "cut":
        return now[: rng.randrange(len(now))]
    if kind == "longer":
        return now + rng.randbytes(rng.randrange(1, 9))
    if kind == "flipped":
        at = rng.randrange(len(now))
        return now[:at] + bytes((now[at] ^ 1 << rng.randrange(8),)) + now[at + 1 :]
    if kind == "swapped":  # of packed offsets: they run backwards
        at = 4 * rng.randrange(max(1, len(now) // 4))
        return now[:at] + now[at + 4 : at + 8] + now[at : at + 4] + now[at + 8 :]
    if kind == "other":
        return rng.randbytes(len(now) or 16)
    return rng.randbytes(rng.choice((17, 4096))) if rng.random() < 0.9 else bytes(large)


def shown(value: Any) -> str:
    """A value, short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"
