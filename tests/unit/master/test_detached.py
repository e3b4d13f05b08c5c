"""Detached jobs: how long their results are kept."""

from __future__ import annotations

import asyncio

from tests.unit.master.test_journal import Disk

from manyhands.master.config import MasterConfig
from manyhands.master.detached import Detached
from manyhands.master.journal import Journal
from manyhands.protos import manyhands_pb2 as pb


def test_results_are_kept_for_a_week_after_the_jobs_end() -> None:
    async def story() -> None:
        disk = Disk()
        journal = Journal(disk, on_broken=print)
        detached = Detached(journal, MasterConfig().result_timeout)
        for job, name in ((1, "ended"), (2, "open")):
            journal.opened(job, b"session", job, pb.OpenJob(name=name, detach=True))
            journal.detached(job)
            assert detached.add("", name, job)
        journal.finished(1)
        for days, names in ((6.9, ["ended", "open"]), (0.2, ["open"]), (70.0, ["open"])):
            disk.clock += days * 86400.0
            detached._expire()  # as every ten minutes
            assert [name for _, name in detached._by_name] == names

    asyncio.run(story())
