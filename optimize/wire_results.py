"""What a search tells, as it goes over the wire: pickles that the master writes but never reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from manyhands.optimize import packing
from manyhands.optimize.cube import Floats, Ints
from manyhands.optimize.evaluations import Rows
from manyhands.optimize.rows import pack_rows, unpack_rows
from manyhands.optimize.search import Counts, Search
from manyhands.optimize.tally import Best


class HistoryChunk(NamedTuple):
    """Evaluations that have counted, in their order; chunks come one after the other."""

    rows: Rows


class Conclusion(NamedTuple):
    """The end of a search. elapsed: seconds; slots: as a mean over that time; front: with several objectives, see
    Search.front; error: the text of the first failure; widened: see Search.widened.
    """

    reason: str
    counts: Counts
    best: Best | None
    front: tuple[Ints, Floats, Floats] | None
    elapsed: float
    slots: float
    error: str | None
    widened: Ints


def conclude(search: Search, elapsed: float, slots: float, error: str | None) -> Conclusion:
    """Of a search that is done."""
    front = search.front() if search.plan.objectives > 1 else None
    reason = search.done() or ""
    return Conclusion(reason, search.counts(), search.best(), front, elapsed, slots, error, search.widened())


# Pickles refer to these by their names: renaming them breaks what is in flight, or kept, between versions.


def load_chunk(data: bytes) -> HistoryChunk:
    """See `chunk`."""
    return HistoryChunk(unpack_rows(data))


def load_conclusion(data: bytes) -> Conclusion:
    """See `conclusion`."""
    state = packing.unpack(data)
    best = state["best"]
    return Conclusion(
        state["reason"],
        Counts(*state["counts"]),
        None if best is None else Best(best[0], best[1], *best[2].tolist()),
        None if state["front"] is None else tuple(state["front"]),
        state["elapsed"],
        state["slots"],
        state["error"],
        state.get("widened", np.zeros((0, 2), np.int64)),  # from version 2 on
    )


def _calling(function: str, data: bytes) -> bytes:
    """A pickle that loads as what this function here returns for the data. Written by hand: where it is written, in the
    master, there is to be nothing that could read pickles.
    """
    # PROTO 4, GLOBAL, BINBYTES8, TUPLE1, REDUCE, STOP
    name = f"c{__name__}\n{function}\n".encode()
    return b"".join([b"\x80\x04", name, b"\x8e", len(data).to_bytes(8, "little"), data, b"\x85R."])


def chunk(rows: Rows) -> bytes:
    """A pickle that loads as a HistoryChunk."""
    return _calling(load_chunk.__name__, pack_rows(rows))


def conclusion(end: Conclusion) -> bytes:
    """A pickle that loads as the same Conclusion."""
    best = end.best
    state = {
        "reason": end.reason,
        "counts": list(end.counts),
        "best": None if best is None else [best.id, best.U, np.array([best.score, best.violation])],
        "front": None if end.front is None else list(end.front),
        "elapsed": end.elapsed,
        "slots": end.slots,
        "error": end.error,
        "widened": end.widened,
    }
    return _calling(load_conclusion.__name__, packing.pack(state))
