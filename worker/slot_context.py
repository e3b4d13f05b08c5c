"""What a task can learn about itself, and say of itself: `current_task()`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from manyhands.wire.errors import NotInTask
from manyhands.wire.stand_in import StandIn, standing
from manyhands.worker.page import BUSY, NOTE, NOTE_BYTES, PROGRESSED, STARTED, Page

if TYPE_CHECKING:
    from manyhands.worker.slot_frames import Chunk


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """The task that this slot runs."""

    #: The master's number of its job.
    job: int
    #: Its place in the job, from 0.
    index: int
    #: How often it has failed or been lost before.
    attempt: int
    #: Its job's: with_options(name=), or the function's.
    name: str
    #: For the random numbers of an evaluation of `optimize`: the same wherever and whenever it runs; else None.
    seed: int | None = None

    def progress(self, so_far: float | str | None = None) -> None:
        """Say that this task gets on: it then has another `progress_timeout` seconds. Takes less than a microsecond.

        `so_far`: a fraction, or a few words, for whoever is told that the task stood still; else TypeError is raised.
        """
        place = _place
        if place is None or place.is_copy:
            return  # a forked child speaks for nobody, and nobody listens outside of a cluster
        if so_far is not None:
            if isinstance(so_far, (int, float)):
                so_far = f"{so_far:.1%}"
            elif not isinstance(so_far, str):
                raise TypeError(f"progress() takes a fraction or a text, not {so_far!r}")
            note = so_far.encode(errors="replace")[:NOTE_BYTES]
            place.page.note[: len(note)] = note
            place.page.words[NOTE] = len(note)
        place.page.times[PROGRESSED] = monotonic()

    def save(self, state: Any) -> None:
        """Keep `state`, anything that can be pickled, for the next attempt of this task, on whatever worker.

        It is at the master, and in its journal, a moment later; the last one counts, and it goes with the task's end.
        For the thread that runs the task. Raises ResultEncodeError.
        """
        place = _here()
        # Of several evaluations in one task each has a state of its own.
        place.desk.save(state if place.evaluation is None else (place.evaluation, state))

    def load(self, default: Any = None) -> Any:
        """What was saved last by this attempt or an earlier one; `default` if nothing was."""
        place = _here()
        state = place.desk.load()
        if state is not None and place.evaluation is not None:
            evaluation, state = state
            state = state if evaluation == place.evaluation else None
        return default if state is None else state


class Desk(Protocol):
    """Who keeps states; see SlotLoop."""

    def save(self, state: Any) -> None: ...
    def load(self) -> Any: ...


def _here() -> _Place | StandIn:
    """Where a state may be kept."""
    stand_in = standing.get()
    if stand_in is not None:
        return stand_in
    place = _place
    if place is None or place.is_copy or not place.words[BUSY]:
        raise NotInTask
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("only the thread that runs the task can save or load its state, not one that it started")
    return place


class _Place:
    """Where the slot is: tasks of a chunk differ only by their position, which is in the page anyway."""

    __slots__ = ("chunk", "desk", "evaluation", "is_copy", "page", "seed", "words")

    def __init__(self, page: Page, chunk: Chunk, desk: Desk) -> None:
        self.page = page
        self.desk = desk
        self.chunk = chunk
        self.words: memoryview | list[int] = page.words
        self.is_copy = False
        #: Of an evaluation: its number and its seed.
        self.evaluation: int | None = None
        self.seed: int | None = None


_place: _Place | None = None


def enter(page: Page, chunk: Chunk, desk: Desk) -> None:
    """For the slot's loop: it runs the chunk's tasks, one position after the other; `desk` keeps their states."""
    global _place  # noqa: PLW0603 - one slot a process
    _place = _Place(page, chunk, desk)


def evaluating(id: int, seed: int) -> None:
    """For who evaluates points in a task: from now on it is this one, with this seed."""
    if _place is not None:
        _place.evaluation = id
        _place.seed = seed


def leave_page() -> None:
    """In a forked child, which goes on in the present task but without the page."""
    if _place is not None:
        _place.words = list(_place.words)
        _place.is_copy = True


def current_task() -> CurrentTask:
    """The task that calls this. Threads that a task left behind see the next one. Raises NotInTask outside of one."""
    stand_in = standing.get()
    if stand_in is not None:
        return CurrentTask(0, stand_in.evaluation, 0, stand_in.name, stand_in.seed)
    place = _place
    if place is None or not place.words[BUSY]:
        raise NotInTask
    chunk = place.chunk
    index = chunk.first + place.words[STARTED] - chunk.position
    return CurrentTask(chunk.job, index, chunk.attempt, chunk.name, place.seed)
