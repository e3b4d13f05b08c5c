"""Owns the rate of an ordered `map` over no-op items, without a chunk size and, where there is one, with."""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.readings import Reading, Scale
from benchmarks.systems import JUDGED, OURS_ON_TASKS, PEERS, running
from benchmarks.systems.protocol import Function, System
from benchmarks.tasks import noop

NAME = "map"
SYSTEMS = (*OURS_ON_TASKS, *PEERS)
TIMEOUT = 120.0
REPETITIONS = 3

ITEMS = 1_000_000
#: Slower systems get fewer items, so that the measured stretch takes a few seconds; rates are compared.
PEER_ITEMS = {"ppe": 20_000, "pool": ITEMS, "ray": 4_000, "dask": 2_000, "parsl": 2_000}
CHUNKED_ITEMS = {"ppe": ITEMS, "pool": ITEMS, "ray": 200_000}
CHUNKSIZE = 500


@dataclass(frozen=True, slots=True)
class Variant:
    key: str
    function: Function
    items: Sequence[object]
    chunksize: int | None = None


def run(name: str, scale: Scale) -> list[Reading]:
    best: dict[str, Reading] = {}
    with running(name) as system:
        variants = list(_variants(name, scale))
        # Variants are judged by one another. In turns, twice: or a moment's noise would pass for a difference.
        for variant in variants * (2 if name in JUDGED else 1):
            reading = _measure(system, variant)
            if variant.key not in best or reading.value > best[variant.key].value:
                best[variant.key] = reading
    return list(best.values())


def _variants(name: str, scale: Scale) -> Iterable[Variant]:
    count = scale.count(PEER_ITEMS.get(name, ITEMS))
    yield Variant("map", noop, range(count))
    if name in JUDGED:
        yield Variant("map.lambda", lambda item: item, range(count))
        generator = random.Random(7)
        # Made anew in their order: a shuffled list of objects that lie in another order costs cache misses to read at
        # all (a loop that only adds them up takes six times as long), and would measure the processor.
        shuffled = [int(str(item)) for item in generator.sample(range(count), count)]
        yield Variant("map.shuffled", noop, shuffled)
        yield Variant("map.strings", noop, [f"{generator.getrandbits(80):020x}" for _ in range(count)])
    if name in CHUNKED_ITEMS:
        yield Variant("map.chunked", noop, range(scale.count(CHUNKED_ITEMS[name])), CHUNKSIZE)


def _measure(system: System, variant: Variant) -> Reading:
    warm_up = variant.items[: max(len(variant.items) // 5, 100)]
    list(system.map(variant.function, warm_up, chunksize=variant.chunksize))
    begun = time.perf_counter()
    results = list(system.map(variant.function, variant.items, chunksize=variant.chunksize))
    elapsed = time.perf_counter() - begun
    if results != list(variant.items):
        raise AssertionError(f"{variant.key}: results are not the items in their order")
    detail = {"items": len(results), "seconds": elapsed}
    return Reading(variant.key, len(results) / elapsed, "1/s", "higher", detail)
