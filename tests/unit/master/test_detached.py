"""Detached jobs: how long their results are kept, and in how many a client may take part."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.master.test_journal import Disk

from manyhands.master import detached as detached_module
from manyhands.master.config import MasterConfig
from manyhands.master.detached import Detached
from manyhands.master.journal import Journal
from manyhands.master.peers import Peer
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


def test_a_client_takes_part_in_so_many_and_an_unknown_name_is_answered_with_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detached_module, "ATTACHED_MAX", 2)

    async def story() -> None:
        journal = Journal(Disk(), on_broken=print)
        detached = Detached(journal, MasterConfig().result_timeout)
        for job in range(1, 31):
            journal.opened(job, b"session", job, pb.OpenJob(name=f"job {job:02}", detach=True))
            journal.detached(job)
            assert detached.add("", f"job {job:02}", job)
        peer, other = (Peer(number, pb.Hello(role=pb.ROLE_CLIENT, session=bytes(16))) for number in (1, 2))
        detached.attach(peer, pb.AttachJob(job=9, name="none"))
        for number in (1, 2, 2, 3):
            detached.attach(peer, pb.AttachJob(job=number, name=f"job {number:02}"))
        detached.attach(other, pb.AttachJob(job=1, name="job 01"))
        unknown, *answers = peer.session.unacknowledged()
        assert "'job 20', and 10 more" in unknown.job_rejected.sentence
        assert sorted(str(answer.WhichOneof("kind")) for answer in answers) == ["job_rejected", *["job_report"] * 3]
        (rejected,) = [answer.job_rejected for answer in answers if answer.HasField("job_rejected")]
        assert (rejected.job, rejected.code) == (3, pb.JobRejected.CODE_FULL)
        (answer,) = other.session.unacknowledged()
        assert answer.HasField("job_report")

    asyncio.run(story())
