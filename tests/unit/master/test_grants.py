"""Sessions behind the door: who is let in as what, whose a session is, and what happens as tokens change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from tests.simulation.virtual_loop import VirtualLoop

from manyhands.master.access import Access, Denied, Entry, Grant, Role
from manyhands.master.config import MasterConfig
from manyhands.master.door import Certificates, Door, Keyring, Tokens
from manyhands.master.life import Life
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello
from manyhands.wire.links import MemoryLink
from manyhands.wire.throttle import DELAY

ANNA = Entry("anna", Role.CLIENT, "secret-of-anna", 0.0)
BOB = Entry("bob", Role.CLIENT, "secret-of-bob", 0.0)
ROOT = Entry("root", Role.ADMIN, "secret-of-root", 0.0)
WALT = Entry("walt", Role.WORKER, "secret-of-walt", 0.0)
LOOK = Entry("look", Role.READ_ONLY, "secret-of-look", 0.0)
FAR = "192.0.2.1"


class AddressedLink(MemoryLink):
    """One that says whence it comes."""

    address = FAR
    certificate: bytes | None = None


@dataclass
class World:
    """One master's life, with tokens that may change."""

    entries: list[Entry] = field(default_factory=lambda: [ANNA, BOB, ROOT, WALT, LOOK])
    config: MasterConfig = MasterConfig()  # noqa: RUF009 - frozen
    keyring: Keyring | None = None

    def __post_init__(self) -> None:
        keyring = self.keyring or Tokens(lambda: Access(self.entries), clock=lambda: 50.0)
        self.life = Life(self.config, Random(0), 1, b"cluster", door=Door(self.config, keyring))
        self.tasks: set[asyncio.Task[None]] = set()

    def connect(self, certificate: bytes | None = None) -> MemoryLink:
        """Our end."""
        ours, theirs = AddressedLink.pair()
        theirs.certificate = certificate
        task = asyncio.ensure_future(self.life.sessions.accept(theirs))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return ours

    async def come(
        self,
        secret: str = "",
        role: pb.Role = pb.ROLE_CLIENT,
        session: bytes = b"",
        *,
        resume: bool = False,
        certificate: bytes | None = None,
        owner: str = "",
    ) -> tuple[MemoryLink, pb.Frame]:
        """Say hello; the answer."""
        link = self.connect(certificate)
        hello = make_hello(role, "somebody", slots=1)
        hello.session, hello.secret, hello.resume, hello.owner = session or os.urandom(16), secret, resume, owner
        await link.write(pb.Frame(hello=hello))
        frame = await link.read()
        assert frame is not None
        return link, frame


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(story(), 1000.0))
    finally:
        loop.run_until_complete(end_all())
        loop.close()


