"""Searches from an event loop, on a real cluster: the loop goes on meanwhile, and a cancelled one ends."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from manyhands import AsyncClient
from manyhands.client.detached import BestSoFar
from manyhands.errors import TooManyFailures, UnknownJob
from manyhands.optimize import Progress, minimize

SPACE = {"x": (-5.0, 5.0), "n": (0, 10)}


def bowl(params: dict[str, Any]) -> float:
    return float((params["x"] - 1) ** 2 + abs(params["n"] - 3))


def broken(params: dict[str, Any]) -> float:
    raise ArithmeticError("no")


def see(folder: Path) -> Any:
    def seen(params: dict[str, Any]) -> float:
        (folder / str(params["x"])).touch()
        time.sleep(0.01)
        return bowl(params)

    return seen


def searches() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("manyhands-search")]


def test_optimize(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(slots=2, data_dir=tmp_path / "journal") as client:
            steps = 0

            async def step() -> None:
                nonlocal steps
                while True:
                    await asyncio.sleep(0)
                    steps += 1

            stepping = asyncio.create_task(step())
            told: list[Progress] = []
            found = await client.optimize(bowl, SPACE, budget=400, seed=7, callback=told.append)
            assert found.history.digest() == minimize(bowl, SPACE, budget=400, seed=7).history.digest()
            assert steps > 20
            assert told[-1].evaluations == 400
            stepping.cancel()
            await what_goes_wrong(client)
            await cancelled(client)
            await many_at_a_time(client)
            await detached(client)

    async def what_goes_wrong(client: AsyncClient) -> None:
        with pytest.raises(TooManyFailures, match="ArithmeticError: no"):
            await client.optimize(broken, SPACE, budget=100)
        with pytest.raises(ValueError, match="mode is one of"):
            await client.optimize(bowl, SPACE, mode="other")
        with pytest.raises(TypeError, match="a plain function"):
            await client.optimize(bowl, SPACE, callback=asyncio.sleep)
        with pytest.raises(ValueError, match="look with progress"):
            await client.optimize(bowl, SPACE, detach=True, name="x", callback=print)

    async def cancelled(client: AsyncClient) -> None:
        folder = tmp_path / "seen"
        folder.mkdir()
        running = asyncio.create_task(client.optimize(see(folder), SPACE, budget=100_000))
        while not any(folder.iterdir()):
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while searches():  # its thread ends
            await asyncio.sleep(0.01)
        assert await client.submit(abs, -1) == 1, "after what still ran"
        await asyncio.sleep(0.1)
        before = len(list(folder.iterdir()))
        await asyncio.sleep(0.3)
        assert len(list(folder.iterdir())) == before

    async def many_at_a_time(client: AsyncClient) -> None:
        found = await asyncio.gather(*(client.optimize(bowl, SPACE, budget=40, seed=seed) for seed in range(20)))
        assert [each.seed for each in found] == list(range(20))
        assert {each.stats.total_evaluations for each in found} == {40}

    async def detached(client: AsyncClient) -> None:
        job = await client.optimize(bowl, SPACE, budget=700, seed=5, detach=True, name="tuning")
        found = await job.result(timeout=30)
        alone = minimize(bowl, SPACE, budget=700, seed=5)
        assert found.history.digest() == alone.history.digest()
        assert (await job.best()) == BestSoFar(found.best_params, found.best_score)
        later = await client.job("tuning")
        assert (await later.result()).best_params == found.best_params
        await later.cancel()
        with pytest.raises(UnknownJob):
            await later.result()

        folder = tmp_path / "long"
        folder.mkdir()
        job = await client.optimize(see(folder), SPACE, budget=100_000, seed=5, detach=True, name="long")
        while (best := await job.best()) is None:
            await asyncio.sleep(0.02)
        search = (await job.progress()).search
        assert search is not None
        assert search.budget == 100_000
        assert best.score >= search.best_score
        with pytest.raises(TimeoutError, match="'long' has not ended"):
            await job.result(timeout=0.1)
        await job.cancel()

        mapped = await client.map(abs, [-1], detach=True, name="no-search")
        await mapped.wait()
        with pytest.raises(ValueError, match="'no-search' is no search"):
            await mapped.best()

    asyncio.run(asyncio.wait_for(main(), 50))
