"""What a master sends to a client, handed to whom it concerns."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from manyhands.client.jobs import Job
from manyhands.client.room import WAY_OUT
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import ClusterError, JobNameTaken, MasterFull, SessionLost, UnknownJob

if TYPE_CHECKING:
    from manyhands.client.connection import Connection
    from manyhands.client.data import Data

logger = logging.getLogger("manyhands.client")


class Incoming:
    """Belongs to the loop's thread. `jobs` by number."""

    def __init__(self, connection: Connection, jobs: Mapping[int, Job]) -> None:
        self._connection = connection
        self._jobs = jobs
        self._trouble = ""
        #: Told of definitions that the master sends unasked: those of other clients' jobs.
        self.learn: Callable[[bytes, bytes], None] = lambda _hash, _blob: None
        self._of_jobs: dict[str, Callable[[Job, pb.Body], None]] = {
            "failure": lambda job, body: _fail(job, body.failure),
            "cancelled": lambda job, body: job.on_cancelled([(each.lo, each.hi) for each in body.cancelled.ranges]),
            "dispatched": lambda job, body: job.on_dispatched([(each.lo, each.hi) for each in body.dispatched.ranges]),
            "job_rejected": lambda job, body: connection.fail_job(job, _rejection(body.job_rejected)),
            "job_report": lambda job, body: job.on_report(body.job_report),
        }
        self._of_data: dict[str, Callable[[Data, pb.Body], None]] = {
            "fetch": lambda data, body: data.on_fetch(body.fetch),
            "part": lambda data, body: data.bringing.on_part(body.part),
            "data_state": lambda data, body: data.bringing.on_state(body.data_state),
            "forget": lambda data, body: data.on_forget(body.forget),
        }
        self._of_nobody: dict[str, Callable[[pb.Body], None]] = {
            "cluster": lambda body: self._on_cluster(body.cluster),
            "want": lambda body: connection.define_again(body.want.hashes),
            "define": lambda body: self.learn(body.define.hash, body.define.blob),
        }

    def received(self, bodies: Sequence[pb.Body]) -> None:
        """In order."""
        for body in bodies:
            kind = body.WhichOneof("kind")
            if kind == "results":
                message = body.results
                job = self._jobs.get(message.job)
                if job is not None:
                    job.on_results(message)
                elif message.stored and self._connection.data is not None:
                    self._connection.data.adopt(message, {})  # and let go at once: the master has us hold them
            elif kind in self._of_jobs:
                job = self._jobs.get(getattr(body, kind).job)
                if job is not None:
                    self._of_jobs[kind](job, body)
            elif kind in self._of_data:
                if self._connection.data is not None:
                    self._of_data[kind](self._connection.data, body)
            elif kind in self._of_nobody:
                self._of_nobody[kind](body)
            # Anything else is from a later version that knows what it may expect of us.

    def _on_cluster(self, message: pb.Cluster) -> None:
        connection = self._connection
        connection.cluster.update(message.workers, message.slots)
        if message.trouble and not self._trouble:
            logger.warning("the master at %s takes no new work: %s", connection.address, message.trouble)
        elif self._trouble and not message.trouble:
            logger.warning("the master at %s takes new work again", connection.address)
        self._trouble = message.trouble
        connection.room.master_is_short(message.short_of_room)
        connection.ready.set()


def _rejection(message: pb.JobRejected) -> BaseException:
    match message.code:
        case pb.JobRejected.CODE_NAME_TAKEN:
            return JobNameTaken(message.sentence)
        case pb.JobRejected.CODE_UNKNOWN_NAME:
            return UnknownJob(message.sentence)
        case pb.JobRejected.CODE_NO_JOURNAL:
            return ClusterError(message.sentence)
        case pb.JobRejected.CODE_NO_SEARCH:
            return ClusterError(message.sentence)
        case pb.JobRejected.CODE_FULL:
            return MasterFull(message.sentence, WAY_OUT)
        case pb.JobRejected.CODE_CANCELLED:
            return concurrent.futures.CancelledError(message.sentence)
        case _:
            return SessionLost(f"the master rejected the job: {message.sentence}")


def _fail(job: Job, failure: pb.Failure) -> None:
    """A failure may be that of many tasks."""
    if not failure.end:
        job.on_failure(failure)
    for index in range(failure.index, failure.end):
        one = pb.Failure()
        one.CopyFrom(failure)
        one.index, one.end = index, 0
        job.on_failure(one)
