"""Which token a process shows to which master, when masters take each other's place."""

from __future__ import annotations

import asyncio

import pytest

from manyhands.wire import certificate, joining
from manyhands.wire.errors import AccessDenied
from manyhands.wire.joining import Keys, Way
from manyhands.wire.links import LinkLost
from manyhands.wire.tokens import Token

OLD, NEW = certificate.make()[0], certificate.make()[0]


def token_of(pem: bytes) -> str:
    return Token(certificate.fingerprint(pem), "s" * 43).written()


class Host:
    """What a process finds on it: the access file's token, and whose certificate the master shows."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.file = token_of(OLD)
        self.master = OLD
        patch.setattr("manyhands.wire.same_host.find_access_file", self._find)
        patch.setattr("manyhands.wire.access_file.read_token", lambda path, role: self.file)
        patch.setattr(joining, "fetch_certificate", self._fetch)

    async def _find(self, address: str) -> str:
        return "file"

    async def _fetch(self, host: str, port: int, timeout: float) -> bytes:
        return self.master


def test_a_master_that_takes_anothers_place_may_write_its_file_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch)

    async def scenario() -> None:
        way = Way("127.0.0.1:7077", "worker")
        assert await way.find_trust() is not None
        host.master = NEW
        another = Way("127.0.0.1:7077", "worker")
        with pytest.raises(LinkLost, match="not the one that the token names"):
            await another.find_trust()
        host.file = token_of(NEW)
        for each in (way, another):
            trust = await each.find_trust()
            assert trust is not None
            assert trust.root_pem == NEW

    asyncio.run(scenario())


def test_a_file_that_stays_another_masters_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch)
    host.master = NEW
    monkeypatch.setattr(joining, "SUCCESSION_TIMEOUT", 0.0)
    with pytest.raises(AccessDenied, match="not the one that the token names"):
        asyncio.run(Way("127.0.0.1:7077", "worker").find_trust())


def test_a_token_that_was_given_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch)
    host.master = NEW
    with pytest.raises(AccessDenied, match="not the one that the token names"):
        asyncio.run(Way("127.0.0.1:7077", "worker", Keys(token=token_of(OLD))).find_trust())
