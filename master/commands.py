"""What the scheduler wants done: orders, in the imperative. The shell carries them out at once, in order."""

from __future__ import annotations

from dataclasses import dataclass

from manyhands.master.events import JobOptions
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block
from manyhands.wire.spans import Span


@dataclass(frozen=True, slots=True)
class DispatchPiece:
    """Tasks [lo, hi) of a block, all with the same attempt number. `careful`: one of them may take its worker down."""

    block: Block
    lo: int
    hi: int
    attempt: int
    careful: bool = False
    #: Of its only task: what an earlier attempt saved.
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Dispatch:
    worker: int
    lease: int
    job: int
    priority: int
    tag: float
    retry_on: bytes
    timeout: float
    progress_timeout: float
    memory_bytes: int
    context: bytes
    job_name: str
    pieces: list[DispatchPiece]


@dataclass(frozen=True, slots=True)
class Revoke:
    """`stop`: also end what runs of these."""

    worker: int
    revoke: int
    lease: int
    job: int
    spans: tuple[Span, ...]
    stop: bool = False


@dataclass(frozen=True, slots=True)
class DeliverRun:
    """Hand the client those parts of a run that are the tasks' first results; `worker` has sent it."""

    worker: int
    job: int
    client: int
    message: pb.Results
    spans: tuple[Span, ...]
    #: First indices of blocks that have no open task any more; likewise below.
    gone: tuple[int, ...]
    options: JobOptions
    #: If some of the results stay with the worker: what computed them.
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class DropResults:
    """All of these came too late, and `worker` still has some of them in its store."""

    worker: int
    message: pb.Results


@dataclass(frozen=True, slots=True)
class DeliverFailure:
    job: int
    client: int
    message: pb.Failure
    gone: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeliverCancelled:
    job: int
    client: int
    spans: tuple[Span, ...]
    gone: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeepState:
    """What a task saved is to be remembered."""

    job: int
    index: int
    state: bytes


@dataclass(frozen=True, slots=True)
class RefuseState:
    """What a task saved has no room: should it need another attempt, that begins with what was kept before."""

    job: int
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class KeepTries:
    """A task will be tried again in `delay` seconds: what is to be remembered of it."""

    job: int
    index: int
    attempts: int
    failures: int
    crashes: tuple[pb.CrashReport, ...]
    delay: float


@dataclass(frozen=True, slots=True)
class KeepDispatched:
    """That these tasks have been sent to a worker, for the first time, is to be remembered."""

    job: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class DeliverDispatched:
    """Tell the client, who watches the job, that these tasks have been sent to a worker."""

    job: int
    client: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class CloseJob:
    """Every task of the job has its outcome, or the job was cancelled: it is forgotten here."""

    job: int
    client: int


@dataclass(frozen=True, slots=True)
class RejectJob:
    """The client broke the job's rules; it is closed."""

    job: int
    client: int
    sentence: str


Command = (
    Dispatch
    | Revoke
    | DeliverRun
    | DropResults
    | DeliverFailure
    | DeliverCancelled
    | DeliverDispatched
    | KeepTries
    | KeepState
    | RefuseState
    | KeepDispatched
    | CloseJob
    | RejectJob
)
