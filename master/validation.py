"""What a peer may say: every field of every message, checked where it comes in; pure.

What is refused here only a broken peer sends, or one that means harm: it ends that peer's session. What depends on a
race (a job that has closed since, a lease that is over) is not looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import HASH_BYTES, BlockError, check_block, check_offsets
from manyhands.wire.bounds import COUNT_MAX, SECONDS_MAX, name_fault
from manyhands.wire.data_id import ID_BYTES
from manyhands.wire.pull import FETCH_BYTES
from manyhands.wire.segments import PARTITIONS_MAX
from manyhands.wire.session import ProtocolError

#: Processes of one worker: what is lost with it is charged task by task.
SLOTS_MAX = 1 << 14

#: Characters of a text for people that is no name: what a slot wrote last, why a task could not run.
TEXT_LENGTH_MAX = 1 << 20

#: Characters of a token's secret.
SECRET_LENGTH_MAX = 4096

#: Versions that a hello may tell.
LIBRARIES_MAX = 32

_FAILURES = frozenset(
    (
        pb.Failure.KIND_EXCEPTION,
        pb.Failure.KIND_REJECTED,
        pb.Failure.KIND_DATA_LOST,
        pb.Failure.KIND_TIMED_OUT,
        pb.Failure.KIND_MEMORY_EXCEEDED,
    )
)


def check_hello(hello: pb.Hello) -> None:
    """The first words of a peer of whom nothing is known. Raises ProtocolError."""
    if hello.role not in (pb.ROLE_CLIENT, pb.ROLE_WORKER):
        raise ProtocolError(f"a peer is a worker or a client, and nothing with the number {hello.role}")
    if len(hello.session) != 16:
        raise ProtocolError(f"a session's name has 16 bytes, not {len(hello.session)}")
    if hello.role == pb.ROLE_WORKER and not 1 <= hello.slots <= SLOTS_MAX:
        raise ProtocolError(f"a worker has from 1 to {SLOTS_MAX} slots, not {hello.slots}")
    for what in ("package_version", "python_version", "name", "host"):
        _name(f"hello.{what}", getattr(hello, what))
    if len(hello.libraries) > LIBRARIES_MAX:
        raise ProtocolError(f"hello.libraries tells {len(hello.libraries)} versions, and {LIBRARIES_MAX} are allowed")
    for library, version in hello.libraries.items():
        _name("the name in hello.libraries", library)
        _name("the version in hello.libraries", version)
    _text("hello.secret", hello.secret, SECRET_LENGTH_MAX)


def check(kind: str, body: pb.Body) -> None:
    """Anything that a welcomed peer says. Raises ProtocolError."""
    checked = _CHECKS.get(kind)
    if checked is not None:
        checked(getattr(body, kind))


# ------------------------------------------------------------ from clients


def _define(message: pb.Define) -> None:
    _hashes("define.hash", (message.hash,))


def _open_job(message: pb.OpenJob) -> None:
    _count("open_job.job", message.job)
    _name("open_job.name", message.name)
    for limit in ("timeout", "total_timeout", "queue_timeout", "progress_timeout"):
        _seconds(f"open_job.{limit}", getattr(message, limit))
    retry = message.retry
    _seconds("retry.delay", retry.delay)
    _seconds("retry.delay_max", retry.delay_max)
    if not 0.0 <= retry.backoff < float("inf"):
        raise ProtocolError(f"retry.backoff is a finite factor, not {retry.backoff}")
    if retry.retry_on:
        _hashes("retry.retry_on", (retry.retry_on,))
    if message.HasField("reduction"):
        _reduction(message)
    if message.HasField("search"):
        _search(message)
    if message.context:
        _hashes("open_job.context", (message.context,))
    _hashes("open_job.definitions", message.definitions)


def _reduction(message: pb.OpenJob) -> None:
    reduction = message.reduction
    if reduction.kind not in (pb.Reduction.KIND_TREE, pb.Reduction.KIND_BY_KEY):
        raise ProtocolError(f"open_job.reduction.kind is unknown: {reduction.kind}")
    if reduction.kind == pb.Reduction.KIND_BY_KEY and not 1 <= reduction.partitions <= PARTITIONS_MAX:
        raise ProtocolError(f"a reduction has from 1 to {PARTITIONS_MAX} partitions, not {reduction.partitions}")
    if message.metered:
        raise ProtocolError("a reduction has no results that pile up: it is not metered")
    _hashes("reduction.functions", (reduction.functions,))


def _search(message: pb.OpenJob) -> None:
    """But for its plan, which is looked at when all that it needs is here."""
    if message.HasField("reduction"):
        raise ProtocolError("a job is a reduction or a search, and not both")
    if message.metered:
        raise ProtocolError("a search's results are told as they come: it is not metered")
    _hashes("search.evaluator", (message.search.evaluator,))
    _seconds("search.time_limit", message.search.time_limit)


def _stop_search(message: pb.StopSearch) -> None:
    _count("stop_search.job", message.job)
    _name("stop_search.reason", message.reason)


def _block(message: pb.Block) -> None:
    _count("block.job", message.job)
    try:
        check_block(message)
    except BlockError as error:
        raise ProtocolError(str(error)) from None
    _indices("block", message.first, len(message.ends) // 4)
    _needs("block.data", message.data)


def _seal_job(message: pb.SealJob) -> None:
    _count("seal_job.job", message.job)
    _count("seal_job.total", message.total)


def _cancel(message: pb.Cancel) -> None:
    _count("cancel.job", message.job)
    _ranges("cancel", message.ranges)


def _consumed(message: pb.Consumed) -> None:
    _count("consumed.job", message.job)
    _count("consumed.bytes", message.bytes)


def _attach_job(message: pb.AttachJob) -> None:
    _count("attach_job.job", message.job)
    _name("attach_job.name", message.name)
    if message.results not in pb.AttachJob.Results.values():
        raise ProtocolError(f"attach_job.results is unknown: {message.results}")


def _put_data(message: pb.PutData) -> None:
    _id("put_data.id", message.id)
    _count("put_data.size", message.size)
    if message.content and len(message.content) != message.size:
        raise ProtocolError(f"put_data says that it has {message.size} bytes, and brings {len(message.content)}")


def _ids(what: str) -> Callable[[Any], None]:
    """For messages that say nothing but which data they mean."""

    def check_ids(message: Any) -> None:
        for each in message.ids:
            _id(f"{what}.ids", each)

    return check_ids


# ------------------------------------------------------------ from both


def _join_store(message: pb.JoinStore) -> None:
    if not message.store:
        raise ProtocolError("join_store.store is empty, and so names no store")
    _name("join_store.store", message.store)
    _name("join_store.address", message.address)
    _ids("join_store")(message)
    if len(message.certificate) not in {0, 32}:
        raise ProtocolError(f"join_store.certificate is a SHA-256, of 32 bytes, not {len(message.certificate)}")


def _fetch(message: pb.Fetch) -> None:
    _id("fetch.id", message.id)
    _count("the end of fetch", message.offset + message.length)
    if not 0 < message.length <= FETCH_BYTES:
        raise ProtocolError(f"fetch.length is {message.length}, and must lie between 1 and {FETCH_BYTES}")


def _part(message: pb.Part) -> None:
    _id("part.id", message.id)
    _count("the end of part", message.offset + len(message.data))
    if len(message.data) > FETCH_BYTES:
        raise ProtocolError(f"part has {len(message.data)} bytes, and nobody asked for more than {FETCH_BYTES}")


# ------------------------------------------------------------ from workers


def _needs(what: str, needs: Iterable[pb.DataNeed]) -> None:
    for each in needs:
        _id(f"{what}.id", each.id)
        _count(f"the end of {what}", each.offset + each.length)


def _stored(message: pb.Results) -> None:
    last = message.first - 1
    for each in message.stored:
        if not last < each.index < message.first + len(message.ends) // 4:
            raise ProtocolError(f"results.stored speaks of task {each.index}, behind {last}")
        last = each.index
        _id("results.stored.id", each.id)
        _count("results.stored.size", each.size)


def _results(message: pb.Results) -> None:
    ends = message.ends
    try:
        check_offsets(message.base, ends, len(message.payload))
    except BlockError as error:
        raise ProtocolError(f"results of tasks from {message.first} on: {error}") from None
    _indices("results", message.first, len(ends) // 4)
    _seconds("results.seconds", message.seconds)
    if message.stored:
        _stored(message)


def _failure(message: pb.Failure) -> None:
    _indices("failure", message.index, 1)
    if message.kind not in _FAILURES:
        raise ProtocolError(f"a worker does not tell failures of kind {message.kind}")
    if message.end or message.crashes:
        raise ProtocolError("failure.end and failure.crashes are not for a worker to tell")
    if message.kind == pb.Failure.KIND_DATA_LOST:
        _id("failure.data", message.data)
    _seconds("failure.seconds", message.seconds)
    _seconds("failure.timeout", message.timeout)
    for what in ("text", "limit", "progress"):
        _text(f"failure.{what}", getattr(message, what))


def _crash(message: pb.Crash) -> None:
    _indices("crash", message.index, 1)
    report = message.report
    _seconds("crash.report.seconds", report.seconds)
    if report.worker_lost:
        raise ProtocolError("crash.report.worker_lost is not for a worker to tell")
    for what in ("stderr_tail", "reason", "memory"):
        _text(f"crash.report.{what}", getattr(report, what))


def _returned(message: pb.Returned) -> None:
    _ranges("returned", message.ranges)


def _held(message: pb.Held) -> None:
    if len({held.lease for held in message.leases}) != len(message.leases):
        raise ProtocolError("held names a lease twice")
    for held in message.leases:
        _ranges("held", held.ranges)


def _saved_state(message: pb.SavedState) -> None:
    _indices("saved_state", message.index, 1)


def _want(message: pb.Want) -> None:
    _hashes("want.hashes", message.hashes)
    if len(set(message.hashes)) != len(message.hashes):
        raise ProtocolError("want.hashes has one twice")


# ------------------------------------------------------------ fields


def _count(what: str, value: int) -> None:
    if value > COUNT_MAX:
        raise ProtocolError(f"{what} is {value}, and at most {COUNT_MAX} can be")


def _indices(what: str, first: int, count: int) -> None:
    if first + count > COUNT_MAX:
        raise ProtocolError(f"{what} speaks of task {first + count - 1}, and no job has more than {COUNT_MAX}")


def _seconds(what: str, value: float) -> None:
    if not 0.0 <= value <= SECONDS_MAX:
        raise ProtocolError(f"{what} is {value}, and must lie between 0 and {SECONDS_MAX:g} seconds")


def _ranges(what: str, ranges: Iterable[pb.Range]) -> None:
    """Ascending, none empty, none of them in another."""
    last = 0
    for each in ranges:
        if not last <= each.lo < each.hi:
            raise ProtocolError(f"{what}.ranges are not in order: [{each.lo}, {each.hi}) behind {last}")
        last = each.hi
    _count(f"the end of {what}.ranges", last)


def _hashes(what: str, hashes: Sequence[bytes]) -> None:
    for each in hashes:
        if len(each) != HASH_BYTES:
            raise ProtocolError(f"{what}: a definition's hash has {HASH_BYTES} bytes, not {len(each)}")


def _id(what: str, id: bytes) -> None:
    if len(id) != ID_BYTES:
        raise ProtocolError(f"{what}: the name of a datum has {ID_BYTES} bytes, not {len(id)}")


def _name(what: str, name: str) -> None:
    fault = name_fault(name)
    if fault is not None:
        raise ProtocolError(f"{what} {fault}")


def _text(what: str, text: str, length_max: int = TEXT_LENGTH_MAX) -> None:
    if len(text) > length_max:
        raise ProtocolError(f"{what} has {len(text)} characters, and at most {length_max} are allowed")


def _job(what: str) -> Callable[[Any], None]:
    """For messages that say nothing but which job they mean."""
    return lambda message: _count(f"{what}.job", message.job)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "results": _results,
    "block": _block,
    "failure": _failure,
    "crash": _crash,
    "returned": _returned,
    "saved_state": _saved_state,
    "held": _held,
    "want": _want,
    "define": _define,
    "open_job": _open_job,
    "seal_job": _seal_job,
    "cancel": _cancel,
    "consumed": _consumed,
    "attach_job": _attach_job,
    "leave_job": _job("leave_job"),
    "watch": _job("watch"),
    "stop_search": _stop_search,
    "join_store": _join_store,
    "fetch": _fetch,
    "part": _part,
    "put_data": _put_data,
    "release_data": _ids("release_data"),
    "await_data": _ids("await_data"),
    "locate": lambda message: _needs("locate.needs", message.needs),
    "data_here": lambda message: _needs("data_here.needs", message.needs),
    "source_failed": lambda message: _needs("source_failed.need", (message.need,)),
}
