"""Every error manyhands raises, in one tree.

    ManyhandsError
    ├── the caller's fault: nothing was run
    │   ├── EncodeError (TypeError)         an argument or function cannot be pickled, or must not travel
    │   │   └── ContentError                with a checkpoint: it has no content to be known by
    │   ├── NestedClient                    a Client was made inside a task
    │   ├── NotInTask                       current_task() was called outside of one
    │   ├── ForkedClient                    a Client was used in a forked child
    │   ├── JobNameTaken (ValueError)       there is a detached job of that name
    │   └── UnknownJob (LookupError)        there is no detached job of that name
    ├── the task's fault: this task failed, the others go on
    │   ├── ResultEncodeError               its result cannot be pickled
    │   ├── UnstableKey (TypeError)         what it yielded as a key has no hash that is the same in every process
    │   ├── DecodeError                     its function, argument or result cannot be unpickled here
    │   │   └── RemoteModuleError (ModuleNotFoundError)   because a module is missing here
    │   ├── TooManyFailures                 of a search's evaluations more failed than may
    │   ├── RemoteError                     it raised something that cannot travel; this stands in
    │   ├── TaskCrashed                     it took its process down, for the last time allowed
    │   ├── TaskMemoryExceeded (MemoryError)   it used more memory than it may, likewise
    │   └── TaskTimeout (TimeoutError)      it ran or waited longer than it may, in the last attempt allowed
    └── InfrastructureError: the cluster's fault, or the network's
        ├── ClusterError                    the embedded cluster could not start, or ended
        ├── NoWorkers                       nobody is there to run it
        ├── MasterFull                      the master has no room for new work
        ├── DataLost (LookupError)          what a Ref stands for is gone, and cannot be computed again
        ├── CheckpointError                 a checkpoint's file is somebody else's, damaged, or cannot be written
        ├── ConnectionFailed                no connection, or no longer
        │   └── MasterUnreachable           nobody answers at the address
        ├── Refused                         the master answered: not you, and why
        │   └── AccessDenied                no token, a wrong one, or one that does not allow that
        └── SessionLost                     the master no longer knows us, or we closed the session

    TaskInterrupted (BaseException)         raised inside a task that is to stop: it was cancelled, or ran too long

    RemoteTraceback                         not raised: the `__cause__` of an exception that comes from a task

Data is in fields; `str()` composes the sentence from them: what happened, to which one, what to do.
All of them can be pickled.
"""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass, fields
from typing import Self, dataclass_transform

from manyhands.wire.attempt_ends import AttemptEnd, end_of
from manyhands.wire.sizes import shown


@dataclass_transform(eq_default=False)
class ManyhandsError(Exception):
    """Base of all. Subclasses list their fields; the order of fields is the order of arguments."""

    def __init_subclass__(cls) -> None:
        # eq=False: exceptions hash and compare by identity, tracebacks and futures rely on it.
        dataclass(eq=False, repr=False)(cls)

    def __post_init__(self) -> None:
        # BaseException pickles as (class, args, __dict__): with the fields in args that round trip is free.
        self.args = tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]


# ---------------------------------------------------------------- the caller's fault


class EncodeError(ManyhandsError, TypeError):
    """`what` cannot travel to a worker.

    what: "argument 1", "function 'f'"; path: from there to the culprit, as Python would write it, "" if it is
    `what` itself or was not found; culprit: its type; reason: what pickle said; way_out: what to do.
    """

    what: str
    path: str = ""
    culprit: str = ""
    reason: str = ""
    way_out: str = ""

    verdict = "cannot be sent to a worker"  # no field

    def __str__(self) -> str:
        where = f"{self.what}: {self.path}" if self.path else self.what
        culprit = f" ({self.culprit})" if self.culprit else ""
        reason = f": {self.reason}" if self.reason else ""
        way_out = f"; {self.way_out}" if self.way_out else ""
        return f"{where}{culprit} {self.verdict}{reason}{way_out}"


class ContentError(EncodeError):
    """`what` is part of a call whose result is to be kept, but has no content to know the call by. Fields likewise."""

    verdict = "has no content by which a checkpoint could know it again"


