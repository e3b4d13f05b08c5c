"""What a task can learn about itself: `current_task()`."""

from __future__ import annotations

from dataclasses import dataclass

from manyhands.worker.page import BUSY, STARTED


@dataclass(frozen=True, slots=True)
class CurrentTask:
    """The task that this slot runs."""

    #: The master's number of its job.
    job: int
    #: Its place in the job, from 0.
    index: int
    #: How often it has failed or been lost before.
    attempt: int


@dataclass(slots=True)
class _Place:
    """Where the slot is: tasks of a chunk differ only by their position, which is in the page anyway."""

    words: memoryview | list[int]
    position: int
    first: int
    job: int
    attempt: int


_place: _Place | None = None


def enter(words: memoryview, position: int, first: int, job: int, attempt: int) -> None:
    """For the slot's loop: the task at `position` has index `first`, those after it follow."""
    global _place  # noqa: PLW0603 - one slot a process
    _place = _Place(words, position, first, job, attempt)


def leave_page() -> None:
    """In a forked child, which goes on in the present task but without the page."""
    if _place is not None:
        _place.words = list(_place.words)


def current_task() -> CurrentTask | None:
    """The task that calls this, or None outside of one. Threads that a task left behind see the next one."""
    place = _place
    if place is None or not place.words[BUSY]:
        return None
    index = place.first + place.words[STARTED] - place.position
    return CurrentTask(place.job, index, place.attempt)
