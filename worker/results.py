"""Results on their way to the master: gathered, joined where neighbours, cut into bodies of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.pieces import Lease
from manyhands.worker.reports import Done
from manyhands.worker.slot_state import Kept

#: A body of results holds about this many bytes at most, unless one report alone holds more.
BODY_BYTES = 128 << 10

#: Offsets of a run up to this long are rewritten to join it to its neighbour; longer ones travel alone.
REBASE_COUNT = 64

_OFFSET_MAX = (1 << 32) - 1

#: (lease number, first index, lease, report, what is stored of it)
_Entry = tuple[int, int, Lease, Done, Sequence[Kept]]
_by_index = itemgetter(0, 1)


class ResultBuffer:
    """What slots have finished and the master has not been told."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._others: list[pb.Body] = []
        #: Bytes waiting.
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._entries or self._others)

    def add(self, lease: Lease, first: int, report: Done, kept: Sequence[Kept] = ()) -> None:
        """Successes of a lease, from index `first` on; `kept`: those of them that are in the store."""
        self._entries.append((lease.number, first, lease, report, kept))
        self.bytes += len(report.ends) + len(report.payload)

    def add_body(self, body: pb.Body, size: int) -> None:
        """Anything else that waits for the same moment, of about `size` bytes."""
        self._others.append(body)
        self.bytes += size

    def clear(self) -> list[Kept]:
        """Drop everything; returns what is in the store of it."""
        dropped = [each for *_, kept in self._entries for each in kept]
        self._entries.clear()
        self._others.clear()
        self.bytes = 0
        return dropped

    def take(self) -> list[pb.Body]:
        """Everything, as bodies."""
        bodies = self._others
        entries = self._entries
        self._others = []
        self._entries = []
        self.bytes = 0
        if not entries:
            return bodies
        if len(entries) > 1:
            entries.sort(key=_by_index)
        joined: _Joined | None = None
        for number, first, lease, report, kept in entries:
            if joined is None or not joined.join(number, first, report):
                if joined is not None:
                    bodies.append(joined.body())
                joined = _Joined(lease, first, report)
            joined.kept += kept
        if joined is not None:
            bodies.append(joined.body())
        return bodies


class _Joined:
    """A body in the making: neighbouring reports of one lease."""

    __slots__ = (
        "_base",
        "_ends",
        "_first",
        "_job",
        "_number",
        "_payloads",
        "_seconds",
        "end",
        "kept",
        "offset",
        "size",
    )

    def __init__(self, lease: Lease, first: int, report: Done) -> None:
        self._job = lease.job
        self._number = lease.number
        self._first = first
        self._base = report.base
        self._ends = [report.ends]
        self._payloads = [report.payload]
        self._seconds = report.seconds
        self.end = first + report.count
        self.offset = report.base + len(report.payload)
        self.size = len(report.payload) + len(report.ends)
        self.kept: list[Kept] = []

    def join(self, number: int, first: int, report: Done) -> bool:
        """Append a report if it is the next of the same lease and joining is cheap; whether it was."""
        if first != self.end or number != self._number:
            return False
        length = len(report.payload)
        size = self.size + length + len(report.ends)
        offset = self.offset + length
        if size > BODY_BYTES or offset > _OFFSET_MAX:
            return False
        if report.base == self.offset:
            self._ends.append(report.ends)
        elif report.count == 1:
            self._ends.append(offset.to_bytes(4, "little"))
        elif report.count <= REBASE_COUNT:
            self._ends.append(_rebased(report.ends, self.offset - report.base))
        else:
            return False
        self._payloads.append(report.payload)
        self._seconds += report.seconds
        self.end += report.count
        self.offset = offset
        self.size = size
        return True

    def body(self) -> pb.Body:
        """The finished body."""
        ends = self._ends
        return pb.Body(
            results=pb.Results(
                job=self._job,
                lease=self._number,
                first=self._first,
                base=self._base,
                ends=ends[0] if len(ends) == 1 else b"".join(ends),
                payload=self._payloads[0] if len(ends) == 1 else b"".join(self._payloads),
                seconds=self._seconds,
                stored=[pb.Stored(index=each.index, id=each.id, size=each.size) for each in self.kept],
            )
        )


def _rebased(ends: bytes, change: int) -> bytes:
    """Packed offsets, each moved by `change`."""
    return b"".join(
        [(int.from_bytes(ends[k : k + 4], "little") + change).to_bytes(4, "little") for k in range(0, len(ends), 4)]
    )
