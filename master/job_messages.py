"""What clients' messages about their jobs say, in the master's terms; pure."""

from __future__ import annotations

from manyhands.master.journal_batch import Mark
from manyhands.master.limits import BLOCK_OVERHEAD
from manyhands.master.records import JobRecord
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.spans import Span


def size_of(block: pb.Block) -> int:
    """What a block counts for."""
    return len(block.payload) + len(block.ends) + BLOCK_OVERHEAD


def mark_of(cancel: pb.Cancel) -> Mark:
    return "cancel unless running" if cancel.spare_running else "cancel"


def owner_of(job: int, record: JobRecord) -> int:
    """Whose the job is to the scheduler: of two clients with work each gets half. A detached job is a client alone."""
    return -job if record.detached or record.client is None else record.client.number


def needed_by(body: pb.Body) -> tuple[bytes, ...]:
    """The definitions without which a message cannot be dealt with."""
    if body.HasField("block"):
        block = body.block
        own = (block.function,) if block.function else ()
        return (*own, *block.definitions)
    if body.HasField("open_job"):
        opening = body.open_job
        functions = opening.reduction.functions, opening.search.evaluator
        hashes = (opening.retry.retry_on, opening.context, *functions, *opening.definitions)
        return tuple(hash for hash in hashes if hash)
    return ()


def spans_of(message: pb.Cancel) -> tuple[Span, ...] | None:
    """What to cancel; None: the whole job."""
    return tuple((span.lo, span.hi) for span in message.ranges) or None
