"""The whole cluster but its processes, on virtual time, under trouble from a seed; see `simulation.py`."""

from dataclasses import replace

import pytest
from tests.simulation.scenario import from_seed, late_results
from tests.simulation.simulation import SimulationFailed, simulate

#: More with `./scripts/simulate`.
SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_task_has_its_end_whatever_goes_wrong(seed):
    simulate(from_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_results_that_come_when_their_tasks_run_elsewhere(seed):
    outcome = simulate(late_results(seed))
    assert outcome.counts["late"]


def test_a_thousand_workers():
    outcome = simulate(from_seed(1, workers=1000))
    assert outcome.counts["dispatches"] > 1000


def test_a_seed_is_always_the_same_story():
    scenario = from_seed(15)
    assert simulate(scenario) == simulate(scenario)


def test_a_failure_tells_the_story_and_how_to_see_it_again():
    with pytest.raises(SimulationFailed) as caught:
        simulate(replace(from_seed(4), limit=0.05))
    story = str(caught.value)
    assert "The story of task" in story
    assert "The last events:" in story
    assert "./scripts/simulate --first-seed 4 --seeds 1" in story
