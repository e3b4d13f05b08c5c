"""Owns the registry of measures, in the order in which a run takes them."""

from collections.abc import Sequence
from typing import Protocol, cast

from benchmarks.measures import (
    bare_stream,
    broadcast,
    first_task,
    gather_arrays,
    generator_memory,
    idle,
    idle_workers,
    map_rate,
    recovery,
    round_trip,
    shared_argument,
    shortest_task,
    submit_rate,
    sum_of_squares,
    word_count,
)
from benchmarks.readings import Reading, Scale


class Measure(Protocol):
    """What each module of this folder offers."""

    NAME: str
    #: The systems it applies to, in the order of the table.
    SYSTEMS: Sequence[str]
    #: Seconds after which one repetition on one system counts as failed.
    TIMEOUT: float
    REPETITIONS: int

    def run(self, name: str, scale: Scale) -> list[Reading]: ...


MEASURES: dict[str, Measure] = {
    measure.NAME: measure
    for measure in cast(
        "Sequence[Measure]",
        (
            bare_stream,
            map_rate,
            submit_rate,
            round_trip,
            shortest_task,
            first_task,
            generator_memory,
            idle,
            idle_workers,
            recovery,
            broadcast,
            shared_argument,
            word_count,
            sum_of_squares,
            gather_arrays,
        ),
    )
}
