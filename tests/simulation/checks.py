"""What a simulation can be asked to show, by name; used on the shipped code by tests, and on mutants of it.

`seed:N`: worlds full of trouble keep every property, from seed N on. `late:N`: so do those whose workers lose their
sessions all the time, and report in the next what they did in the last. `crash:N`: so do those whose master is killed
and comes back. `day:NAME`: those of `planned.py`. `fair`, `priority`: who is served when.
`stopped`: running tasks that are cancelled make room, whether they heed an interrupt or not. `spared`: those that run
are not cancelled where only the others were meant, also if the master dies meanwhile.
"""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.disasters import disasters
from tests.simulation.planned import DAYS
from tests.simulation.scenario import (
    BlockPlan,
    CancelPlan,
    ClientPlan,
    Fate,
    JobPlan,
    Scenario,
    WorkerPlan,
    from_seed,
    late_results,
    plain_job,
)
from tests.simulation.simulation import simulate

from manyhands.master.events import JobOptions
from manyhands.worker.stopping import STOP_GRACE

#: Virtual seconds within which the seeds used here end; a mutant that hangs is found so much sooner.
LIMIT = 120.0

#: Seeds of a check: what one of them shows today another may show after a change of the scheduler.
SEEDS = {"seed": 30, "late": 8, "crash": 60}

MAKERS = {"seed": from_seed, "late": late_results, "crash": disasters}


def run(name: str) -> None:
    """Raises AssertionError, or whatever else a fault leads to, if the property does not hold."""
    kind, _, seed = name.partition(":")
    match kind:
        case "seed" | "late" | "crash":
            for number in range(SEEDS[kind]):
                scenario = MAKERS[kind](int(seed) + number)
                simulate(scenario if kind == "crash" else replace(scenario, limit=LIMIT))
        case "day":
            for scenario in DAYS[seed]():
                simulate(scenario)
        case "fair":
            clients_share_equally()
        case "priority":
            urgent_jobs_overtake()
        case "stopped":
            cancelled_tasks_free_their_slots()
        case "spared":
            running_tasks_are_spared()
        case _:
            raise ValueError(f"no check is called {name}")


def clients_share_equally() -> None:
    """Of two clients that submit the same at once, neither waits for the other's end."""
    job = plain_job([0.01] * 400, 0.1)
    outcome = simulate(_scenario(ClientPlan("c0", (job,)), ClientPlan("c1", (job,))))
    first, last = sorted(outcome.finished.values())
    assert first - 0.1 > 0.9 * (last - 0.1), f"one was done at {first}, the other at {last}"


def urgent_jobs_overtake() -> None:
    """A job of higher priority does not wait for what came before it."""
    urgent = replace(plain_job([0.01] * 40, 0.3), options=JobOptions(priority=1))
    outcome = simulate(_scenario(ClientPlan("c0", (plain_job([0.01] * 800, 0.1), urgent))))
    # 8 slots need 50 ms for it, once their running tasks are done.
    assert outcome.finished["c0", 2] < 0.3 + 0.1, f"the urgent job was done at {outcome.finished['c0', 2]}"


def cancelled_tasks_free_their_slots() -> None:
    """Within the grace, also those that must be killed; and none of them is charged with it."""
    endless = JobPlan(
        0.1,
        JobOptions(),
        (BlockPlan(0.0, 0, 16, 16),),
        tuple(Fate(1000.0, deaf=n % 2 == 0) for n in range(16)),
        (CancelPlan(0.5, ((0, 16),)),),
    )
    outcome = simulate(_scenario(ClientPlan("c0", (endless, plain_job([0.01] * 40, 0.2)))))
    assert outcome.counts["stopped"] == 8, outcome.counts
    assert outcome.counts["kills"] == 4, outcome.counts
    assert outcome.finished["c0", 2] < 0.6 + STOP_GRACE + 0.3, f"the next job was done at {outcome.finished['c0', 2]}"


def running_tasks_are_spared() -> None:
    """Of 12 tasks 9 are to be cancelled unless they run, and 6 do."""
    for scenario in DAYS["spare"]():
        outcome = simulate(scenario)
        assert outcome.counts["cancelled"] == 3, outcome.counts
        assert not outcome.counts["stopped"], outcome.counts


def _scenario(*clients: ClientPlan) -> Scenario:
    return Scenario(0, clients, tuple(WorkerPlan(f"w{n}", 2) for n in range(4)), limit=LIMIT)