async def end_all() -> None:
    """Nobody is left waiting for anything, in this test or the next."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def refused(frame: pb.Frame) -> str:
    assert frame.HasField("refusal"), frame
    assert frame.refusal.code in {pb.Refusal.CODE_ACCESS, pb.Refusal.CODE_NOT_ALLOWED}
    return frame.refusal.sentence


@pytest.mark.parametrize(
    ("entry", "joins", "may"),
    [
        (ANNA, pb.ROLE_CLIENT, True),
        (ANNA, pb.ROLE_WORKER, False),
        (WALT, pb.ROLE_WORKER, True),
        (WALT, pb.ROLE_CLIENT, False),
        (LOOK, pb.ROLE_CLIENT, False),
        (LOOK, pb.ROLE_WORKER, False),
        (ROOT, pb.ROLE_CLIENT, True),
        (ROOT, pb.ROLE_WORKER, True),
    ],
)
def test_roles(entry: Entry, joins: pb.Role, may: bool) -> None:
    async def story() -> None:
        world = World()
        _, frame = await world.come(entry.secret, joins)
        assert frame.HasField("welcome") is may
        assert may or frame.refusal.code == pb.Refusal.CODE_NOT_ALLOWED
        assert len(world.life.engine.peers) == may

    run(story)


def test_the_owner_is_the_token_and_the_secret_is_kept_nowhere_in_the_hello() -> None:
    async def story() -> None:
        world = World()
        await world.come(ANNA.secret, owner="bob")
        (peer,) = world.life.engine.peers.values()
        assert peer.owner == "anna"
        assert peer.grant == Grant("anna", Role.CLIENT)
        assert not peer.hello.secret

    run(story)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("other", [BOB, WALT, None])
def test_a_session_is_its_tokens_alone(other: Entry | None, resume: bool) -> None:
    """Whoever else knows its number: 16 random bytes, which nobody but its owner is told."""

    async def story() -> None:
        world = World()
        session = os.urandom(16)
        await world.come(ANNA.secret, session=session)
        secret = other.secret if other is not None else ""
        _, frame = await world.come(secret, session=session, resume=resume)
        refused(frame)
        _, frame = await world.come(ANNA.secret, session=session, resume=True)
        assert frame.welcome.resumed

    run(story)


def test_who_may_see_all_may_go_on_with_all() -> None:
    async def story() -> None:
        world = World()
        session = os.urandom(16)
        await world.come(ANNA.secret, session=session)
        _, frame = await world.come(ROOT.secret, session=session, resume=True)
        assert frame.welcome.resumed
        (peer,) = world.life.engine.peers.values()
        assert peer.owner == "anna"  # whose jobs they are does not change

    run(story)


def test_a_refusal_takes_the_longer_the_more_there_were() -> None:
    async def story() -> None:
        world = World()
        loop = asyncio.get_running_loop()
        took = []
        for _ in range(4):
            began = loop.time()
            _, frame = await world.come("wrong")
            assert "does not know that token" in refused(frame)
            took.append(loop.time() - began)
        assert took == pytest.approx([DELAY, 2 * DELAY, 4 * DELAY, 8 * DELAY])
        began = loop.time()
        _, frame = await world.come(ANNA.secret)  # whoever has a token does not wait, wherever he comes from
        assert frame.HasField("welcome")
        assert loop.time() == began

    run(story)


def test_those_who_say_nothing_are_few_and_do_not_stay() -> None:
    async def story() -> None:
        config = MasterConfig(waiting_connections_each=3, handshake_timeout=5.0)
        world = World(config=config)
        loop = asyncio.get_running_loop()
        silent = [world.connect() for _ in range(3)]
        await asyncio.sleep(0)
        fourth = await world.connect().read()
        assert fourth is not None
        assert fourth.refusal.code == pb.Refusal.CODE_TOO_MANY
        assert f"3 connections from {FAR} wait to be let in" in fourth.refusal.sentence
        began = loop.time()
        for link in silent:
            assert await link.read() is None
        assert loop.time() - began == pytest.approx(5.0)
        _, frame = await world.come(ANNA.secret)
        assert frame.HasField("welcome")

    run(story)


def test_all_together_are_limited_too() -> None:
    async def story() -> None:
        world = World(config=MasterConfig(waiting_connections=2))
        silent = [world.connect() for _ in range(2)]
        await asyncio.sleep(0)
        frame = await world.connect().read()
        assert frame is not None
        assert "2 connections wait to be let in" in frame.refusal.sentence
        await silent[0].close()
        await asyncio.sleep(0.1)
        _, frame = await world.come(ANNA.secret)
        assert frame.HasField("welcome")

    run(story)


def test_sessions_of_one_token_are_limited_and_those_that_stand_are_not_touched() -> None:
    async def story() -> None:
        world = World(config=MasterConfig(sessions_each=2))
        sessions = [os.urandom(16) for _ in range(2)]
        for session in sessions:
            await world.come(ANNA.secret, session=session)
        _, frame = await world.come(ANNA.secret)
        assert frame.refusal.code == pb.Refusal.CODE_TOO_MANY
        assert "2 sessions were begun with this token" in frame.refusal.sentence
        _, frame = await world.come(ANNA.secret, session=sessions[0], resume=True)
        assert frame.HasField("welcome")
        _, frame = await world.come(BOB.secret)
        assert frame.HasField("welcome")

    run(story)


def rotated(entry: Entry) -> Entry:
    return replace(entry, secret=f"new-{entry.secret}", previous=entry.secret)


def renewed(frame: pb.Frame | None) -> list[str]:
    assert frame is not None
    return [body.renewed.secret for body in frame.bodies if body.HasField("renewed")]


async def until_renewed(link: MemoryLink) -> list[str]:
    found: list[str] = []
    while not found:
        found = renewed(await link.read())
    return found


def test_who_is_connected_is_told_the_new_secret() -> None:
    async def story() -> None:
        world = World()
        link, _ = await world.come(WALT.secret, pb.ROLE_WORKER)
        world.entries[3] = rotated(WALT)
        world.life.sessions.check_grants()
        world.life.sessions.check_grants()
        assert await until_renewed(link) == [f"new-{WALT.secret}"]
        _, frame = await world.come(WALT.secret, pb.ROLE_WORKER)
        refused(frame)
        _, frame = await world.come(f"new-{WALT.secret}", pb.ROLE_WORKER)
        assert frame.HasField("welcome")

    run(story)


def test_who_was_away_goes_on_with_the_old_secret_and_is_told_then() -> None:
    async def story() -> None:
        world = World()
        session = os.urandom(16)
        link, _ = await world.come(ANNA.secret, session=session)
        await link.close()
        await asyncio.sleep(0.1)
        world.entries[0] = rotated(ANNA)
        world.life.sessions.check_grants()
        link, frame = await world.come(ANNA.secret, session=session, resume=True)
        assert frame.welcome.resumed
        assert await until_renewed(link) == [f"new-{ANNA.secret}"]

    run(story)


def test_who_is_revoked_leaves_connected_or_not() -> None:
    async def story() -> None:
        world = World()
        link, _ = await world.come(ANNA.secret)
        away, _ = await world.come(BOB.secret)
        stays, _ = await world.come(ROOT.secret)
        await away.close()
        await asyncio.sleep(0.1)
        assert len(world.life.engine.peers) == 3
        del world.entries[:2]
        world.life.sessions.check_grants()
        while await link.read() is not None:
            pass
        await asyncio.sleep(0.1)
        (peer,) = world.life.engine.peers.values()
        assert peer.owner == "root"
        await stays.close()

    run(story)


def subject_of(certificate: bytes) -> tuple[str, str]:
    if certificate == b"odd":
        raise ValueError("two names")
    name, _, unit = certificate.decode().partition("/")
    return name, unit


def test_certificates_in_place_of_tokens() -> None:
    async def story() -> None:
        world = World(keyring=Certificates(subject_of))
        _, frame = await world.come(certificate=b"anna/client")
        assert frame.HasField("welcome")
        (peer,) = world.life.engine.peers.values()
        assert peer.owner == "anna"
        _, frame = await world.come(certificate=b"anna/client", role=pb.ROLE_WORKER)
        assert "has the role client" in refused(frame)
        for certificate, sentence in (
            (None, "wants a client certificate"),
            (b"anna/", "names no role: its organizational unit (OU) is ''"),
            (b"/client", "names no role"),
            (b"anna/root", "must be one of worker, client, read-only, admin"),
            (b"odd", "cannot be used: two names"),
        ):
            _, frame = await world.come(ANNA.secret, certificate=certificate)
            assert sentence in refused(frame)

    run(story)


def test_whoever_is_denied_is_denied_in_words_without_secrets() -> None:
    keyring = Tokens(lambda: Access([ANNA]), clock=lambda: 0.0)
    with pytest.raises(Denied) as denied:
        keyring.grant("secret-of-anna-but-wrong", None, None)
    assert "secret-of" not in str(denied.value)