class NestedClient(ManyhandsError, RuntimeError):
    """A task made a Client of its own."""

    def __str__(self) -> str:
        return "a task cannot start a Client of its own; return the work to the client and submit it there"


class NotInTask(ManyhandsError, RuntimeError):
    """current_task() was called where no task runs."""

    def __str__(self) -> str:
        return (
            "no task runs here: current_task() is for functions that workers run, such as those given to submit or map"
        )


class ForkedClient(ManyhandsError, RuntimeError):
    """The child of a fork used its parent's Client: its thread and connection stayed behind in the parent."""

    client_pid: int
    pid: int

    def __str__(self) -> str:
        return (
            f"this Client belongs to process {self.client_pid} and cannot be used in its forked child {self.pid}; "
            "make a new Client there, or start the child with the 'spawn' method"
        )


class JobNameTaken(ManyhandsError, ValueError):
    """A detached job of this name is at the master already. reason: the master's own sentence."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class UnknownJob(ManyhandsError, LookupError):
    """No detached job of this name is at the master. reason: the master's own sentence."""

    reason: str

    def __str__(self) -> str:
        return self.reason


# ---------------------------------------------------------------- the task's fault


class ResultEncodeError(ManyhandsError, TypeError):
    """The task ran, but what it returned cannot be pickled. Fields as of EncodeError."""

    path: str = ""
    culprit: str = ""
    reason: str = ""
    way_out: str = ""

    @classmethod
    def of(cls, error: EncodeError) -> Self:
        """The same of a result."""
        return cls(error.path, error.culprit, error.reason, error.way_out)

    def __str__(self) -> str:
        where = f"the task's result: {self.path}" if self.path else "the task's result"
        culprit = f" ({self.culprit})" if self.culprit else ""
        way_out = self.way_out or "return plain data instead"
        return f"{where}{culprit} cannot be sent back: {self.reason}; {way_out}"


class UnstableKey(ManyhandsError, TypeError):
    """A key of map_reduce_by_key cannot be told where to go: its type has a hash of its own, or that of its address.

    culprit: its repr, shortened; type_name: its type; path: where in the key it is, "" if it is the key itself.
    """

    culprit: str
    type_name: str
    path: str = ""

    def within(self, step: str) -> UnstableKey:
        """The same, for what contains the culprit at `step`: "[0]", ".name"."""
        return UnstableKey(self.culprit, self.type_name, step + self.path)

    def __str__(self) -> str:
        where = f"key{self.path}" if self.path else "the key"
        return (
            f"{where}, {self.culprit} (of type {self.type_name}), has no hash that is the same in every process; use "
            "what it is equal by as the key: numbers, texts, dates and tuples of them, members of an Enum, or a frozen "
            "dataclass without __hash__ and __eq__ of its own"
        )


class TooManyFailures(ManyhandsError):
    """A search was ended as more of its evaluations failed than may. text: what the first one raised."""

    failed: int
    evaluations: int
    max_failed_share: float
    text: str

    def __str__(self) -> str:
        said = f" The first one:\n{self.text}" if self.text else ""
        return (
            f"{self.failed} of {self.evaluations} evaluations failed, and max_failed_share={self.max_failed_share:g} "
            f"lets no more than {self.max_failed_share:.0%} of them fail: mend the objective, or allow more.{said}"
        )


class DecodeError(ManyhandsError):
    """Bytes that were pickled elsewhere cannot be unpickled here. place: "worker 'w1'", "the client"."""

    reason: str
    place: str = "this process"

    def __str__(self) -> str:
        return (
            f"cannot be unpickled on {self.place}: {self.reason}; "
            "check that both ends have the same versions of the packages involved"
        )


class RemoteModuleError(DecodeError, ModuleNotFoundError):
    """A function or argument needs a module that `place` does not have."""

    reason: str
    place: str = "this process"
    module: str = ""

    def __str__(self) -> str:
        return (
            f"there is no module {self.module!r} on {self.place}; either install it there, or keep it under the "
            "client's working directory and import it at the top of a file, so that it travels with your functions"
        )


