"""Owns the rate of a reduction of small items: our `map_reduce` against our own `map` with the sum at the client."""

import operator
import time

from benchmarks.readings import Reading, Scale
from benchmarks.systems import running
from benchmarks.systems.manyhands_cluster import ManyhandsTwoWorkers

NAME = "sum-of-squares"
SYSTEMS = (ManyhandsTwoWorkers.name,)
TIMEOUT = 90.0
REPETITIONS = 3

ITEMS = 10_000_000


def run(name: str, scale: Scale) -> list[Reading]:
    count = scale.count(ITEMS)
    items = range(count)
    with running(name) as system:
        assert isinstance(system, ManyhandsTwoWorkers)
        client = system.client
        client.map_reduce(lambda x: x * x, range(100_000), operator.add)
        sum(client.map(lambda x: x * x, range(100_000)))
        begun = time.perf_counter()
        reduced = client.map_reduce(lambda x: x * x, items, operator.add)
        between = time.perf_counter()
        mapped = sum(client.map(lambda x: x * x, items))
        ended = time.perf_counter()
    if reduced != (count - 1) * count * (2 * count - 1) // 6 or mapped != reduced:
        raise AssertionError("sum-of-squares: wrong sums")
    return [
        Reading(key, count / seconds, "1/s", "higher", {"items": count, "seconds": seconds})
        for key, seconds in ((NAME, between - begun), (f"{NAME}.map", ended - between))
    ]
