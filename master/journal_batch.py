"""What one commit of the journal holds: changes, folded together as they come; pure.

Most work is quick. A block whose tasks have all ended, or a result that its client has, before the next commit never
reaches the disk: only the marks that say so do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from google.protobuf.message import Message

from manyhands.wire.spans import Span

#: What is noted of tasks until they end: they have been sent to a worker; their client wants nothing of them, or only
#: if they have started.
Mark = Literal["dispatched", "cancel", "cancel unless running"]

#: A statement and the rows to run it with.
Statement = tuple[str, list[tuple[Any, ...]]]


@dataclass(slots=True)
class Opening:
    """A new job: whose it is, its number there, and how the client asked for it."""

    session: bytes
    number: int
    message: Message


@dataclass(slots=True)
class Counters:
    """What a job has come to so far; sizes in bytes."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    delivered_bytes: int = 0
    consumed_bytes: int = 0
    unlimited: bool = False
    finished: bool = False
    #: Tasks received.
    total: int = 0
    #: Wall time of a detached job's end, in seconds.
    finished_at: float = 0.0


@dataclass(slots=True)
class Tries:
    """How often a task failed, and when (wall time, seconds) it is due again, after which `delay`."""

    attempts: int
    failures: int
    crashes: tuple[bytes, ...]
    due: float
    delay: float


@dataclass(slots=True)
class JobChange:
    """One job's changes."""

    opening: Opening | None = None
    #: It is nobody's any more.
    detached: bool = False
    needs: list[bytes] = field(default_factory=list)
    #: None: unchanged.
    sealed_at: int | None = None
    counters: Counters | None = None
    #: With the wall time, in seconds, at which they arrived.
    blocks: dict[int, tuple[float, Message]] = field(default_factory=dict)
    dead_blocks: list[int] = field(default_factory=list)
    done: list[Span] = field(default_factory=list)
    #: All of the job's done spans, to take the place of what was written of them before.
    done_anew: list[Span] | None = None
    outcomes: dict[int, Message] = field(default_factory=dict)
    dead_outcomes: list[int] = field(default_factory=list)
    #: Outcomes that are asked for only when they are about to be written.
    late_outcomes: dict[int, Callable[[], Message]] = field(default_factory=dict)
    tries: dict[int, Tries] = field(default_factory=dict)
    states: dict[int, bytes] = field(default_factory=dict)
    dead_states: list[Span] = field(default_factory=list)
    #: These tasks have ended: how often they were tried is of no account any more.
    dead_tries: list[Span] = field(default_factory=list)
    marks: list[tuple[Mark, Span]] = field(default_factory=list)
    #: All marks of open tasks, to take the place of what was written of them before.
    marks_anew: list[tuple[Mark, Span]] | None = None
    inbox: dict[int, Message] = field(default_factory=dict)
    dead_inbox: list[int] = field(default_factory=list)
    #: Only what its client is to hear of it counts from now on.
    is_concluded: bool = False
    #: The job is to be forgotten.
    closed: bool = False


class Batch:
    """The changes since the last commit."""

    def __init__(self) -> None:
        self.jobs: dict[int, JobChange] = {}
        #: Clients by session: (highest sequence applied, their hello if they are new).
        self.received: dict[bytes, int] = {}
        self.hellos: dict[bytes, Message] = {}
        self.gone: list[bytes] = []
        #: Wall time, in seconds, when the connection was closed; 0: it stands.
        self.ended: dict[bytes, float] = {}
        self.fragments: dict[tuple[bytes, int], list[tuple[int, bytes]]] = {}
        self.dead_fragments: list[tuple[bytes, int]] = []
        self.definitions: dict[bytes, bytes] = {}
        self.dead_definitions: list[bytes] = []
        self.workers: dict[bytes, bool] = {}  # whether they are there
        #: (session, id) -> size in bytes; what clients hold of the data, and what they do no more.
        self.held_data: dict[tuple[bytes, bytes], int] = {}
        self.released_data: list[tuple[bytes, bytes]] = []

    def freeze(self) -> None:
        """From now on it is another thread's: what its owner goes on changing is copied."""
        for change in self.jobs.values():
            if change.counters is not None:
                change.counters = replace(change.counters)
            if not change.is_concluded:  # otherwise they would be deleted at once
                change.outcomes |= {key: make() for key, make in change.late_outcomes.items()}
            change.late_outcomes = {}

    def __bool__(self) -> bool:
        return bool(
            self.jobs
            or self.received
            or self.hellos
            or self.gone
            or self.ended
            or self.fragments
            or self.dead_fragments
            or self.definitions
            or self.dead_definitions
            or self.workers
            or self.held_data
            or self.released_data
        )

    # ------------------------------------------------------------ jobs

    def job(self, number: int) -> JobChange:
        """The job's changes, to be added to."""
        change = self.jobs.get(number)
        if change is None:
            change = self.jobs[number] = JobChange()
        return change

    def drop_blocks(self, number: int, firsts: Iterable[int]) -> None:
        """These blocks have no open task any more."""
        change = self.job(number)
        for first in firsts:
            if change.blocks.pop(first, None) is None:
                change.dead_blocks.append(first)

    def drop_outcome(self, number: int, key: int) -> None:
        """The client has it."""
        change = self.job(number)
        change.late_outcomes.pop(key, None)
        if change.outcomes.pop(key, None) is None:
            change.dead_outcomes.append(key)

    def drop_inbox(self, number: int, position: int) -> None:
        """A message that waited has been dealt with."""
        change = self.job(number)
        if change.inbox.pop(position, None) is None:
            change.dead_inbox.append(position)

    def close_job(self, number: int) -> None:
        """Forget the job; one that was never written need not be."""
        was = self.jobs.pop(number, None)
        if was is None or was.opening is None:
            self.jobs[number] = JobChange(closed=True)

    # ------------------------------------------------------------ data

    def hold_data(self, session: bytes, id: bytes, size: int) -> None:
        """A client holds a datum."""
        self.held_data[session, id] = size

    def release_data(self, session: bytes, id: bytes) -> None:
        """It does no more."""
        self.held_data.pop((session, id), None)
        self.released_data.append((session, id))

    # ------------------------------------------------------------ clients

    def drop_fragments(self, session: bytes, number: int) -> None:
        """A large message is complete."""
        self.fragments.pop((session, number), None)
        self.dead_fragments.append((session, number))

    def drop_client(self, session: bytes) -> None:
        """The client is gone for good."""
        self.received.pop(session, None)
        self.ended.pop(session, None)
        for key in [key for key in self.fragments if key[0] == session]:
            del self.fragments[key]
        for held in [held for held in self.held_data if held[0] == session]:
            del self.held_data[held]
        if self.hellos.pop(session, None) is None:
            self.gone.append(session)
