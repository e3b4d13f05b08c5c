"""The ideal that efficiency is compared with: its rules are those of the engine."""

from __future__ import annotations

import heapq
from random import Random

import numpy as np
import pytest
from benchmarks.optimize.efficiency import POPULATION, SLOTS, WORKERS, ideal_seconds
from benchmarks.optimize.replay import makespan
from benchmarks.scale.__main__ import list_makespan
from tests.unit.optimize.functions import continuous

from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.search import Search

BUDGET = 1_000


def durations(seed: int, count: int = BUDGET) -> list[float]:
    rng = Random(seed)
    return [rng.lognormvariate(0.0, 0.83) for _ in range(count)]


def test_one_slot_takes_as_long_as_all_together() -> None:
    seconds = durations(0)
    assert makespan(seconds, 1, block=7, window=50) == pytest.approx(sum(seconds))


def test_with_room_for_all_it_is_list_scheduling() -> None:
    seconds = durations(1)
    for in_order in (True, False):
        ideal = makespan(seconds, 16, block=1, window=len(seconds), in_order=in_order)
        assert ideal == pytest.approx(list_makespan(seconds, 16))


def test_a_barrier_waits_for_the_last_of_each_generation() -> None:
    seconds = durations(2, 250)
    generations = [seconds[:100], seconds[100:200], seconds[200:]]
    expected = sum(list_makespan(generation, 16) for generation in generations)
    assert makespan(seconds, 16, block=100, window=100) == pytest.approx(expected)


def test_a_slow_one_holds_up_a_window_but_not_the_arrivals() -> None:
    seconds = [10.0] + [1.0] * 99
    assert makespan(seconds, 2, block=1, window=4) == pytest.approx(10.0 + 96 / 2)
    assert makespan(seconds, 2, block=1, window=4, in_order=False) == pytest.approx(55.0, abs=1.0)


def test_a_block_of_more_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="a block is 1 to 4 evaluations"):
        makespan([1.0], 1, block=5, window=4)


def virtual(mode: Mode, seconds: list[float]) -> float:
    """How long the engine itself takes on virtual time, with the slots of the benchmark."""
    settings = {"population": POPULATION, "population_min": POPULATION}
    search = Search(Plan(cube=continuous(5), settings=settings, mode=mode, budget=len(seconds), noisy=True, seed=3))
    now, running = 0.0, list[tuple[float, int, float]]()
    while search.done() is None:
        batch = search.ask(WORKERS * SLOTS - len(running))
        for id, score in zip(batch.ids.tolist(), (batch.U**2).sum(axis=1).tolist(), strict=True):
            heapq.heappush(running, (now + seconds[id], id, score))
        now, id, score = heapq.heappop(running)
        search.tell([id], np.array([score]))
    return now


@pytest.mark.parametrize("mode", list(Mode))
def test_the_engine_on_virtual_time_takes_as_long(mode: Mode) -> None:
    seconds = durations(3)
    assert virtual(mode, seconds) == pytest.approx(ideal_seconds(seconds, mode))
