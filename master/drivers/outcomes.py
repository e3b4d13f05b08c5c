"""What became of points that were to be evaluated: what workers say is checked, failures are put into words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manyhands.optimize.evaluations import Batch, Outcomes, Status
from manyhands.optimize.task_format import unpack_outcomes
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.search_tasks import TEXT

#: Of what an evaluation failed with so many characters are told.
ERROR_CHARACTERS = 4000
#: Seconds, more than any evaluation takes: what is told beyond that is no time.
COST_MAX = 1e9

_STATUS = {
    pb.Failure.KIND_EXCEPTION: Status.FAILED,
    pb.Failure.KIND_CRASHED: Status.CRASHED,
    pb.Failure.KIND_MEMORY_EXCEEDED: Status.CRASHED,
    pb.Failure.KIND_TIMED_OUT: Status.TIMED_OUT,
}


#: What a worker may say of a point that it evaluated.
_MAY_BE = np.array([status in (Status.OK, Status.FAILED) for status in range(256)])


def status_of(failure: pb.Failure) -> Status | None:
    """What a task's failure says of its points; None: it is about the evaluator, or the cluster."""
    if failure.kind == pb.Failure.KIND_EXCEPTION and not failure.payload.startswith(TEXT):
        return None
    return None if failure.limit == "queue_timeout" else _STATUS.get(failure.kind)


def one_of(batch: Batch, at: int) -> Batch:
    """One of its points."""
    this = slice(at, at + 1)
    return Batch(batch.ids[this], batch.U[this], batch.seeds[this], batch.generation[this])


def outcomes_of(payload: bytes, batch: Batch, objectives: int) -> Outcomes:
    """What a worker says of these points. Raises ValueError if it is not about them."""
    ids, scores, violation, status, cost, error = unpack_outcomes(payload)
    if ids.tobytes() != batch.ids.tobytes():
        raise ValueError("it is about other points")
    if scores.shape[1] != objectives:
        raise ValueError(f"{scores.shape[1]} scores a point, where there are {objectives} objectives")
    if not _MAY_BE[status].all():
        raise ValueError("an unknown status")
    cost = np.where(cost > 0, np.minimum(cost, COST_MAX), 0.0)  # also what is not a number
    return Outcomes(batch.ids, scores, violation, status, cost, None if error is None else error[-ERROR_CHARACTERS:])


def joined(several: Sequence[Outcomes]) -> Outcomes:
    """One after the other; the error is the first one's that has one. Raises ValueError if they do not fit together."""
    if len(several) == 1:
        return several[0]
    error = next((each.error for each in several if each.error is not None), None)
    columns = zip(*(each[:5] for each in several), strict=True)
    ids, scores, violation, status, cost = map(np.concatenate, columns)
    return Outcomes(ids, scores, violation, status, cost, error)


def text_of(failure: pb.Failure) -> str:
    """What became of an evaluation, for people."""
    if failure.kind == pb.Failure.KIND_EXCEPTION:
        return failure.payload[len(TEXT) :].decode(errors="replace")[-ERROR_CHARACTERS:]
    if failure.kind == pb.Failure.KIND_CRASHED:
        return "\n".join(map(_crash_text, failure.crashes))[-ERROR_CHARACTERS:]
    if failure.kind == pb.Failure.KIND_TIMED_OUT:
        limit = failure.limit or "timeout"
        return f"it exceeded {limit}, {failure.timeout:g} s. {failure.text}".rstrip()[-ERROR_CHARACTERS:]
    used, most = failure.used_bytes, failure.limit_bytes
    return f"it used {used} bytes of memory, and {most} are allowed. {failure.text}".rstrip()[-ERROR_CHARACTERS:]


def _crash_text(report: pb.CrashReport) -> str:
    """One of the times that it took its process down."""
    if report.worker_lost:
        how = f"its worker was lost: {report.reason}"
    elif report.exit_code < 0:
        how = f"its process was killed by signal {-report.exit_code}"
    else:
        how = f"its process ended with exit code {report.exit_code}"
    more = "; ".join(filter(None, (report.memory, report.stderr_tail.strip())))
    return f"{how}, on {report.worker}" + (f": {more}" if more else "")
