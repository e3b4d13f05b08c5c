"""The dialer's end: it may come at any moment of a connection's making."""

import asyncio

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.dialer import Dialer
from manyhands.wire.links import MemoryLink


def test_a_dialer_closed_while_it_connects_says_nothing_and_ends():
    async def scenario():
        ours, theirs = MemoryLink.pair()
        reachable = asyncio.Event()

        async def open_link():
            await reachable.wait()
            return ours

        dialer = Dialer(open_link, pb.Hello, lambda _: None, lambda _: None, lambda _: None)
        running = asyncio.create_task(dialer.run())
        await asyncio.sleep(0)
        await dialer.close()
        reachable.set()
        await asyncio.wait_for(running, 10)
        assert await theirs.read() is None

    asyncio.run(scenario())