class RemoteError(ManyhandsError):
    """Stands in for a task's exception that cannot be rebuilt here. type_name: "package.module.Type"."""

    type_name: str
    message: str
    reason: str = ""

    def __str__(self) -> str:
        text = f"{self.type_name}: {self.message}" if self.message else self.type_name
        return f"{text} (stands in for the exception itself: {self.reason})" if self.reason else text


#: How the last words of a process begin that its agent killed; the reason follows.
KILLED_BY_US = "manyhands killed this process: "


class TaskCrashed(ManyhandsError):
    """The process or the worker that ran the task died each time it was tried.

    exit_code: of the last time, None if killed; signal: the number of the signal that killed it, or None;
    stderr_tail: the last lines it wrote; attempts: how often it was tried; worker: where the last time was;
    history: how each of those times ended.
    """

    exit_code: int | None = None
    signal: int | None = None
    stderr_tail: str = ""
    attempts: int = 1
    worker: str = ""
    task: str = ""
    history: tuple[AttemptEnd, ...] = ()

    def __str__(self) -> str:
        task = f"task {self.task}" if self.task else "the task"
        worker = f" on worker {self.worker!r}" if self.worker else ""
        times = "" if self.attempts == 1 else f", {self.attempts} times, the last time by"
        last = self.history[-1] if self.history else AttemptEnd(self.worker)
        end = "the loss of the worker" if last.lost else end_of(self.exit_code, self.signal)
        advice = "run it alone to see why"
        if any(each.memory for each in self.history):
            advice = "memory may have run out: " + next(each.memory for each in self.history if each.memory)
        elif self.signal == signals.SIGKILL and KILLED_BY_US not in self.stderr_tail:
            advice = "somebody killed it, and nothing shows that memory had run out"
            if not self.history:
                advice = "SIGKILL often means that the machine ran out of memory"
        tail = f"\nThe last lines of its stderr:\n{self.stderr_tail.rstrip()}" if self.stderr_tail.strip() else ""
        story = "\nHow each attempt ended:\n" + "\n".join(map(str, self.history)) if len(self.history) > 1 else ""
        return f"{task} took down the process that ran it{worker}{times or ' by'} {end}; {advice}{tail}{story}"


class TaskTimeout(ManyhandsError, TimeoutError):
    """The task exceeded one of its time limits, and was stopped.

    timeout: seconds; worker: where it ran, if it did; task: its index; limit: which option set that;
    progress: what it last said of its progress.
    """

    timeout: float
    worker: str = ""
    task: str = ""
    limit: str = "timeout"
    progress: str = ""

    def __str__(self) -> str:
        task = f"task {self.task}" if self.task else "the task"
        worker = f" on worker {self.worker!r}" if self.worker else ""
        match self.limit:
            case "total_timeout":
                return (
                    f"{task} had not ended {self.timeout:g} s after it was submitted, all attempts included, and was "
                    "stopped; give it longer with with_options(total_timeout=)"
                )
            case "queue_timeout":
                return (
                    f"{task} waited {self.timeout:g} s without being started, and was dropped; start more workers, or "
                    "let it wait longer with with_options(queue_timeout=)"
                )
            case "progress_timeout":
                last = f" since {self.progress!r}" if self.progress else ""
                return (
                    f"{task} said nothing of its progress for {self.timeout:g} s{last}{worker} and was stopped; have "
                    "it call manyhands.current_task().progress() more often, or raise with_options(progress_timeout=)"
                )
        return (
            f"{task} ran longer than its timeout of {self.timeout:g} s{worker} and was stopped; "
            "give it longer with with_options(timeout=), or another attempt with retries="
        )


