"""Detached jobs: found by name, read from the journal by whoever attaches, kept for a while after their end."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from manyhands.master.definitions import Definition
from manyhands.master.journal import Journal
from manyhands.master.journal_schema import KeptJob
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb

log = logging.getLogger("manyhands.master")

#: Bytes of results that may be on their way to a reader who has not said that he took them.
CREDIT_BYTES = 4 << 20

#: Jobs in which one client may take part at once, and names that an unknown one is answered with.
ATTACHED_MAX, NAMES_MAX = 1000, 20

#: Seconds between two looks for jobs that have been kept long enough.
EXPIRY_INTERVAL = 600.0


@dataclass(slots=True)
class _Entry:
    """One detached job; `owner`: the name of the token with which it was made; `needs`: what results may refer to, by
    hash.
    """

    owner: str
    name: str
    job: int
    needs: dict[bytes, Definition] = field(default_factory=dict)


class _Reader:
    """A peer that is sent a job's results."""

    def __init__(self, entry: _Entry, peer: Peer, number: int, *, ordered: bool) -> None:
        self.entry = entry
        self.peer = peer
        self.number = number
        self.ordered = ordered
        self.sent_bytes = 0
        self.consumed_bytes = 0
        self.news = asyncio.Event()
        self.sending: asyncio.Task[None] | None = None


