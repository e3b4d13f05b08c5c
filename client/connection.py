"""One client's session with a master: jobs' messages out, outcomes in, and an end for everything that waits."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from manyhands.client.cluster import ClusterView
from manyhands.client.gathering import Blob, OpenBlock
from manyhands.client.incoming import Incoming
from manyhands.client.jobs import Job
from manyhands.client.loop import Background
from manyhands.client.room import Room
from manyhands.client.stats import Stats
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.data_flow import DATA_FLOW
from manyhands.wire.dialer import Dialer
from manyhands.wire.errors import NoWorkers, Refused, SessionLost
from manyhands.wire.handshake import make_hello
from manyhands.wire.pickling import Share
from manyhands.wire.told import Told

if TYPE_CHECKING:
    from manyhands.client.data import Data

#: Seconds that the end of the session may take to be acknowledged.
CLOSE_TIMEOUT = 2.0
#: Seconds that the interpreter's end waits for a worker to come.
EXIT_TIMEOUT = 5.0
#: Seconds that `hand_over` waits at most.
HAND_OVER_TIMEOUT = 0.0005

#: Makes a Dialer that knows the way.
DialMaster = Callable[..., Dialer]

logger = logging.getLogger("manyhands.client")


class Connection:
    """Methods belong to the loop's thread, except where they say "from any thread"."""

    def __init__(self, background: Background, dial: DialMaster, address: str, *, reconnect_timeout: float) -> None:
        self.background = background
        self.address = address
        self.cluster = ClusterView(background.loop, address)
        self.stats = Stats()
        #: Set once: makes the exception with which new work is refused.
        self.refusal: Callable[[], BaseException] | None = None
        #: Set when the master has told how many slots there are, or never will.
        self.ready = threading.Event()
        #: What the latest attempt to connect said.
        self.last_trouble = ""
        #: Set when nothing more will happen here, and what must be stopped has been.
        self.closed = threading.Event()
        #: Awaited after the session has ended: stops an embedded cluster.
        self.after_close: Callable[[], Any] | None = None
        self._dial = dial
        self._reconnect_timeout = reconnect_timeout
        self._dialer: Dialer | None = None
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self.incoming = Incoming(self, self._jobs)
        #: Set when somebody has use for data, and then for good.
        self.data: Data | None = None
        #: Of the master that welcomed us last.
        self.cluster_id = b""
        self._told = Told()
        #: Whether a caller who adds more should wait.
        self.room = Room(self._pending_bytes, lambda: self.refusal is not None, self._is_stalled)
        self._outage: asyncio.TimerHandle | None = None
        self._epoch = 0  # of the master that welcomed us last
        self._closing = False
        #: All jobs were to be cancelled: whether what runs is spared.
        self._cancel_spares: bool | None = None
        self._settled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.pid = os.getpid()
        #: In a forked child: what every use of this connection raises.
        self.forked: BaseException | None = None
        self._failure: BaseException | None = None
        background.on_death.add(self.die)

    # ------------------------------------------------------------ beginning

    def start(self) -> None:
        """From any thread: begin to connect; `ready` tells of the outcome."""
        self.background.post(self._start)

    def _start(self) -> None:
        self._dialer = self._dial(
            partial(make_hello, pb.ROLE_CLIENT),
            self.incoming.received,
            self._on_welcome,
            self._on_session_lost,
            self._on_link_lost,
        )
        self._spawn(self._run(self._dialer))

    def _spawn(self, coroutine: Any) -> None:
        running = self.background.loop.create_task(coroutine)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    async def _run(self, dialer: Dialer) -> None:
        try:
            await dialer.run()
        except Refused as refused:
            refused.address = self.address
            self.die(refused)
        except Exception as error:
            logger.exception("the connection to the master at %s failed", self.address)
            self.die(error)
        else:
            self.die(SessionLost(f"the connection to the master at {self.address} was closed"))

    @property
    def failure(self) -> BaseException | None:
        """Why the connection is of no use any more, if so."""
        return self._failure

    # ------------------------------------------------------------ from any thread

    def next_job_number(self) -> int:
        """From any thread: jobs are numbered from 1."""
        return next(self._numbers)

    def post_job(self, job: Job, opening: pb.Body, blobs: Sequence[Blob]) -> None:
        """From any thread: make the job known to the master; before its first block."""
        self._jobs[job.number] = job
        self.background.post(partial(self._open_job, job, opening, blobs))

    def post_attached(self, job: Job, attach: pb.Body) -> None:
        """From any thread: make a job known that another client opened."""
        self._jobs[job.number] = job
        self.background.post(partial(self._open_job, job, attach, ()))

    def post_block(self, job: Job, block: OpenBlock) -> None:
        """From any thread: send a block, which nobody adds to any more, after the definitions it refers to."""
        self.room.count_unsent(block.size)
        self.background.post(partial(self.send_block, job, block))

    def post(self, job: Job, body: pb.Body) -> None:
        """From any thread: send a message of the job, after its earlier ones, unless the job is over."""
        self.background.post(partial(self.send, job, body))

    def hand_over(self) -> None:
        """From any thread: wait, for a moment, until what was posted before has been written.

        Otherwise a caller that goes on computing would keep the interpreter's lock, and the loop's thread
        waiting, for the 5 ms of the switch interval.
        """
        if not self.background.is_current:
            taken = threading.Lock()
            taken.acquire()
            self.background.post(partial(self._release_later, taken))
            taken.acquire(timeout=HAND_OVER_TIMEOUT)

    def _pending_bytes(self) -> int:
        dialer = self._dialer
        return dialer.pending_bytes if dialer is not None else 0

    def _is_stalled(self) -> bool:
        return any(job.is_stalled for job in self.jobs())

    def wait_for_room(self) -> None:
        """From any thread: wait while the master lags too far behind; never in the background's own."""
        if not self.background.is_current:
            self.room.wait()

    @property
    def share(self) -> Share | None:
        """From any thread: what large arguments are shown to."""
        return self.data.sharing.ref if self.data is not None else None

    def check_open(self) -> None:
        """From any thread: raises what new work is refused with, if it is."""
        if self.refusal is not None:
            raise self.refusal()

    def _release_later(self, taken: threading.Lock) -> None:
        self.background.loop.call_soon(taken.release)  # the writer has its turn first

    def check_forked(self) -> None:
        """From any thread: raises ForkedClient in a forked child."""
        if self.forked is not None:
            raise self.forked

    def wait_closed_at_exit(self) -> None:
        """At the interpreter's end, after `close`: wait for it, but not for workers that are not there."""
        lonely_at = time.monotonic()
        while not self.closed.wait(0.05):
            now = time.monotonic()
            if self.cluster.workers or not self.stats.open:
                lonely_at = now
            elif now - lonely_at > EXIT_TIMEOUT:
                self.background.post(partial(self.die, NoWorkers(waited=now - lonely_at)))

    # ------------------------------------------------------------ out

    def _open_job(self, job: Job, opening: pb.Body, blobs: Iterable[Blob]) -> None:
        if self._failure is not None:
            self.fail_job(job, self._failure)
        if job.number not in self._jobs:
            return
        self._define(job, blobs)
        self._send(opening, job.number)

    def _define(self, job: Job, blobs: Iterable[Blob]) -> None:
        """Send what this session has not been sent, so that it arrives before what refers to it."""
        for digest, blob in blobs:
            job.blobs[digest] = blob
            if self._told.add(digest):
                self._send(pb.Body(define=pb.Define(hash=digest, blob=blob)), job.number)

    def send(self, job: Job, body: pb.Body) -> None:
        """Send a message of the job, unless the job is over."""
        if job.number in self._jobs:
            self._send(body, job.number)

    def send_block(self, job: Job, block: OpenBlock) -> None:
        """Send a block, after the definitions it refers to, unless the job is over."""
        self.room.count_unsent(-block.size)
        if job.number in self._jobs:
            self._define(job, block.blobs())
            job.opened += block.count
            self.stats.opened(block.count, time.monotonic())
            self.cluster.has_work(True)
            body = block.body(job.number)
            if not block.handles:
                self._send(body, job.number)
            else:  # from its acknowledgement on the master holds them
                assert self._dialer is not None
                self._dialer.send(body, job.number, partial(_let_go, block.handles))

    def define_again(self, digests: Iterable[bytes]) -> None:
        """The master lacks definitions that it was sent."""
        for digest in digests:
            blob = next((job.blobs[digest] for job in self.jobs() if digest in job.blobs), None)
            if blob is not None:  # otherwise the job that needed it is over
                self._send(pb.Body(define=pb.Define(hash=digest, blob=blob)))

    def send_last(self, job: Job, body: pb.Body, on_acknowledged: Callable[[], None]) -> None:
        """Send a message of the job; told once that, and everything before it, is safe with the master."""
        if job.number in self._jobs:
            assert self._dialer is not None
            self._dialer.send(body, job.number, on_acknowledged)

    def forget_job(self, job: Job) -> None:
        """Hear no more of it."""
        self._jobs.pop(job.number, None)

    def send_data(self, body: pb.Body) -> None:
        """Send something about data, after all that was sent of them before; nothing, if nobody hears it any more."""
        if self._failure is None and self._dialer is not None:
            self._dialer.send(body, DATA_FLOW)

    def _send(self, body: pb.Body, flow: int | None = None) -> None:
        assert self._dialer is not None, "posted before the start"
        self._dialer.send(body, flow)

    # ------------------------------------------------------------ in

    def _on_welcome(self, welcome: pb.Welcome) -> None:
        for warning in welcome.warnings:
            logger.warning("the master at %s: %s", self.address, warning)
        self.cluster_id = welcome.cluster
        if welcome.epoch != self._epoch:
            self._epoch = welcome.epoch
            for job in self.jobs():
                job.on_new_master()
            if self.data is not None:
                self.data.on_new_master()
        if self._outage is not None:
            self._outage.cancel()
            self._outage = None
            if self.ready.is_set():
                logger.warning("connected to the master at %s again", self.address)

    def _on_link_lost(self, reason: str) -> None:
        self.last_trouble = reason
        self._give_up_cancelled()
        if self._failure is not None or self._outage is not None:
            return
        if self.ready.is_set():
            logger.warning("lost the connection to the master at %s (%s); reconnecting", self.address, reason)
        self._outage = self.background.loop.call_later(self._reconnect_timeout, self._give_up, reason)

    def _give_up(self, reason: str) -> None:
        self.die(
            SessionLost(f"no connection to the master at {self.address} for {self._reconnect_timeout:g} s: {reason}")
        )

    def _on_session_lost(self, reason: str, known: bool) -> None:
        """The master knows nothing of our jobs; what is submitted from now on belongs to a new session."""
        self._told.clear()
        self.room.master_is_short(False)
        cause = SessionLost(f"the master at {self.address} no longer knows this client: {reason}")
        self._fail_jobs(cause)
        if self.data is not None:
            self.data.on_session_lost(cause)

    # ------------------------------------------------------------ counting

    def count_ended(self, job: Job, count: int, *, seconds: float = 0.0, completed: bool = False) -> None:
        """`count` tasks of `job` have ended: `completed` if they ran, for `seconds` together."""
        if count:
            job.ended += count
            self.stats.ended(count, time.monotonic(), seconds=seconds, completed=completed)
            if not self.stats.open:
                self.cluster.has_work(False)
        if job.is_settled:
            job.blobs.clear()
            if job.is_over:
                self._jobs.pop(job.number, None)
            self.check_settled()

    def cancel_job(self, job: Job) -> None:
        """Cancel all of a job, and hear no more of it."""
        if job.number in self._jobs:
            assert self._dialer is not None
            self._dialer.drop_flow(job.number)
            self._send(pb.Body(cancel=pb.Cancel(job=job.number)), job.number)
            del self._jobs[job.number]
            self.count_ended(job, job.opened - job.ended)
            self.check_settled()

    def cancel_jobs(self, *, spare_running: bool) -> None:
        """Cancel what has not ended of all jobs, or not even started; no more will come."""
        for job in self.jobs():
            job.cancel_open(spare_running=spare_running)
        self._cancel_spares = spare_running
        self._give_up_cancelled()

    def _give_up_cancelled(self) -> None:
        """While the master is away, nobody waits for its answer to a cancel of everything."""
        if self._cancel_spares is not None and self._dialer is not None and not self._dialer.is_connected:
            for job in self.jobs():
                job.give_up_open(spare_running=self._cancel_spares)

    # ------------------------------------------------------------ ending

    def check_settled(self) -> None:
        """While closing: see whether every task has ended."""
        if self._closing and all(job.is_settled for job in self.jobs()):
            self._settled.set()

    def jobs(self) -> list[Job]:
        """From any thread: the jobs that are known right now; a copy, as other threads add theirs."""
        return list(self._jobs.values())

    def close(self) -> None:
        """End the session once every task has ended; `closed` tells when. New work must be refused already."""
        if not self._closing:
            self._closing = True
            self._spawn(self._close())

    async def _close(self) -> None:
        try:
            self.check_settled()
            await self._settled.wait()
            dialer = self._dialer
            if self._failure is None and dialer is not None:
                dialer.leave("the client shut down")
                if dialer.is_connected:
                    if not await dialer.flush(CLOSE_TIMEOUT):
                        logger.debug("the master at %s did not acknowledge our end", self.address)
                elif self.after_close is None:  # an embedded cluster does not come back
                    self._dialer = None
                    self._spawn(self._part(dialer))
            self.die(SessionLost("the client was shut down"))
            if self.after_close is not None:
                await self.after_close()
        finally:
            self.closed.set()  # whatever failed above: somebody waits for this

    async def _part(self, dialer: Dialer) -> None:
        """The master is away: what it has not heard of our cancels and our end it hears should it be back in time."""
        await dialer.flush(self._reconnect_timeout)
        await dialer.close()

    def fail_job(self, job: Job, cause: BaseException) -> None:
        """Nothing more will come of a job: what is open of it ends with `cause`."""
        self._jobs.pop(job.number, None)
        self.count_ended(job, job.opened - job.ended)
        job.fail(cause)
        self.check_settled()

    def _fail_jobs(self, cause: BaseException) -> None:
        for job in self.jobs():
            self.fail_job(job, cause)

    def die(self, cause: BaseException) -> None:
        """Nothing will come any more: everything that waits ends with `cause`."""
        if self._failure is not None:
            return
        self._failure = cause
        if self.refusal is None:
            self.refusal = lambda: cause
        if self._outage is not None:
            self._outage.cancel()
        self._fail_jobs(cause)
        if self.data is not None:
            self.data.close(cause)
        self.cluster.fail(cause)
        self._settled.set()
        self.ready.set()
        self.background.on_death.discard(self.die)
        if not self.background.loop.is_running():
            self.closed.set()  # the loop itself died, so nobody is left to close in good order
            return
        if self._dialer is not None:
            self._spawn(self._dialer.close())
        self.close()


def _let_go(handles: object) -> None:
    """Whoever calls this held them until now."""
