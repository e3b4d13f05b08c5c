"""Who is connected: a worker or client and its session, over a link or in this very process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from manyhands.master.access import Grant
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.local import LocalEnd
from manyhands.wire.pump import Pump
from manyhands.wire.session import Flow, ProtocolError, Session
from manyhands.wire.told import Told

#: Questions that a peer may ask without having read any answer, and the bytes of an answer that count as another one.
UNREAD_ANSWERS, ANSWER_BYTES = 100_000, 4096

#: A peer that lags goes on when it has less unread than this part of what was too much.
READ_ENOUGH = 3 / 4


class Peer:
    """A worker or client and its session, connected or not."""

    #: Whether it is still there when the master starts again.
    outlives_master = True

    def __init__(self, number: int, hello: pb.Hello, session: Session | None = None) -> None:
        self.number = number
        self.hello = hello
        self.role = hello.role
        self.name = hello.name or f"{hello.host}-{hello.pid}"
        self.session = session or Session()
        self.pump: Pump | None = None
        self.grace: asyncio.TimerHandle | None = None
        #: It said goodbye: the end of its connection is the end of its session.
        self.leaving = False
        #: Definitions it was sent.
        self.told = Told()
        #: Clients: their numbers for their jobs -> the master's.
        self.jobs: dict[int, int] = {}
        #: The identity of its host's store, once it has told.
        self.store = ""
        #: What it may do; None for one of an earlier life, until it is back.
        self.grant: Grant | None = None
        #: Of its token: what it was last known to know.
        self.secret = ""
        self.completed = 0
        #: Its connection was closed, and that is written down.
        self.has_ended = False
        self.lost_at = 0.0
        #: Too much of what it was sent is unread.
        self.lags = False
        self._unread_limit = 0
        self._on_lagging: Callable[[Peer], None] = lambda _: None
        self._asked = 0  # since it acknowledged this frame
        self._asked_after = 0

    def __str__(self) -> str:
        return f"{'worker' if self.role == pb.ROLE_WORKER else 'client'} {self.name}"

    @property
    def owner(self) -> str:
        """The name of its token; empty without access control."""
        return self.hello.owner

    def may_read(self, owner: str) -> bool:
        """Whether what is `owner`'s may be looked into, and ended."""
        return owner == self.owner or (self.grant is not None and self.grant.may_read(owner))

    def watch_unread(self, limit_bytes: int, on_lagging: Callable[[Peer], None]) -> None:
        """`on_lagging` is told when more than `limit_bytes` are unread, and when a good part of that is read."""
        self._unread_limit = limit_bytes
        self._on_lagging = on_lagging

    def send(self, body: pb.Body, flow: Flow = None, receipt: object = None) -> None:
        """Queue `body`; it arrives exactly once unless the session ends. `receipt`: see Session.on_receipts."""
        self.session.send(body, flow, receipt)
        if self.pump is not None:
            self.pump.wake()
        if not self.lags and self._unread_limit and self.session.pending_bytes > self._unread_limit:
            self.lags = True
            self._on_lagging(self)

    def asked(self, answer_bytes: int = 0) -> None:
        """It has said what is answered at once. Raises ProtocolError if it does on and on, and reads nothing."""
        acknowledged = self.session.acknowledged
        if acknowledged != self._asked_after:
            self._asked, self._asked_after = 0, acknowledged
        self._asked += 1 + answer_bytes // ANSWER_BYTES
        if self._asked > UNREAD_ANSWERS:
            raise ProtocolError(f"{self} asks on and on, and does not read the answers")

    def heard(self) -> None:
        """It may have acknowledged something."""
        if self.lags and self.session.pending_bytes < self._unread_limit * READ_ENOUGH:
            self.lags = False
            self._on_lagging(self)

    def define(self, hash: bytes, blob: bytes, flow: Flow) -> None:
        """Send a definition, unless it was."""
        if self.told.add(hash):
            self.send(pb.Body(define=pb.Define(hash=hash, blob=blob)), flow)

    def close_job(self, number: int, job: int) -> None:
        """A client's number no longer means `job`; by now it may mean another, as that of a detached one is free."""
        if self.jobs.get(number) == job:
            del self.jobs[number]

    def acknowledge(self) -> None:
        """Confirm at once what was received so far."""
        if self.pump is not None:
            self.session.applied()
            self.pump.acknowledge()

    def durable(self, sequence: int) -> None:
        """See journal.Watcher."""
        self.session.applied(sequence)
        if self.pump is not None:
            if self.leaving:
                self.pump.acknowledge()
            else:
                self.pump.settled()

    def acknowledge_rarely(self, delay: float) -> None:
        """Acknowledgements may wait `delay` seconds for content to travel with."""
        if self.pump is not None:
            self.pump.ack_delay = max(self.pump.ack_delay, delay)

    def silent(self, now: float) -> float:
        """Seconds since the last sign of life."""
        return self.pump.liveness.silent(now) if self.pump is not None else now - self.lost_at

    async def disconnect(self, reason: str) -> None:
        """End its connection."""
        if self.grace is not None:
            self.grace.cancel()
        if self.pump is not None:
            await self.pump.end(reason)


class LocalPeer(Peer):
    """A worker in this very process: no session, no connection that could break."""

    outlives_master = False

    def __init__(self, number: int, hello: pb.Hello, end: LocalEnd) -> None:
        super().__init__(number, hello)
        self._end = end

    def send(self, body: pb.Body, flow: Flow = None, receipt: object = None) -> None:
        """Hand `body` over."""
        self._end.send(body)

    def asked(self, answer_bytes: int = 0) -> None:
        """It reads at once."""

    def silent(self, now: float) -> float:
        """It lives as long as we do."""
        return 0.0

    async def disconnect(self, reason: str) -> None:
        """Let it go."""
        self._end.close()
