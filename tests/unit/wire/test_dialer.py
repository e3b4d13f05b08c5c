"""The dialer's end: it may come at any moment of a connection's making, and is said to every life of the master."""

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


def test_a_goodbye_that_was_heard_is_said_again_to_a_master_that_was_restarted():
    async def scenario():
        links = [MemoryLink.pair() for _ in range(3)]
        waiting = [ours for ours, _ in links]

        async def open_link():
            return waiting.pop(0)

        lost = []
        dialer = Dialer(open_link, pb.Hello, lambda _: None, lambda _: None, lambda *told: lost.append(told))
        running = asyncio.create_task(dialer.run())
        welcome = pb.Welcome(epoch=1, cluster=b"c", heartbeat_interval=60, heartbeat_timeout=600)

        async def read(number, wanted):
            while not wanted(frame := await asyncio.wait_for(links[number][1].read(), 10)):
                pass
            return frame

        def says_goodbye(frame):
            return any(body.HasField("close_session") for body in frame.bodies)

        await read(0, lambda frame: frame.HasField("hello"))
        await links[0][1].write(pb.Frame(welcome=welcome))
        dialer.leave("done")
        heard = (await read(0, says_goodbye)).sequence
        await links[0][1].write(pb.Frame(acknowledged=heard))
        assert await dialer.flush(10)
        await links[0][1].close()

        await read(1, lambda frame: frame.hello.resume)
        unknown = pb.Refusal(code=pb.Refusal.CODE_UNKNOWN_SESSION, sentence="who?", cluster=b"c")
        await links[1][1].write(pb.Frame(refusal=unknown))

        await read(2, lambda frame: frame.HasField("hello") and not frame.hello.resume)
        assert lost == [("who?", True)]
        welcome.epoch = 2
        await links[2][1].write(pb.Frame(welcome=welcome))
        assert (await read(2, says_goodbye)).bodies[0].close_session.reason == "done"
        await dialer.close()
        await asyncio.wait_for(running, 10)

    asyncio.run(scenario())
