"""What whole peers say in a session: the next message of a client or of a worker, chosen by a seed."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Protocol

from tests.support.builders import packed

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import HASH_BYTES, end_at

#: An item of a block without a function: the call is in it.
ITEM = pickle.dumps((len, ("fuzz",), {}), 5)
#: No more jobs than this are open in a session, and no more tasks in a block.
JOBS, TASKS = 6, 4


class Player(Protocol):
    """One side of a session."""

    def next(self) -> pb.Body:
        """What it says now, should it be heard."""
        ...

    def heard(self, body: pb.Body) -> None:
        """What the master said."""
        ...


@dataclass(slots=True)
class _Job:
    number: int
    count: int = 0
    is_sealed: bool = False


class PlausibleClient:
    """Opens jobs and does everything with them that a client can."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._jobs: list[_Job] = []
        self._last = 0
        self._blobs: list[bytes] = []

    def next(self) -> pb.Body:
        rng = self._rng
        open_jobs = [job for job in self._jobs if not job.is_sealed]
        if not self._jobs or (len(self._jobs) < JOBS and rng.random() < 0.15):
            return self._open()
        if open_jobs and rng.random() < 0.55:
            job = rng.choice(open_jobs)
            if job.count and rng.random() < 0.2:
                job.is_sealed = True
                return pb.Body(seal_job=pb.SealJob(job=job.number, total=job.count))
            return self._block(job)
        job = rng.choice(self._jobs)
        kind = rng.choice(("cancel", "cancel all", "consumed", "watch", "attach", "leave", "define"))
        if kind == "cancel":
            return self._cancel(job)
        if kind == "cancel all":
            self._jobs.remove(job)
            return pb.Body(cancel=pb.Cancel(job=job.number))
        if kind == "consumed":
            consumed = pb.Consumed(job=job.number, bytes=rng.randrange(1000), unlimited=rng.random() < 0.2)
            return pb.Body(consumed=consumed)
        if kind == "watch":
            return pb.Body(watch=pb.Watch(job=job.number))
        if kind == "attach":
            self._last += 1
            name = f"nightly-{rng.randrange(4)}"
            return pb.Body(attach_job=pb.AttachJob(job=self._last, name=name, results=rng.randrange(3)))
        if kind == "leave":
            return pb.Body(leave_job=pb.LeaveJob(job=rng.randrange(1, self._last + 1)))
        return self._define()

    def heard(self, body: pb.Body) -> None:
        if body.HasField("job_rejected"):
            self._jobs = [job for job in self._jobs if job.number != body.job_rejected.job]

    def _open(self) -> pb.Body:
        rng = self._rng
        self._last += 1
        self._jobs.append(_Job(self._last))
        opening = pb.OpenJob(job=self._last, name=f"fuzz-{self._last}", priority=-rng.randrange(1, 4))
        if rng.random() < 0.5:
            opening.retry.retries, opening.retry.delay, opening.retry.backoff = rng.randrange(4), 0.01, 2.0
            opening.retry.delay_max = 0.05
        if rng.random() < 0.3:
            opening.metered = opening.speculate = True
            opening.total_timeout, opening.queue_timeout = 2.0, 1.0
            opening.timeout = opening.progress_timeout = 0.5
            opening.max_parallel, opening.memory_bytes = 2, 256 << 20
        if self._blobs and rng.random() < 0.2:
            opening.context = hash_of(rng.choice(self._blobs))
            opening.definitions.extend(hash_of(blob) for blob in self._blobs[:2])
        return pb.Body(open_job=opening)

    def _define(self) -> pb.Body:
        blob = self._rng.randbytes(12)
        self._blobs.append(blob)
        return pb.Body(define=pb.Define(hash=hash_of(blob), blob=blob))

    def _block(self, job: _Job) -> pb.Body:
        rng = self._rng
        count = rng.randrange(1, TASKS + 1)
        base = rng.choice((0, 0, 7))
        items = [ITEM if rng.random() < 0.9 else rng.randbytes(rng.randrange(6)) for _ in range(count)]
        ends, payload = packed(items, base)
        block = pb.Block(job=job.number, first=job.count, base=base, ends=ends, payload=payload, call=pb.CALL_APPLY)
        if self._blobs and rng.random() < 0.3:
            block.call, block.function = pb.CALL_ITEM, hash_of(rng.choice(self._blobs))
            block.definitions.extend(hash_of(blob) for blob in self._blobs[:2])
        job.count += count
        return pb.Body(block=block)

    def _cancel(self, job: _Job) -> pb.Body:
        rng = self._rng
        cancel = pb.Cancel(job=job.number, spare_running=rng.random() < 0.5)
        at = 0
        for _ in range(rng.randrange(1, 4)):
            lo = at + rng.randrange(2)
            at = lo + rng.randrange(1, 3)
            cancel.ranges.add(lo=lo, hi=at)
        return pb.Body(cancel=cancel)


