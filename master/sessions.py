"""Who comes and goes: handshake, resumption, and the grace given to broken connections."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from manyhands.master.access import Denied, Grant, NotAllowed
from manyhands.master.config import MasterConfig
from manyhands.master.door import Door, Open, TooMany
from manyhands.master.journal import Journal
from manyhands.master.journal_schema import KeptClient
from manyhands.master.peers import LocalPeer, Peer
from manyhands.master.validation import check_hello
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import printable
from manyhands.wire.handshake import refusal, skew
from manyhands.wire.links import Link, LinkLost
from manyhands.wire.local import LocalEnd
from manyhands.wire.pump import Pump
from manyhands.wire.session import ProtocolError, Session

log = logging.getLogger("manyhands.master")

#: A worker that is back within the reconnect timeout may notice, dial and shake hands so much later, in seconds.
RETURN_TIME = 0.25

#: An absent peer's time is counted in steps of so many seconds; one that comes later than that shows that this
#: process did not run.
GRACE_STEP, OVERSLEPT = 1.0, 1.0


class PeerEvents(Protocol):
    """Who wants to know; see `engine.py`."""

    def joined(self, peer: Peer) -> None: ...
    def left(self, peer: Peer, reason: str) -> None: ...
    def received(self, peer: Peer, bodies: Sequence[pb.Body]) -> None: ...


class Sessions:
    """All peers by session id."""

    def __init__(
        self,
        config: MasterConfig,
        epoch: int,
        cluster: bytes,
        journal: Journal | None = None,
        door: Door | None = None,
        store: str = "",
    ) -> None:
        """`cluster` names this master and every later life of it; without a journal it has no other.

        Without a `door` everybody may come in. `store`: the identity of the store that we use.
        """
        self._store = store
        self._config = config
        self.door = door or Door(config, Open())
        self._epoch = epoch
        self._cluster = cluster
        self._journal = journal
        self._peers: dict[bytes, Peer] = {}
        self._last_number = 0
        self._draining = self._closing = False
        self.events: PeerEvents

    def of_role(self, role: pb.Role) -> list[Peer]:
        """All peers of one role."""
        return [peer for peer in self._peers.values() if peer.role == role]

    def join(self, hello: pb.Hello, end: LocalEnd) -> pb.Welcome:
        """A worker of this process has come; `end` is ours."""
        self._last_number += 1
        peer = self._peers[hello.session] = LocalPeer(self._last_number, hello, end)
        end.on_bodies = partial(self.events.received, peer)
        end.on_end = partial(self._on_local_end, peer)
        self.events.joined(peer)
        return self._welcome(peer, resumed=False)

    def _on_local_end(self, peer: Peer, error: Exception | None) -> None:
        if error is not None:
            log.error("serving %s failed", peer, exc_info=error)
        self._forget(peer, "it was stopped" if error is None else f"internal error: {error!r}")

    def restore(self, client: KeptClient) -> Peer:
        """A client of an earlier life, which may resume."""
        self._last_number += 1
        session = Session.restored(client.received, client.fragments)
        peer = self._peers[client.session] = Peer(self._last_number, client.hello, session)
        self._note_down(peer)
        grace = self._config.client_timeout
        if not self._config.clients_return:
            grace = 0.0
        elif client.ended_at:  # it was gone before we were
            # Counted anew: it may have tried to come back all the while we were gone.
            grace = self._config.client_end_timeout
            peer.has_ended = True
        self._wait_for(peer, grace, "it did not come back after the master's restart")
        return peer

    def _note_down(self, peer: Peer) -> None:
        """A client whose session outlives us, with its journal."""
        if self._journal is not None and peer.role == pb.ROLE_CLIENT:
            peer.session.on_fragment = partial(self._journal.fragment, peer.hello.session)
            peer.session.on_receipts = self._journal.delivered

    async def accept(self, link: Link) -> None:
        """One connection's whole life, from hello to its end."""
        try:
            with self.door.waiting(link.address):
                admitted = await self._admit(link)
            if admitted is not None:
                await self._serve(link, *admitted)
        except TooMany as crowd:
            await self._refuse(link, None, pb.Refusal(code=pb.Refusal.CODE_TOO_MANY, sentence=str(crowd)))
        except LinkLost:
            pass  # gone during the handshake: it will come again
        finally:
            await link.close()

    async def _admit(self, link: Link) -> tuple[pb.Hello, Grant, str, Peer | None] | None:
        """The hello, what its bearer may do, his secret, and who he is if he comes back; None if he was sent away.

        Raises LinkLost, TooMany.
        """
        hello = await self.door.read_hello(link)
        if hello is None:
            return None
        secret = hello.secret
        hello.ClearField("secret")
        peer = self._peers.get(hello.session)
        try:
            owner = peer.owner if peer is not None else None
            grant = await self.door.grant(secret, link.address, link.certificate, owner)
            grant.check_join(hello.role)
            if peer is not None and not grant.may_read(peer.owner):
                raise NotAllowed(f"this session was begun with another token than {grant.name!r}")
        except Denied as denied:
            code = pb.Refusal.CODE_NOT_ALLOWED if isinstance(denied, NotAllowed) else pb.Refusal.CODE_ACCESS
            sentence = pb.Refusal(code=code, sentence=str(denied))
        else:
            hello.owner = grant.name
            peer = self._peers.get(hello.session)  # looked up again, for that may have taken a while
            found = self._why_not(hello, peer)
            if found is None:
                return hello, grant, secret, peer
            sentence = found
        await self._refuse(link, hello, sentence)
        return None

    def _why_not(self, hello: pb.Hello, peer: Peer | None) -> pb.Refusal | None:
        """Why somebody whose token is good cannot come in."""
        sentence = _invalid(hello) or refusal(hello, platform.python_version())
        # Whoever has a session, or had one, is still served: results that it brings count.
        is_new = peer is None and not hello.resume and not hello.holds
        if sentence is None and (self._closing or (self._draining and is_new)):
            sentence = pb.Refusal(
                code=pb.Refusal.CODE_SHUTTING_DOWN,
                sentence=f"the master at {platform.node()} is shutting down; it takes nobody new until it has been "
                "started again",
            )
        if sentence is None and hello.resume and peer is None:
            sentence = self._unknown_session()
        if sentence is None and peer is not None and peer.role != hello.role:
            sentence = pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence="this session was begun in another role")
        if sentence is None and peer is None:
            count = sum(other.owner == hello.owner for other in self._peers.values())
            if count >= self._config.sessions_each:
                sentence = pb.Refusal(
                    code=pb.Refusal.CODE_TOO_MANY,
                    sentence=f"{count} sessions were begun with this token, which is the most that one may have",
                )
        return sentence

    def _unknown_session(self) -> pb.Refusal:
        return pb.Refusal(
            code=pb.Refusal.CODE_UNKNOWN_SESSION,
            sentence="the master does not know this session: it was restarted, or gave it up after a long silence",
            cluster=self._cluster,
        )

    @staticmethod
    async def _refuse(link: Link, hello: pb.Hello | None, sentence: pb.Refusal) -> None:
        # Whoever comes back to a master that knows him no more begins a new session: nothing to worry about.
        expected = sentence.code == pb.Refusal.CODE_UNKNOWN_SESSION
        level = logging.INFO if expected else logging.WARNING
        name = printable(hello.name) if hello is not None else ""
        where = link.address or (printable(hello.host) if hello is not None else "this machine")
        log.log(level, "refused %s (%s): %s", name or "a peer", where, sentence.sentence)
        await link.write(pb.Frame(refusal=sentence))

    def check_grants(self) -> None:
        """The tokens have changed: whoever has lost his leaves, and whose secret is new is told it."""
        for peer in list(self._peers.values()):
            if peer.grant is None:
                continue
            try:
                self.door.keyring.check_standing(peer.grant)
            except Denied as denied:
                log.warning("%s has to leave: %s", peer, denied)
                peer.leaving = True
                if peer.pump is None:
                    self._forget(peer, str(denied))
                else:
                    self._parting = asyncio.ensure_future(peer.disconnect(str(denied)))
            else:
                self._renew(peer)

    def _renew(self, peer: Peer) -> None:
        """Tell it its token's secret, if it does not know it."""
        current = self.door.keyring.current_secret(peer.grant) if peer.grant is not None else ""
        if current and peer.secret and current != peer.secret:
            peer.secret = current
            peer.send(pb.Body(renewed=pb.Renewed(secret=current)))

    async def _serve(self, link: Link, hello: pb.Hello, grant: Grant, secret: str, peer: Peer | None) -> None:
        config = self._config
        resumed = peer is not None and hello.resume
        if peer is None:
            peer = self._begin(hello, grant)
        if self._journal is not None and not resumed and peer.role == pb.ROLE_CLIENT:
            await self._journal.synced()  # the welcome promises that the session can be resumed
        while peer.pump is not None:
            # Taken off first: its end must not pass for the peer's.
            previous, peer.pump = peer.pump, None
            await previous.end("the same session connected again")
        if self._peers.get(hello.session) is not peer:  # it was given up, or broke a rule elsewhere, while we waited
            await self._refuse(link, hello, self._unknown_session())
            return
        self._is_back(peer, grant, secret)
        served = peer
        deal_with = peer.session.applied if self._journal is None else partial(self._dealt_with, peer, self._journal)

        def on_frame_dealt_with() -> None:
            deal_with()
            served.heard()

        pump = peer.pump = Pump(
            peer.session,
            link,
            lambda bodies: self.events.received(served, bodies),
            config.heartbeat_interval,
            config.heartbeat_timeout,
            on_frame_dealt_with,
        )
        reason = "the connection was closed"
        try:
            # A hello without resume for a session that we know: our welcome was lost, and nothing applied.
            # What it has of an earlier life of ours says nothing about this one.
            peer.session.resume(hello.received if hello.resume and hello.epoch == self._epoch else 0)
            await link.write(pb.Frame(welcome=self._welcome(peer, resumed)))
            reason = await pump.run()
        except LinkLost as lost:
            reason = f"lost during the handshake: {lost}"
        except ProtocolError as error:
            reason = f"protocol fault: {error}"
            peer.leaving = True
            # The pump has said so, if it had begun.
            link.refuse(pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence=str(error)))
        except Exception as error:
            # A fault of ours while serving this peer must not pass for a network problem.
            log.exception("serving %s failed", peer)
            reason = f"internal error: {error!r}"
            peer.leaving = True
        finally:
            if peer.pump is pump:
                peer.pump = None
                self._disconnected(peer, reason)

    def _begin(self, hello: pb.Hello, grant: Grant) -> Peer:
        self._last_number += 1
        peer = self._peers[hello.session] = Peer(self._last_number, hello)
        self._note_down(peer)
        peer.grant = grant
        log.info("%s joined from %s", peer, hello.host)
        self.events.joined(peer)
        return peer

    def _is_back(self, peer: Peer, grant: Grant, secret: str) -> None:
        """Its connection stands, be it the first."""
        if peer.grace is not None:
            peer.grace.cancel()
            peer.grace = None
        if peer.has_ended and self._journal is not None:
            peer.has_ended = False
            self._journal.client_back(peer.hello.session)
        peer.grant, peer.secret = grant, peer.secret or secret
        self._renew(peer)

    @staticmethod
    def _dealt_with(peer: Peer, journal: Journal) -> None:
        session = peer.session
        if session.taken > session.received:
            of_client = peer.hello.session if peer.role == pb.ROLE_CLIENT else None
            journal.acknowledge(peer, session.taken, of_client)

    def _welcome(self, peer: Peer, resumed: bool) -> pb.Welcome:
        config = self._config
        return pb.Welcome(
            epoch=self._epoch,
            received=peer.session.received,
            resumed=resumed,
            heartbeat_interval=config.heartbeat_interval,
            heartbeat_timeout=config.heartbeat_timeout,
            warnings=skew(peer.hello),
            cluster=self._cluster,
            store=self._store,
        )

    def _disconnected(self, peer: Peer, reason: str) -> None:
        config = self._config
        silent = reason.startswith("silent")
        if peer.leaving or self._closing:
            self._forget(peer, reason)
        elif peer.role == pb.ROLE_WORKER:
            if silent:  # it was waited for already
                self._forget(peer, reason)
            else:
                self._wait_for(peer, config.reconnect_timeout + RETURN_TIME, reason)
        else:
            # A laptop that sleeps is silent; a connection that ends most often ends with its process.
            if not silent and self._journal is not None:
                peer.has_ended = True
                self._journal.client_ended(peer.hello.session)
            self._wait_for(peer, config.client_timeout if silent else config.client_end_timeout, reason)

    def _wait_for(self, peer: Peer, grace: float, reason: str) -> None:
        log.info("%s disconnected (%s); it may resume for %g s", peer, reason, grace)
        peer.lost_at = asyncio.get_running_loop().time()
        self._begin_grace(peer, grace, reason)

    def _begin_grace(self, peer: Peer, left: float, reason: str) -> None:
        """Wait in steps, and count none in which we did not run ourselves: it may have tried all the while to return.

        So it is with a process that was stopped, or a laptop that was suspended.
        """
        loop = asyncio.get_running_loop()
        step = min(left, GRACE_STEP)
        due = loop.time() + step

        def over() -> None:
            remaining = left if loop.time() - due > OVERSLEPT else left - step
            if remaining > 0.0:
                self._begin_grace(peer, remaining, reason)
            else:
                self._forget(peer, reason)

        peer.grace = loop.call_at(due, over)

    def _forget(self, peer: Peer, reason: str) -> None:
        if self._peers.pop(peer.hello.session, None) is not None:
            log.info("%s left: %s", peer, reason)
            self.events.left(peer, reason)

    def drain(self) -> None:
        """From now on nobody new may join."""
        self._draining = True

    async def close(self) -> None:
        """End every connection; nobody may join or resume any more."""
        self._closing = True
        for peer in list(self._peers.values()):
            await peer.disconnect("the master is shutting down")


def _invalid(hello: pb.Hello) -> pb.Refusal | None:
    """Why a hello makes no sense, if so."""
    try:
        check_hello(hello)
    except ProtocolError as error:
        return pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence=str(error))
    return None
