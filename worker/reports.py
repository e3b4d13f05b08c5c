"""What a slot tells its agent: the reports, in the order of the positions they speak of."""

from __future__ import annotations

from dataclasses import dataclass

# Not frozen: these are built on the hot path, where freezing makes construction four times as slow.


@dataclass(slots=True)
class Ready:
    """The slot process is up and reads its pipe."""


@dataclass(slots=True)
class Done:
    """Tasks at positions [position, position + count) succeeded; all of one chunk.

    Result k is payload[ends[k-1] - base : ends[k] - base], `ends` packed as in `wire.blocks`.
    Consecutive reports of a slot continue each other's offsets as long as 32 bits allow.
    """

    position: int
    count: int
    base: int
    ends: bytes
    payload: bytes
    seconds: float


@dataclass(slots=True)
class Failed:
    """The task at `position` raised; `payload` is the encoded exception."""

    position: int
    payload: bytes
    retryable: bool
    seconds: float


@dataclass(slots=True)
class Interrupted:
    """The task at `position` has been stopped, as the agent asked."""

    position: int
    seconds: float


@dataclass(slots=True)
class Saved:
    """The task at `position`, which runs, has saved this for its next attempt."""

    position: int
    state: bytes


@dataclass(slots=True)
class Stored:
    """What the task at `position` returned is in the store, as this datum of `size` bytes; its Done follows."""

    position: int
    id: bytes
    size: int


@dataclass(slots=True)
class Wanted:
    """The slot waits for these definitions before it can go on."""

    hashes: tuple[bytes, ...]


@dataclass(slots=True)
class CutDone:
    """Everything at or above the last `Cut` has been dropped, everything below it reported."""

    cut: int


Report = Ready | Done | Failed | Interrupted | Saved | Stored | Wanted | CutDone
