"""Searches as the master understands them, by a client that knows no more than it has to."""

from __future__ import annotations

import concurrent.futures
import hashlib
import pickle
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from manyhands import Client
from manyhands.client.attached import HandOver, promise
from manyhands.client.connection import Connection
from manyhands.client.detached import DetachedJob
from manyhands.client.jobs import open_job
from manyhands.client.map_job import OrderedMapJob
from manyhands.optimize import packing
from manyhands.optimize.evaluating import Evaluator
from manyhands.optimize.evaluations import Rows
from manyhands.optimize.plan import Plan
from manyhands.optimize.space import Space
from manyhands.optimize.wire_results import Conclusion
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.preface import Preface


class Asked(Preface):
    """What comes back as the first result."""

    def whole(self, parts: Iterable[Any]) -> Told:
        return put_together(parts)

    def progress(self, packed: bytes) -> dict[str, Any]:
        return packing.unpack(packed)


#: Longer than any search of a test.
TIMEOUT = 60.0


class Told(NamedTuple):
    """All results of a search."""

    rows: Rows
    end: Conclusion

    @property
    def digest(self) -> str:
        """Of its history, but for what depends on time."""
        rows = self.rows
        return hashlib.sha256(b"".join(each.tobytes() for each in (rows.ids, rows.U, rows.F, rows.V))).hexdigest()


def told(payloads: Iterable[bytes]) -> Told:
    """What these pickles say."""
    return gathered(map(pickle.loads, payloads))


def gathered(results: Iterable[Any]) -> Told:
    """The same, of objects."""
    preface, *parts = results
    assert isinstance(preface, Asked)
    return preface.whole(parts)


def put_together(parts: Iterable[Any]) -> Told:
    """What comes after the preface."""
    *chunks, end = parts
    assert isinstance(end, Conclusion)
    return Told(Rows(*map(np.concatenate, zip(*[chunk.rows for chunk in chunks], strict=True))), end)


class SearchJob(OrderedMapJob):
    """`outcome`: its pickles, or a Failure; fails if nothing will come."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.outcome: concurrent.futures.Future[Any] = promise()
        self.reports: list[dict[str, Any]] = []
        self.payloads: dict[int, bytes] = {}

    @property
    def is_settled(self) -> bool:
        return self.outcome.done()

    is_over = is_settled

    def watch(self) -> None:
        self._connection.post(self, pb.Body(watch=pb.Watch(job=self.number)))

    def on_report(self, message: pb.JobReport) -> None:
        assert message.phases[0].name == "evaluate"
        self.reports.append(packing.unpack(message.search))

    def on_results(self, message: pb.Results) -> None:
        self.payloads[message.first] = message.payload
        last = max(self.payloads)
        is_whole = len(self.payloads) == last + 1
        if is_whole and isinstance(pickle.loads(self.payloads[last]), Conclusion):
            self.conclude([self.payloads[index] for index in range(last + 1)])

    def on_failure(self, message: pb.Failure) -> None:
        self.conclude(message)

    def conclude(self, outcome: object) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, cause: BaseException) -> None:
        super().fail(cause)
        if not self.outcome.done():
            self.outcome.set_exception(cause)

    def cancel_open(self, *, spare_running: bool) -> None:
        self._connection.cancel_job(self)
        self.fail(concurrent.futures.CancelledError())

    def stop_search(self, reason: str) -> None:
        self._connection.post(self, pb.Body(stop_search=pb.StopSearch(job=self.number, reason=reason)))

    def told(self) -> Told:
        """Its results, once it has ended."""
        outcome = self.outcome.result(TIMEOUT)
        assert isinstance(outcome, list), outcome
        return told(outcome)


def begin(
    client: Client, objective: Callable[..., Any], space: Space, plan: Plan, *, batch: bool = False, **search: Any
) -> SearchJob:
    """A search with the client's options."""
    job = SearchJob(client.session.connection)
    _open(client, job, Evaluator(objective, space, plan.objectives, batch), plan, detach=False, **search)
    job.seal()
    return job


def detach(client: Client, objective: Callable[..., Any], space: Space, plan: Plan, name: str) -> DetachedJob:
    """The same, which outlives the client."""
    job = HandOver(client.session.connection, name)
    _open(client, job, Evaluator(objective, space, plan.objectives), plan, detach=True, name=name)
    job.hand_over()
    job.handed_over.result(TIMEOUT)
    return client.job(name)


def _open(
    client: Client, job: OrderedMapJob, evaluator: Evaluator, plan: Plan, *, detach: bool, name: str = "", **search: Any
) -> None:
    session, options = client.session, client.named(name or None)
    hash, blobs = session.encoding._registry.define_with_blobs(evaluator)
    definitions = session.encoding.encode_options(options)
    opening = open_job(job.number, options, "search", definitions, metered=False, detach=detach)
    message = opening.open_job
    message.search.MergeFrom(pb.Search(plan=plan.pack(), evaluator=hash, preface=pickle.dumps(Asked()), **search))
    message.definitions.extend(other for other, _ in blobs if other != hash)
    session.connection.post_job(job, opening, (*definitions.blobs, *blobs))
