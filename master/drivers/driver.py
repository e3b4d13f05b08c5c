"""What a driver is: facts about tasks in, commands out; it knows neither scheduler nor journal. Pure.

The client's tasks are the *leaves*. What they come to is no result of the job, but what the driver goes on with: it
has tasks of its own run, which it names by numbers, and in the end delivers the job's results. What it will need again
should the master be restarted it keeps, as rows by keys, and drops once something else stands for it; all commands of
one fact become durable together. So the same rows always lead to the same tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from manyhands.protos import manyhands_pb2 as pb


@dataclass(frozen=True, slots=True)
class Run:
    """Run a task of the driver's own, to be spoken of by `name`, once. `data`: what its item refers to."""

    name: int
    item: bytes
    data: tuple[pb.DataNeed, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """Run a leaf once more, as what it has made is gone; it is told as the others are."""

    leaf: int


@dataclass(frozen=True, slots=True)
class Keep:
    """What `restored` is to be told after a restart."""

    key: int
    results: pb.Results


@dataclass(frozen=True, slots=True)
class KeepLatest:
    """As Keep; but what it is when it is about to be written, with all that was told until then. `results` must not
    raise.
    """

    key: int
    results: Callable[[], pb.Results]


@dataclass(frozen=True, slots=True)
class Drop:
    """What was kept under these keys is of no use any more."""

    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """A result of the job: the only one in `results`, whose index there is of no account."""

    index: int
    results: pb.Results


@dataclass(frozen=True, slots=True)
class Finish:
    """The job has all its results."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The job can come to nothing."""

    sentence: str


Command = Run | Again | Keep | KeepLatest | Drop | Deliver | Finish | Reject


class Phase(NamedTuple):
    """A part of the work, in tasks; `total` may grow until the client has sent everything."""

    name: str
    done: int
    total: int


class Driver(Protocol):
    """One job's. `Results` that it is told of have not been told before, and are its own from then on."""

    #: How its own tasks are called.
    call: pb.Call
    #: Whether what leaves have made is needed to the end, by several tasks; it may have leaves run again, then.
    keeps_leaves: bool

    @property
    def results(self) -> int:
        """How many the job will have; or has so far, if nobody knows."""
        ...

    def restored(self, rows: Iterable[tuple[int, pb.Results]], done: int, total: int | None) -> Sequence[Command]:
        """First of all: an earlier life has kept these rows, by key, of `done` leaves, and of `total` if sealed."""
        ...

    def leaves(self, results: pb.Results) -> Sequence[Command]:
        """A run of leaves has ended."""
        ...

    def task(self, name: int, results: pb.Results) -> Sequence[Command]:
        """A task of the driver's own has."""
        ...

    def lost(self, name: int, id: bytes) -> Sequence[Command]:
        """A task of the driver's own could not be run: this datum, which a leaf has made, is gone."""
        ...

    def failed(self, name: int, failure: pb.Failure) -> Sequence[Command] | None:
        """A task of the driver's own has failed, for good. None: so has the job."""
        ...

    def sealed(self, total: int) -> Sequence[Command]:
        """There are so many leaves."""
        ...

    def phases(self, received: int) -> Sequence[Phase]:
        """How far it is; `received`: leaves that have come so far."""
        ...


class SearchDriver(Driver, Protocol):
    """That of a search, which has no leaves, and looks at a clock. What becomes of a task it only hears: what follows
    comes with the next look, so that what arrives together counts together.
    """

    def look(self) -> Sequence[Command]:
        """Tasks have ended, time has passed, or there are more slots, or fewer."""
        ...

    def due(self) -> float | None:
        """In how many seconds it is to look at the latest."""
        ...

    def stop(self, reason: str) -> Sequence[Command]:
        """End it with what it has."""
        ...

    def progress(self) -> bytes:
        """How far it is, packed: see JobReport."""
        ...
