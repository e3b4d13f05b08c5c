"""Points of a task, and what became of them, as bytes: a head of counts, then column after column, little-endian."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from manyhands.optimize.evaluations import Batch, Outcomes
from manyhands.optimize.packing import StateRefused

#: Points, columns of U.
_BATCH = struct.Struct("<II")
#: Points, columns of F and of V, bytes of the error, 0 if there is none.
_OUTCOMES = struct.Struct("<IIII")


def pack_batch(batch: Batch) -> bytes:
    """For `unpack_batch`."""
    head = _BATCH.pack(*batch.U.shape)
    return _join(head, (batch.ids, "<i8"), (batch.U, "<f8"), (batch.seeds, "<u8"), (batch.generation, "<i4"))


def unpack_batch(data: bytes) -> Batch:
    """Raises StateRefused."""
    k, d = _head(_BATCH, data)
    ids, U, seeds, generation = _columns(data, _BATCH.size, ("<i8", k), ("<f8", k * d), ("<u8", k), ("<i4", k))
    return Batch(ids, U.reshape(k, d), seeds, generation)


def pack_outcomes(outcomes: Outcomes) -> bytes:
    """For `unpack_outcomes`."""
    error = b"" if outcomes.error is None else outcomes.error.encode(errors="replace")
    head = _OUTCOMES.pack(*outcomes.F.shape, outcomes.V.shape[1], len(error))
    columns = (outcomes.ids, "<i8"), (outcomes.F, "<f8"), (outcomes.V, "<f8"), (outcomes.cost, "<f8")
    return _join(head, *columns, (outcomes.status, "|u1")) + error


def unpack_outcomes(data: bytes) -> Outcomes:
    """Raises StateRefused."""
    k, m, c, text = _head(_OUTCOMES, data)
    kinds = ("<i8", k), ("<f8", k * m), ("<f8", k * c), ("<f8", k), ("|u1", k), ("|u1", text)
    ids, F, V, cost, status, error = _columns(data, _OUTCOMES.size, *kinds)
    told = error.tobytes().decode(errors="replace") if text else None
    return Outcomes(ids, F.reshape(k, m), V.reshape(k, c), status, cost, told)


def _join(head: bytes, *columns: tuple[np.ndarray[Any, Any], str]) -> bytes:
    return b"".join([head, *(np.asarray(column, kind).tobytes() for column, kind in columns)])


def _head(form: struct.Struct, data: bytes) -> tuple[int, ...]:
    if len(data) < form.size:
        raise StateRefused("damaged points of a task: there is no head")
    return form.unpack_from(data)


def _columns(data: bytes, at: int, *kinds: tuple[str, int]) -> list[np.ndarray[Any, Any]]:
    """Views of so many of each kind, to the end."""
    sizes = [count * int(kind[2:]) for kind, count in kinds]
    if at + sum(sizes) != len(data):
        raise StateRefused("damaged points of a task: they have another length than they say")
    columns = []
    for (kind, count), size in zip(kinds, sizes, strict=True):
        columns.append(np.frombuffer(data, kind, count, at))
        at += size
    return columns
