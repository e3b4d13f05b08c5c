"""Days whose trouble is planned: each lets one thing go wrong when it hurts most, which chance finds rarely."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.network import LinkFaults
from tests.simulation.scenario import (
    BlockPlan,
    CancelPlan,
    ClientPlan,
    Fate,
    FaultPlan,
    JobPlan,
    Scenario,
    WorkerPlan,
)

from manyhands.master.config import MasterConfig
from manyhands.master.events import JobOptions, RetryOptions


def _day(
    jobs: tuple[JobPlan, ...], *faults: FaultPlan, link: LinkFaults | None = None, leaves_at: float | None = None
) -> Scenario:
    clients = (ClientPlan("c0", jobs), ClientPlan("c1", jobs, leaves_at=leaves_at))
    return Scenario(
        0,
        clients if leaves_at else clients[:1],
        tuple(WorkerPlan(f"w{n}", 2) for n in range(3)),
        tuple(sorted(faults, key=lambda fault: fault.at)),
        link=link or LinkFaults(),
        config=MasterConfig(client_timeout=30.0, client_end_timeout=20.0, reattach_timeout=0.3),
        journal=True,
        replay_share=1.0,
        limit=60.0,
    )


def _job(fates: list[Fate], *cancels: CancelPlan, options: JobOptions = JobOptions(), item_bytes: int = 16) -> JobPlan:  # noqa: B008 - frozen
    count = len(fates) if item_bytes < 1000 else 1
    blocks = tuple(BlockPlan(0.0, 0, item_bytes, count) for _ in range(len(fates) // count))
    return JobPlan(0.05, options, blocks, tuple(fates), cancels)


def clock() -> Iterator[Scenario]:
    """Tasks wait for their second attempt when the master dies and its clock is set."""
    job = _job([Fate(0.01, failures=1)] * 20, options=JobOptions(retry=RetryOptions(2, delay=3.0)))
    for seconds in (-86400.0, 86400.0):
        yield _day((job,), FaultPlan(0.5, "clock", "master", seconds), FaultPlan(0.5, "crash", "master", 0.5))


def deadlines() -> Iterator[Scenario]:
    """The master dies, perhaps with a worker, while time runs out for its tasks; its clock may be set."""
    for options in (JobOptions(total_timeout=1.0), JobOptions(queue_timeout=0.8)):
        job = _job([Fate(0.4)] * 48, options=options)
        for seconds in (0.2, 2.0):
            crash = FaultPlan(0.5, "crash", "master", seconds)
            yield _day((job,), crash)
            yield _day((job,), crash, FaultPlan(0.55, "kill", "w1"))
        for jump in (-86400.0, 86400.0):
            yield _day((job,), FaultPlan(0.4, "clock", "master", jump), FaultPlan(0.5, "crash", "master", 0.2))


def large() -> Iterator[Scenario]:
    """The master dies while large messages are under way, in both directions."""
    job = _job([Fate(0.01)] * 4, item_bytes=1_000_000)
    for at in (0.1, 0.2, 0.3, 0.5, 0.7):
        yield _day((job,), FaultPlan(at, "crash", "master", 0.2, "after commit"), link=LinkFaults(bandwidth=1e7))


def cancel() -> Iterator[Scenario]:
    """Running tasks are cancelled, and have not ended when the master dies."""
    yield from _cancels(spare_running=False)


def spare() -> Iterator[Scenario]:
    """Tasks are cancelled unless they run, and those that do have not ended when the master dies; or asked while it is
    away.
    """
    yield from _cancels(spare_running=True)


def _cancels(*, spare_running: bool) -> Iterator[Scenario]:
    job = _job([Fate(0.5, deaf=True)] * 12, CancelPlan(0.2, ((0, 9),), spare_running))
    for at in (0.2, 0.26, 0.3, 0.4):
        yield _day((job,), FaultPlan(at, "crash", "master", 0.2))


def goodbye() -> Iterator[Scenario]:
    """Workers and clients go while there is nobody to say goodbye to, or while their goodbye is under way."""
    job = _job([Fate(0.05)] * 40)
    slow = LinkFaults(0.1)  # to connect takes so long
    for at in (0.8, 0.85, 0.9, 1.0):
        away = [FaultPlan(0.7, "partition", name, 0.15) for name in ("w1", "w2", "c1")]
        leave = [FaultPlan(at + 0.03 * n, "leave", f"w{n}", 0.1) for n in (1, 2)]
        yield _day((job,), *away, *leave, link=slow, leaves_at=at)
        yield _day((job,), FaultPlan(0.7, "crash", "master", 0.15), *leave, link=slow, leaves_at=at)


def full() -> Iterator[Scenario]:
    """The disk fills up, work goes on or comes to its end, and the master dies before there is room again."""
    for count in (4, 100):
        job = _job([Fate(0.05)] * count)
        for at in (0.2, 6.0):  # by then the workers have sent a heartbeat
            yield _day((job,), FaultPlan(0.08, "disk full", "master", 8.0), FaultPlan(at, "crash", "master", 0.2))


def away() -> Iterator[Scenario]:
    """Links break just before the master does, which is away for long, or seems to have been."""
    job = _job([Fate(0.02)] * 100)
    breaks = [FaultPlan(0.1, "partition", name, 1.0) for name in ("c0", "w1")]
    yield _day((job,), *breaks, FaultPlan(0.3, "crash", "master", 25.0))
    yield _day((job,), *breaks, FaultPlan(0.3, "clock", "master", 86400.0), FaultPlan(0.3, "crash", "master", 0.2))


def drain() -> Iterator[Scenario]:
    """A worker that drains loses its session, and says so again in the next."""
    job = _job([Fate(0.3)] * 60)
    for seconds in (0.05, 0.2):
        leave = FaultPlan(0.3, "leave", "w1", 2.0)
        yield _day((job,), leave, FaultPlan(0.35, "crash", "master", seconds))
        yield _day((job,), leave, FaultPlan(0.35, "partition", "w1", 1.2))


def twice() -> Iterator[Scenario]:
    """A worker comes back to another life of the master when its tasks run elsewhere, and fails some."""
    options = JobOptions(speculate=True, retry=RetryOptions(2, delay=0.1))
    job = _job([Fate(2.0, failures=1)] * 4, options=options)
    for seconds in (0.6, 1.0):
        away = [FaultPlan(0.45, "partition", name, seconds) for name in ("w0", "w1")]
        yield _day((job,), *away, FaultPlan(0.5, "crash", "master", 0.05))


def death() -> Iterator[Scenario]:
    """A client dies with work under way, and the master before it has noticed, or after."""
    job = _job([Fate(0.05)] * 60)
    for at in (0.2, 0.3):
        yield _day((job,), FaultPlan(0.25, "client dies", "c1"), FaultPlan(at, "crash", "master", 0.2), leaves_at=50.0)


def forgotten() -> Iterator[Scenario]:
    """The master keeps no journal, and its end is the end of all jobs: everybody begins anew, and nobody hangs."""
    for at in (0.1, 0.3):
        job = _job([Fate(0.1)] * 100)
        yield replace(_day((job,), FaultPlan(at, "crash", "master", 0.2), leaves_at=60.0), journal=False)


def power() -> Iterator[Scenario]:
    """Hosts lose their power: what they leave behind looks like silence."""
    job = _job([Fate(0.1)] * 100)
    for name in ("master", "w1", "c1"):
        yield _day((job,), FaultPlan(0.3, "power", name, 4.0), leaves_at=200.0)


DAYS: dict[str, Callable[[], Iterator[Scenario]]] = {
    each.__name__: each
    for each in (clock, deadlines, large, cancel, spare, goodbye, full, away, drain, twice, death, forgotten, power)
}
