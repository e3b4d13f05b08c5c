"""Work coming in: dispatches become held pieces, and wait for the definitions and the data that they name."""

from __future__ import annotations

from collections.abc import Iterable

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import HASH_BYTES, measured_as
from manyhands.wire.data_id import ID_BYTES
from manyhands.wire.needs import Need
from manyhands.wire.spans import SpanSet
from manyhands.worker.commands import Command, Send, SendDefinition
from manyhands.worker.data_needs import DataNeeds
from manyhands.worker.definition_store import DefinitionStore
from manyhands.worker.durations import Durations
from manyhands.worker.held import Held
from manyhands.worker.pieces import Lease, Limits, Missing, Piece
from manyhands.worker.revokes import returned_body
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Slot

#: What slots can do.
_CALLS = frozenset(pb.Call.values()) - {pb.CALL_UNSPECIFIED}

#: Any task of any lease.
EVERYTHING = SpanSet([(0, 1 << 64)])


class Intake:
    """Owns the leases: which tasks are held here at all, in the queue or in a slot."""

    def __init__(self, held: Held, store: DefinitionStore, data: DataNeeds, roster: Roster, memory_bytes: int) -> None:
        self._held = held
        self._store = store
        self._data = data
        self._roster = roster
        self._memory_bytes = memory_bytes
        self._durations = Durations()
        self._wanted: set[bytes] = set()  # asked of the master
        self._arrivals = 0
        #: By number: those with a task held here.
        self.leases: dict[int, Lease] = {}

    def dispatch(self, message: pb.Dispatch, out: list[Command]) -> None:
        """Hold what the master sent; tasks that cannot be run at all fail at once."""
        lease = self.leases.get(message.lease)
        if lease is None:
            lease = Lease(message.lease, message.job, message.job_name)
        self._arrivals += 1
        rank = (-message.priority, message.tag, self._arrivals)
        retry_on, context, limits = message.retry_on, message.context, self._limits(message)
        unknown: list[bytes] = []
        for part in message.pieces:
            pace = self._durations.of(measured_as(part.function, part.call) or message.job)
            piece = Piece(lease, rank, retry_on, context, message.keep_bytes, limits, pace, part)
            if fault := _fault(piece):
                out += [Send(body) for body in _rejections(piece, fault)]
                continue
            if not piece.count:
                continue
            lease.open += piece.count
            self._store.pin(piece.needs)
            self._data.pin(piece.data)
            missing = self._missing(piece)
            if missing is not None:
                unknown += [h for h in piece.needs if h not in self._store]
            self._held.add(piece, missing)
        if lease.open:
            self.leases[lease.number] = lease
        self._want(unknown, out)
        self._data.ask(out)

    def _limits(self, message: pb.Dispatch) -> Limits:
        """Of its memory the smaller one of the job's and this worker's."""
        asked, allowed = message.memory_bytes, self._memory_bytes
        if allowed and not 0 < asked <= allowed:
            return Limits(message.timeout, message.progress_timeout, allowed, "--memory")
        return Limits(message.timeout, message.progress_timeout, asked)

    def _missing(self, piece: Piece) -> Missing | None:
        store, data = self._store, self._data
        for hash in piece.needs:
            if hash not in store:
                return hash
        for need in piece.data:
            if data.is_missing(need):
                return need
        return None

    def _want(self, hashes: Iterable[bytes], out: list[Command]) -> None:
        """Ask the master, once."""
        new = [hash for hash in dict.fromkeys(hashes) if hash not in self._wanted]
        if new:
            self._wanted.update(new)
            out.append(Send(pb.Body(want=pb.Want(hashes=new))))

    def define(self, hash: bytes, blob: bytes, out: list[Command]) -> None:
        """A definition came: pieces and slots that waited for it go on."""
        for dropped in self._store.put(hash, blob):
            for slot in self._roster.slots:
                slot.known.discard(dropped)
        self._wanted.discard(hash)
        self._held.found(hash, self._missing)
        for slot in self._roster.slots:
            if hash in slot.wanted:
                slot.wanted.discard(hash)
                slot.known.add(hash)
                out.append(SendDefinition(slot.number, hash, blob))

    # ------------------------------------------------------------ data

    def joined(self, message: pb.JoinStore | None, out: list[Command]) -> None:
        """This worker uses the store that `message` tells the master of; or none, and will be told of that."""
        if message is not None:
            out.append(Send(pb.Body(join_store=message)))
        self._data.joined()
        self._data.ask(out)

    def arrived(self, need: Need) -> None:
        """It is in the store: pieces that waited for it go on."""
        for found in self._data.arrived(need):
            self._held.found(found, self._missing)

    def lost(self, id: bytes, sentence: str, out: list[Command]) -> None:
        """The datum is gone for good: so fails every task that waits for it."""

        def is_lost(piece: Piece) -> bool:
            return any(need.id == id and self._data.is_missing(need) for need in piece.data)

        for piece, lo, hi in self._held.give_up(is_lost):
            out += [Send(body) for body in _losses(piece, lo, hi, id, sentence)]
            self.release(piece, hi - lo)

    # ------------------------------------------------------------ slots

    def slot_wants(self, slot: Slot, hashes: Iterable[bytes], out: list[Command]) -> None:
        """A slot has dropped definitions that it needs again."""
        unknown: list[bytes] = []
        for hash in hashes:
            blob = self._store.get(hash)
            if blob is not None:
                slot.known.add(hash)
                out.append(SendDefinition(slot.number, hash, blob))
            else:
                slot.wanted.add(hash)
                unknown.append(hash)
        self._want(unknown, out)

    def release(self, piece: Piece, count: int) -> None:
        """Tasks of a piece are no longer held here: reported, given back or dropped."""
        piece.open -= count
        if not piece.open:
            self._store.unpin(piece.needs)
            self._data.unpin(piece.data)
        lease = piece.lease
        lease.open -= count
        if not lease.open and not lease.dead:
            del self.leases[lease.number]

    def held(self) -> pb.Held:
        """Every task held here, in the queue or in a slot, by lease."""
        spans: dict[Lease, SpanSet] = {lease: SpanSet() for lease in self.leases.values()}
        for lease, held in spans.items():
            for run in lease.runs:
                held.add(run.lo, run.hi)
        for slot in self._roster.slots:
            for fed in slot.fed:
                if not fed.piece.lease.dead:
                    spans[fed.piece.lease].add(fed.lo, fed.lo + fed.count)
        return pb.Held(
            leases=[
                pb.HeldLease(lease=lease.number, job=lease.job, ranges=[pb.Range(lo=lo, hi=hi) for lo, hi in held])
                for lease, held in spans.items()
            ]
        )

    def give_back_all(self, out: list[Command]) -> None:
        """Return what no slot has been fed, unasked."""
        for lease in list(self.leases.values()):
            given = SpanSet()
            for piece, lo, hi in self._held.withdraw(lease, EVERYTHING):
                given.add(lo, hi)
                self.release(piece, hi - lo)
            if given:
                out.append(Send(returned_body(0, lease.number, given)))

    def ask_again(self, out: list[Command]) -> None:
        """Whoever was asked for anything has forgotten it."""
        self._data.left()
        self._wanted.clear()
        self._want(
            [*self._held.missing_definitions(), *(hash for slot in self._roster.slots for hash in slot.wanted)], out
        )

    def reset(self, out: list[Command]) -> None:
        """Drop what is held; what slots still run of it is dead, but what it waits for is asked for again."""
        for lease in self.leases.values():
            lease.dead = True
        self.leases.clear()
        for piece, count in self._held.clear():
            self.release(piece, count)
        self._data.left()
        self._wanted.clear()
        self._want([hash for slot in self._roster.slots for hash in slot.wanted], out)

    def check_invariants(self) -> None:
        """Assert that each lease's open tasks are the ones in the queue and in slots."""
        held = {lease: sum(run.hi - run.lo for run in lease.runs) for lease in self.leases.values()}
        for slot in self._roster.slots:
            for fed in slot.fed:
                if not fed.piece.lease.dead:
                    held[fed.piece.lease] += fed.count
        for lease, count in held.items():
            assert not lease.dead
            assert lease.open == count > 0, (lease.number, lease.open, count)


