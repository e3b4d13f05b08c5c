"""What a worker opens for others, and when: not beside its master, in TLS where the master has it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.endpoints import host_toward
from manyhands.wire.eventloop import loop_factory
from manyhands.worker.exchange import SourceLost
from manyhands.worker.peers import Peers

ID = bytes(16)
TICKET = b"t" * 32


class Memory:
    def read(self, id: bytes, offset: int, length: int) -> bytes:
        return b"." * length


@dataclass
class Way:
    """To a master that does not have to be there: nothing is sent to it."""

    is_network: bool = True
    is_secret: bool = True
    address: str = "127.0.0.1:7077"


def run(test: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(test())  # type: ignore[arg-type]


@pytest.mark.parametrize("is_secret", [True, False])
@pytest.mark.parametrize("host", ["", "localhost"])
def test_one_worker_serves_another(host: str, is_secret: bool) -> None:
    async def test() -> None:
        serving, pulling = (Peers(Way(is_secret=is_secret), host=host) for _ in range(2))
        await serving.start(Memory())
        assert serving.address.startswith(f"{host or '127.0.0.1'}:")
        assert len(serving.certificate) == (32 if is_secret else 0)
        serving.admit(pb.Admit(ticket=TICKET, id=ID))
        source = pb.Source(address=serving.address, certificate=serving.certificate, ticket=TICKET)
        async with await pulling.open(source) as exchange:
            await exchange.ask(pb.Fetch(id=ID, offset=5, length=3))
            assert await exchange.answer() == pb.Part(id=ID, offset=5, data=b"...")
        assert pulling.address == ""
        await pulling.stop()
        await serving.stop()
        assert serving.address == ""
        with pytest.raises(SourceLost):
            async with await pulling.open(source) as exchange:
                await exchange.ask(pb.Fetch(id=ID, length=1))
        await pulling.stop()

    run(test)


@pytest.mark.parametrize(("serves", "is_network"), [(False, True), (True, False)])
def test_nobody_is_served_by_who_shall_not_or_is_beside_the_master(serves: bool, is_network: bool) -> None:
    async def test() -> None:
        peers = Peers(Way(is_network=is_network), serves=serves)
        await peers.start(Memory())
        assert peers.address == ""
        await peers.stop()

    run(test)


def test_a_port_that_is_taken() -> None:
    async def test() -> None:
        first = Peers(Way())
        await first.start(Memory())
        second = Peers(Way(), port=int(first.address.rpartition(":")[2]))
        with pytest.raises(OSError, match="cannot listen"):
            await second.start(Memory())
        assert second.address == ""
        await first.stop()

    run(test)


def test_the_way_to_a_host_tells_by_which_address_it_sees_us() -> None:
    assert host_toward("127.0.0.5:1") == "127.0.0.1"
    with pytest.raises(socket.gaierror):
        host_toward("no-such-host.invalid:1")
