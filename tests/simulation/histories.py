"""Many histories on all cores: each runs in one of a few processes, and comes back as what it came to."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import NamedTuple

from tests.simulation.scenario import Scenario
from tests.simulation.simulation import Outcome, SimulationFailed, simulate

#: Real seconds that a history may take: one that takes longer goes round in circles.
REAL_LIMIT = 300.0


class History(NamedTuple):
    """`failure`: the story, where a property did not hold."""

    scenario: Scenario
    outcome: Outcome | None
    failure: str = ""


def _begin() -> None:
    """Of a process: what is there now stays, and nobody need look for garbage in it; nor as often elsewhere."""
    gc.freeze()
    gc.set_threshold(10_000)


def run(scenario: Scenario) -> History:
    """One of them, here. Should it hang, this process shows where, and ends."""
    faulthandler.dump_traceback_later(REAL_LIMIT, exit=True)
    try:
        return History(scenario, simulate(scenario))
    except SimulationFailed as failure:
        return History(scenario, None, str(failure))
    finally:
        faulthandler.cancel_dump_traceback_later()


def run_all(make: Callable[[int], Scenario], seeds: Iterator[int], processes: int) -> Iterator[History]:
    """As they end. `seeds` may stop at any time: those begun before come to their end."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin) as pool:
        running: dict[Future[History], Scenario] = {}
        while True:
            for scenario in map(make, islice(seeds, 2 * processes - len(running))):
                running[pool.submit(run, scenario)] = scenario
            if not running:
                return
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                scenario = running.pop(ended)
                try:
                    yield ended.result()
                except BrokenProcessPool as error:
                    failure = (
                        f"seed {scenario.seed}: its process ended, or another's: {error}\nAgain: {scenario.command}"
                    )
                    yield History(scenario, None, failure)
