"""Second copies of slow tasks: what they gain when one worker is ten times slower, and that they do no harm else."""

from dataclasses import replace
from random import Random

from tests.simulation.scenario import ClientPlan, Scenario, WorkerPlan, plain_job, seconds_of
from tests.simulation.simulation import Outcome, simulate

from manyhands.master.events import JobOptions

#: When the job is submitted: by then the workers have joined.
AT = 0.2


def run(seed: int, *, speculate: bool) -> Outcome:
    """400 tasks of 1 s, but for a few of 10 s, on 8 workers, one of which takes ten times as long."""
    rng = Random(seed)
    job = plain_job([seconds_of("stragglers", 1.0, rng) for _ in range(400)], AT)
    workers = [WorkerPlan(f"w{n}", 4) for n in range(7)] + [WorkerPlan("slow", 4, slowness=10.0)]
    job = replace(job, options=JobOptions(speculate=speculate))
    return simulate(Scenario(seed, (ClientPlan("c0", (job,)),), tuple(workers), check_every=100))


def test_a_slow_worker_does_not_hold_up_the_end():
    """Where it has got one of the long tasks, which then takes 100 s; and elsewhere copies do no harm."""
    ratios = []
    for seed in range(4):
        alone, twice = (run(seed, speculate=speculate) for speculate in (False, True))
        assert alone.counts["copies"] == 0
        assert 0 < twice.counts["copies"] < 20
        assert twice.counts["crashes"] == twice.counts["retries"] == 0
        ratios.append((twice.seconds - AT) / (alone.seconds - AT))
    assert max(ratios) < 1.05, ratios
    assert min(ratios) < 0.35, ratios
