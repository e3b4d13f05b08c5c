"""What became of points that were to be evaluated: what workers say is checked, failures are put into words. Pure."""

from __future__ import annotations

import numpy as np

from manyhands.optimize.evaluating import Outcomes, unpack_outcomes
from manyhands.optimize.evaluations import Batch, Status
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


#: Compared with arrays, an enumeration's members take ten times as long.
_OK, _FAILED = int(Status.OK), int(Status.FAILED)


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
    try:
        return _checked(unpack_outcomes(payload), batch, objectives)
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _checked(outcomes: Outcomes, batch: Batch, objectives: int) -> Outcomes:
    k = len(batch.ids)
    if not np.array_equal(outcomes.ids, batch.ids):
        raise ValueError("it is about other points")
    status = np.asarray(outcomes.status)
    if status.shape != (k,) or not ((status == _OK) | (status == _FAILED)).all():
        raise ValueError("an unknown status")
    if outcomes.error is not None and not isinstance(outcomes.error, str):
        raise TypeError("an error that is no text")
    scores, violation, cost = (np.asarray(each, np.float64) for each in (outcomes.F, outcomes.V, outcomes.cost))
    if scores.shape != (k, objectives) or violation.shape[:1] != (k,) or violation.ndim > 2 or cost.shape != (k,):
        raise ValueError("scores, violations and costs of another shape")
    cost = np.where(cost > 0, np.minimum(cost, COST_MAX), 0.0)  # also what is not a number
    error = None if outcomes.error is None else outcomes.error[-ERROR_CHARACTERS:]
    return Outcomes(batch.ids, scores, violation, status, cost, error)


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
