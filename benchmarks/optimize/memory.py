"""Owns how much the master grows during a search of a million evaluations."""

from __future__ import annotations

import time
from collections.abc import Mapping

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
evaluations. `ga`, generational, population 1000, 10 dimensions, an objective that takes all points at once. The \
client has the whole history then, in a file that it maps."""


def sphere(columns: Mapping[str, Floats]) -> Floats:
    return sum(columns[name] ** 2 for name in _NAMES)  # type: ignore[return-value]


def search(client: Client, evaluations: int) -> None:
    result = client.optimize(
        sphere,
        dict.fromkeys(_NAMES, (-5.0, 5.0)),
        method="ga",
        mode="generational",
        population=POPULATION,
        population_min=POPULATION,
        budget=evaluations,
        seed=1,
        batch=True,
    )
    if len(result.history) != evaluations:
        raise AssertionError(f"another search than was asked for: {result}")


def measure(evaluations: int = EVALUATIONS) -> Findings:
    with Client(slots=SLOTS) as client:
        client.wait_for_workers(1, timeout=60)
        search(client, WARM_UP_EVALUATIONS)
        [master] = masters()
        begun = time.monotonic()
        with MemoryWatch([master]) as of_master, MemoryWatch([psutil.Process()]) as of_client:
            search(client, evaluations)
        seconds = time.monotonic() - begun
    say(f"{evaluations:,} evaluations in {seconds:.0f} s: the master grew by {of_master.growth:.1f} MB")
    rows = [
        ("growth of the master, MB", f"{of_master.growth:.1f}"),
        ("it began with, MB", f"{of_master.baseline / 1e6:.0f}"),
        ("growth of the client, MB", f"{of_client.growth:.1f}"),
        ("evaluations", f"{evaluations:,}"),
        ("evaluations a second", f"{evaluations / seconds:,.0f}"),
    ]
    judged = [
        Judged(f"growth of the master, {evaluations:,} evaluations", of_master.growth, REACH_MEGABYTES, unit="MB")
    ]
    data = {
        "evaluations": evaluations,
        "seconds": seconds,
        "master_growth_mb": of_master.growth,
        "master_baseline_mb": of_master.baseline / 1e6,
        "client_growth_mb": of_client.growth,
    }
    return Findings("What the master keeps", ABOUT, ("", ""), rows, judged, data)
