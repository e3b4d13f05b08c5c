"""What the ledger knows of each job, task and lease."""

from __future__ import annotations

from dataclasses import dataclass, field

from manyhands.master import events as ev
from manyhands.master.expiry import LATENESS


@dataclass(slots=True)
class TaskRecord:
    """One accepted task; `outcome` None while the master has not delivered one.

    What happened is never forgotten; the rest begins anew where a master was killed before it was durable.
    """

    outcome: str | None = None
    cancel_asked: bool = False
    stop_asked: bool = False
    #: Open leases that hold it: more than one only if it is `doubled` or `copied`.
    leases: set[int] = field(default_factory=set)
    #: A worker that had been given up came back with it.
    doubled: bool = False
    #: It was sent out once more while it ran.
    copied: bool = False
    #: One of two attempts came to nothing: it may be handed out again although it is out.
    is_due_again: bool = False
    #: There was no room for it.
    refused: bool = False
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    #: How often it was charged with the loss of its worker.
    losses: int = 0
    losses_ever: int = 0
    #: How often it did so in a slot, whatever the master may have heard of that.
    crashed: int = 0
    failed: int = 0
    dispatches: int = 0
    starts: int = 0
    due: float = 0.0
    arrived_at: float = 0.0
    #: The living master knows that it was, at some time.
    was_dispatched: bool = False
    #: Whose report, under which lease, counted last.
    reported_by: tuple[str, int] = ("", 0)
    #: A result came under a lease that did not hold the task (any more).
    late: bool = False

    def begin_anew(self) -> None:
        """The master knows only that the task is there."""
        self.outcome = None
        self.cancel_asked = self.stop_asked = self.refused = self.late = False
        self.attempts = self.failures = self.crashes = self.losses = 0
        self.due = 0.0
        self.was_dispatched = False


@dataclass(slots=True)
class JobEntry:
    number: int
    client: int
    options: ev.JobOptions
    tasks: list[TaskRecord] = field(default_factory=list)
    #: Those that the living master has: others it may have had before it was killed.
    count: int = 0
    sealed: bool = False
    closed: bool = False
    cancelled: bool = False
    doubled: bool = False
    #: A restarted master will open it again: it waits for a definition.
    reopens: bool = False
    out: int = 0


@dataclass(slots=True)
class LeaseEntry:
    """`open`: what is unreported, and as which attempt it was sent."""

    worker: int
    job: JobEntry
    open: dict[int, int] = field(default_factory=dict)


def dispatch_fault(task: TaskRecord, attempt: int, now: float) -> str | None:
    """Why the task may not be handed out now, if so."""
    if task.outcome is not None:
        return f"it has {task.outcome}"
    if task.cancel_asked:
        return "it is being cancelled"
    if task.leases and not task.is_due_again:
        return f"it is out under lease {task.leases}"
    if attempt != task.attempts:
        return f"its attempt is {task.attempts}, not {attempt}"
    if now < task.due:
        return f"it is to wait for another {task.due - now} s"
    return None


def is_overdue(task: TaskRecord, options: ev.JobOptions, since: float, now: float) -> bool:
    """Whether its time was up before `now`, if its clocks began when it arrived, or at `since` if that was later."""
    waited = (now - max(since, task.arrived_at)) / (1 + LATENESS) - 1e-6
    is_late = 0 < options.total_timeout < waited
    return is_late or (not task.was_dispatched and 0 < options.queue_timeout < waited)
