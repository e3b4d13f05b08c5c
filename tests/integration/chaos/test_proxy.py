"""The proxy of chaos runs over real sockets: each fault does what it says, and heals."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.chaos.proxy import Link, Weather

BIG = bytes(range(256)) * 4096


class Echo:
    """Answers with what it reads; counts how its connections end."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            self.ends.append("end of file")
        except ConnectionResetError:
            self.ends.append("reset")
        finally:
            writer.close()


Caller = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def caller(link: Link) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        yield reader, writer
    finally:
        writer.close()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Link, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    link = Link("test", lambda: server.sockets[0].getsockname()[:2])
    await link.open()
    try:
        yield link, echo
    finally:
        await link.close()
        server.close()


async def echoed(peer: Caller, data: bytes) -> bytes:
    reader, writer = peer
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10)


async def wait_until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.002)


async def stays_silent(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), 0.15)
    except TimeoutError:
        return True
    return False


async def plain_story() -> None:
    async with proxied() as (link, echo), caller(link) as peer:
        assert await echoed(peer, BIG) == BIG
        assert link.is_used
        peer[1].write_eof()
        assert await asyncio.wait_for(peer[0].read(), 10) == b""
        await wait_until(lambda: echo.ends == ["end of file"])


async def reset_story() -> None:
    async with proxied() as (link, echo), caller(link) as peer:
        assert await echoed(peer, b"before") == b"before"
        link.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(peer[0].read(), 10)
        await wait_until(lambda: echo.ends == ["reset"])
        async with caller(link) as again:
            assert await echoed(again, b"after") == b"after"


async def stall_story() -> None:
    """Nothing arrives meanwhile, and nothing is lost."""
    async with proxied() as (link, _), caller(link) as peer:
        assert await echoed(peer, b"before") == b"before"
        for direction in ("up", "down", "both"):
            stall = Weather(direction, stalled=True)
            link.begin(stall)
            peer[1].write(b"x")
            assert await stays_silent(peer[0])
            link.end(stall)
            assert await asyncio.wait_for(peer[0].readexactly(1), 10) == b"x"
            assert await echoed(peer, BIG) == BIG


async def half_close_story() -> None:
    """Towards the caller: it reads the end, and what it writes still arrives."""
    async with proxied() as (link, echo), caller(link) as peer:
        assert await echoed(peer, b"before") == b"before"
        link.half_close("down")
        assert not link.is_used
        assert await asyncio.wait_for(peer[0].read(), 10) == b""
        assert echo.ends == []
        peer[1].write_eof()
        await wait_until(lambda: echo.ends == ["end of file"])


async def black_hole_story() -> None:
    """Nobody is told anything, on connections old and new; later ones work."""
    async with proxied() as (link, echo), caller(link) as old:
        assert await echoed(old, b"before") == b"before"
        link.begin_swallowing()
        async with caller(link) as new:
            for reader, writer in (old, new):
                writer.write(b"x")
                assert await stays_silent(reader)
            link.end_swallowing()
            assert await stays_silent(new[0])
        old[1].transport.abort()
        async with caller(link) as again:
            assert await echoed(again, BIG) == BIG
        await wait_until(lambda: echo.ends == ["end of file"])  # the last one's, and not the old one's


async def slow_story() -> None:
    loop = asyncio.get_running_loop()
    async with proxied() as (link, _), caller(link) as peer:
        for weather, least in ((Weather("both", delay=0.1), 0.2), (Weather("up", rate=100.0), 0.2)):
            link.begin(weather)
            begun = loop.time()
            assert await echoed(peer, b"x" * 20) == b"x" * 20
            assert loop.time() - begun >= least
            link.end(weather)
            assert await echoed(peer, BIG) == BIG


async def absent_master_story() -> None:
    link = Link("test", lambda: ("127.0.0.1", 1))
    await link.open()
    async with caller(link) as peer:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(peer[0].read(), 10)
    await link.close()


@pytest.mark.parametrize(
    "story",
    [
        plain_story, reset_story, stall_story, half_close_story, black_hole_story, slow_story,
        absent_master_story,
    ],
)  # fmt: skip
def test_proxy(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]