class TaskMemoryExceeded(ManyhandsError, MemoryError):
    """The task used more private memory than it may, and its process was killed.

    used_bytes: of its process and what that had started, when it was last looked at; limit_bytes: what it may use;
    worker: where; task: its index; limit: who set it, "memory" (the option of the call) or "--memory" (of the worker).
    """

    used_bytes: int
    limit_bytes: int
    worker: str = ""
    task: str = ""
    limit: str = "memory"

    def __str__(self) -> str:
        task = f"task {self.task}" if self.task else "the task"
        worker = f" on worker {self.worker!r}" if self.worker else ""
        what = f"{task} used {shown(self.used_bytes)} of private memory{worker}, and its process was killed:"
        if self.limit == "--memory":
            return (
                f"{what} this worker allows {shown(self.limit_bytes)} for each slot; have it hold less at a time, or "
                "start the worker with a larger --memory, and fewer --slots if need be"
            )
        return (
            f"{what} its limit is {shown(self.limit_bytes)}; have it hold less at a time, "
            "or give it more with with_options(memory=)"
        )


# ---------------------------------------------------------------- the cluster's fault, or the network's


class InfrastructureError(ManyhandsError):
    """Neither the caller nor the task is to blame: the same call may succeed later."""


class ClusterError(InfrastructureError):
    """The embedded cluster could not start, or ended."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class NoWorkers(InfrastructureError):
    """Work waits and nobody is there to run it. waited: seconds; command: what starts a worker."""

    waited: float = 0.0
    command: str = ""

    def __str__(self) -> str:
        waited = f" for {self.waited:.3g} s" if self.waited else ""
        command = f"; start one with: {self.command}" if self.command else ""
        return f"there has been no worker to run this{waited}{command}"


class MasterFull(InfrastructureError):
    """The master could not write this task down, or has too much already, so it did not take it. reason: what its
    system said, or which limit; way_out: what to do.
    """

    reason: str
    way_out: str = "make room on its disk, then submit again"

    def __str__(self) -> str:
        return f"the master has no room for new work ({self.reason}); what it had taken before goes on: {self.way_out}"


class DataLost(InfrastructureError, LookupError):
    """What a Ref stands for is gone: its host is lost, or its master, and it cannot be computed again. id: 16 bytes."""

    id: bytes
    reason: str

    def __str__(self) -> str:
        return f"the datum {self.id.hex()} is lost: {self.reason}"


class CheckpointError(InfrastructureError):
    """A checkpoint cannot be used. path: its file; reason: what is wrong with it; way_out: what to do."""

    path: str
    reason: str
    way_out: str = ""

    def __str__(self) -> str:
        way_out = f"; {self.way_out}" if self.way_out else ""
        return f"the checkpoint {self.path} {self.reason}{way_out}"


class ConnectionFailed(InfrastructureError):
    """The connection to the master at `address` could not be made, or broke for good."""

    address: str
    reason: str

    def __str__(self) -> str:
        return f"no connection to the master at {self.address}: {self.reason}"


class MasterUnreachable(ConnectionFailed):
    """Nobody answers at `address`."""

    def __str__(self) -> str:
        return (
            f"no master answers at {self.address}: {self.reason}; "
            "check the address, and that `manyhands master` runs there"
        )


class Refused(InfrastructureError):
    """The master answered, and does not want us. reason: the master's own sentence."""

    reason: str
    address: str = ""

    def __str__(self) -> str:
        return f"the master at {self.address} refused: {self.reason}" if self.address else self.reason


class AccessDenied(Refused):
    """The master wants a token that is known there and allows what was asked. Fields as of Refused."""


class SessionLost(InfrastructureError):
    """Master and client no longer share a session, so what was submitted in it has no future. reason: why."""

    reason: str

    def __str__(self) -> str:
        return self.reason


# ---------------------------------------------------------------- inside a task


class TaskInterrupted(BaseException):
    """The task is to stop now: it was cancelled, or has run too long. Raised in its code, out of nowhere.

    Like KeyboardInterrupt no Exception, so that `except Exception` lets it pass; `finally` and context managers clean
    up. Whoever takes longer than the grace (1 s) is killed. What the task raises then changes nothing: it is
    cancelled, or has failed with TaskTimeout.
    """

    def __str__(self) -> str:
        return "this task was cancelled or has run too long; it has a moment to clean up"


# ---------------------------------------------------------------- not raised


class RemoteTraceback(ManyhandsError):
    """Carries the traceback of a task, as text, in the `__cause__` of its exception.

    If the exception had a cause of its own where it was raised, that one is this one's `__cause__`.
    """

    text: str

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
