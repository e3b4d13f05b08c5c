"""A snapshot of the master for people: who works, on what."""

from __future__ import annotations

from manyhands._version import __version__
from manyhands.master.engine import Engine
from manyhands.protos import manyhands_pb2 as pb


def snapshot(engine: Engine, now: float, started_at: float) -> pb.StatusReply:
    """The engine's workers and jobs; both times are the loop's."""
    scheduler = engine.scheduler
    reply = pb.StatusReply(package_version=__version__, uptime=now - started_at)
    for peer in engine.peers.values():
        if peer.role == pb.ROLE_CLIENT:
            reply.clients += 1
            continue
        worker = scheduler.workers.get(peer.number)
        if worker is None:
            continue  # it has not said yet what it holds
        reply.workers.add(
            name=peer.name,
            host=peer.hello.host,
            pid=peer.hello.pid,
            slots=worker.slots,
            outstanding=worker.leased,
            completed=peer.completed,
            silent=peer.silent(now),
            draining=worker.draining,
        )
    for job in scheduler.jobs:
        record = engine.records[job.number]
        reply.jobs.add(
            job=job.number,
            name=job.options.name,
            client=record.client.name if record.client is not None else "",
            priority=job.priority,
            total=job.count,
            queued=job.queued.count + job.staged + job.waiting.count,
            outstanding=job.leased,
            succeeded=job.succeeded,
            failed=job.failed,
            cancelled=job.cancelled,
            sealed=job.sealed_at is not None,
        )
    return reply
