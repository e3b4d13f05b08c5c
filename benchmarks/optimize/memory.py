"""Owns how much the master grows during a search of a million evaluations."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.measures.processes import MemoryWatch, masters
from benchmarks.optimize.crew import say
from benchmarks.optimize.findings import Findings, Judged
from benchmarks.optimize.functions import Floats
from manyhands import Client

EVALUATIONS = 1_000_000
WARM_UP_EVALUATIONS = 20_000
POPULATION = 1000
SLOTS = 2
REACH_MEGABYTES = 50.0
_NAMES = [f"x{number}" for number in range(10)]
ABOUT = """\
Resident memory of an embedded master: its peak during the search, over what it was before, after a search of 20 000 \
evaluations. `ga`, population 1000, 10 dimensions, an objective that takes all points at once. A detached search is \
kept in the master's journal; of others the client has the whole history, in a file that it maps."""


class Run(NamedTuple):
    """In MB."""

    growth: float
    before: float
    growth_of_client: float
    seconds: float


#: Mode, and whether the search is detached.
WAYS = {"windowed": ("windowed", False), "generational": ("generational", False), "detached": ("windowed", True)}


def sphere(columns: Mapping[str, Floats]) -> Floats:
    return np.sum([columns[name] ** 2 for name in _NAMES], axis=0)


def search(client: Client, way: str, evaluations: int) -> None:
    mode, is_detached = WAYS[way]
    begun = client.optimize(
        sphere,
        dict.fromkeys(_NAMES, (-5.0, 5.0)),
        method="ga",
        mode=mode,
        population=POPULATION,
        population_min=POPULATION,
        budget=evaluations,
        seed=1,
        batch=True,
        detach=is_detached,
        name=f"search-{evaluations}" if is_detached else None,
    )
    result = begun.result() if is_detached else begun
    if len(result.history) != evaluations:
        raise AssertionError(f"another search than was asked for: {result}")


def run(way: str, evaluations: int) -> Run:
    """On a cluster of its own."""
    _, is_detached = WAYS[way]
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(slots=SLOTS, data_dir=folder if is_detached else None) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        search(client, way, WARM_UP_EVALUATIONS)
        [master] = masters()
        begun = time.monotonic()
        with MemoryWatch([master]) as of_master, MemoryWatch([psutil.Process()]) as of_client:
            search(client, way, evaluations)
        return Run(of_master.growth, of_master.baseline / 1e6, of_client.growth, time.monotonic() - begun)


def measure(evaluations: int = EVALUATIONS) -> Findings:
    found: dict[str, Run] = {}
    for way in WAYS:
        found[way] = run(way, evaluations)
        say(f"{way}: the master grew by {found[way].growth:.1f} MB in {found[way].seconds:.0f} s")
    rows = [
        (
            way,
            f"{each.growth:.1f}",
            f"{each.before:.0f}",
            f"{each.growth_of_client:.1f}",
            f"{evaluations / each.seconds:,.0f}",
        )
        for way, each in found.items()
    ]
    judged = [
        Judged(f"growth of the master, {evaluations:,} evaluations, {way}", each.growth, REACH_MEGABYTES, unit="MB")
        for way, each in found.items()
    ]
    head = ("", "growth of the master, MB", "before, MB", "growth of the client, MB", "evaluations a second")
    data = {way: each._asdict() for way, each in found.items()} | {"evaluations": evaluations}
    return Findings("What the master keeps", ABOUT, head, rows, judged, data)
