"""A job with a driver, as its client sees it, and what the engine knows of it beside that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from manyhands.master.data import Datum
from manyhands.master.definitions import Definition
from manyhands.master.drivers.driver import Driver, SearchDriver
from manyhands.master.drivers.kept_leaves import KeptLeaves
from manyhands.protos import manyhands_pb2 as pb


@dataclass(slots=True)
class Inner:
    """Tasks that the master adds, under a number of their own."""

    job: int
    #: How many there were; names of those that run, by index.
    count: int = 0
    names: dict[int, int] = field(default_factory=dict)

    def add(self, name: int) -> int:
        """Another task; returns its index."""
        index = self.count
        self.count += 1
        self.names[index] = name
        return index


@dataclass(slots=True, eq=False)
class Face:
    """The scheduler knows its leaves under the job's own number, and its driver's tasks under others."""

    job: int
    #: Whose both are to the scheduler.
    owner: int
    opening: pb.OpenJob
    driver: Driver
    #: The same, if it is a search's.
    search: SearchDriver | None
    #: What the functions are made of; and what results of leaves may refer to, by hash.
    held: tuple[Definition, ...]
    needs: dict[bytes, Definition] = field(default_factory=dict)
    #: The driver's tasks, once there was one; and leaves that run again, by their numbers.
    inner: Inner | None = None
    again: Inner | None = None
    #: Partial results that stay where they were computed, by id, until a task of the driver's needs them; or longer.
    data: dict[bytes, Datum] = field(default_factory=dict)
    #: Which can be, if the driver may ask for it.
    kept: KeptLeaves = field(default_factory=KeptLeaves)
    #: Leaves that have come.
    received: int = 0
    #: Results that the client has been told.
    delivered: int = 0
    #: What all tasks took in their slots, together, as far as the client has not been told.
    seconds: float = 0.0
    #: When its client, who watches, was last told how it fares; None: nobody watches.
    reported_at: float | None = None
    #: When a search is to look at the clock; and whether it is to look at what has come, in the loop's next turn.
    timer: asyncio.TimerHandle | None = None
    will_look: bool = False
    #: It is finished, or was cancelled: nothing counts any more.
    is_over: bool = False

    @property
    def functions(self) -> bytes:
        """Hash of what the driver's tasks call."""
        return self.opening.search.evaluator if self.search is not None else self.opening.reduction.functions

    @property
    def end(self) -> int:
        """Under which index its failure is told: a search's comes behind what it has delivered."""
        return self.driver.results if self.search is not None else 0
