"""What can happen to the scheduler: facts, in the past tense."""

from __future__ import annotations

from dataclasses import dataclass, field

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block
from manyhands.wire.spans import Span


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """When a failed task runs again; see `retry.py`."""

    retries: int = 0
    delay: float = 1.0
    backoff: float = 2.0
    delay_max: float = 60.0
    retry_on: bytes = b""
    on_timeout: bool = False
    on_memory: bool = False


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the client asked for."""

    name: str = ""
    priority: int = 0
    max_parallel: int = 0
    retry: RetryOptions = field(default_factory=RetryOptions)
    metered: bool = False
    timeout: float = 0.0
    total_timeout: float = 0.0
    queue_timeout: float = 0.0
    progress_timeout: float = 0.0
    memory_bytes: int = 0
    context: bytes = b""
    speculate: bool = False


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    worker: int
    slots: int


@dataclass(frozen=True, slots=True)
class StoreJoined:
    """The worker finds data in the store of that identity."""

    worker: int
    store: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """`planned`: it said goodbye, so what it held is not charged with a loss. `report`: what is noted with a charge."""

    worker: int
    planned: bool
    report: pb.CrashReport = field(default_factory=pb.CrashReport)


@dataclass(frozen=True, slots=True)
class WorkerDraining:
    """It shall get nothing more. `ask`: it does not know yet, and must be asked for what it has not started."""

    worker: int
    ask: bool


@dataclass(frozen=True, slots=True)
class JobOpened:
    job: int
    client: int
    options: JobOptions


@dataclass(frozen=True, slots=True)
class TriesKept:
    """What was remembered of a task that has failed; see `commands.KeepTries`."""

    index: int
    attempts: int
    failures: int
    crashes: tuple[pb.CrashReport, ...]
    delay: float


@dataclass(frozen=True, slots=True)
class JobRecovered:
    """A job of an earlier life: in place of JobOpened and whatever came after it."""

    job: int
    client: int
    options: JobOptions
    sealed_at: int | None
    blocks: tuple[Block, ...]
    #: How many seconds ago each block arrived; none longer than the one before it.
    ages: tuple[float, ...]
    done: tuple[Span, ...]
    tries: tuple[TriesKept, ...]
    #: Sent to a worker before; known only if there is a `queue_timeout`.
    dispatched: tuple[Span, ...]
    cancels: tuple[Span, ...]
    states: tuple[tuple[int, bytes], ...]
    succeeded: int
    failed: int
    cancelled: int
    delivered_bytes: int
    consumed_bytes: int
    unlimited: bool


@dataclass(frozen=True, slots=True)
class BlockArrived:
    job: int
    block: Block


@dataclass(frozen=True, slots=True)
class BlockRefused:
    """A block came for which there is no room, or that needs a `lost` datum: its tasks fail at once.

    `limit`: on queued work, if it is that.
    """

    job: int
    first: int
    count: int
    reason: str
    limit: str = ""
    lost: bytes = b""


@dataclass(frozen=True, slots=True)
class JobSealed:
    job: int
    total: int


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """`spans` None: the whole job, and it is closed. `spare_running`: what has started runs to its end."""

    job: int
    spans: tuple[Span, ...] | None
    spare_running: bool = False


@dataclass(frozen=True, slots=True)
class ResultsConsumed:
    job: int
    total_bytes: int
    unlimited: bool


@dataclass(frozen=True, slots=True)
class WatchRequested:
    """The client wants to know which tasks of the job are dispatched."""

    job: int


@dataclass(frozen=True, slots=True)
class ClientLagging:
    """Too much of what the client was sent is unread, or (`lags` False) no more."""

    client: int
    lags: bool


@dataclass(frozen=True, slots=True)
class JobLacksData:
    """Its tasks would wait for data that nobody has yet, in places that others can use; or (`lacks` False) no more."""

    job: int
    lacks: bool


@dataclass(frozen=True, slots=True)
class ClientLeft:
    client: int


@dataclass(frozen=True, slots=True)
class RunSucceeded:
    """Tasks [first, first + count) of a lease returned; `message` holds their results."""

    worker: int
    job: int
    lease: int
    first: int
    count: int
    seconds: float
    message: pb.Results


@dataclass(frozen=True, slots=True)
class TaskFailed:
    worker: int
    job: int
    lease: int
    index: int
    seconds: float
    message: pb.Failure


@dataclass(frozen=True, slots=True)
class TaskCrashed:
    worker: int
    job: int
    lease: int
    index: int
    attempt: int
    report: pb.CrashReport


@dataclass(frozen=True, slots=True)
class StateSaved:
    """A running task saved something for its next attempt."""

    worker: int
    job: int
    lease: int
    index: int
    attempt: int
    state: bytes


@dataclass(frozen=True, slots=True)
class SpansReturned:
    """A worker gave back what it had not started, or (then with `revoke` 0, unasked) what it has stopped."""

    worker: int
    revoke: int
    lease: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class LeasesHeld:
    """A worker that came back still holds these (lease, job, spans), unreported."""

    worker: int
    leases: tuple[tuple[int, int, tuple[Span, ...]], ...]


Event = (
    WorkerJoined
    | StoreJoined
    | WorkerLost
    | WorkerDraining
    | JobOpened
    | JobRecovered
    | BlockArrived
    | BlockRefused
    | JobSealed
    | CancelRequested
    | ResultsConsumed
    | WatchRequested
    | ClientLagging
    | JobLacksData
    | ClientLeft
    | RunSucceeded
    | TaskFailed
    | TaskCrashed
    | SpansReturned
    | StateSaved
    | LeasesHeld
)
