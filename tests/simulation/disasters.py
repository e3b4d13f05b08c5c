"""Scenarios of the worst day: the master, workers and clients are killed and stopped, links and the disk fail, all the
while jobs run. Each has at least 3 workers, 200 tasks and 5 faults of 3 kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.simulation.network import LinkFaults
from tests.simulation.scenario import (
    DURATIONS,
    BlockPlan,
    ClientPlan,
    Fate,
    FaultKind,
    FaultPlan,
    JobPlan,
    Scenario,
    WorkerPlan,
    make_config,
    make_job,
    shares,
)

from manyhands.master.config import MasterConfig
from manyhands.master.events import JobOptions, RetryOptions

#: Faults and how often they are chosen; a master that is not killed at all is of no interest here.
KINDS: dict[FaultKind, int] = {
    "crash": 6,
    "break": 2,
    "partition": 3,
    "mute": 1,
    "stall": 2,
    "kill": 1,
    "leave": 1,
    "restart": 3,
    "client dies": 2,
    "power": 2,
    "stop": 3,
    "disk full": 2,
    "disk slow": 2,
    "clock": 2,
}


def disasters(seed: int) -> Scenario:
    """A master with a journal, and everything goes wrong."""
    # One for each subject: what is added to one leaves the others as they were.
    rng, of_links, of_clients, of_faults = (Random(f"{subject} {seed}") for subject in ("", "links", "jobs", "faults"))
    count = rng.randint(3, 7)
    slots = [rng.choice((1, 2, 4)) for _ in range(count)]
    workers = tuple(WorkerPlan(f"w{n}", slots[n], late_words=rng.random() < 0.5) for n in range(count))
    mean = rng.choice((0.0003, 0.003, 0.02, 0.1, 0.3))
    tasks = rng.randint(200, 400)
    # Long enough for what goes wrong to meet work: jobs come one after the other.
    horizon = min(30.0, max(2.0, 2 * tasks * mean / sum(slots)) * rng.choice((1.0, 1.0, 3.0)))
    bandwidth = of_links.choice((0.0, 0.0, 1e7))
    clients = _clients(of_clients, tasks, mean, horizon, has_large=bandwidth > 0)
    return Scenario(
        seed=seed,
        clients=clients,
        workers=workers,
        faults=tuple(_faults(of_faults, workers, clients, horizon)),
        link=_links(of_links, bandwidth),
        config=_config(rng),
        journal=True,
        replay_share=rng.choice((0.0, 0.02, 0.1)),
        done_rows=rng.choice((3, 500)),
        sweep_after=rng.choice((0, 100)),
        check_every=rng.choice((3, 10, 40)),
        limit=900.0,  # who reads one result at a time, of tasks that are tried again after seconds, takes 340
        command=f"./scripts/simulate --crashes --first {seed} --seeds 1",
    )


def _links(rng: Random, bandwidth: float) -> LinkFaults:
    delay = rng.choice((0.0001, 0.001, 0.01))
    return LinkFaults(
        delay,
        jitter=delay * rng.choice((0.0, 0.5, 3.0)),
        duplicate=rng.choice((0.0, 0.0, 0.05)),
        reorder=rng.choice((0.0, 0.0, 0.1)),
        bandwidth=bandwidth,
        loss=rng.choice((0.0, 0.0, 0.002)),
    )


def _config(rng: Random) -> MasterConfig:
    return replace(
        make_config(rng),
        definition_bytes=rng.choice((64 << 20, 50)),
        client_timeout=30.0,
        client_end_timeout=20.0,
        reattach_timeout=rng.choice((0.3, 2.0)),
        reconnect_timeout=rng.choice((0.2, 1.0)),
    )


def _clients(rng: Random, tasks: int, mean: float, horizon: float, *, has_large: bool) -> tuple[ClientPlan, ...]:
    names = [f"c{n}" for n in range(rng.randint(1, 3))]
    jobs = {name: [] for name in names}
    for size in shares(rng, tasks, rng.randint(2, 6)):
        job = make_job(rng, size, mean, rng.choice(DURATIONS), min(horizon, 3.0))
        if rng.random() < 0.3:
            job = replace(job, options=replace(job.options, retry=RetryOptions(2, delay=3.0)))
        jobs[rng.choice(names)].append(replace(job, at=rng.choice((0.0, rng.uniform(0.0, horizon)))))
    if has_large:
        blocks = tuple(BlockPlan(0.0, 0, rng.choice((400_000, 2_000_000)), 1) for _ in range(rng.randint(1, 4)))
        fates = tuple(Fate(mean) for _ in blocks)
        jobs[names[0]].append(JobPlan(rng.uniform(0.0, horizon), JobOptions(name="large"), blocks, fates))
    return tuple(
        ClientPlan(
            name,
            tuple(jobs[name]),
            leaves_at=rng.uniform(0.0, horizon) if n and rng.random() < 0.15 else None,
            eager_definitions=rng.random() < 0.5,
        )
        for n, name in enumerate(names)
    )


def _faults(
    rng: Random, workers: Sequence[WorkerPlan], clients: Sequence[ClientPlan], horizon: float
) -> list[FaultPlan]:
    begins = [job.at for client in clients for job in client.jobs]
    faults: list[FaultPlan] = []
    while len(faults) < 5 or len({fault.kind for fault in faults}) < 3:
        faults = []
        for kind in ("crash", *rng.choices([*KINDS], [*KINDS.values()], k=rng.choice((6, 7, 9, 13)))):
            at = rng.uniform(0.0, 1.1 * horizon)
            if rng.random() < 0.6:  # soon after a job began: there it finds most to break
                at = rng.choice(begins) + rng.uniform(0.0, rng.choice((0.01, 0.1, 0.5, 2.0)))
            faults += _fault(rng, kind, at, workers, clients)
    return sorted((replace(fault, at=max(0.0, fault.at)) for fault in faults), key=lambda fault: fault.at)


def _fault(
    rng: Random, kind: FaultKind, at: float, workers: Sequence[WorkerPlan], clients: Sequence[ClientPlan]
) -> list[FaultPlan]:
    """The first worker's link may fail, but it stays; so does the first client."""
    names = [*(worker.name for worker in workers), *(client.name for client in clients)]
    match kind:
        case "crash":
            moment = rng.choice(("now", "before commit", "after commit"))
            crash = FaultPlan(at, kind, "master", rng.choice((0.0, 0.1, 0.5, 3.0)), moment)
            if rng.random() < 0.2:  # and once more before everybody is back
                again = replace(crash, at=at + crash.seconds + rng.choice((0.01, 0.1, 0.5, 1.5)))
                return [crash, again]
            return [crash]
        case "partition":
            seconds = rng.choice((0.1, 0.8, 1.5, 4.0))
            return [FaultPlan(at, kind, name, seconds) for name in rng.sample(names, rng.randint(1, len(names)))]
        case "break" | "mute" | "stall":
            return [FaultPlan(at, kind, rng.choice(names), rng.choice((0.05, 0.5, 3.0)))]
        case "leave":
            worker = rng.choice(workers[1:]).name
            leaving = FaultPlan(at, kind, worker, rng.choice((0.0, 0.1, 2.0)))
            away = FaultPlan(at - rng.uniform(0.0, 0.3), "partition", worker, 0.5)
            return [away, leaving] if rng.random() < 0.5 else [leaving]
        case "kill" | "restart":
            return [FaultPlan(at, kind, rng.choice(workers[1:]).name, rng.choice((0.0, 0.1, 2.0)))]
        case "client dies":
            return [FaultPlan(at, kind, rng.choice(clients[1:]).name)] if len(clients) > 1 else []
        case "power":
            mortal = [*(worker.name for worker in workers[1:]), *(client.name for client in clients[1:])]
            return [FaultPlan(at, kind, rng.choice(("master", rng.choice(mortal))), rng.choice((0.5, 5.0, 20.0)))]
        case "stop":
            return [FaultPlan(at, kind, rng.choice(("master", rng.choice(names))), rng.choice((0.3, 2.0, 7.0, 18.0)))]
        case "clock":
            clock = FaultPlan(at, kind, "master", rng.choice((-86400.0, -30.0, 30.0, 86400.0)))
            return [clock, FaultPlan(at, "crash", "master", 0.5)] if rng.random() < 0.5 else [clock]
        case "disk full":
            full = FaultPlan(at, kind, "master", rng.choice((0.2, 1.5, 4.0)))
            crash = FaultPlan(at + rng.uniform(0.0, full.seconds), "crash", "master", 0.1)
            return [full, crash] if rng.random() < 0.6 else [full]
    return [FaultPlan(at, kind, "master", rng.choice((0.2, 1.5, 4.0)))]
