"""What a seed stands for: who takes part, what they do, how long tasks take, and what goes wrong when."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tests.simulation.network import LinkFaults
from tests.simulation.simulated_disk import Moment

from manyhands.master.config import MasterConfig
from manyhands.master.events import JobOptions, RetryOptions
from manyhands.master.tuning import SchedulerConfig
from manyhands.wire.spans import Span

Durations = Literal["constant", "lognormal", "stragglers"]
DURATIONS: tuple[Durations, ...] = ("constant", "lognormal", "stragglers")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one task each time it runs: first its crashes, then its failures, then its success."""

    seconds: float
    crashes: int = 0
    failures: int = 0
    #: Its failures are not among those that may be retried.
    final: bool = False
    #: It does not heed an interrupt: its slot must be killed to stop it.
    deaf: bool = False


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """`delay` after the previous block; the items are this long."""

    delay: float
    function: int
    item_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class CancelPlan:
    """`delay` after the last block; `spans` None: the whole job. `spare_running`: what has started runs to its end."""

    delay: float
    spans: tuple[Span, ...] | None
    spare_running: bool = False


@dataclass(frozen=True, slots=True)
class JobPlan:
    at: float
    options: JobOptions
    blocks: tuple[BlockPlan, ...]
    fates: tuple[Fate, ...]
    cancels: tuple[CancelPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """`leaves_at`: it says goodbye, whatever its jobs have come to."""

    name: str
    jobs: tuple[JobPlan, ...]
    leaves_at: float | None = None
    #: It sends definitions before anybody asks.
    eager_definitions: bool = False


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """`late_results`: what it was about to report when its session ended it reports in the next. `late_words`: agent
    and slots see each other's words in their shared pages as late as may be.
    """

    name: str
    slots: int
    at: float = 0.0
    late_results: bool = False
    late_words: bool = False
    #: Its tasks take so many times as long.
    slowness: float = 1.0


FaultKind = Literal[
    "break",
    "partition",
    "mute",
    "stall",
    "kill",
    "leave",
    "restart",
    "client dies",
    "crash",
    "power",
    "stop",
    "disk full",
    "disk slow",
    "clock",
]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What happens to whom; `name` may also be "master".

    break: the link breaks. partition: and cannot be made again for `seconds`. mute: it carries nothing more, silently.
    stall: nothing for so long. kill: the worker is gone. leave: it drains for up to `seconds` and says goodbye first.
    restart: it is gone, and comes again as a new process after so long. client dies: without a word. crash: the master
    is killed, at this `moment`, and begins again after so long. power: a host is without it, and nobody is told; the
    master's comes back. stop: SIGSTOP, and SIGCONT so much later. disk full, disk slow: for so long. clock: wall time
    jumps by so much.
    """

    at: float
    kind: FaultKind
    name: str
    seconds: float = 0.0
    moment: Moment = "now"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`seed` also feeds the chance inside the run: which frames are lost, the jitter of retries."""

    seed: int
    clients: tuple[ClientPlan, ...]
    workers: tuple[WorkerPlan, ...]
    faults: tuple[FaultPlan, ...] = ()
    link: LinkFaults = field(default_factory=LinkFaults)
    config: MasterConfig = field(default_factory=MasterConfig)
    #: The master keeps a journal, and this share of its commits is compared with its state.
    journal: bool = False
    replay_share: float = 0.0
    #: See `journal.DONE_ROWS` and `SWEEP_AFTER`: small numbers let happen what otherwise takes long jobs.
    done_rows: int = 500
    sweep_after: int = 100
    #: Invariants are checked at every so many events.
    check_every: int = 1
    #: Virtual seconds within which everything must have its end.
    limit: float = 600.0
    #: How to run it from the command line, if one can.
    command: str = ""

    @property
    def task_count(self) -> int:
        return sum(len(job.fates) for client in self.clients for job in client.jobs)


def seconds_of(durations: Durations, mean: float, rng: Random) -> float:
    """One task's duration; of the given mean, except that stragglers come on top."""
    match durations:
        case "constant":
            return mean
        case "lognormal":  # with a coefficient of variation of 1
            sigma = math.sqrt(math.log(2.0))
            return mean * rng.lognormvariate(-sigma * sigma / 2, sigma)
        case "stragglers":
            return mean * (10.0 if rng.random() < 0.05 else 1.0)


def plain_job(seconds: list[float], at: float = 0.0, block: int = 500) -> JobPlan:
    """Tasks that just take their time."""
    counts = [min(block, len(seconds) - first) for first in range(0, len(seconds), block)]
    blocks = tuple(BlockPlan(0.0, 0, 16, count) for count in counts)
    return JobPlan(at, JobOptions(), blocks, tuple(Fate(each) for each in seconds))


def from_seed(seed: int, *, workers: int | None = None) -> Scenario:
    """A world full of trouble. `workers`: how many to begin with; by default the seed says."""
    rng = Random(seed)
    count = workers or (rng.randint(3, 9) if rng.random() < 0.7 else rng.randint(10, 64))
    slots = [rng.choice((1, 2, 4)) for _ in range(count)]
    mean = rng.choice((0.0003, 0.003, 0.02, 0.1))
    durations = rng.choice(DURATIONS)
    tasks = rng.randint(60, 500) if workers is None else max(60, int(1.5 * sum(slots)))
    horizon = 2 * tasks * mean / sum(slots) + 0.05
    link = _link(rng)
    clients = _clients(rng, tasks, mean, durations, horizon)
    lately = rng.random() < 0.5
    fleet = [
        WorkerPlan(f"w{n}", slots[n], 0.0, lately and rng.random() < 0.5, rng.random() < 0.5) for n in range(count)
    ]
    joiners = rng.choice((0, 0, 1, 3))
    fleet += [WorkerPlan(f"j{n}", rng.choice((1, 2, 4)), rng.uniform(0.0, horizon)) for n in range(joiners)]
    return Scenario(
        seed=seed,
        clients=clients,
        workers=tuple(fleet),
        faults=_faults(rng, fleet, clients, horizon),
        link=link,
        config=make_config(rng),
        check_every=1 if count <= 64 else 200,
        command=_command(seed) + (f" --workers {workers}" if workers else ""),
    )


def _command(seed: int) -> str:
    return f"./scripts/simulate --first {seed} --seeds 1"


def late_results(seed: int) -> Scenario:
    """Reports are rare and come late: when their worker's session is over and its tasks have gone to others."""
    rng = Random(seed)
    names = [f"w{n}" for n in range(5)]
    fates = []
    for _ in range(1000):
        failures = 1 if rng.random() < 0.1 else 0
        fates.append(Fate(seconds_of("lognormal", 0.01, rng), failures=failures))
    options = JobOptions(retry=RetryOptions(2, delay=rng.choice((0.0, 0.5))))
    job = JobPlan(0.0, options, tuple(BlockPlan(0.0, 0, 16, 250) for _ in range(4)), tuple(fates))
    faults = [
        FaultPlan(rng.uniform(0.05, 2.0), "partition", rng.choice(names), rng.uniform(0.2, 0.6)) for _ in range(12)
    ]
    return Scenario(
        seed,
        (ClientPlan("c0", (job,)),),
        tuple(WorkerPlan(name, 2, late_results=True) for name in names),
        tuple(faults),
        config=MasterConfig(reconnect_timeout=0.1, scheduler=SchedulerConfig(messages_per_second=50.0)),
        check_every=5,
        command=f"{_command(seed)} --late",
    )


def _link(rng: Random) -> LinkFaults:
    delay = rng.choice((0.0001, 0.001, 0.001, 0.02))
    if rng.random() < 0.3:
        return LinkFaults(delay)
    return LinkFaults(
        delay=delay,
        jitter=delay * rng.choice((0.0, 0.5, 3.0)),
        duplicate=rng.choice((0.0, 0.02, 0.2)),
        reorder=rng.choice((0.0, 0.05, 0.3)),
        loss=rng.choice((0.0, 0.002, 0.01)),
    )


def make_config(rng: Random) -> MasterConfig:
    """The master's settings, some of them tight."""
    scheduler = SchedulerConfig(
        lease_bytes=rng.choice((128 << 10, 128 << 10, 400)),
        credit_bytes=rng.choice((64 << 20, 2000)),
        messages_per_second=rng.choice((4000.0, 4000.0, 100.0)),
        worker_bytes=rng.choice((64 << 20, 4000)),
        copy_delay=0.05,
    )
    return MasterConfig(client_timeout=20.0, unread_bytes=scheduler.credit_bytes, scheduler=scheduler)


def _clients(rng: Random, tasks: int, mean: float, durations: Durations, horizon: float) -> tuple[ClientPlan, ...]:
    sizes = shares(rng, tasks, rng.randint(1, 5))
    plans: list[list[JobPlan]] = [[] for _ in range(rng.randint(1, 3))]
    for size in sizes:
        rng.choice(plans).append(make_job(rng, size, mean, durations, horizon))
    return tuple(
        ClientPlan(
            f"c{n}",
            tuple(jobs),
            leaves_at=rng.uniform(0.0, horizon) if n and rng.random() < 0.15 else None,
            eager_definitions=rng.random() < 0.5,
        )
        for n, jobs in enumerate(plans)
    )


def shares(rng: Random, total: int, parts: int) -> list[int]:
    """Cut a number into up to so many."""
    cuts = sorted(rng.randint(1, total - 1) for _ in range(parts - 1))
    return [hi - lo for lo, hi in zip([0, *cuts], [*cuts, total], strict=True) if hi > lo]


def make_job(rng: Random, size: int, mean: float, durations: Durations, horizon: float) -> JobPlan:
    """A job with some trouble of its own."""
    retries = rng.choice((0, 0, 2))
    trouble = rng.choice((0.0, 0.05, 0.3))
    fates = []
    for _ in range(size):
        crashes, failures, final = 0, 0, False
        if rng.random() < trouble:
            kind = rng.random()
            if kind < 0.25:
                crashes = rng.choice((1, 1, 2, 3))
            else:
                failures = rng.choice((1, 1, 2, 3))
                final = rng.random() < 0.2
        fates.append(Fate(seconds_of(durations, mean, rng), crashes, failures, final, deaf=len(fates) % 5 == 4))
    blocks, left = [], size
    gaps = rng.choice((0.0, 0.0, horizon / 10))
    typical = rng.choice((1, 7, 50, 200))
    while left:
        count = min(left, rng.randint(1, 2 * typical))
        item_bytes = rng.choice((16, 16, 16, 200)) if count > 3 else rng.choice((16, 16, 2000, 300_000))
        blocks.append(BlockPlan(rng.uniform(0.0, gaps), rng.choice((0, 0, 0, 1)), item_bytes, count))
        left -= count
    options = JobOptions(
        name=f"{size} tasks",
        priority=rng.choice((0, 0, 0, 1, -3)),
        max_parallel=rng.choice((0, 0, 0, 1, 3, 10)) if size < 150 and mean * size < 5.0 else 0,
        retry=RetryOptions(retries, delay=rng.choice((0.0, 0.02, 0.3)), backoff=rng.choice((1.0, 2.0))),
        metered=rng.random() < 0.3,
        speculate=size % 2 == 0,
    )
    cancels = []
    if rng.random() < 0.25:
        for _ in range(rng.choice((1, 1, 4))):
            spans = tuple(_span(rng, size) for _ in range(rng.choice((1, 3))))
            cancels.append(CancelPlan(rng.uniform(0.0, horizon / 2), spans, spare_running=len(cancels) % 2 == 1))
    if rng.random() < 0.1:
        cancels.append(CancelPlan(rng.uniform(0.0, horizon), None))
    at = rng.choice((0.0, rng.uniform(0.0, horizon / 2)))
    return JobPlan(at, options, tuple(blocks), tuple(fates), tuple(cancels))


def _span(rng: Random, size: int) -> Span:
    lo = rng.randrange(size)
    return lo, min(size, lo + rng.randint(1, max(1, size // 2)))


def _faults(
    rng: Random, workers: list[WorkerPlan], clients: tuple[ClientPlan, ...], horizon: float
) -> tuple[FaultPlan, ...]:
    """The first worker's link may fail, but it stays: somebody must do the work."""
    faults: list[FaultPlan] = []
    for _ in range(rng.choice((0, 1, 3, 8))):
        at = rng.uniform(0.0, 1.2 * horizon)
        kind = rng.choice(("break", "break", "partition", "partition", "kill", "leave", "client"))
        if kind == "client":
            name = rng.choice(clients).name
            faults.append(FaultPlan(at, rng.choice(("break", "partition")), name, rng.uniform(0.0, 3.0)))
        elif kind in {"kill", "leave"}:
            faults.append(FaultPlan(at, kind, rng.choice(workers[1:]).name, rng.choice((0.0, 0.3, 3.0))))
        else:
            faults.append(FaultPlan(at, kind, rng.choice(workers).name, rng.choice((0.1, 0.8, 1.5, 4.0))))
    if rng.random() < 0.1:
        faults.append(FaultPlan(rng.uniform(0.0, horizon), "mute", rng.choice(workers).name))
    return tuple(sorted(faults, key=lambda fault: fault.at))
