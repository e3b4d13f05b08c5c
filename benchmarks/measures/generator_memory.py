"""Owns how much client and master grow while `map` drinks from a long generator, and how fast it drinks."""

import time

import psutil

from benchmarks.measures.processes import MemoryWatch, family, masters
from benchmarks.readings import Reading, Scale
from benchmarks.systems import JUDGED, running
from benchmarks.tasks import noop

NAME = "generator"
SYSTEMS = JUDGED
TIMEOUT = 240.0
#: Memory is judged by its peak, so the best of several runs would flatter.
REPETITIONS = 1

ITEMS = 10_000_000
WARM_UP_ITEMS = 100_000


def run(name: str, scale: Scale) -> list[Reading]:
    items = scale.generator_items or scale.count(ITEMS)
    with running(name) as system:
        for _ in system.map(noop, (index for index in range(WARM_UP_ITEMS))):
            pass
        servers = masters()
        watched = [psutil.Process(), *servers] if servers else family()
        everyone = family()
        begun = time.perf_counter()
        with MemoryWatch(watched) as memory, MemoryWatch(everyone) as whole:
            for expected, result in enumerate(system.map(noop, (index for index in range(items)))):
                if result != expected:
                    raise AssertionError(f"generator: {result!r} came back for {expected}")
        elapsed = time.perf_counter() - begun
    detail: dict[str, float | str] = {
        "items": items,
        "baseline_mb": memory.baseline / 1e6,
        "growth_of_all_processes_mb": whole.growth,
        "watched": f"client and {len(servers)} master" if servers else "all processes: no master could be told apart",
    }
    return [
        Reading("generator.memory", memory.growth, "MB", "lower", detail),
        Reading("generator", items / elapsed, "1/s", "higher", {"items": items, "seconds": elapsed}),
    ]
