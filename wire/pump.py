"""The pump: moves frames between one session and one link until the link is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import Link, LinkLost
from manyhands.wire.liveness import Liveness
from manyhands.wire.session import ProtocolError, Session

#: Seconds that an acknowledgement waits for content to travel with. It only holds memory at the sender
#: meanwhile, so it need not be short; whoever wants one at once calls `acknowledge`.
ACK_DELAY = 0.1


class Pump:
    """One connection's life. `on_bodies` is called on the loop, in order; what it raises ends the pump."""

    def __init__(
        self,
        session: Session,
        link: Link,
        on_bodies: Callable[[Sequence[pb.Body]], None],
        heartbeat_interval: float,
        heartbeat_timeout: float,
        on_frame_dealt_with: Callable[[], None] | None = None,
    ) -> None:
        """on_frame_dealt_with: instead of our calling `session.applied` after `on_bodies`, for whoever does so later,
        and calls `settled` then.
        """
        self._on_frame_dealt_with = on_frame_dealt_with or session.applied
        self._session = session
        self._link = link
        self._on_bodies = on_bodies
        self._interval = heartbeat_interval
        self._loop = asyncio.get_running_loop()
        self.liveness = Liveness(heartbeat_interval / 2, heartbeat_timeout, self._loop.time())
        self._sleeping: asyncio.Future[None] | None = None  # the writer, while there is nothing to write
        self._ack_timer: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        #: See ACK_DELAY; a master with many workers raises it to save messages.
        self.ack_delay = ACK_DELAY
        self._bare = False  # a frame must go out even if it carries nothing
        self._written_at = self._loop.time()
        self._ending: str | None = None

    def wake(self) -> None:
        """The session has something to write."""
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)

    def acknowledge(self) -> None:
        """Send the acknowledgement of what was applied without waiting for content."""
        self._bare = True
        self.wake()

    async def end(self, reason: str) -> None:
        """Close the link; `run` then returns with this reason."""
        self._lost(reason)
        self.wake()
        await self._link.close()

    def _lost(self, reason: str) -> None:
        """The first reason is the cause; later ones are its consequences."""
        if self._ending is None:
            self._ending = reason

    async def run(self) -> str:
        """Move frames until the link is lost; return why. Raises what `on_bodies` raised, and ProtocolError."""
        writer = asyncio.create_task(self._write(), name="pump-writer")
        self._beat()
        try:
            await self._link.read_all(self._on_frame)
            return self._ending or self._link.reason
        except ProtocolError as error:
            self._link.refuse(pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence=str(error)))
            raise
        finally:
            self._lost("the connection was closed")
            self.wake()
            for timer in (self._ack_timer, self._beat_timer):
                if timer is not None:
                    timer.cancel()
            await self._link.close()
            await writer

    def _on_frame(self, frame: pb.Frame) -> None:
        session = self._session
        self.liveness.heard(self._loop.time())
        bodies = session.receive(frame)
        if not frame.sequence and frame.HasField("refusal"):
            self._lost(frame.refusal.sentence)
        if bodies:
            self._on_bodies(bodies)
        # Also without bodies: fragments of a body beyond the window must be acknowledged one by one.
        self._on_frame_dealt_with()
        self.settled()

    def settled(self) -> None:
        """More may have become acknowledgeable, or sendable."""
        session = self._session
        if session.ack_urgent:
            self.acknowledge()
        elif session.has_frame:
            self.wake()  # the acknowledgement may have opened the window
        elif session.ack_due and self._ack_timer is None:
            self._ack_timer = self._loop.call_later(self.ack_delay, self._ack_now)

    def _ack_now(self) -> None:
        self._ack_timer = None
        if self._session.ack_due:
            self.acknowledge()

    def _beat(self) -> None:
        """Every half interval: speak if we have been quiet, and notice if the other side has."""
        now = self._loop.time()
        if self.liveness.check(now):
            reason = f"silent for {self.liveness.silent(now):.1f} s"
            self._lost(reason)
            self._closing = self._loop.create_task(self._link.close())
            return
        if now - self._written_at >= self._interval / 2:
            self._bare = True
            self.wake()
        # Not by up to half an interval later than the timeout says.
        self._beat_timer = self._loop.call_later(min(self._interval / 2, self.liveness.left(now) + 0.001), self._beat)

    async def _write(self) -> None:
        session, link = self._session, self._link
        while self._ending is None:
            frame = session.next_frame()
            if frame is None and self._bare:
                frame = session.bare_frame()
            if frame is None:
                self._sleeping = self._loop.create_future()
                await self._sleeping
                continue
            self._bare = False
            self._written_at = self._loop.time()
            try:
                await link.write(frame)
            except LinkLost as lost:
                self._lost(str(lost))
                await link.close()
                return
