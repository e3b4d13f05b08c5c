"""AsyncClient: awaitables and async iterators of the user's own loop, over the one background."""

import asyncio
import gc
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster, make_client

from manyhands import AsyncClient
from manyhands.client import room as room_module
from manyhands.wire.errors import DecodeError, EncodeError, RemoteTraceback, SessionLost


def make(master: FakeMaster, **options: float) -> AsyncClient:
    client = AsyncClient("nowhere:1")
    client._connect = lambda: make_client(master, **options)  # type: ignore[assignment]
    return client


def run(master: FakeMaster, body: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    """What `body` returns, run in a loop of its own with a client that is shut down afterwards."""

    async def main() -> Any:
        async with make(master) as client:
            return await body(client)

    return asyncio.run(asyncio.wait_for(main(), 20))


def fail(text: object) -> None:
    raise ValueError(text)


def stop() -> None:
    raise StopIteration("stop")


def test_submit(master: FakeMaster) -> None:
    async def body(client: AsyncClient) -> None:
        assert await client.submit(divmod, 7, 2) == (3, 1)
        assert await asyncio.gather(*(client.submit(pow, 2, n) for n in range(500))) == [2**n for n in range(500)]
        with pytest.raises(ValueError, match="no") as caught:
            await client.submit(fail, "no")
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        with pytest.raises(EncodeError):
            await client.submit(len, [threading.Lock()])
        with pytest.raises(RuntimeError, match="StopIteration"):
            await client.submit(stop)
        assert await client.with_options(priority=3).submit(abs, -1) == 1
        assert client.get_stats()["tasks_completed"] >= 500
        await client.wait_for_workers(1, timeout=5)
        with pytest.raises(TimeoutError, match="1 of 9"):
            await client.wait_for_workers(9, timeout=0.01)

    run(master, body)


def test_data(master: FakeMaster) -> None:
    async def body(client: AsyncClient) -> None:
        ref = await client.put({"a": 1})
        assert await client.get(ref) == {"a": 1}
        refs = await client.scatter(n * n for n in range(5))
        assert await client.gather(iter(refs), timeout=5) == [0, 1, 4, 9, 16]
        with pytest.raises(TypeError, match="a Ref, as put"):
            await client.get(3)  # type: ignore[arg-type]
        with pytest.raises(EncodeError):
            await client.put(threading.Lock())
        assert len(master.data) == 6
        del ref
        refs.clear()
        await asyncio.to_thread(wait_until, lambda: not master.data, 5, "nobody holds any of it")

    run(master, body)


def test_cancel(master: FakeMaster) -> None:
    async def body(client: AsyncClient) -> None:
        master.running.clear()
        futures = [client.submit(abs, n) for n in range(10)]
        assert futures[5].cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(futures[6], 0.01)
        master.running.set()
        with pytest.raises(asyncio.CancelledError):
            await futures[5]
        assert await asyncio.gather(*futures[:5], *futures[7:]) == [0, 1, 2, 3, 4, 7, 8, 9]
        await asyncio.to_thread(wait_until, lambda: client._started._connection.stats.open == 0, 5)

    run(master, body)
    gone = {
        index
        for message in master.received
        if message.HasField("cancel")
        for span in message.cancel.ranges
        for index in range(span.lo, span.hi)
    }
    assert gone == {5, 6}


@pytest.mark.parametrize("how", ["map", "map_unordered"])
def test_maps(master: FakeMaster, how: str) -> None:
    async def body(client: AsyncClient) -> None:
        begin = getattr(client, how)
        assert sorted([n async for n in begin(abs, (-n for n in range(5000)))]) == list(range(5000))
        assert sorted([n async for n in begin(pow, range(4), [2] * 9)]) == [0, 1, 4, 9]
        assert [n async for n in begin(abs, [])] == []
        with pytest.raises(ValueError, match="buffersize"):
            begin(abs, [1], buffersize=0)

    run(master, body)


def test_maps_leave_the_loop_running(master: FakeMaster) -> None:
    async def body(client: AsyncClient) -> None:
        steps = 0

        async def step() -> None:
            nonlocal steps
            while True:
                await asyncio.sleep(0)
                steps += 1

        stepping = asyncio.create_task(step())
        assert len([n async for n in client.map(abs, range(20_000))]) == 20_000
        stepping.cancel()
        assert steps > 10

    run(master, body)


def test_exceptions_in_maps(master: FakeMaster) -> None:
    class Grumpy:
        def __reduce__(self) -> tuple[object, ...]:
            return int, ("no number",)

    def inputs() -> Iterator[int]:
        yield 1
        raise KeyError("mine")

    async def drain(results: AsyncIterator[Any], into: list[Any]) -> None:
        async for each in results:
            into.append(each)  # noqa: PERF401 - what came before the exception counts

    async def body(client: AsyncClient) -> None:
        seen: list[Any] = []
        with pytest.raises(ValueError, match="3"):
            await drain(client.map(lambda n: fail(n) if n == 3 else n, range(10)), seen)
        assert seen == [0, 1, 2]
        with pytest.raises(KeyError, match="mine"):
            await drain(client.map(abs, inputs()), seen)
        assert seen == [0, 1, 2, 1]
        with pytest.raises(DecodeError, match="no number"):
            await drain(client.map(lambda n: Grumpy() if n == 2 else n, range(4)), seen)
        assert seen == [0, 1, 2, 1, 0, 1]
        results = client.map(abs, itertools.count(), timeout=0.05)
        master.running.clear()
        with pytest.raises(TimeoutError):
            await drain(results, seen)
        master.running.set()
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    run(master, body)


@pytest.mark.parametrize("how", ["aclose", "break", "cancelled"])
def test_leaving_early_cancels_the_rest(master: FakeMaster, how: str) -> None:
    async def body(client: AsyncClient) -> None:
        results = client.map(abs, itertools.count())
        if how == "aclose":
            assert await anext(results) == 0
            await results.aclose()
        elif how == "break":
            async for _ in results:
                break
            del results
            gc.collect()
        else:
            master.running.clear()

            async def read() -> None:
                async for _ in results:
                    pass

            reading = asyncio.create_task(read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            master.running.set()
        await asyncio.to_thread(wait_until, lambda: any(body.HasField("cancel") for body in master.received), 5)
        assert await client.submit(abs, -1) == 1

    run(master, body)


def test_several_clients_in_one_loop(master: FakeMaster) -> None:
    other = FakeMaster(slots=1)

    async def body(client: AsyncClient) -> None:
        async with make(other) as second:
            a, b = client.map(abs, range(300)), second.map(str, range(300))
            pairs = [(x, await anext(b)) async for x in a]
            assert pairs == [(n, str(n)) for n in range(300)]
            assert await asyncio.gather(client.submit(abs, -1), second.submit(abs, -2)) == [1, 2]

    run(master, body)
    other.stop()


def test_submit_awaits_while_too_much_is_unacknowledged(master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "UNACKNOWLEDGED_BYTES", 1 << 20)
    payload = b"x" * (300 << 10)

    async def body(client: AsyncClient) -> None:
        master.deaf.set()
        began = time.monotonic()
        futures = [client.submit(len, payload + b"%d" % (n % 10)) for n in range(12)]
        assert time.monotonic() - began < 2, "submit itself never waits"
        assert client._started.is_full
        assert not any(future.done() for future in futures)
        assert futures[-1].cancel(), "before it was even sent"
        master.deaf.clear()
        master.break_link()
        assert await asyncio.gather(*futures[:-1]) == [len(payload) + 1] * 11

    run(master, body)
    assert sum(block.end - block.first for block in master.blocks) == 11


def test_not_connected() -> None:
    client = AsyncClient("nowhere:1")
    with pytest.raises(RuntimeError, match="async with"):
        client.submit(abs, 1)
    asyncio.run(client.shutdown())


def test_the_end(master: FakeMaster) -> None:
    async def main() -> None:
        client = await make(master, reconnect_timeout=0.1).start()
        future = client.submit(abs, -1)
        await asyncio.gather(client.shutdown(), client.shutdown())
        assert await future == 1
        with pytest.raises(RuntimeError, match="after shutdown"):
            client.submit(abs, 1)
        lost = await make(master, reconnect_timeout=0.1).start()
        master.running.clear()
        waiting, results = lost.submit(abs, 1), lost.map(abs, itertools.count())
        master.accepting = False
        await asyncio.to_thread(master.break_link)
        with pytest.raises(SessionLost):
            await waiting
        with pytest.raises(SessionLost):
            await anext(results)
        await lost.shutdown()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_loop_that_is_closed_meanwhile(master: FakeMaster) -> None:
    master.running.clear()

    async def main() -> AsyncClient:
        client = await make(master).start()
        client.submit(abs, 1)
        return client

    client = asyncio.run(main())
    master.running.set()
    client._started.shutdown()
    assert client.get_stats()["tasks_completed"] == 1


def test_futures_in_a_loop_by_other_ways(master: FakeMaster) -> None:
    async def body(client: AsyncClient) -> None:
        sync = client._started
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(sync, pow, 2, 10) == 1024
        assert await asyncio.wrap_future(sync.submit(abs, -2)) == 2

    run(master, body)
