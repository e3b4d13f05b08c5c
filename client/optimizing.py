"""optimize: sends a plan and an evaluator to the master, and makes a result of the history and the end it tells."""

from __future__ import annotations

import concurrent.futures
import queue
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import cloudpickle

from manyhands.client.attached import HandOver, name_to_detach
from manyhands.client.connection import Connection
from manyhands.client.detached import DetachedJob
from manyhands.client.encoding import items_of
from manyhands.client.futures import Outcome
from manyhands.client.jobs import open_job
from manyhands.client.map_job import MapJob
from manyhands.client.options import Options
from manyhands.client.reducing import SHOW_INTERVAL, ReductionJob
from manyhands.client.search_progress import SearchBar
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.function_name import name_of
from manyhands.wire.spans import Span

if TYPE_CHECKING:
    from manyhands.optimize.progress import Progress
    from manyhands.optimize.request import Request
    from manyhands.optimize.result import OptimizeResult

#: Called with how far the search is; True ends it.
Callback = Callable[["Progress"], Any]


class SearchJob(ReductionJob):
    """Nothing is sent after it was begun; what the master tells is read by who waits for it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        #: Results, in order; and what ends it early.
        self.arrived: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._results_told = 0
        #: Results that have come before those ahead of them.
        self._early: dict[int, Outcome] = {}
        #: How it fares, if it is watched: packed, see JobReport.
        self.report = b""

    @property
    def is_settled(self) -> bool:
        """See Job: it has no tasks, but an end."""
        return self.outcome.done()

    @property
    def is_over(self) -> bool:
        """See Job."""
        return self.outcome.done()

    def on_results(self, message: pb.Results) -> None:
        """See Job. A small one may overtake large ones, and a restarted master may tell them again."""
        if message.first >= self._results_told:
            self._early[message.first] = items_of(message)[0]
        while (item := self._early.pop(self._results_told, None)) is not None:
            self._results_told += 1
            self.arrived.put(item)

    def on_report(self, message: pb.JobReport) -> None:
        """See Job."""
        self.report = message.search

    def on_cancelled(self, spans: Sequence[Span]) -> None:
        """See Job."""
        self._conclude(concurrent.futures.CancelledError())

    def fail(self, cause: BaseException) -> None:
        """See Job."""
        is_news = not self.outcome.done()
        super().fail(cause)
        if is_news:
            self.arrived.put(cause)

    def end(self) -> None:
        """From any thread: its conclusion has been read."""
        self._connection.background.post(lambda: super(SearchJob, self)._conclude(b""))

    def _abandon(self, cancel: bool) -> None:
        super()._abandon(cancel)
        self._conclude(concurrent.futures.CancelledError())  # another thread may wait for it

    def _conclude(self, outcome: Outcome, seconds: float = 0.0) -> None:
        if not self.outcome.done():
            super()._conclude(outcome, seconds)
            self.arrived.put(outcome)

    def stop(self, reason: str) -> None:
        """From any thread: let it end with what it has."""
        self._connection.post(self, pb.Body(stop_search=pb.StopSearch(job=self.number, reason=reason)))


def check(options: Options) -> None:
    """Raises ValueError for options that mean nothing to a search."""
    if options.checkpoint is not None:
        raise ValueError("a search has a journal of its own, with detach=True: call it without checkpoint=")
    if options.keep_results:
        raise ValueError("scores are told to the master, which decides by them: call it without keep_results=")


def begin(session: Session, options: Options, what: Request, job: MapJob, *, detach: bool = False) -> None:
    """Open the job. Raises as `check` does, and EncodeError."""
    check(options)
    connection, encoding = session.connection, session.encoding
    connection.check_open()
    target = encoding.whole(what.evaluator, pb.CALL_EVALUATE)
    definitions = encoding.encode_options(options)
    opening = open_job(
        job.number, options, name_of(what.evaluator.objective), definitions, metered=False, detach=detach
    )
    message = opening.open_job
    message.search.plan = what.plan.pack()
    message.search.evaluator = target.function
    message.search.time_limit = what.time_limit or 0.0
    message.search.preface = cloudpickle.dumps(what.asked)
    message.definitions.extend(hash for hash, _ in target.blobs if hash != target.function)
    message.keep_bytes = message.share_bytes = 0
    connection.post_job(job, opening, (*definitions.blobs, *target.blobs))


def run(
    session: Session, options: Options, what: Request, job: SearchJob, callback: Callback | None, bar: SearchBar | None
) -> OptimizeResult:
    """The result. Raises TooManyFailures, and what ended it early, which also cancels the rest."""
    from manyhands.optimize.recording import Recording, progress, read_progress
    from manyhands.optimize.wire_results import Conclusion, HistoryChunk

    try:
        with Recording(what.asked) as recording:
            begin(session, options, what, job)
            job.seal()
            watches = callback is not None or bar is not None
            if watches:
                session.connection.background.post(job.watch)
            seen = b""
            while True:
                try:
                    outcome = job.arrived.get(timeout=SHOW_INTERVAL if watches else None)
                except queue.Empty:
                    outcome = b""
                if job.report != seen:
                    seen = job.report
                    show(read_progress(what.asked, seen), job, callback, bar)
                if outcome == b"":
                    continue
                told, error = session.encoding.decode_outcome(outcome)
                if error is not None:
                    raise error
                if isinstance(told, HistoryChunk):
                    recording.add(told.rows)
                elif isinstance(told, Conclusion):
                    job.end()
                    end = progress(what.asked, told.counts, told.best, told.elapsed, told.slots)
                    show(end, job, callback, bar)
                    advise(what, told.slots)
                    return recording.result(told)
    except BaseException:
        job.abandon(cancel=True)
        raise
    finally:
        if bar is not None:
            bar.close()


def advise(what: Request, slots: float) -> None:
    """Warn who had more slots than evaluations: how many are out cannot follow the cluster, or results would, too."""
    from manyhands.optimize.plan import WINDOW

    plan = what.plan
    window = plan.window or WINDOW
    if plan.mode == "windowed" and slots > window and "population" not in plan.settings:
        warnings.warn(
            f"{slots:.0f} slots, and about {window} evaluations were out at a time: window={2 * round(slots)} keeps "
            'all slots busy, and so does mode="async"',
            stacklevel=4,
        )


def show(progress: Progress, job: SearchJob, callback: Callback | None, bar: SearchBar | None) -> None:
    """Tell who wants to know, and may have enough."""
    if bar is not None:
        bar.show(progress)
    if callback is not None and callback(progress) is True:
        job.stop("stopped")


def detach(session: Session, options: Options, what: Request) -> DetachedJob:
    """Return once the master has it. Raises JobNameTaken, and as `begin` does: there is no job then."""
    job = HandOver(session.connection, name_to_detach(options))
    try:
        begin(session, options, what, job, detach=True)
        job.hand_over()
        job.handed_over.result()
    except BaseException:
        job.abandon(cancel=True)
        raise
    return DetachedJob(session, job.name)
