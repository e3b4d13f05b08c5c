"""Rows as bytes, for the wire."""

from __future__ import annotations

import numpy as np

from manyhands.optimize import packing
from manyhands.optimize.evaluations import Rows, Status

_KINDS = {"ids": "<i8", "U": "<f8", "F": "<f8", "V": "<f8", "status": "|u1", "cost": "<f8"}
_TABLES = {"U", "F"}


def pack_rows(rows: Rows) -> bytes:
    """For `unpack_rows`."""
    return packing.pack({name: np.asarray(column, dtype=_KINDS[name]) for name, column in rows._asdict().items()})


def unpack_rows(data: bytes) -> Rows:
    """Raises StateRefused for anything that `pack_rows` does not make."""
    document = packing.unpack(data)
    if document.keys() != _KINDS.keys():
        raise packing.StateRefused(f"no evaluations: {', '.join(document)}")
    for name, column in document.items():
        if not isinstance(column, np.ndarray) or column.dtype.str != _KINDS[name]:
            raise packing.StateRefused(f"damaged evaluations: {name}")
        if column.ndim != 1 + (name in _TABLES) or len(column) != len(document["ids"]):
            raise packing.StateRefused(f"damaged evaluations: {name} of shape {column.shape}")
    rows = Rows(**document)
    if len(rows.status) and rows.status.max() > max(Status):
        raise packing.StateRefused(f"damaged evaluations: status {rows.status.max()}")
    return rows
