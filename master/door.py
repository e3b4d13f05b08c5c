"""The door: who stands before it, for how long, and who is let in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from manyhands.master.access import EVERYBODY, Access, Denied, Grant, Role
from manyhands.master.config import MasterConfig
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import Link
from manyhands.wire.throttle import Throttle, network_of


class TooMany(Exception):
    """A limit is reached; the text says which."""


class Keyring(Protocol):
    """How somebody is recognized."""

    def grant(self, secret: str, certificate: bytes | None, session_owner: str | None) -> Grant:
        """What the bearer of a secret, or of a client certificate (PEM), may do. Raises Denied.

        session_owner: see Access.grant.
        """
        ...

    def check_standing(self, grant: Grant) -> None:
        """Raises Denied if it would not be granted now."""
        ...

    def current_secret(self, grant: Grant) -> str:
        """What opens new sessions to whoever has this grant; empty if no secret does."""
        ...


class Open:
    """No access control: for the embedded cluster, whose socket nobody else reaches, and for --insecure."""

    def grant(self, secret: str, certificate: bytes | None, session_owner: str | None) -> Grant:
        """Everybody is welcome."""
        return EVERYBODY

    def check_standing(self, grant: Grant) -> None:
        """So it stays."""

    def current_secret(self, grant: Grant) -> str:
        """There is none."""
        return ""


class Tokens:
    """Tokens, which may become others while the master runs."""

    def __init__(self, look: Callable[[], Access], clock: Callable[[], float] = time.time) -> None:
        """look: the tokens as they are now; clock: Unix time."""
        self._look = look
        self._clock = clock

    def grant(self, secret: str, certificate: bytes | None, session_owner: str | None) -> Grant:
        """See Keyring."""
        return self._look().grant(secret, self._clock(), session_owner)

    def check_standing(self, grant: Grant) -> None:
        """See Keyring."""
        self._look().check_standing(grant, self._clock())

    def current_secret(self, grant: Grant) -> str:
        """See Keyring."""
        return self._look().current_secret(grant.name)


class Certificates:
    """Client certificates of a given authority: the common name tells whose, the organizational unit which role."""

    def __init__(self, subject_of: Callable[[bytes], tuple[str, str]]) -> None:
        """subject_of: common name and organizational unit of a certificate; raises ValueError."""
        self._subject_of = subject_of

    def grant(self, secret: str, certificate: bytes | None, session_owner: str | None) -> Grant:
        """See Keyring."""
        if certificate is None:
            raise Denied("this master wants a client certificate: start with --tls-cert, --tls-key and --tls-ca")
        try:
            name, unit = self._subject_of(certificate)
        except ValueError as error:
            raise Denied(f"the client certificate cannot be used: {error}") from error
        if not name or unit not in set(Role):
            roles = ", ".join(Role)
            raise Denied(
                f"the certificate of {name!r} names no role: its organizational unit (OU) is {unit!r}, and must be one "
                f"of {roles}"
            )
        return Grant(name, Role(unit))

    def check_standing(self, grant: Grant) -> None:
        """Whom TLS has let in stays."""

    def current_secret(self, grant: Grant) -> str:
        """There is none."""
        return ""


class Door:
    """Counts and times those who have not shown a token yet; slows down those who show a wrong one."""

    def __init__(self, config: MasterConfig, keyring: Keyring) -> None:
        self._config = config
        self.keyring = keyring
        self._waiting = 0
        self._waiting_from: Counter[str] = Counter()
        self._throttle = Throttle()

    @contextlib.contextmanager
    def waiting(self, address: str) -> Iterator[None]:
        """Somebody from `address` (empty: this user, on this machine) stands before the door. Raises TooMany."""
        place = network_of(address)
        config = self._config
        if self._waiting >= config.waiting_connections:
            raise TooMany(f"{self._waiting} connections wait to be let in; try again later")
        if place and self._waiting_from[place] >= config.waiting_connections_each:
            raise TooMany(f"{self._waiting_from[place]} connections from {place} wait to be let in; try again later")
        self._waiting += 1
        self._waiting_from[place] += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._waiting_from[place] -= 1
            if not self._waiting_from[place]:
                del self._waiting_from[place]

    async def read_hello(self, link: Link) -> pb.Hello | None:
        """The other side's first words, unless it takes too long for them or says something else."""
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(self._config.handshake_timeout, lambda: asyncio.ensure_future(link.close()))
        try:
            frame = await link.read()
        finally:
            overdue.cancel()
        if frame is None:
            return None
        if frame.WhichOneof("handshake") != "hello":
            sentence = "a connection begins with a hello: this is a master of manyhands"
            link.refuse(pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence=sentence))
            return None
        return frame.hello

    async def grant(self, secret: str, address: str, certificate: bytes | None, session_owner: str | None) -> Grant:
        """What the bearer may do. Raises Denied, after a while."""
        try:
            return self.keyring.grant(secret, certificate, session_owner)
        except Denied:
            await self.punish(address)
            raise

    async def punish(self, address: str) -> None:
        """Let whoever failed wait for the answer, the longer the more often that was."""
        if address:
            await asyncio.sleep(self._throttle.failed(address, asyncio.get_running_loop().time()))
