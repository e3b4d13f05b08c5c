"""The dialer: keeps one session with a master going across connections, patiently."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.credential import Credential
from manyhands.wire.errors import AccessDenied, Refused
from manyhands.wire.links import Link, LinkLost, OpenLink
from manyhands.wire.pump import Pump
from manyhands.wire.session import Flow, ProtocolError, Session

#: Seconds before the first reconnect, growing by 1.6 up to the maximum, each with +-20 % jitter.
RECONNECT_DELAY = 0.05
RECONNECT_DELAY_MAX = 5.0
#: At first they stay so short, for so long: who is back soon loses nothing.
PROMPT_DELAY = 0.1
PROMPT_TIMEOUT = 1.25
#: A master that accepts the connection but does not answer the handshake for so long is given up.
HANDSHAKE_TIMEOUT = 10.0


class Dialer:
    """Connects, shakes hands, resumes, reconnects. All methods belong to the loop's thread.

    on_bodies(bodies): content, in order. on_welcome(welcome): connected, anew or again.
    on_session_lost(reason, known): the master does not know our session any more; a new one begins. `known`: it is
    the same master, or one that has its journal, and still knows what it sent us. Of what it had not
    acknowledged, bodies of the kinds that `carry` names go with the new session then, ahead of anything else.
    on_link_lost(reason): the connection broke or could not be made; a new attempt follows.
    """

    def __init__(
        self,
        open_link: OpenLink,
        make_hello: Callable[[], pb.Hello],
        on_bodies: Callable[[Sequence[pb.Body]], None],
        on_welcome: Callable[[pb.Welcome], None],
        on_session_lost: Callable[[str, bool], None],
        on_link_lost: Callable[[str], None] = lambda _: None,
        carry: frozenset[str] = frozenset(),
        credential: Credential | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        """credential: what is shown to the master each time; it may renew that. jitter: of delays; by default one of
        its own, as a program that seeds the module's generator is to see what it expects.
        """
        self._jitter = jitter or random.Random()
        self._open_link = open_link
        self._credential = credential or Credential()
        self._make_hello = make_hello
        self._on_bodies = on_bodies
        self._on_welcome = on_welcome
        self._on_session_lost = on_session_lost
        self._on_link_lost = on_link_lost
        self._carry = carry
        self._pump: Pump | None = None
        self._link: Link | None = None
        self._closing = asyncio.Event()
        self._session = self._new_session()
        self._session_id = os.urandom(16)
        self._welcomed = False
        #: Of the latest welcome: which master, and which of its lives.
        self._cluster = b""
        self._epoch = 0
        #: Our session is new, but not what we do.
        self._holds = False
        #: Once we have said goodbye.
        self._farewell: pb.Body | None = None

    def send(self, body: pb.Body, flow: Flow = None, on_acknowledged: Callable[[], None] | None = None) -> None:
        """Queue `body` for the master; it is kept across connections until acknowledged, which may be told."""
        self._session.send(body, flow, on_acknowledged)
        if self._pump is not None:
            self._pump.wake()

    def leave(self, reason: str) -> None:
        """Say goodbye, and again in any session that has yet to begin: a master that was restarted has not heard it."""
        self._farewell = pb.Body(close_session=pb.CloseSession(reason=reason))
        self.send(self._farewell)

    @property
    def pending_bytes(self) -> int:
        """Bytes that the master has not acknowledged yet."""
        return self._session.pending_bytes

    @property
    def is_connected(self) -> bool:
        """Whether a connection stands right now."""
        return self._pump is not None

    def drop_flow(self, flow: int) -> None:
        """Forget what waits unsent in `flow`."""
        self._session.drop_flow(flow)

    async def run(self) -> None:
        """Stay connected until `close`. Raises Refused if the master will not have us."""
        loop = asyncio.get_running_loop()
        delay, lost_at = RECONNECT_DELAY, loop.time()
        while not self._closing.is_set():
            try:
                welcome = await self._connect()
            except LinkLost as lost:
                self._on_link_lost(str(lost))
                await self._pause(delay * self._jitter.uniform(0.8, 1.2))
                is_prompt = loop.time() < lost_at + PROMPT_TIMEOUT
                delay = min(delay * 1.6, PROMPT_DELAY if is_prompt else RECONNECT_DELAY_MAX)
                continue
            if welcome is None:
                continue
            reason = await self._serve(welcome)
            delay, lost_at = RECONNECT_DELAY, loop.time()
            if not self._closing.is_set():
                self._on_link_lost(reason)

    async def _connect(self) -> pb.Welcome | None:
        """One attempt; None if we were closed, or the master has forgotten our session and a new one was begun."""
        link = self._link = await self._open_link()
        if self._closing.is_set():  # `close` came while there was nothing to close
            await link.close()
            return None
        # Reads are never cancelled: a handshake that takes too long is ended by closing the link.
        overdue = asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT, lambda: asyncio.ensure_future(link.close()))
        try:
            await link.write(self._introduction())
            frame = await link.read()
        except LinkLost:
            await link.close()
            raise
        finally:
            overdue.cancel()
        kind = frame.WhichOneof("handshake") if frame is not None else None
        if frame is not None and kind == "welcome":
            return frame.welcome
        await link.close()
        if frame is None or kind != "refusal":
            raise LinkLost(link.reason)
        refusal = frame.refusal
        if refusal.code in {pb.Refusal.CODE_SHUTTING_DOWN, pb.Refusal.CODE_TOO_MANY}:
            raise LinkLost(refusal.sentence)
        if refusal.code in {pb.Refusal.CODE_ACCESS, pb.Refusal.CODE_NOT_ALLOWED}:
            raise AccessDenied(refusal.sentence)
        if refusal.code == pb.Refusal.CODE_UNKNOWN_SESSION and self._welcomed:
            self._begin_session(refusal.sentence, known=bool(refusal.cluster) and refusal.cluster == self._cluster)
            return None
        raise Refused(refusal.sentence)

    def _introduction(self) -> pb.Frame:
        """Who we are. It holds the secret, so nobody keeps it: not even a variable, which a traceback may show."""
        hello = self._make_hello()
        hello.session = self._session_id
        hello.resume = self._welcomed
        hello.received = self._session.received
        hello.epoch = self._epoch
        hello.holds = self._holds
        hello.secret = self._credential.secret
        return pb.Frame(hello=hello)

    @staticmethod
    def _new_session() -> Session:
        session = Session()
        session.on_receipts = _call_all
        return session

    def _begin_session(self, reason: str, *, known: bool) -> None:
        lost, self._session = self._session, self._new_session()
        self._session_id = os.urandom(16)
        self._welcomed = False
        self._holds = known and bool(self._carry)
        if known:
            for body in lost.unacknowledged():
                if body.WhichOneof("kind") in self._carry:
                    self._session.send(body)
        self._on_session_lost(reason, known)
        if self._farewell is not None:
            self._session.send(self._farewell)

    async def _serve(self, welcome: pb.Welcome) -> str:
        assert self._link is not None
        if welcome.epoch != self._epoch:
            self._session.forget_received()  # the first welcome of a session, or a master restored from its journal
        self._epoch, self._cluster = welcome.epoch, welcome.cluster
        self._session.resume(welcome.received)
        self._welcomed = True
        self._holds = False
        pump = Pump(self._session, self._link, self._received, welcome.heartbeat_interval, welcome.heartbeat_timeout)
        self._pump = pump
        try:
            self._on_welcome(welcome)
            return await pump.run()
        except ProtocolError as error:
            self._begin_session(str(error), known=False)
            return str(error)
        finally:
            self._pump = None

    def _received(self, bodies: Sequence[pb.Body]) -> None:
        for body in bodies:
            if body.HasField("renewed"):
                self._credential.secret = body.renewed.secret
                bodies = [other for other in bodies if not other.HasField("renewed")]
        self._on_bodies(bodies)

    async def _pause(self, delay: float) -> None:
        """Wait, but not past `close`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), delay)

    async def flush(self, timeout: float) -> bool:
        """Wait until the master has acknowledged everything, at most `timeout` seconds; whether it has."""
        deadline = asyncio.get_running_loop().time() + timeout
        pause = 0.002
        while not self._session.is_idle and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(pause)
            pause = min(pause * 1.1, 0.25)
        return self._session.is_idle

    async def close(self) -> None:
        """End the connection and `run`; whatever is unacknowledged is dropped."""
        self._closing.set()
        if self._pump is not None:
            await self._pump.end("closed here")
        elif self._link is not None:
            await self._link.close()


def _call_all(receipts: Iterable[object]) -> None:
    for on_acknowledged in receipts:
        cast("Callable[[], None]", on_acknowledged)()
