"""Owns how busy a search keeps the slots of a cluster while evaluations take unequally long."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from benchmarks.optimize.crew import say
from benchmarks.optimize.findings import Findings, Judged
from benchmarks.optimize.replay import makespan
from manyhands import Client, current_task
from manyhands.optimize.plan import WINDOW, WINDOW_BLOCKS, default_window
from manyhands.optimize.random_streams import evaluation_seeds

WORKERS, SLOTS = 2, 8
POPULATION = 100
EVALUATIONS = 5_000
MEAN_SECONDS = 0.02
REPETITIONS = 3
#: Of the ideal efficiency.
AIM = 0.97
REACH = {"async": 0.95, "windowed": 0.82, "generational": 0.6}
_SPACE = {f"x{number}": (-5.0, 5.0) for number in range(10)}
ABOUT = """\
An embedded cluster of 2 workers with 8 slots each; tasks that sleep, lognormal with cv 1, mean 20 ms, each as long as \
its seed says; `ga` with a constant population of 100, 5 000 evaluations; the median of 3 searches. Ideal is the same \
durations under the same rules on 16 slots, while nothing else takes any time. Efficiency counts a sleep as long as it \
was; the last column does not: it is the ideal's duration over the search's."""


class Run(NamedTuple):
    efficiency: float
    seconds: float
    ideal_efficiency: float
    ideal_seconds: float


def duration(seed: int) -> float:
    """Seconds, of the evaluation with this seed."""
    sigma = math.sqrt(math.log(2))
    return Random(seed).lognormvariate(math.log(MEAN_SECONDS) - sigma * sigma / 2, sigma)


def sleeping(params: Mapping[str, float]) -> float:
    seed = current_task().seed
    assert seed is not None
    time.sleep(duration(seed))
    return sum(value * value for value in params.values())


def ideal_seconds(durations: Sequence[float], mode: str) -> float:
    slots = WORKERS * SLOTS
    if mode == "async":
        return makespan(durations, slots, block=WINDOW // WINDOW_BLOCKS, window=WINDOW, in_order=False)
    window = default_window(POPULATION)
    block = POPULATION if mode == "generational" else window // WINDOW_BLOCKS
    return makespan(durations, slots, block=block, window=window)


def search(client: Client, mode: str, seed: int, evaluations: int) -> Run:
    result = client.optimize(
        sleeping,
        _SPACE,
        method="ga",
        mode=mode,
        population=POPULATION,
        population_min=POPULATION,
        budget=evaluations,
        seed=seed,
    )
    stats = result.stats
    if (stats.total_evaluations, stats.failed, round(stats.num_workers)) != (evaluations, 0, WORKERS * SLOTS):
        raise AssertionError(f"another search than was asked for: {stats}")
    durations = [duration(each) for each in evaluation_seeds(seed, np.arange(evaluations)).tolist()]
    ideal = ideal_seconds(durations, mode)
    return Run(stats.efficiency, stats.seconds, sum(durations) / ideal / WORKERS / SLOTS, ideal)


def measure(seeds: Sequence[int], evaluations: int = EVALUATIONS) -> Findings:
    """As many repetitions as there are seeds."""
    found: dict[str, list[Run]] = {mode: [] for mode in REACH}
    with Client(workers=WORKERS, slots=SLOTS) as client:
        client.wait_for_workers(WORKERS, timeout=60)
        search(client, "async", 0, 20 * WORKERS * SLOTS)  # the slots have imported what they need
        for seed in seeds:
            for mode, runs in found.items():
                runs.append(search(client, mode, seed, evaluations))
                say(f"{mode}: efficiency {runs[-1].efficiency:.3f}, ideal {runs[-1].ideal_efficiency:.3f}")
    rows, judged = [], []
    for mode, runs in found.items():
        efficiency, _, ideal, _ = (float(np.median(column)) for column in zip(*runs, strict=True))
        of_ideal = float(np.median([run.ideal_seconds / run.seconds for run in runs]))
        rows.append((mode, f"{efficiency:.3f}", f"{ideal:.3f}", f"{efficiency / ideal:.3f}", f"{of_ideal:.3f}"))
        judged.append(Judged(f"efficiency, {mode}", efficiency, REACH[mode], AIM * ideal, "higher"))
    data = {mode: [run._asdict() for run in runs] for mode, runs in found.items()}
    head = ("mode", "efficiency", "ideal", "of ideal", "ideal's duration over this one's")
    return Findings("How busy the slots are", ABOUT, head, rows, judged, data)
