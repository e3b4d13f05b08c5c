"""The agent's shell around its host's store: what slots are told of it, and when anything in it counts as there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.host_store import HostStore
from manyhands.wire.needs import Need
from manyhands.worker.storage import Storage

CLUSTER, DATUM = bytes(16), bytes([7]) * 16


class Events:
    """Keeps what it is told; `on_broken` would be a fault of the test's."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.joined = asyncio.Event()

    def on_entered(self) -> None:
        self.story.append("entered")

    def on_joined(self, message: pb.JoinStore | None) -> None:
        self.story.append("joined" if message is not None and message.ids == [DATUM] else f"joined {message}")
        self.joined.set()

    def on_here(self, need: Need) -> None:
        raise AssertionError

    def on_lost(self, need: Need, reason: str) -> None:
        raise AssertionError(reason)

    def on_dropped(self, ids: Sequence[bytes]) -> None:
        raise AssertionError

    def on_broken(self, error: BaseException) -> None:
        raise error

    def complain(self, sentence: str) -> None:
        raise AssertionError(sentence)


@pytest.fixture
def neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostStore:
    """Another process's membership in the store that the worker will join, with a datum."""
    join = partial(HostStore.join, folder=tmp_path, disk=tmp_path / "disk")
    monkeypatch.setattr(HostStore, "join", lambda cluster, **_: join(cluster))
    store = HostStore.join(CLUSTER)
    store.put(DATUM, [b"content"])
    return store


def test_slots_are_told_of_a_store_before_anything_is_there(neighbour: HostStore) -> None:
    async def story() -> None:
        events = Events()
        storage = Storage(events, lambda _: None, None, None, None)
        storage.join(CLUSTER)
        while not storage.has(Need(DATUM)):
            assert events.story == []
            await asyncio.sleep(0)
        assert events.story == ["entered"], "it is there, and slots could not find it"
        await events.joined.wait()
        assert events.story == ["entered", "joined"]
        storage.join(CLUSTER)  # in the next session: the same one
        events.joined.clear()
        await events.joined.wait()
        assert events.story == ["entered", "joined", "joined"]
        await storage.close()
        neighbour.close()

    asyncio.run(story())


def test_slots_are_told_though_the_session_is_lost_meanwhile(neighbour: HostStore) -> None:
    async def story() -> None:
        events = Events()
        storage = Storage(events, lambda _: None, None, None, None)
        storage.join(CLUSTER)
        await asyncio.sleep(0)  # it has begun
        storage.on_session_lost()
        storage.join(CLUSTER)
        await events.joined.wait()
        assert events.story == ["entered", "joined"]
        await storage.close()
        neighbour.close()

    asyncio.run(story())
