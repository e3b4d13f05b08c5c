"""Transfers between two workers over real sockets: what comes, what is refused, what happens when a source fails."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.host_store import HostStore
from manyhands.wire.needs import Need
from manyhands.wire.pull import FETCH_BYTES, serve
from manyhands.worker import tickets
from manyhands.worker.peer_client import PeerClient
from manyhands.worker.peer_server import PeerServer
from manyhands.worker.transferring import Store, Transferring, Writer

ID = bytes(range(16))
DATA = os.urandom(5 * FETCH_BYTES + 12345)
TICKET = b"t" * 32
WHOLE = Need(ID)


class Memory:
    """The store of who serves: counts what is read, and holds up what comes after `limit` reads until `more` is set."""

    def __init__(self, limit: int | None = None) -> None:
        self.data = {ID: DATA}
        self.reads = 0
        self.limit = limit
        self.more = threading.Event()

    def read(self, id: bytes, offset: int, length: int) -> bytes:
        if self.reads == self.limit:
            self.more.wait()
        self.reads += 1
        return self.data[id][offset : offset + length]


class Puller:
    """A worker without anything, and what it tells the master and its core."""

    def __init__(self, folder: Path, *, stall_timeout: float = 15.0) -> None:
        self.store = HostStore.join(bytes(16), folder=folder / "shm", disk=folder / "disk")
        self.written_bytes = 0
        self.sent: asyncio.Queue[pb.Body] = asyncio.Queue()
        self.here: list[Need] = []
        self.lost: list[tuple[Need, str]] = []
        self.peers = peers = PeerClient(is_secret=True, stall_timeout=stall_timeout)
        self.transferring = Transferring(
            cast("Store", self),
            self.sent.put_nowait,
            self.here.append,
            lambda *lost: self.lost.append(lost),
            peers.open,
        )

    def writer(self, id: bytes, size: int, *, slice_offset: int | None = None) -> Writer:
        """The store's; and counts what is written."""
        writer = self.store.writer(id, size, slice_offset=slice_offset)
        write = writer.write

        def write_and_count(offset: int, data: bytes) -> None:
            write(offset, data)
            self.written_bytes += len(data)

        writer.write = write_and_count  # type: ignore[method-assign]
        return writer

    async def has_written(self, size: int) -> None:
        async with asyncio.timeout(10):
            while self.written_bytes < size:
                await asyncio.sleep(0.001)

    async def told(self) -> pb.Body:
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def failure(self) -> str:
        """Why a source is said to have failed."""
        body = await self.told()
        assert body.HasField("source_failed"), body
        return body.source_failed.reason

    async def close(self) -> None:
        await self.transferring.close()
        await self.peers.close()
        assert not list(self.store.path.glob("*unfinished*"))
        self.store.close()


@asynccontextmanager
async def serving(store: Memory, **options: Any) -> AsyncIterator[PeerServer]:
    server = PeerServer(store, **options)
    await server.start("127.0.0.1", 0, is_secret=True)
    try:
        yield server
    finally:
        await server.stop()
        store.more.set()


def source(server: PeerServer, need: Need = WHOLE, **fields: Any) -> pb.Source:
    told = pb.Source(
        need=need.message(), size=len(DATA), address=server.address, certificate=server.certificate, ticket=TICKET
    )
    for name, value in fields.items():
        setattr(told, name, value)
    return told


def run(test: Callable[[Puller], Awaitable[None]], folder: Path, **options: Any) -> None:
    async def main() -> None:
        puller = Puller(folder, **options)
        try:
            await test(puller)
        finally:
            await puller.close()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())


@pytest.mark.parametrize("need", [Need(ID), Need(ID, 100, 2 * FETCH_BYTES), Need(ID, len(DATA) - 1, 1)])
def test_a_datum_or_a_range_of_it_comes_from_a_peer(tmp_path: Path, need: Need) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory()) as server:
            server.admit(TICKET, ID)
            puller.transferring.begin(source(server, need))
            assert (await puller.told()).data_here.needs == [need.message()]
        begin, end = need.range_in(len(DATA))
        assert puller.here == [need]
        assert puller.store.map(ID, begin, end - begin) == DATA[begin:end]
        assert (ID in puller.store) == need.is_whole

    run(test, tmp_path)


