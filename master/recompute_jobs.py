"""Lost data are computed again by jobs of the master's own, of one task each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from manyhands.master import events as ev
from manyhands.master.data import Datum
from manyhands.master.data_keeper import DataKeeper
from manyhands.master.definitions import HeldBlock
from manyhands.master.peers import Peer
from manyhands.master.recipes import Recipe
from manyhands.master.recomputing import Recomputing
from manyhands.master.records import JobRecord
from manyhands.protos import manyhands_pb2 as pb

log = logging.getLogger("manyhands.master")

_CAUSES = {
    pb.Failure.KIND_EXCEPTION: "raised an exception this time",
    pb.Failure.KIND_CRASHED: "killed its process each time",
    pb.Failure.KIND_TIMED_OUT: "took longer than its job allows",
    pb.Failure.KIND_MEMORY_EXCEEDED: "used more memory than its job allows",
}


class RecomputeJobs:
    """`records` as in Delivery; `handle` has the scheduler take in an event; `numbers` for new jobs."""

    def __init__(
        self,
        records: dict[int, JobRecord],
        handle: Callable[[ev.Event], None],
        data: DataKeeper,
        numbers: Iterator[int],
    ) -> None:
        self._records = records
        self._handle = handle
        self._data = data
        self._numbers = numbers
        self._loop = asyncio.get_running_loop()
        data.recomputing = Recomputing(data.registry.get, data.revive, self._start, self._stop, data.lose_for_good)

    def _start(self, recipe: Recipe, inputs: tuple[Datum, ...]) -> int:
        """It has the index that it had, and all limits begin anew. To the scheduler it is nobody's but its own."""
        job = next(self._numbers)
        log.info("the datum %s is computed again, as job %d", recipe.id.hex(), job)
        self._records[job] = JobRecord(None, 0, held=recipe.held, recomputes=recipe.id)
        block = HeldBlock.of(recipe.block, recipe.block.held, inputs)
        options = replace(recipe.options, name=f"{recipe.options.name} (again)".lstrip(), metered=False)
        self._handle(
            ev.JobRecovered(
                job=job,
                client=-job,
                options=options,
                sealed_at=block.end,
                blocks=(block,),
                ages=(0.0,),
                done=((0, block.first),) if block.first else (),
                tries=(),
                dispatched=(),
                cancels=(),
                states=(),
                succeeded=block.first,
                failed=0,
                cancelled=0,
                delivered_bytes=0,
                consumed_bytes=0,
                unlimited=True,
            )
        )
        return job

    def _stop(self, job: int) -> None:
        """Soon: it may be the scheduler that lets go of the last one who needs the datum."""
        self._loop.call_soon(self._handle, ev.CancelRequested(job, None))

    # ------------------------------------------------------------ outcomes

    def succeeded(self, job: int, id: bytes, worker: Peer, message: pb.Results) -> None:
        """The task has run."""
        stored = next((each for each in message.stored if each.id == id), None)
        datum = self._data.registry.get(id)
        if datum is None:
            self._data.forget(worker, message.stored)
        elif stored is None:
            self._data.recomputing.failed(job, id, f"has run, but {worker} keeps no data: see its log")
        elif stored.size != datum.size:
            self._data.forget(worker, message.stored)
            cause = f"has made {stored.size} bytes this time, not {datum.size}: does it always return the same?"
            self._data.recomputing.failed(job, id, cause)
        else:
            self._data.recomputing.computed(job, id)
            self._data.is_with(worker, datum)

    def failed(self, job: int, id: bytes, message: pb.Failure) -> None:
        """It has come to nothing."""
        text = f": {message.text}" if message.text else ""
        self._data.recomputing.failed(job, id, _CAUSES.get(message.kind, "could not run") + text)
