"""What the agent's core decides: one dataclass a command, carried out by the shell in the order given."""

from __future__ import annotations

from dataclasses import dataclass

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.pieces import Piece


@dataclass(frozen=True, slots=True)
class Send:
    """Send `body` to the master."""

    body: pb.Body


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process for `slot`, with a fresh page (started 0, idle, no limit)."""

    slot: int


@dataclass(frozen=True, slots=True)
class Feed:
    """Write tasks [lo, hi) of `piece` to `slot`; the first has this position."""

    slot: int
    position: int
    piece: Piece
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class SendDefinition:
    """Write a definition to `slot`."""

    slot: int
    hash: bytes
    blob: bytes


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Publish in the slot's page that it may start only positions below `limit`; then tell the core."""

    slot: int
    limit: int


@dataclass(frozen=True, slots=True)
class SendCut:
    """Write to `slot` that everything at or above `cut` has been taken back."""

    slot: int
    cut: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Raise TaskInterrupted in the task at this position of `slot`, if it still runs."""

    slot: int
    position: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Tell the core what private memory `slot` uses, with what its tasks have started; exactly, if above `limit_bytes`.

    `position`: of the task that runs, for the core. Where memory cannot be counted there is no answer.
    """

    slot: int
    position: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the process of `slot`; its death is then told as any."""

    slot: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Get data into the store of this host, from there; then tell the core that they arrived, or that they are lost."""

    source: pb.Source


@dataclass(frozen=True, slots=True)
class DropData:
    """Remove these from the store of this host; then tell the core."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DropUnreported:
    """Remove what the process of `slot`, which is dead, has written to the store after the datum `last`; empty: all."""

    slot: int
    last: bytes


@dataclass(frozen=True, slots=True)
class Complain:
    """Tell whoever runs this worker, on its standard error."""

    sentence: str


Command = (
    Send
    | Spawn
    | Feed
    | SendDefinition
    | SetLimit
    | SendCut
    | Interrupt
    | Measure
    | Kill
    | Transfer
    | DropData
    | DropUnreported
    | Complain
)
