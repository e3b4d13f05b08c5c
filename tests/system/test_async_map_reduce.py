"""Reductions from an event loop, on a real cluster: the loop goes on meanwhile, and a cancelled one ends."""

import asyncio
import operator
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manyhands import AsyncClient
from manyhands.errors import JobNameTaken, UnstableKey


def see(folder: Path, n: int) -> int:
    (folder / str(n)).touch()
    time.sleep(0.01)
    return n


def by_seven(n: int) -> list[tuple[int, int]]:
    return [(n % 7, 1)]


def broken(count: int) -> Iterator[int]:
    yield from range(count)
    raise OSError("the disk is gone")


def test_map_reduce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with AsyncClient(slots=2, data_dir=tmp_path / "journal") as client:
            steps = 0

            async def step() -> None:
                nonlocal steps
                while True:
                    await asyncio.sleep(0)
                    steps += 1

            stepping = asyncio.create_task(step())
            assert await client.map_reduce(str, range(5_000), operator.add, "begins ") == "begins " + "".join(
                map(str, range(5_000))
            )
            assert steps > 20
            stepping.cancel()
            await what_goes_wrong(client)
            await by_key(client)
            await detached(client)

    async def what_goes_wrong(client: AsyncClient) -> None:
        with pytest.raises(TypeError, match="of empty iterable"):
            await client.map_reduce(abs, [], operator.add)
        with pytest.raises(OSError, match="the disk is gone"):
            await client.map_reduce(abs, broken(10_000), operator.add)
        with pytest.raises(ZeroDivisionError):
            await client.map_reduce(lambda n: 1 / n, range(-5, 5), operator.add, progress=True)
        assert "<lambda>: " in capsys.readouterr().err
        folder = tmp_path / "seen"
        folder.mkdir()
        reducing: asyncio.Task[Any] = asyncio.create_task(
            client.map_reduce(lambda n: see(folder, n), range(5_000), operator.add)
        )
        while not list(folder.iterdir()):
            await asyncio.sleep(0.01)
        reducing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reducing
        assert await client.submit(pow, 2, 10) == 1024
        assert len(list(folder.iterdir())) < 1000

    async def by_key(client: AsyncClient) -> None:
        counts = await client.map_reduce_by_key(by_seven, range(1000), operator.add, 5, progress=True)
        assert counts == {rest: len(range(rest, 1000, 7)) for rest in range(7)}
        assert "by_seven: " in capsys.readouterr().err
        stream = await client.map_reduce_by_key(by_seven, range(1000), operator.add, stream=True)
        assert sorted([pair async for pair in stream]) == sorted(counts.items())
        assert await client.map_reduce_by_key(by_seven, [], operator.add) == {}
        half_read = await client.map_reduce_by_key(by_seven, range(1000), operator.add, stream=True)
        assert await anext(half_read)
        await half_read.aclose()
        with pytest.raises(UnstableKey):
            await client.map_reduce_by_key(lambda n: [(object(), n)], range(10), operator.add)
        with pytest.raises(ValueError, match="partitions must be from 1"):
            await client.map_reduce_by_key(by_seven, range(1000), operator.add, 0)
        keeping = client.with_options(keep_results=True)
        assert await client.get(await keeping.map_reduce_by_key(by_seven, range(1000), operator.add)) == counts

    async def detached(client: AsyncClient) -> None:
        job = await client.map_reduce(abs, range(300), operator.add, detach=True, name="sum")
        with pytest.raises(JobNameTaken):
            await client.map_reduce(abs, range(300), operator.add, detach=True, name="sum")
        assert await job.result(timeout=20) == sum(range(300))
        assert (await job.wait()).finished
        counting = await client.map_reduce_by_key(by_seven, range(70), operator.add, detach=True, name="counts")
        assert await counting.result(timeout=20) == dict.fromkeys(range(7), 10)
        several = await client.map(abs, range(3), detach=True, name="several")
        with pytest.raises(ValueError, match="has 3 results"):
            await several.result()
        for each in (job, counting, several):
            await each.cancel()

    asyncio.run(asyncio.wait_for(main(), 50))