@dataclass(slots=True)
class _Lease:
    job: int
    lease: int
    open: list[int] = field(default_factory=list)
    attempt: int = 0
    hashes: list[bytes] = field(default_factory=list)


class PlausibleWorker:
    """Reports of what it was sent; of work that nobody knows as long as it was sent nothing.

    job: the number of that.
    """

    def __init__(self, rng: Random, job: int = 1 << 50) -> None:
        self._rng = rng
        self._leases: dict[int, _Lease] = {}
        self._unknown = _Lease(job, 1 << 40, [0, 1, 2, 3])
        self._revokes: list[tuple[int, int, list[int]]] = []

    def next(self) -> pb.Body:
        rng = self._rng
        if self._revokes and rng.random() < 0.7:
            number, lease, indices = self._revokes.pop()
            known = self._leases.get(lease)
            given = [index for index in indices if known is not None and index in known.open]
            for index in given:
                known.open.remove(index)  # type: ignore[union-attr]
            return _returned(number, lease, given)
        held = rng.choice(list(self._leases.values())) if self._leases else self._unknown
        index = held.open[0] if held.open else 0
        kind = rng.choice(("results", "results", "failure", "failure", "crash", "returned", "state", "want", "rare"))
        if kind == "rare":
            if rng.random() < 0.1:
                return pb.Body(draining=pb.Draining())
            kind = "results"
        if kind == "state":
            saved = pb.SavedState(job=held.job, lease=held.lease, index=index, attempt=held.attempt, state=b"so far")
            return pb.Body(saved_state=saved)
        if kind == "want":
            hashes = dict.fromkeys([*held.hashes[:2], rng.randbytes(HASH_BYTES)])
            return pb.Body(want=pb.Want(hashes=list(hashes)))
        return self._report(kind, held, index)

    def _report(self, kind: str, held: _Lease, index: int) -> pb.Body:
        rng = self._rng
        if kind == "results":
            count = min(rng.randrange(1, 4), _run(held.open))
            self._drop(held, count)
            ends, payload = packed([rng.randbytes(rng.randrange(5)) for _ in range(count or 1)])
            return pb.Body(
                results=pb.Results(
                    job=held.job, lease=held.lease, first=index, ends=ends, payload=payload, seconds=rng.random() / 1000
                )
            )
        self._drop(held, 1)
        if kind == "returned":
            return _returned(0, held.lease, [index])
        if kind == "crash":
            report = pb.CrashReport(exit_code=-11, stderr_tail="Fatal\n", seconds=0.1)
            crash = pb.Crash(job=held.job, lease=held.lease, index=index, report=report, attempt=held.attempt)
            return pb.Body(crash=crash)
        failure = pb.Failure(
            job=held.job,
            lease=held.lease,
            index=index,
            kind=rng.choice((pb.Failure.KIND_EXCEPTION, pb.Failure.KIND_TIMED_OUT, pb.Failure.KIND_MEMORY_EXCEEDED)),
            payload=b"an exception",
            text="on w",
            retryable=rng.random() < 0.7,
            seconds=0.001,
            attempt=held.attempt,
            timeout=0.5,
            used_bytes=2,
            limit_bytes=1,
        )
        return pb.Body(failure=failure)

    def held(self) -> pb.Body:
        """What it says that it brings along from an earlier session."""
        ranges = [pb.Range(lo=0, hi=2), pb.Range(lo=3, hi=4)]
        return pb.Body(held=pb.Held(leases=[pb.HeldLease(lease=self._rng.randrange(1, 1 << 40), job=1, ranges=ranges)]))

    def _drop(self, held: _Lease, count: int) -> None:
        if held is not self._unknown:
            del held.open[:count]
            if not held.open:
                self._leases.pop(held.lease, None)

    def heard(self, body: pb.Body) -> None:
        if body.HasField("dispatch"):
            sent = body.dispatch
            held = self._leases.setdefault(sent.lease, _Lease(sent.job, sent.lease))
            for piece in sent.pieces:
                held.open += range(piece.first, piece.first + len(piece.ends) // 4)
                held.attempt = piece.attempt
                held.hashes += [piece.function] * bool(piece.function)
                assert end_at(piece.ends, len(piece.ends) // 4 - 1) - piece.base == len(piece.payload)
        elif body.HasField("revoke"):
            asked = [index for span in body.revoke.ranges for index in range(span.lo, min(span.hi, span.lo + 100))]
            self._revokes.append((body.revoke.revoke, body.revoke.lease, asked))


def hash_of(blob: bytes) -> bytes:
    return blake2b(blob, digest_size=HASH_BYTES).digest()


def _run(indices: list[int]) -> int:
    """How many of them, from the first on, follow each other."""
    return next((k for k in range(1, len(indices)) if indices[k] != indices[k - 1] + 1), len(indices))


def _returned(number: int, lease: int, indices: list[int]) -> pb.Body:
    returned = pb.Returned(revoke=number, lease=lease)
    for index in sorted(set(indices)):
        returned.ranges.add(lo=index, hi=index + 1)
    return pb.Body(returned=returned)
