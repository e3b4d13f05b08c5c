"""The shipped scheduler keeps slots busy: against an oracle that starts each task, in order, on the first free slot."""

from random import Random

import pytest
from tests.simulation.ideal import list_makespan
from tests.simulation.scenario import ClientPlan, Scenario, WorkerPlan, plain_job, seconds_of
from tests.simulation.simulation import simulate

SLOTS = 64
#: When the job is submitted: by then the workers have joined.
AT = 0.2
SEEDS = range(2)


def efficiency(seed: int, workers: int) -> float:
    rng = Random(seed)
    seconds = [seconds_of("lognormal", 0.05, rng) for _ in range(2000)]
    scenario = Scenario(
        seed,
        (ClientPlan("c0", (plain_job(seconds, AT),)),),
        tuple(WorkerPlan(f"w{n}", SLOTS // workers) for n in range(workers)),
        check_every=1000,
    )
    return list_makespan(seconds, SLOTS) / (simulate(scenario).seconds - AT)


@pytest.mark.parametrize("workers", [4, 16, 64])
def test_durations_that_vary_and_are_unknown_in_advance(workers):
    reached = [efficiency(seed, workers) for seed in SEEDS]
    assert min(reached) >= 0.95, reached
    assert sum(reached) / len(reached) >= 0.98, reached
