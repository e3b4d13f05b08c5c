"""Detached jobs: handed to the master whole, looked after from this process or another one, today or another day."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands.client.attached import Inquiry, begin_cancel, begin_hand_over, begin_results, inquiring
from manyhands.client.mapping import ResultIterator, results_of
from manyhands.client.options import Options
from manyhands.client.pairs import as_dict
from manyhands.client.session import Session
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.pair_chunks import Pairs
from manyhands.wire.preface import Preface

if TYPE_CHECKING:
    from manyhands.optimize.progress import Progress
    from manyhands.optimize.result import OptimizeResult

#: Seconds that the master may take to say how a job fares.
REPORT_TIMEOUT = 30.0


class Phase(NamedTuple):
    """Part of a reduction's work, in tasks; `total` may grow until all items have been sent."""

    name: str
    done: int
    total: int


class _Counts(NamedTuple):
    total: int
    succeeded: int
    failed: int
    #: Whether every task has its outcome.
    finished: bool


class JobProgress(_Counts):
    """How a job fares, in tasks; with a reduction, in results."""

    #: Of a reduction that goes on.
    phases: tuple[Phase, ...] = ()
    #: Of a search that goes on: see manyhands.optimize.
    search: Progress | None = None

    @property
    def done(self) -> int:
        """Tasks that have their outcome."""
        return self.succeeded + self.failed

    @classmethod
    def of(cls, report: pb.JobReport) -> JobProgress:
        """As the master says."""
        progress = cls(report.total, report.succeeded, report.failed, report.finished)
        progress.phases = phases_of(report)
        return progress


def phases_of(report: pb.JobReport) -> tuple[Phase, ...]:
    """What a report says of a reduction's phases."""
    return tuple([Phase(each.name, each.done, each.total) for each in report.phases])


class BestSoFar(NamedTuple):
    """Of a search."""

    params: dict[str, Any]
    score: float

    @classmethod
    def of(cls, found: Progress | OptimizeResult) -> BestSoFar | None:
        """None if there is none."""
        params, score = found.best_params, found.best_score
        return None if params is None or score is None else cls(params, score)


class DetachedJob:
    """A job at the master, by its name; it outlives every client. Made by `map(..., detach=True)` and `client.job`."""

    __manyhands_unsendable__ = "a DetachedJob cannot be sent to a task: pass its name, or its results"

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name
        self._preface: Any = None

    def progress(self) -> JobProgress:
        """How it fares now. Raises UnknownJob, and what ended the connection."""
        report = self._report()
        progress = JobProgress.of(report)
        if report.search:
            progress.search = self._read_preface().progress(report.search)
        return progress

    @property
    def best(self) -> BestSoFar | None:
        """Of a search: the best params and score so far; None if there are none yet. Raises ValueError for others."""
        progress = self.progress()
        found = progress.search
        if found is None:
            if not progress.finished or not isinstance(self._read_preface(), Preface):
                raise no_search(self.name)
            found = self.result()
        return BestSoFar.of(found)

    def _read_preface(self) -> Any:
        """Of a search: its first result."""
        if self._preface is None:
            results = self.results(REPORT_TIMEOUT)
            self._preface = next(results, None)
            results.close()
        return self._preface

    def wait(self, timeout: float | None = None) -> JobProgress:
        """Wait until every task has its outcome. Raises TimeoutError after `timeout` seconds, UnknownJob."""
        return JobProgress.of(self._ask(until=lambda report: report.finished, timeout=timeout))

    def results(self, timeout: float | None = None, *, return_exceptions: bool = False) -> ResultIterator[Any]:
        """Its results from the first on, in the order of the inputs, as they come; as often as one likes.

        Raises as `Client.map` does; nothing of that, and no iterator half read, cancels anything.
        """
        self._report()  # or an unknown name would only be told by the iterator
        reader = begin_results(self._session, self.name, return_exceptions=return_exceptions)
        deadline = None if timeout is None else time.monotonic() + timeout
        return results_of(self._session, reader, deadline, None)

    def result(self, timeout: float | None = None) -> Any:
        """That of a reduction or a search, or of any job that has a single one; as often as one likes.

        Raises what it raised, ValueError if the job has several results, UnknownJob, and TimeoutError after `timeout`
        seconds.
        """
        progress = self.progress()
        if not (progress.phases or progress.finished):
            check_single(self.name, progress)
        deadline = None if timeout is None else time.monotonic() + timeout
        if progress.search is not None:
            self.wait(timeout)  # until then nobody knows how many parts there are
        results = self.results(None if deadline is None else max(0.0, deadline - time.monotonic()))
        try:
            first = next(results, None)
            if isinstance(first, Pairs):
                return as_dict(itertools.chain((first,), results))
            if isinstance(first, Preface):
                return first.whole(results)
            check_single(self.name, progress)
            return first
        except TimeoutError:
            raise overdue(self.name, timeout) from None

    def cancel(self) -> None:
        """End it: what has not finished is cancelled, its results are dropped, its name is free. Raises UnknownJob."""
        with inquiring(self._session, self.name, until=lambda report: True) as inquiry:
            self._answer(inquiry, REPORT_TIMEOUT)
            try:
                begin_cancel(self._session, inquiry).result(REPORT_TIMEOUT)
            except TimeoutError:
                raise unconfirmed(self.name) from None

    def _report(self) -> pb.JobReport:
        return self._ask(until=lambda report: True, timeout=REPORT_TIMEOUT)

    def _ask(self, until: Callable[[pb.JobReport], bool], timeout: float | None) -> pb.JobReport:
        with inquiring(self._session, self.name, until) as inquiry:
            return self._answer(inquiry, timeout)

    def _answer(self, inquiry: Inquiry, timeout: float | None) -> pb.JobReport:
        try:
            report: pb.JobReport = inquiry.report.result(timeout)
        except TimeoutError:
            raise overdue(self.name, timeout) from None
        return report

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {self._session.connection.address}>"

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)


def check_single(name: str, progress: JobProgress) -> None:
    """Raises ValueError for a job that has no single result."""
    if progress.total != 1:
        raise ValueError(f"the job {name!r} has {progress.total} results: read them with results()")


def no_search(name: str) -> ValueError:
    """It has no best params."""
    return ValueError(f"the job {name!r} is no search")


def overdue(name: str, timeout: float | None) -> TimeoutError:
    """The answer has not come."""
    return TimeoutError(f"the job {name!r} has not ended after {timeout:g} s")


def unconfirmed(name: str) -> TimeoutError:
    """Nor has the confirmation of a cancel."""
    return TimeoutError(f"the master has not confirmed the end of {name!r} in {REPORT_TIMEOUT:g} s")


def detach_map(
    session: Session, options: Options, function: Callable[..., Any], iterables: tuple[Iterable[Any], ...]
) -> DetachedJob:
    """Send all inputs to the master, and return once it has them. Raises JobNameTaken, EncodeError, and whatever an
    iterable raises: there is no job then.
    """
    job, feeder = begin_hand_over(session, options, function, iterables)
    try:
        feeder.feed_all()
        if feeder.error is not None:
            raise feeder.error
        job.hand_over()
        job.handed_over.result()
    except BaseException:
        job.abandon(cancel=True)
        raise
    return DetachedJob(session, job.name)