def _fault(piece: Piece) -> str | None:
    """Why a piece cannot be run at all, if so."""
    if piece.call not in _CALLS:
        return f"this worker knows no way to call {piece.call}"
    if piece.call != pb.CALL_APPLY and not piece.function:
        return "the task names no function"
    if any(len(hash) != HASH_BYTES for hash in piece.needs):
        return f"a definition's hash has {HASH_BYTES} bytes"
    if any(len(need.id) != ID_BYTES for need in piece.data) or len(piece.keep_as) not in (0, ID_BYTES):
        return f"a datum's id has {ID_BYTES} bytes"
    if piece.keep_as and piece.count != 1:
        return "several results cannot be kept under one id"
    return None


def _losses(piece: Piece, lo: int, hi: int, id: bytes, sentence: str) -> list[pb.Body]:
    """A failure for each of these tasks."""
    return [
        pb.Body(
            failure=pb.Failure(
                job=piece.lease.job,
                lease=piece.lease.number,
                index=index,
                kind=pb.Failure.KIND_DATA_LOST,
                text=sentence,
                data=id,
                attempt=piece.attempt,
            )
        )
        for index in range(lo, hi)
    ]


def _rejections(piece: Piece, fault: str) -> list[pb.Body]:
    """A failure for every task of the piece."""
    return [
        pb.Body(
            failure=pb.Failure(
                job=piece.lease.job,
                lease=piece.lease.number,
                index=index,
                kind=pb.Failure.KIND_REJECTED,
                text=fault,
                attempt=piece.attempt,
            )
        )
        for index in range(piece.first, piece.first + piece.count)
    ]