class Detached:
    """All detached jobs of one master. Belongs to the loop's thread."""

    def __init__(self, journal: Journal, result_timeout: float) -> None:
        self._journal = journal
        self._result_timeout = result_timeout
        #: By owner and name: nobody is in anybody else's way, or hears of his jobs.
        self._by_name: dict[tuple[str, str], _Entry] = {}
        self._by_job: dict[int, _Entry] = {}
        #: (peer's number, its number for the job) -> the job, and its reader if it wants results.
        self._attached: dict[tuple[int, int], tuple[_Entry, Peer, _Reader | None]] = {}
        journal.on_commit = self._committed
        #: How a job with a driver fares, as long as it is open.
        self.report: Callable[[int], pb.JobReport | None] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._expire()

    # ------------------------------------------------------------ jobs

    def add(self, owner: str, name: str, job: int) -> bool:
        """A job to be known by this name; False if its owner has one."""
        if (owner, name) in self._by_name:
            return False
        self._by_name[owner, name] = self._by_job[job] = _Entry(owner, name, job)
        return True

    def needs(self, job: int, held: Iterable[Definition]) -> None:
        """Results of the job may refer to these."""
        needs = self._by_job[job].needs
        for definition in held:
            if definition.hash not in needs:
                needs[definition.hash] = definition
                self._journal.needs(job, definition.hash)

    def restore(self, job: KeptJob, needs: Iterable[Definition]) -> None:
        """A job of an earlier life."""
        opening = cast("pb.OpenJob", job.opening.message)
        entry = _Entry(opening.owner, opening.name, job.job, {each.hash: each for each in needs})
        self._by_name[entry.owner, entry.name] = self._by_job[job.job] = entry

    def finished(self, job: int) -> None:
        """Every task of it has its outcome."""
        for (_, number), (entry, peer, _) in list(self._attached.items()):
            if entry.job == job:
                self._report(entry, peer, number)

    def remove(self, job: int, sentence: str) -> None:
        """The job is cancelled, or expired."""
        entry = self._by_job.pop(job, None)
        if entry is None:
            return
        del self._by_name[entry.owner, entry.name]
        for (_, number), (theirs, peer, _) in list(self._attached.items()):
            if theirs is entry:
                self.leave(peer, number)
                code = pb.JobRejected.CODE_CANCELLED
                peer.send(pb.Body(job_rejected=pb.JobRejected(job=number, sentence=sentence, code=code)))

    def _expire(self) -> None:
        for job, entry in list(self._by_job.items()):
            counters = self._journal.counters(job)
            if counters.finished and self._journal.wall() - counters.finished_at > self._result_timeout:
                log.info("the results of %r have been kept for long enough", entry.name)
                self.remove(
                    job, f"the results of {entry.name!r} were kept for {self._result_timeout:g} s, and are gone"
                )
                self._journal.forget(job)
        self._loop.call_later(EXPIRY_INTERVAL, self._expire)

    # ------------------------------------------------------------ who takes part

    def attach(self, peer: Peer, message: pb.AttachJob) -> None:
        """A client asks for a job by name."""
        entry = self._find(peer, message)
        if entry is None:
            return
        key = peer.number, message.job
        if key not in self._attached:
            if sum(number == peer.number for number, _ in self._attached) >= ATTACHED_MAX:
                sentence = f"this client takes part in {ATTACHED_MAX} detached jobs, and may in no more"
                code = pb.JobRejected.CODE_FULL
                peer.send(pb.Body(job_rejected=pb.JobRejected(job=message.job, sentence=sentence, code=code)))
                return
            reader = None
            if message.results:
                ordered = message.results == pb.AttachJob.RESULTS_ORDERED
                reader = _Reader(entry, peer, message.job, ordered=ordered)
                for definition in entry.needs.values():
                    peer.define(definition.hash, definition.blob, message.job)
                reader.sending = self._loop.create_task(self._send_results(reader), name="detached-results")
                reader.sending.add_done_callback(partial(self._on_reader_end, reader))
            self._attached[key] = entry, peer, reader
        self._report(entry, peer, message.job)

    def _find(self, peer: Peer, message: pb.AttachJob) -> _Entry | None:
        """The job that a peer means: its own, or, for those who may see all, the one of that name; if there is none, it
        is told so.
        """
        entry = self._by_name.get((peer.owner, message.name))
        if entry is not None:
            return entry
        seen = [each for each in self._by_job.values() if peer.may_read(each.owner)]
        found = [each for each in seen if each.name == message.name]
        if len(found) == 1:
            return found[0]
        if found:
            owners = ", ".join(repr(each.owner) for each in found)
            sentence = f"there are several detached jobs {message.name!r}, of {owners}: use the token of one of them"
        else:
            known = {each.name for each in seen}
            names = ", ".join(map(repr, heapq.nsmallest(NAMES_MAX, known)))
            more = f", and {len(known) - NAMES_MAX} more" if len(known) > NAMES_MAX else ""
            others = f"these are there: {names}{more}" if names else "no others are there either"
            sentence = f"there is no detached job {message.name!r}; {others}"
        code = pb.JobRejected.CODE_UNKNOWN_NAME
        peer.send(pb.Body(job_rejected=pb.JobRejected(job=message.job, sentence=sentence, code=code)))
        return None

    def job_of(self, peer: Peer, number: int) -> int | None:
        """The job that a peer is attached to under its number."""
        found = self._attached.get((peer.number, number))
        return found[0].job if found is not None else None

    def leave(self, peer: Peer, number: int) -> None:
        """It wants to hear no more."""
        found = self._attached.pop((peer.number, number), None)
        if found is not None and found[2] is not None and found[2].sending is not None:
            found[2].sending.cancel()

    def left(self, peer: Peer) -> None:
        """It is gone."""
        for number, theirs in list(self._attached):
            if number == peer.number:
                self.leave(peer, theirs)

    def consumed(self, peer: Peer, number: int, total_bytes: int) -> None:
        """Its user has taken so many bytes of results."""
        found = self._attached.get((peer.number, number))
        if found is not None and found[2] is not None:
            found[2].consumed_bytes = max(found[2].consumed_bytes, total_bytes)
            found[2].news.set()

    def _report(self, entry: _Entry, peer: Peer, number: int) -> None:
        report = self.report(entry.job)
        if report is None:
            counters = self._journal.counters(entry.job)
            report = pb.JobReport(
                total=counters.total,
                succeeded=counters.succeeded,
                failed=counters.failed,
                cancelled=counters.cancelled,
                finished=counters.finished,
            )
        report.job = number
        peer.send(pb.Body(job_report=report), number)

    # ------------------------------------------------------------ results

    def _committed(self) -> None:
        for _, _, reader in self._attached.values():
            if reader is not None:
                reader.news.set()

    def _on_reader_end(self, reader: _Reader, sending: asyncio.Task[None]) -> None:
        error = None if sending.cancelled() else sending.exception()
        if error is not None:
            log.error("reading the results of %r failed", reader.entry.name, exc_info=error)
            self.leave(reader.peer, reader.number)
            sentence = f"the master cannot read the results of {reader.entry.name!r}: {error}"
            reader.peer.send(pb.Body(job_rejected=pb.JobRejected(job=reader.number, sentence=sentence)))

    async def _send_results(self, reader: _Reader) -> None:
        """From the journal, never from memory: as much as the reader takes."""
        after, due = -1, 0
        while True:
            reader.news.clear()
            rows = await self._journal.outcomes(reader.entry.job, ordered=reader.ordered, after=after)
            progress = False
            for position, key, data in rows:
                if reader.ordered and key != due:
                    break
                if reader.sent_bytes - reader.consumed_bytes > CREDIT_BYTES:
                    break
                body = pb.Body.FromString(data)
                due += _address(body, reader.number)
                after = position
                reader.sent_bytes += len(body.results.payload)
                reader.peer.send(body, reader.number)
                progress = True
            if not progress:
                await reader.news.wait()


def _address(body: pb.Body, number: int) -> int:
    """Make an outcome speak of the reader's job; how many tasks it ends."""
    if body.HasField("results"):
        body.results.job = number
        return len(body.results.ends) // 4
    body.failure.job = number
    return max(1, body.failure.end - body.failure.index)  # `end`: of many whose time was up
