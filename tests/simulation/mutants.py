"""Mutants: faults planted in the shipped code, one small change each, and the check that finds it.

`old` must occur exactly once in its module: a mutant that no longer applies is an error, so that changes to the code
bring their mutants along.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """`check`: see `checks.py`; chosen so that the fault shows in it, and soon."""

    name: str
    module: str
    old: str
    new: str
    check: str


MUTANTS = (
    # ------------------------------------------------------------ sessions
    Mutant(
        "acknowledgement is not written",
        "manyhands.wire.session",
        "frame.acknowledged = self._told = self._applied",
        "self._told = self._applied",
        "seed:1",
    ),
    Mutant(
        "resume sends nothing again",
        "manyhands.wire.session",
        "self._resend = deque(self._unacknowledged)",
        "self._resend = deque()",
        "seed:1",
    ),
    Mutant(
        "duplicate is accepted",
        "manyhands.wire.session",
        """        if sequence <= self._received or sequence in self._early:
            self.duplicates += 1
            return []
        if sequence != self._received + 1:
""",
        """        if sequence > self._received + 1:
""",
        "seed:1",
    ),
    Mutant(
        "early frame is dropped",
        "manyhands.wire.session",
        "            self._early[sequence] = frame\n",
        "",
        "seed:1",
    ),
    Mutant(
        "fragments are joined in the wrong order",
        "manyhands.wire.session",
        "parts += fragment.data",
        "parts[:0] = fragment.data",
        "seed:1",
    ),
    Mutant(
        "bodies of a frame in the wrong order",
        "manyhands.wire.session",
        "                    bodies.append(body)\n",
        "                    bodies.insert(0, body)\n",
        "seed:1",
    ),
    Mutant(
        "acknowledged bytes stay in the window",
        "manyhands.wire.session",
        "            self._unacknowledged_bytes -= sent.size\n",
        "",
        "seed:1",
    ),
    Mutant(
        "resent frames are not resumed from the peer's word",
        "manyhands.wire.session",
        "        self._acknowledge(peer_received)\n",
        "        self._unacknowledged.clear()\n        self._unacknowledged_bytes = 0\n",
        "seed:1",
    ),
    Mutant(
        "grace goes on after the worker is back",
        "manyhands.master.sessions",
        "            peer.grace.cancel()\n            peer.grace = None\n",
        "            peer.grace = None\n",
        "seed:1",
    ),
    Mutant(
        "a dialer closed while it connects connects",
        "manyhands.wire.dialer",
        "        if self._closing.is_set():  # `close` came while there was nothing to close\n"
        "            await link.close()\n            return None\n",
        "",
        "day:goodbye",
    ),
    # ------------------------------------------------------------ blocks
    Mutant(
        "split one item too late",
        "manyhands.wire.blocks",
        "        start = end_at(self.ends, a - 1) if a else self.base\n        stop",
        "        start = end_at(self.ends, a) if a else self.base\n        stop",
        "seed:1",
    ),
    Mutant(
        "ends of a split one too far",
        "manyhands.wire.blocks",
        "return start, self.ends[4 * a : 4 * b]",
        "return start, self.ends[4 * a + 4 : 4 * b + 4]",
        "seed:1",
    ),
    # ------------------------------------------------------------ who is lost
    Mutant(
        "lease of a lost worker is not queued again",
        "manyhands.master.scheduler",
        "            self._pool.requeue(lease.job, spans, out)\n        for job, lo, hi in charged:\n",
        "        for job, lo, hi in charged:\n",
        "seed:4",
    ),
    Mutant(
        "that a slot or worker died is not written down",
        "manyhands.master.scheduler",
        "        return [_tries(job, index, 0.0)]\n",
        "        return []\n",
        "crash:0",
    ),
    Mutant(
        "deque of a lost worker is not queued again",
        "manyhands.master.scheduler",
        "            self._pool.requeue(staged.job, staged.spans, out)\n",
        "            pass\n",
        "late:1",
    ),
    Mutant(
        "finished tasks are queued again",
        "manyhands.master.pool",
        "            for a, b in job.done.missing(lo, hi):\n                if job.cancelling:",
        "            for a, b in [(lo, hi)]:\n                if job.cancelling:",
        "late:3",
    ),
    Mutant(
        "slots of a lost worker still count",
        "manyhands.master.scheduler",
        "        self._pool.slots -= worker.slots\n",
        "",
        "seed:4",
    ),
    Mutant(
        "what a worker comes back with is not under a lease",
        "manyhands.master.scheduler",
        "            self._planner.lease_again(worker, job, number, wanted, now)\n",
        "",
        "crash:0",
    ),
    Mutant(
        "what a worker comes back with stays in the queue",
        "manyhands.master.scheduler",
        "            self._pool.withdraw(job, list(wanted))\n",
        "",
        "crash:0",
    ),
    Mutant(
        "a worker that comes back says nothing of what its slots hold",
        "manyhands.worker.intake",
        "                    spans[fed.piece.lease].add(fed.lo, fed.lo + fed.count)\n",
        "                    pass\n",
        "crash:0",
    ),
    Mutant(
        "what was not acknowledged is left behind with the session",
        "manyhands.wire.dialer",
        "        if known:\n            for body",
        "        if not known:\n            for body",
        "late:1",
    ),
    # ------------------------------------------------------------ revokes
    Mutant(
        "the victim loses the work when it is asked",
        "manyhands.master.planner",
        "                pool.ask_back(victim, lease, spans, out)\n",
        "                pool.ask_back(victim, lease, spans, out)\n"
        "                for lo, hi in spans:\n                    victim.report(lease, lo, hi)\n"
        "                pool.requeue(lease.job, spans, out)\n",
        "seed:4",
    ),
    Mutant(
        "the victim is forgotten",
        "manyhands.master.pool",
        "        worker.revokes[self._revoke] = lease.number\n",
        "",
        "seed:7",
    ),
    Mutant(
        "an answered revoke stays",
        "manyhands.master.scheduler",
        "            worker.revokes.pop(event.revoke, None)\n",
        "            pass\n",
        "seed:15",
    ),
    Mutant(
        "what was given back is not queued again",
        "manyhands.master.scheduler",
        "            self._pool.requeue(lease.job, parts, out)\n        if not came:",
        "        if not came:",
        "seed:15",
    ),
    Mutant(
        "a draining worker is sent more",
        "manyhands.master.planner",
        "        if worker.draining:\n            return\n        self._touched",
        "        self._touched",
        "seed:15",
    ),
    Mutant(
        "a draining agent keeps what it has not started",
        "manyhands.worker.intake",
        "            for piece, lo, hi in self._held.withdraw(lease, EVERYTHING):\n",
        "            for piece, lo, hi in []:\n",
        "seed:15",
    ),
    Mutant(
        "nobody looks again when it was too early to ask",
        "manyhands.master.planner",
        "                self.recheck_at = now + config.revoke_pause\n",
        "                pass\n",
        "seed:3",
    ),
    Mutant(
        "the agent does not answer when its cut is done",
        "manyhands.worker.core",
        "        for revoke in self._revokes.settled(slot.number):\n            self._answer(revoke, now, out)\n",
        "        self._revokes.settled(slot.number)\n",
        "seed:20",
    ),
    Mutant(
        "the agent loses what a cut brings back",
        "manyhands.worker.core",
        "                    self._held.put_back(piece, a, b)\n",
        "                    pass\n",
        "seed:31",
    ),
    Mutant(
        "what was stopped with its slot does not go back",
        "manyhands.worker.core",
        "            if not lease.dead and (verdict is not None or lease.wants_stopped(fed.lo)):\n",
        "            if not lease.dead and lease.wants_stopped(fed.lo):\n                pass\n"
        "            elif not lease.dead and verdict is not None:\n",
        "stopped",
    ),
    Mutant(
        "a cancel stops what it is to spare",
        "manyhands.master.scheduler",
        "stop=not event.spare_running",
        "stop=True",
        "seed:6",
    ),
    Mutant(
        "nobody sees whether an interrupt was heeded",
        "manyhands.worker.stopping",
        "            slot.killed = slot.stopping\n            out.append(Kill(slot.number))\n",
        "            pass\n",
        "stopped",
    ),
    Mutant(
        "the cut is published without a second look",
        "manyhands.worker.cutting",
        "cut = max(slot.cut.limit, self._above_started(slot))",
        "cut = slot.cut.limit",
        "seed:20",
    ),
    # ------------------------------------------------------------ outcomes
    Mutant(
        "a partly late run is delivered as a whole",
        "manyhands.master.scheduler",
        "DeliverRun(event.worker, job.number, job.client, message, spans, tuple(gone), job.options, blocks)",
        "DeliverRun(event.worker, job.number, job.client, message, ((lo, hi),), tuple(gone), job.options, blocks)",
        "late:4",
    ),
    Mutant(
        "a late result leaves its task in the queue",
        "manyhands.master.scheduler",
        "            self._pool.withdraw(job, parts)\n",
        "            pass\n",
        "late:2",
    ),
    Mutant(
        "a failure counts under any lease",
        "manyhands.master.scheduler",
        "                attempt == job.attempts.of(index)\n                and not (job",
        "                not (job",
        "late:1",
    ),
    Mutant(
        "a reported lease stays open",
        "manyhands.master.workers",
        "        if not lease.open:\n            self.leases.pop(lease.number, None)\n",
        "",
        "seed:1",
    ),
    Mutant(
        "the agent reports failures as not retryable",
        "manyhands.worker.finishing",
        "                retryable=report.retryable,\n",
        "",
        "seed:4",
    ),
    Mutant(
        "one crash too many is forgiven",
        "manyhands.master.scheduler",
        "if len(reports) >= self._config.max_crashes:",
        "if len(reports) > self._config.max_crashes:",
        "seed:1",
    ),
    Mutant(
        "the slot's death charges the task after the one it ran",
        "manyhands.worker.core",
        "        above = self._roster.cut_off(slot, started + 1)\n"
        "        at = self._roster.cut_off(slot, started) if busy else []\n",
        "        above = self._roster.cut_off(slot, started + 2)\n"
        "        at = self._roster.cut_off(slot, started + 1) if busy else []\n",
        "seed:1",
    ),
    # ------------------------------------------------------------ retries and cancels
    Mutant(
        "the wake of a retry is lost",
        "manyhands.master.scheduler",
        "        self._wakes.add(now + delay, job.number, index)\n",
        "",
        "seed:4",
    ),
    Mutant(
        "a retry does not wait",
        "manyhands.master.scheduler",
        "self._wakes.add(now + delay, job.number, index)",
        "self._wakes.add(now, job.number, index)",
        "seed:4",
    ),
    Mutant(
        "one retry too few",
        "manyhands.master.retry",
        "if failures > options.retries:",
        "if failures >= options.retries:",
        "seed:4",
    ),
    Mutant(
        "the attempt is not sent",
        "manyhands.master.delivery",
        "                attempt=piece.attempt,\n",
        "",
        "seed:1",
    ),
    Mutant(
        "the cancel of a leased task is forgotten",
        "manyhands.master.scheduler",
        "                    job.cancelling.add(c, d)\n",
        "                    pass\n",
        "seed:14",
    ),
    Mutant(
        "a cancelled job's waiting tasks stay",
        "manyhands.master.scheduler",
        "for place in (job.queued, job.waiting):",
        "for place in (job.queued,):",
        "seed:16",
    ),
    Mutant(
        "a client's jobs outlive it",
        "manyhands.master.scheduler",
        "if job.client == event.client]:\n            self._pool.drop(job, out)",
        "if job.client == event.client]:\n            pass",
        "seed:19",
    ),
    # ------------------------------------------------------------ the journal
    Mutant(
        "frames are acknowledged before they are durable",
        "manyhands.master.group_commit",
        "        if session is not None:\n            self._batch.received",
        "        watcher.durable(sequence)\n        if session is not None:\n            self._batch.received",
        "crash:0",
    ),
    Mutant(
        "frames are acknowledged while there is no room for what they say",
        "manyhands.master.group_commit",
        "        elif not self._batch and not self._writing:",
        "        elif not self._batch and not self._is_busy:",
        "day:full",
    ),
    Mutant(
        "outcomes are forgotten when they are sent",
        "manyhands.master.delivery",
        "        else:\n            record.client.send(body, receipt=receipt)\n\n    def _close_job",
        "        else:\n            record.client.send(body, receipt=receipt)\n"
        "            if self._journal is not None:\n"
        "                self._journal.delivered([receipt])\n\n    def _close_job",
        "crash:19",
    ),
    Mutant(
        "outcomes are not forgotten when they are delivered",
        "manyhands.master.journal",
        "            self._delivered(job, key)\n",
        "            pass\n",
        "crash:0",
    ),
    Mutant(
        "outcomes are not told again",
        "manyhands.master.intake",
        "                client.send(body, receipt=(job.job, key))\n",
        "                pass\n",
        "crash:0",
    ),
    Mutant(
        "the epoch is not raised",
        "manyhands.master.journal_schema",
        "return identity, last + 1",
        "return identity, 1",
        "crash:0",
    ),
    Mutant(
        "jobs and leases are numbered from 1 again",
        "manyhands.master.life",
        "1 if journal is None else epoch << _LIFE_BITS",
        "1",
        "crash:0",
    ),
    Mutant(
        "blocks are dropped with their first task",
        "manyhands.master.journal",
        "self._batch.drop_blocks(job, gone)",
        "self._batch.drop_blocks(job, [lo for lo, _ in spans])",
        "crash:0",
    ),
    Mutant(
        "blocks are never dropped",
        "manyhands.master.jobs",
        "                gone.append(block.first)\n",
        "                pass\n",
        "crash:0",
    ),
    Mutant(
        "what is done is not written down",
        "manyhands.master.journal",
        "        change.done += spans\n",
        "",
        "crash:0",
    ),
    Mutant(
        "what was done before is forgotten when its rows are joined",
        "manyhands.master.journal",
        "            change.done_anew = list(book.done)\n",
        "            change.done_anew = list(spans)\n",
        "crash:0",
    ),
    Mutant(
        "definitions that are needed are swept away",
        "manyhands.master.journal",
        "if not self.is_needed(hash)]",
        "if self.is_needed(hash)]",
        "crash:0",
    ),
    Mutant(
        "a batch goes on changing while it is written",
        "manyhands.master.journal_batch",
        "                change.counters = replace(change.counters)\n",
        "                pass\n",
        "crash:1",
    ),
    Mutant(
        "what a worker comes back with is ignored",
        "manyhands.master.engine",
        "        self._handle(ev.LeasesHeld(peer.number, leases))\n",
        "",
        "crash:0",
    ),
    Mutant(
        "cancels are not written down",
        "manyhands.master.intake",
        "                self._journal.mark(job, mark_of(body.cancel), spans)\n",
        "                pass\n",
        "day:cancel",
    ),
    Mutant(
        "the job's end is not written down",
        "manyhands.master.intake",
        "            journal.sealed(job, body.seal_job.total)\n",
        "",
        "crash:0",
    ),
    Mutant(
        "failures are not written down",
        "manyhands.master.journal",
        "        self._batch.job(job).tries[task] = Tries(",
        "        Tries(",
        "crash:2",
    ),
    Mutant(
        "definitions are not written down",
        "manyhands.master.journal",
        "        self._batch.definitions[hash] = blob\n",
        "",
        "crash:0",
    ),
    Mutant(
        "parts of a large message are not written down",
        "manyhands.master.journal",
        "self._batch.fragments.setdefault((session, fragment.id), [])",
        "{}.setdefault((session, fragment.id), [])",
        "day:large",
    ),
    Mutant(
        "what waits for a definition is not written down",
        "manyhands.master.journal",
        "        self._batch.job(job).inbox[self._inbox_position] = body\n",
        "",
        "crash:25",
    ),
    Mutant(
        "what waited for a definition stays in the journal",
        "manyhands.master.journal",
        "        self._batch.drop_inbox(job, position)\n",
        "",
        "crash:0",
    ),
    Mutant(
        "a client is welcomed before its session is durable",
        "manyhands.master.sessions",
        "            await self._journal.synced()  # the welcome",
        "            pass  # the welcome",
        "crash:13",
    ),
    Mutant(
        "the time in which the master was away counts against its clients",
        "manyhands.master.sessions",
        "            grace = self._config.client_end_timeout\n",
        "            grace = self._config.client_end_timeout - (self._journal.wall() - client.ended_at)\n",
        "day:away",
    ),
    Mutant(
        "a restored session has received nothing",
        "manyhands.wire.session",
        "        session._received = session._applied = session._told = received\n",
        "",
        "crash:0",
    ),
    Mutant(
        "a client takes the frames of a new life for those of the last",
        "manyhands.wire.dialer",
        "            self._session.forget_received()",
        "            pass",
        "crash:0",
    ),
    Mutant(
        "what a client had of the last life passes for what it has of this",
        "manyhands.master.sessions",
        "hello.received if hello.resume and hello.epoch == self._epoch else 0",
        "hello.received if hello.resume else 0",
        "crash:0",
    ),
    Mutant(
        "jobs of a client that has left stay in the journal",
        "manyhands.master.journal",
        "        for job in [job for job, book in self._books.items() if book.session == session]:\n"
        "            self.forget(job)\n",
        "",
        "day:death",
    ),
    Mutant(
        "a clock that was set back makes tasks wait",
        "manyhands.master.recovery",
        "min(tries.due - wall, tries.delay)",
        "tries.due - wall",
        "day:clock",
    ),
    Mutant(
        "a cancel that spares what runs comes back as any other",
        "manyhands.master.job_messages",
        'return "cancel unless running" if cancel.spare_running else "cancel"',
        'return "cancel"',
        "spared",
    ),
    Mutant(
        "what runs is cancelled before its worker is back",
        "manyhands.master.engine",
        "            self._until_back.append(event)  # what runs is not known before\n            return\n",
        "            pass\n",
        "spared",
    ),
    Mutant(
        "deadlines count anew after a restart",
        "manyhands.master.scheduler",
        "block.end, now - age)",
        "block.end, now)",
        "day:deadlines",
    ),
    Mutant(
        "a clock that was set back puts deadlines off",
        "manyhands.master.recovery",
        "    youngest = 0.0\n",
        "    youngest = -1e9\n",
        "day:deadlines",
    ),
    Mutant(
        "who was sent to a worker is forgotten",
        "manyhands.master.delivery",
        '            journal.mark(command.job, "dispatched", command.spans)\n',
        "            pass\n",
        "day:deadlines",
    ),
    # ------------------------------------------------------------ limits and order
    Mutant(
        "one more at once than max_parallel",
        "manyhands.master.pool",
        "job.options.max_parallel - job.leased - job.staged)",
        "job.options.max_parallel + 1 - job.leased - job.staged)",
        "seed:1",
    ),
    Mutant(
        "what an ordered reader waits for is not admitted",
        "manyhands.master.pool",
        "limit = min(limit, 1 if job.queued.first == job.first_open else 0)",
        "limit = 0",
        "seed:14",
    ),
    Mutant(
        "work is not charged to its job",
        "manyhands.master.queues",
        "        job.tag = tag + cost\n",
        "",
        "fair",
    ),
    Mutant(
        "the lowest priority goes first",
        "manyhands.master.queues",
        "(-job.priority, job.tag, job.number, job)",
        "(job.priority, job.tag, job.number, job)",
        "priority",
    ),
)
