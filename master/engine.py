"""The engine: turns what peers send into the scheduler's events, and its commands into what peers are sent."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from manyhands.master import events as ev
from manyhands.master.config import MasterConfig
from manyhands.master.data_keeper import DataKeeper
from manyhands.master.definitions import DefinitionStore
from manyhands.master.delivery import Delivery
from manyhands.master.detached import Detached
from manyhands.master.drivers.driving import Drivers
from manyhands.master.intake import Intake
from manyhands.master.journal import Journal
from manyhands.master.journal_schema import Kept
from manyhands.master.limits import Ledger, QueueLimits
from manyhands.master.peers import Peer
from manyhands.master.recompute_jobs import RecomputeJobs
from manyhands.master.records import JobRecord
from manyhands.master.scheduler import Scheduler
from manyhands.master.validation import check
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.host_store import HostStore
from manyhands.wire.machine_memory import machine_memory
from manyhands.wire.session import ProtocolError

log = logging.getLogger("manyhands.master")


class Engine:
    """One master's shell around the scheduler. All methods belong to the loop's thread."""

    def __init__(
        self,
        config: MasterConfig,
        rng: Random,
        journal: Journal | None = None,
        first_number: int = 1,
        store: HostStore | None = None,
    ) -> None:
        """Jobs and leases are numbered from `first_number`, which no earlier life with this journal reached."""
        self._config = config
        self._journal = journal
        if journal is not None:
            journal.on_trouble = self._on_trouble
        self._loop = asyncio.get_running_loop()
        self._definitions = DefinitionStore(config.definition_bytes)
        memory = machine_memory()
        tuning = replace(config.scheduler, state_bytes=max(config.scheduler.state_bytes, memory // 8))
        self.scheduler = Scheduler(rng, tuning, first_number)
        self.peers: dict[int, Peer] = {}
        self.records: dict[int, JobRecord] = {}
        detached = self._detached = None if journal is None else Detached(journal, config.result_timeout)
        limits = QueueLimits.of_machine(memory, config.client_bytes, config.client_tasks, config.client_jobs)
        self.ledger = Ledger(limits, self._on_room)
        data = self.data = DataKeeper(self.peers, store, journal, memory // 32)
        delivery = self._delivery = Delivery(self.peers, self.records, journal, detached, self.ledger, data)
        numbers = itertools.count(first_number)
        drivers = delivery.drivers = Drivers(
            self.records, delivery, self._handle, journal, self.ledger, data, partial(next, numbers), self._loop,
            lambda: self.scheduler.slots,
        )  # fmt: skip
        if detached is not None:
            detached.report = drivers.report
        delivery.recompute_jobs = RecomputeJobs(self.records, self._handle, data, numbers)
        intake = self._intake = Intake(
            self.records, self._definitions, delivery, self._handle, journal, detached, self.ledger, data, drivers,
            numbers,
        )  # fmt: skip
        #: Workers of an earlier life that are not back; nothing is handed out while the timer waits for them.
        self._missing_workers = 0
        self._reattaching: asyncio.TimerHandle | None = None
        self._until_back: list[ev.Event] = []
        self._is_draining = False
        self._plan_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._tuned = 0.0
        self._from_worker: dict[str, Callable[[Peer, pb.Body], None]] = {
            "results": self._on_results,
            "failure": self._on_failure,
            "crash": self._on_crash,
            "returned": self._on_returned,
            "held": self._on_held,
            "saved_state": self._on_saved_state,
            "draining": self._on_draining,
            "want": self._on_want,
            "close_session": self._on_close,
            "join_store": self._on_join_store,
            "fetch": data.sources.fetch,
            "part": data.sources.part,
            "locate": data.sources.locate,
            "data_here": data.sources.data_here,
            "source_failed": data.sources.source_failed,
        }
        self._from_client: dict[str, Callable[[Peer, pb.Body], None]] = {
            "define": intake.define,
            "open_job": intake.job_message,
            "block": intake.job_message,
            "seal_job": intake.job_message,
            "cancel": intake.cancel,
            "consumed": intake.consumed,
            "attach_job": intake.attach,
            "leave_job": intake.leave,
            "watch": intake.watch,
            "stop_search": intake.stop_search,
            "close_session": self._on_close,
            "join_store": data.joined_store,
            "fetch": data.sources.fetch,
            "part": data.sources.part,
            "put_data": data.put,
            "release_data": data.release,
            "await_data": data.await_data,
        }

    # ------------------------------------------------------------ peers

    def joined(self, peer: Peer) -> None:
        """A worker or client has a new session."""
        self.peers[peer.number] = peer
        if self._journal is not None:
            if peer.role == pb.ROLE_WORKER:
                if peer.outlives_master:
                    self._journal.worker_joined(peer.hello.session)
            else:
                self._journal.client_joined(peer.hello.session, peer.hello)
        if peer.role == pb.ROLE_CLIENT:
            self._welcome(peer)
        elif not peer.hello.holds:  # or it would be sent what it has
            self._count_in(peer)

    def _welcome(self, client: Peer) -> None:
        client.watch_unread(self._config.unread_bytes, self._on_lagging)
        self._send_cluster(client)

    def _on_lagging(self, client: Peer) -> None:
        """A client does not read what it is sent, or does so again."""
        log.info("%s %s", client, "does not read: it is handed out no more" if client.lags else "reads again")
        self._handle(ev.ClientLagging(client.number, client.lags))

    def _count_in(self, peer: Peer) -> None:
        self._handle(ev.WorkerJoined(peer.number, peer.hello.slots))
        if self._is_draining:
            self._handle(ev.WorkerDraining(peer.number, ask=False))
        self._tune(peer)
        self._announce()

    def left(self, peer: Peer, reason: str) -> None:
        """A session is over."""
        del self.peers[peer.number]
        self.data.left(peer)
        if peer.role == pb.ROLE_WORKER:
            if not peer.leaving:
                log.warning("%s is lost (%s): its unfinished tasks run elsewhere", peer, reason)
            report = pb.CrashReport(worker=peer.name, at=time.time(), worker_lost=True, reason=reason)
            self._handle(ev.WorkerLost(peer.number, peer.leaving, report))
            if self._journal is not None:
                self._journal.worker_left(peer.hello.session)
            self._announce()
        else:
            self._handle(ev.ClientLeft(peer.number))
            for job in list(peer.jobs.values()):
                if self.records[job].detached:  # to the scheduler it is not this client's, who did not finish it
                    self._handle(ev.CancelRequested(job, None))
                self._delivery.forget(job)
            if self._detached is not None:
                self._detached.left(peer)
            self._definitions.left(peer.number)
            if self._journal is not None:
                self._journal.client_left(peer.hello.session)

    def _on_trouble(self, trouble: str) -> None:
        """The journal has no room, or has again (empty)."""
        if trouble:
            log.error("nothing more can be written down (%s): new work is refused until there is room", trouble)
        else:
            log.warning("the journal can be written again")
        self._announce()

    def _on_room(self, client: int, is_short: bool) -> None:
        """A client has too much queued, or no more."""
        peer = self.peers.get(client)
        if peer is not None:
            log.info("%s has %s", peer, "much queued, and is told to wait" if is_short else "room again")
            self._send_cluster(peer)

    def drain(self) -> None:
        """Hand out nothing more, and ask for what has not started."""
        self._is_draining = True
        for number in list(self.scheduler.workers):
            self._handle(ev.WorkerDraining(number, ask=True))

    def _announce(self) -> None:
        self._tune_all()
        self._delivery.drivers.slots_changed()
        for peer in self.peers.values():
            if peer.role == pb.ROLE_CLIENT:
                self._send_cluster(peer)

    def _send_cluster(self, peer: Peer) -> None:
        scheduler = self.scheduler
        trouble = self._journal.trouble if self._journal is not None else ""
        workers = sum(not worker.draining for worker in scheduler.workers.values())
        is_short = self.ledger.is_short(peer.number)
        cluster = pb.Cluster(workers=workers, slots=scheduler.slots, trouble=trouble, short_of_room=is_short)
        peer.send(pb.Body(cluster=cluster))

    def _tune_all(self) -> None:
        """Tell the workers their reporting interval when the budget has changed it noticeably."""
        interval = self.scheduler.flush_interval
        if not 0.8 < interval / (self._tuned or 1e-9) < 1.25:
            self._tuned = interval
            for peer in self.peers.values():
                if peer.role == pb.ROLE_WORKER:
                    self._tune(peer)

    def _tune(self, peer: Peer) -> None:
        interval = self.scheduler.flush_interval
        peer.send(pb.Body(tuning=pb.Tuning(flush_interval=interval)))
        peer.acknowledge_rarely(2 * interval)

    # ------------------------------------------------------------ what peers send

    def received(self, peer: Peer, bodies: Sequence[pb.Body]) -> None:
        """Content from a peer, in order. Raises ProtocolError if it has no right to say that, or it cannot be true."""
        handlers = self._from_worker if peer.role == pb.ROLE_WORKER else self._from_client
        for body in bodies:
            kind = body.WhichOneof("kind") or ""
            handler = handlers.get(kind)
            if handler is None:
                raise ProtocolError(f"{peer} sent {kind or 'a message of unknown kind'}")
            check(kind, body)
            handler(peer, body)

    def _on_results(self, peer: Peer, body: pb.Body) -> None:
        message = body.results
        count = len(message.ends) // 4
        peer.completed += count
        self._handle(
            ev.RunSucceeded(peer.number, message.job, message.lease, message.first, count, message.seconds, message)
        )

    def _on_failure(self, peer: Peer, body: pb.Body) -> None:
        message = body.failure
        peer.completed += 1
        self._handle(ev.TaskFailed(peer.number, message.job, message.lease, message.index, message.seconds, message))

    def _on_crash(self, peer: Peer, body: pb.Body) -> None:
        crash = body.crash
        crash.report.worker, crash.report.at = peer.name, time.time()
        self._handle(ev.TaskCrashed(peer.number, crash.job, crash.lease, crash.index, crash.attempt, crash.report))

    def _on_returned(self, peer: Peer, body: pb.Body) -> None:
        message = body.returned
        spans = tuple((span.lo, span.hi) for span in message.ranges)
        self._handle(ev.SpansReturned(peer.number, message.revoke, message.lease, spans))

    def _on_held(self, peer: Peer, body: pb.Body) -> None:
        leases = tuple(
            (held.lease, held.job, tuple((span.lo, span.hi) for span in held.ranges)) for held in body.held.leases
        )
        if peer.number in self.scheduler.workers:
            raise ProtocolError(f"{peer} says what it holds, but has been sent more since")
        self._count_in(peer)
        self._handle(ev.LeasesHeld(peer.number, leases))
        self._missing_workers -= 1
        if self._missing_workers <= 0:
            self._all_back()

    def _on_draining(self, peer: Peer, body: pb.Body) -> None:
        log.info("%s is draining: it takes nothing more", peer)
        self._handle(ev.WorkerDraining(peer.number, ask=False))
        self._announce()

    def _on_saved_state(self, peer: Peer, body: pb.Body) -> None:
        saved = body.saved_state
        self._handle(ev.StateSaved(peer.number, saved.job, saved.lease, saved.index, saved.attempt, saved.state))

    def _on_join_store(self, peer: Peer, body: pb.Body) -> None:
        self.data.worker_joined_store(peer, body)
        self._handle(ev.StoreJoined(peer.number, peer.store))

    def _on_want(self, peer: Peer, body: pb.Body) -> None:
        for wanted in body.want.hashes:
            definition = self._definitions.get(wanted)
            peer.asked(len(definition.blob) if definition is not None else 0)
            if definition is not None:
                peer.send(pb.Body(define=pb.Define(hash=wanted, blob=definition.blob)))
            # Otherwise nobody needs it any more: the tasks that did have their outcome.

    def _on_close(self, peer: Peer, body: pb.Body) -> None:
        peer.leaving = True
        if self._journal is None:
            peer.acknowledge()  # whoever leaves waits for that

    # ------------------------------------------------------------ driving the scheduler

    def _handle(self, event: ev.Event) -> None:
        if self._reattaching is not None and isinstance(event, ev.CancelRequested) and event.spare_running:
            self._until_back.append(event)  # what runs is not known before
            return
        self._delivery.execute(self.scheduler.handle(event, self._loop.time()))
        if self._plan_handle is None:
            self._plan_handle = self._loop.call_soon(self._plan)

    def _plan(self) -> None:
        self._plan_handle = None
        if self._reattaching is not None:
            return
        self._delivery.execute(self.scheduler.plan(self._loop.time()))
        due = self.scheduler.next_deadline()
        if self._timer is not None and (due is None or due != self._timer_at):
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            self._timer_at = due
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._plan()

    # ------------------------------------------------------------ after a restart

    def restore(self, kept: Kept, clients: Mapping[bytes, Peer]) -> None:
        """Take over what an earlier life wrote down; `clients` by session."""
        for peer in clients.values():
            self.peers[peer.number] = peer
            self._welcome(peer)
        self._missing_workers = len(kept.workers)
        patience = self._config.reattach_timeout if kept.workers else 0.0
        self._reattaching = self._loop.call_later(patience, self._all_back)
        self.data.restore(kept.data, clients)
        self._intake.restore(kept, clients)
        self.data.restored(self._config.data_return_timeout)

    def _all_back(self) -> None:
        if self._reattaching is not None:
            self._reattaching.cancel()
            self._reattaching = None
            for event in self._until_back:
                self._handle(event)
            self._until_back.clear()
            self._plan()
