"""A job as the connection sees it: where what the master says of its tasks goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from manyhands.client.gathering import Blob
from manyhands.client.options import Options
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import printable
from manyhands.wire.errors import TaskMemoryExceeded, TaskTimeout
from manyhands.wire.spans import RANGES_MAX, Span


class Keeper(Protocol):
    """Puts a job's results into a checkpoint. On the loop's thread, unless it says otherwise."""

    def know(self, blobs: Iterable[Blob]) -> None:
        """From any thread, before `expect`: definitions that tasks, and so perhaps results, refer to."""

    def expect(self, first: int, keys: bytes) -> None:
        """From any thread: keep the results of these tasks, which are about to be sent, the first with this index."""

    def wait_for_room(self) -> None:
        """From any thread but the loop's: wait while the file lags too far behind. Raises CheckpointError."""

    def keep_run(self, results: pb.Results) -> None:
        """These results have come, for the first time."""

    def keep(self, index: int, outcome: bytes) -> None:
        """Likewise, of one task."""

    def skip(self, lo: int, hi: int) -> None:
        """These tasks have ended without a result."""


class Job(ABC):
    """One call's tasks. Methods run on the loop's thread unless they say otherwise, and never run user code."""

    def __init__(self, number: int) -> None:
        self.number = number
        #: What its blocks refer to, by hash, for a master that asks again.
        self.blobs: dict[bytes, bytes] = {}
        #: Tasks posted to the loop's thread so far, counted by whoever posts them, before it does.
        self.posted = 0
        #: Tasks sent to the master, and those of them that have ended; the connection counts.
        self.opened = 0
        self.ended = 0

    @property
    def is_settled(self) -> bool:
        """Whether every task added so far has ended."""
        return self.ended == self.posted

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        return False

    @property
    def is_stalled(self) -> bool:
        """From any thread: whether so many results wait to be read that the master starts nothing more of it."""
        return False

    # Each counts with the connection what it ends, before it tells those who wait: they may ask for the statistics.

    @abstractmethod
    def on_results(self, message: pb.Results) -> None:
        """A run of results."""

    @abstractmethod
    def on_failure(self, message: pb.Failure) -> None:
        """One task failed for good."""

    @abstractmethod
    def on_cancelled(self, spans: Sequence[Span]) -> None:
        """These tasks were cancelled."""

    @abstractmethod
    def on_dispatched(self, spans: Sequence[Span]) -> None:
        """These tasks have been sent to workers; only for those who watch."""

    def on_new_master(self) -> None:  # noqa: B027 - most have nothing to do
        """The master may have been restarted: what it does not write down must be said again."""

    def on_report(self, message: pb.JobReport) -> None:  # noqa: B027 - for those who asked
        """How a detached job fares."""

    @abstractmethod
    def fail(self, cause: BaseException) -> None:
        """Nothing more will come: whatever is open ends with `cause`."""

    @abstractmethod
    def stop_intake(self) -> None:
        """From any thread: add no tasks from now on; what was added before has been posted when this returns."""

    @abstractmethod
    def cancel_open(self, *, spare_running: bool) -> None:
        """After `stop_intake`: ask the master to cancel what has not ended, or not even started."""

    @abstractmethod
    def give_up_open(self, *, spare_running: bool) -> None:
        """The same while there is no master to answer: what is not known to have started counts as cancelled here."""

    @abstractmethod
    def read_no_more(self) -> None:
        """From any thread: run to the end even if nobody comes to read the results."""


#: Results of this size stay where they are, with `keep_results`; and others are handed over by name on one host.
KEEP_BYTES, SHARE_BYTES = 64 << 10, 1 << 20


class JobDefinitions(NamedTuple):
    """What a job's options refer to: hashes, empty where there is none, and all that is needed to load them."""

    retry_on: bytes = b""
    context: bytes = b""
    blobs: tuple[Blob, ...] = ()

    @property
    def further(self) -> list[bytes]:
        """Hashes of what those two refer to."""
        return [hash for hash, _ in self.blobs if hash not in (self.retry_on, self.context)]


def open_job(
    number: int, options: Options, name: str, definitions: JobDefinitions, *, metered: bool, detach: bool = False
) -> pb.Body:
    """The message that begins a job."""
    return pb.Body(
        open_job=pb.OpenJob(
            job=number,
            name=options.name or printable(name),
            priority=options.priority,
            max_parallel=options.max_parallel or 0,
            retry=pb.Retry(
                retries=options.retries,
                delay=options.retry_delay,
                backoff=options.retry_backoff,
                delay_max=options.retry_delay_max,
                retry_on=definitions.retry_on,
                on_timeout=any(issubclass(TaskTimeout, each) for each in options.retry_on),
                on_memory=any(issubclass(TaskMemoryExceeded, each) for each in options.retry_on),
            ),
            metered=metered,
            timeout=options.timeout or 0.0,
            detach=detach,
            total_timeout=options.total_timeout or 0.0,
            queue_timeout=options.queue_timeout or 0.0,
            progress_timeout=options.progress_timeout or 0.0,
            memory_bytes=options.memory or 0,
            speculate=options.speculate,
            keep_bytes=KEEP_BYTES if options.keep_results else 0,
            # What a checkpoint or the journal keeps are the bytes themselves.
            share_bytes=0 if detach or options.checkpoint is not None else SHARE_BYTES,
            context=definitions.context,
            definitions=definitions.further,
        )
    )


def cancels(number: int, indices: Iterable[int], *, spare_running: bool = False) -> Iterator[pb.Body]:
    """The messages that cancel some tasks of a job, given in ascending order; or those of them that are pending."""
    spans: list[pb.Range] = []
    for index in indices:
        if spans and spans[-1].hi == index:
            spans[-1].hi = index + 1
            continue
        if len(spans) == RANGES_MAX:
            yield pb.Body(cancel=pb.Cancel(job=number, ranges=spans, spare_running=spare_running))
            spans = []
        spans.append(pb.Range(lo=index, hi=index + 1))
    if spans:
        yield pb.Body(cancel=pb.Cancel(job=number, ranges=spans, spare_running=spare_running))
