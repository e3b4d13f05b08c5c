"""Who may do what: tokens, their names and roles, and what a secret opens; pure."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from manyhands.protos import manyhands_pb2 as pb


class Role(StrEnum):
    """What a token allows."""

    WORKER = "worker"
    CLIENT = "client"
    READ_ONLY = "read-only"
    ADMIN = "admin"


#: What each role may connect as; everybody may look.
_MAY_JOIN = {
    Role.WORKER: frozenset({pb.ROLE_WORKER}),
    Role.CLIENT: frozenset({pb.ROLE_CLIENT}),
    Role.READ_ONLY: frozenset[pb.Role](),
    Role.ADMIN: frozenset({pb.ROLE_WORKER, pb.ROLE_CLIENT}),
}
_CALLED = {pb.ROLE_WORKER: "work", pb.ROLE_CLIENT: "submit work"}


class Denied(Exception):
    """Not you, or not that; the text says why, and never holds a secret."""


class NotAllowed(Denied):
    """You, but not that."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Whoever came is `name`, and has a role. The name is whose sessions and detached jobs are."""

    name: str
    role: Role

    def check_join(self, role: pb.Role) -> None:
        """Raises Denied if the bearer may not connect as that."""
        if role not in _MAY_JOIN[self.role]:
            raise NotAllowed(
                f"{self.name!r} has the role {self.role}, which does not allow to {_CALLED.get(role, 'connect')}: "
                "that takes another token, or certificate"
            )

    def may_read(self, owner: str) -> bool:
        """Whether what is `owner`'s may be looked into, and ended."""
        return self.role is Role.ADMIN or owner == self.name


#: What everybody has at a master without access control.
EVERYBODY = Grant("", Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Entry:
    """One token. Times are Unix times; `expires_at` None: never.

    `previous`: the secret before the last rotation. It opens nothing new, but lets a session that began with it go on,
    which is then told the new one.
    """

    name: str
    role: Role
    secret: str
    created_at: float
    expires_at: float | None = None
    previous: str = ""

    def __repr__(self) -> str:
        return f"Entry({self.name!r}, {self.role})"  # no secret

    def check_current(self, now: float) -> None:
        """Raises Denied once it has expired."""
        if self.expires_at is not None and now >= self.expires_at:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.expires_at))
            raise Denied(
                f"the token {self.name!r} expired at {when}: ask for another, made with `manyhands token create`"
            )


class Access:
    """All tokens of one master, as they are now."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._by_name = {entry.name: entry for entry in self.entries}
        # By a hash: how long the search takes then tells nothing of the secrets.
        self._current = {_hashed(entry.secret): entry for entry in self.entries}
        self._previous = {_hashed(entry.previous): entry for entry in self.entries if entry.previous}

    def grant(self, secret: str, now: float, session_owner: str | None = None) -> Grant:
        """What `secret` opens at `now`, a Unix time. Raises Denied.

        session_owner: whose the session is that its bearer wants to go on with; for that the previous secret will do.
        """
        if not secret:
            raise Denied(
                "this master wants a token: set MANYHANDS_TOKEN to one that `manyhands token show` prints on its host"
            )
        entry = self._current.get(_hashed(secret))
        if entry is None:
            entry = self._previous.get(_hashed(secret))
            if entry is None or entry.name != session_owner:
                raise Denied(
                    "this master does not know that token, or no more: it was revoked, or has a new secret; "
                    "`manyhands token show` prints the current ones on the master's host"
                )
        entry.check_current(now)
        return Grant(entry.name, entry.role)

    def check_standing(self, grant: Grant, now: float) -> None:
        """Raises Denied if what was granted before would not be granted now."""
        entry = self._by_name.get(grant.name)
        if entry is None or entry.role is not grant.role:
            raise Denied(f"the token {grant.name!r} was revoked")
        entry.check_current(now)

    def current_secret(self, name: str) -> str:
        """The secret of a token that is there."""
        return self._by_name[name].secret


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