def test_a_ticket_is_good_once(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory(), admit_delay=0.0) as server:
            server.admit(TICKET, ID)
            puller.transferring.begin(source(server))
            await puller.told()
            puller.transferring.begin(source(server, Need(ID, 0, 1)))
            assert await puller.failure() == "the ticket is unknown, used or too old"

    run(test, tmp_path)


def test_who_shows_no_good_ticket_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(puller: Puller) -> None:
        store = Memory()
        async with serving(store, admit_delay=0.0) as server:
            server.admit(b"another", ID)
            server.admit(b"of another datum", bytes(16))
            monkeypatch.setattr(tickets, "TICKET_TIMEOUT", 0.0)
            server.admit(b"too old", ID)
            for ticket in (b"wrong", b"", b"too old"):
                puller.transferring.begin(source(server, ticket=ticket))
                assert await puller.failure() == "the ticket is unknown, used or too old"
            puller.transferring.begin(source(server, ticket=b"of another datum"))
            assert await puller.failure()  # gRPC loses the reason where a write is what fails
        assert store.reads == 0
        assert puller.here == []

    run(test, tmp_path)


def test_who_comes_before_the_masters_word_waits_for_it(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory()) as server:
            puller.transferring.begin(source(server))
            await asyncio.sleep(0.1)
            assert puller.sent.empty()
            server.admit(TICKET, ID)
            assert (await puller.told()).HasField("data_here")

    run(test, tmp_path)


def test_nothing_is_said_to_who_has_another_certificate(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory()) as server:
            server.admit(TICKET, ID)
            puller.transferring.begin(source(server, certificate=bytes(32)))
            assert await puller.failure() == "its certificate is not the one that the master told"
            puller.transferring.begin(source(server, certificate=b""))
            assert await puller.failure() == "it shows no certificate"
            puller.transferring.begin(source(server))  # the ticket is as good as new
            assert (await puller.told()).HasField("data_here")

    run(test, tmp_path)


def test_nobody_at_the_address(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory()) as server:
            gone = source(server)
        puller.transferring.begin(gone)
        assert "refused" in await puller.failure()

    run(test, tmp_path)


def test_what_has_come_is_not_asked_for_again_when_a_source_dies(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        first, second = Memory(limit=2), Memory()
        async with serving(second) as other:
            async with serving(first) as server:
                server.admit(TICKET, ID)
                puller.transferring.begin(source(server))
                await puller.has_written(2 * FETCH_BYTES)
            assert await puller.failure()
            other.admit(TICKET, ID)
            puller.transferring.begin(source(other))
            assert (await puller.told()).HasField("data_here")
        assert second.reads == 4
        assert puller.store.map(ID) == DATA

    run(test, tmp_path)


def test_a_source_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory(limit=1)) as server:
            server.admit(TICKET, ID)
            puller.transferring.begin(source(server))
            assert await puller.failure() == "nothing came from it for 0.1 s"

    run(test, tmp_path, stall_timeout=0.1)


def test_a_source_without_the_datum_says_so(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        store = Memory()
        store.data.clear()
        async with serving(store) as server:
            server.admit(TICKET, ID)
            puller.transferring.begin(source(server))
            assert await puller.failure() == "it does not have the datum (any more)"

    run(test, tmp_path)


def test_the_master_serves_on_the_uplink(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        needs = [Need(ID), Need(ID, 0, 2000), Need(ID, 1000, FETCH_BYTES)]
        for need in needs:
            puller.transferring.begin(pb.Source(need=need.message(), size=len(DATA)))
        while len(puller.here) < len(needs):
            body = await puller.told()
            if body.HasField("fetch"):
                puller.transferring.on_part(serve(body.fetch, Memory()))
        assert puller.store.map(ID) == DATA

    run(test, tmp_path)


def test_what_is_not_needed_any_more_is_removed(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        async with serving(Memory(limit=2)) as server:
            server.admit(TICKET, ID)
            puller.transferring.begin(source(server))
            await puller.has_written(1)
            puller.transferring.forget([ID])
            body = await puller.told()
            assert body.source_failed.given_up
        assert puller.here == []

    run(test, tmp_path)


def test_a_host_without_room_gives_up(tmp_path: Path) -> None:
    async def test(puller: Puller) -> None:
        huge = pb.Source(need=Need(ID).message(), size=1 << 60)
        puller.transferring.begin(huge)
        body = await puller.told()
        assert body.source_failed.given_up
        assert puller.lost[0][0] == Need(ID)
        assert "no room for it" in puller.lost[0][1]

    run(test, tmp_path)
