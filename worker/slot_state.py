"""What the agent knows of a slot: its process, and what it was fed and has not reported."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from manyhands.worker.pieces import Piece


class Sight(NamedTuple):
    """A slot's page, as the agent reads it without the slot's help."""

    #: The position that the slot began last, or was about to begin; 0 at first.
    started: int
    #: Whether the slot is at work, rather than waiting for its pipe.
    busy: bool
    #: When it began that position, in the agent's monotonic seconds.
    since: float
    #: When a task last said that it makes progress (before `since`: an earlier one), and what it said of it.
    progressed: float = 0.0
    note: str = ""
    #: It makes the task's context; no timeout of the task's counts that, and `since` will be set anew.
    is_setting_up: bool = False


#: Reads the page of a slot; of a dead one as it was at the end, until it is spawned again.
Look = Callable[[int], Sight]


class SlotFault(Exception):
    """A slot said what it cannot mean (user code may have written to its pipe): kill it."""


class Fed:
    """Tasks [lo, lo + count) of a piece at positions [position, position + count) of a slot."""

    __slots__ = ("count", "each", "lo", "piece", "position")

    def __init__(self, position: int, count: int, piece: Piece, lo: int, each: float) -> None:
        self.position = position
        self.count = count
        self.piece = piece
        self.lo = lo
        #: Seconds a task, as assumed when they were fed.
        self.each = each


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of a task that is in the store. is_new: under an id of its own."""

    index: int
    id: bytes
    size: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class TooSlow:
    """The task exceeded `timeout` seconds, which is the job's `limit`. progress: what it last said of that."""

    timeout: float
    limit: str = "timeout"
    progress: str = ""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The task used so much memory, more than it may. limit: which option allows that, as in `Limits`."""

    used_bytes: int
    limit_bytes: int
    limit: str


#: What a task has failed with that is stopped.
Verdict = TooSlow | TooLarge


@dataclass(slots=True)
class Cut:
    """Work is being taken back from a slot; see `cutting`."""

    limit: int
    #: The cut has been published and sent; only the slot's `CutDone` is missing.
    sent: bool = False


class Slot:
    """One slot. `fed` is what it has been fed and not reported, in order of position."""

    __slots__ = (
        "completed",
        "cut",
        "deadline",
        "excused",
        "failures",
        "fed",
        "first_seen",
        "kill_at",
        "killed",
        "known",
        "last_stored",
        "life",
        "measure_at",
        "measuring",
        "measuring_since",
        "next_position",
        "number",
        "outstanding",
        "ready",
        "seconds",
        "stopping",
        "stored",
        "verdicts",
        "wanted",
        "watched",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.ready = False
        #: Of the present process; a timer of an earlier life is void.
        self.life = 0
        #: Never reused, also not by the slot's next process.
        self.next_position = 1
        self.fed: deque[Fed] = deque()
        #: Tasks in `fed`, and the seconds they were assumed to take.
        self.outstanding = 0
        self.seconds = 0.0
        self.cut: Cut | None = None
        #: Definitions it was sent.
        self.known: set[bytes] = set()
        #: Definitions it waits for and the agent has to get first.
        self.wanted: set[bytes] = set()
        #: A look at its page is due within WATCH_INTERVAL.
        self.watched = False
        #: When to look whether its task has run too long; see `deadlines`.
        self.deadline = float("inf")
        #: The position of the task that is being stopped, 0: none is; see `stopping`. And when its patience ends.
        self.stopping = 0
        self.kill_at = 0.0
        #: By position, of tasks that were stopped and have not been reported: what they have failed with.
        self.verdicts: dict[int, Verdict] = {}
        #: The position of the task for whose sake the process is being killed; 0: it is not.
        self.killed = 0
        #: That task is not to blame for what it is killed for: it runs again in the slot's next process.
        self.excused = False
        #: When to measure its memory; see `memory_limits`. And the position of the task for whose sake it is being
        #: measured (0: it is not), since when.
        self.measure_at = float("inf")
        self.measuring = 0
        self.measuring_since = 0.0
        #: The position of the task that ran when it was last measured, and what it used when it was first seen to run.
        self.first_seen = 0, 0
        #: By position, of tasks that have not been reported: what is in the store already; see `keeping`. And the last
        #: id that this process was known to have written anything under, chosen by itself.
        self.stored: dict[int, Kept] = {}
        self.last_stored = b""
        #: Tasks this process has reported.
        self.completed = 0
        #: Processes in a row that died without having run anything.
        self.failures = 0

    def at(self, position: int) -> Fed | None:
        """What it was fed at this position and has not reported."""
        return next((fed for fed in self.fed if fed.position <= position < fed.position + fed.count), None)

    def complaint(self, exit_code: int, stderr_tail: str, delay: float) -> str:
        """What to say of a slot that does not come up."""
        words = f"; its last words: {stderr_tail.strip()}" if stderr_tail.strip() else ""
        return (
            f"slot {self.number} died {self.failures} times in a row before it ran anything "
            f"(exit code {exit_code}), next attempt in {delay:g} s{words}"
        )
