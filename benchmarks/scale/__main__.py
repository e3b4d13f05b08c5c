"""Owns the scale benchmark's run: which clusters, which figures, where they go. See `./scripts/bench scale --help`."""

import argparse
import datetime as dt
import heapq
import json
import math
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean

from benchmarks import machine
from benchmarks.scale.cluster import BLOCK_TASKS, CLIENT, JOB, LINK_DELAY, Cluster, block_of
from benchmarks.scale.plot import plot
from manyhands.master import events as ev
from manyhands.master.scheduler import Scheduler

RESULTS = Path(__file__).resolve().parent.parent / "results"
SIZES = (10, 30, 100, 300, 1000)
SLOTS = 16
TASK_SECONDS = 0.05
TASKS_PER_SLOT = 200
QUEUED_TASKS = 1_000_000
#: Tasks of unknown, varied length on few slots: the hard case for efficiency.
VARIED_TASKS, VARIED_SLOTS = 2_000, 64
VARIED_SEEDS = 20
SEED = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One cluster's figures."""

    workers: int
    slots: int
    tasks: int
    makespan: float
    #: Of ideal list scheduling in submit order.
    efficiency: float
    scheduler_us_per_task: float
    messages_per_second: float
    messages: dict[str, int]


def list_makespan(seconds: Sequence[float], slots: int) -> float:
    """Greedy list scheduling in submit order by an oracle without delays (Graham 1966)."""
    free = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def measure(workers: int, slots: int, seconds: Sequence[float], seed: int) -> Row:
    """One job on one cluster."""
    outcome = Cluster(workers, slots, seconds, seed).run()
    return Row(
        workers,
        slots,
        outcome.tasks,
        outcome.makespan,
        list_makespan(seconds, workers * slots) / outcome.makespan,
        outcome.scheduler_seconds / outcome.tasks * 1e6,
        sum(outcome.messages.values()) / outcome.makespan,
        dict(outcome.messages),
    )


def lognormal(count: int, mean: float, rng: Random) -> list[float]:
    """Durations with a coefficient of variation of 1."""
    sigma = math.sqrt(math.log(2))
    return [rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma) for _ in range(count)]


def bytes_per_queued_task() -> tuple[float, float]:
    """(the scheduler's memory for each of a million queued tasks, what of it is their payload and offsets)."""
    scheduler = Scheduler(Random(0))
    scheduler.handle(ev.JobOpened(JOB, CLIENT, ev.JobOptions()), 0.0)
    payload = 0
    tracemalloc.start()
    try:
        for first in range(0, QUEUED_TASKS, BLOCK_TASKS):
            block = block_of(first, min(BLOCK_TASKS, QUEUED_TASKS - first))
            payload += len(block.payload) + len(block.ends)
            scheduler.handle(ev.BlockArrived(JOB, block), 0.0)
            del block
        return tracemalloc.get_traced_memory()[0] / QUEUED_TASKS, payload / QUEUED_TASKS
    finally:
        tracemalloc.stop()


def markdown(rows: Sequence[Row], varied: Sequence[Row], memory: tuple[float, float], about: str) -> str:
    """The report."""
    about_figures = (
        f"The shipped scheduler on virtual time: workers of {SLOTS} slots, {TASKS_PER_SLOT} tasks of "
        f"{TASK_SECONDS * 1000:.0f} ms a slot in one job, {LINK_DELAY * 1000:.0f} ms of link delay. Workers are models "
        "that report by the shipped agent's rules. Messages are frames; what leaves for the client within a "
        "millisecond counts as one; heartbeats and bare acknowledgements are not in it. CPU is real: what `handle` "
        "and `plan` took."
    )
    about_varied = (
        f"{VARIED_TASKS:,} tasks, lognormal with cv 1, mean {TASK_SECONDS * 1000:.0f} ms unknown in advance, on "
        f"{VARIED_SLOTS} slots:"
    )
    lines = [
        f"# Scale, {about}",
        "",
        about_figures,
        "",
        "| workers | tasks | scheduler CPU per task | messages a second | of ideal list scheduling |",
        "|---|---|---|---|---|",
        *(
            f"| {row.workers} | {row.tasks:,} | {row.scheduler_us_per_task:.1f} us | {row.messages_per_second:,.0f} "
            f"| {row.efficiency:.3f} |"
            for row in rows
        ),
        "",
        about_varied,
        "",
        f"| workers x slots | of ideal list scheduling, mean of {VARIED_SEEDS} seeds | worst seed | best seed |",
        "|---|---|---|---|",
    ]
    means = []
    for shape in dict.fromkeys((row.workers, row.slots) for row in varied):
        reached = [row.efficiency for row in varied if (row.workers, row.slots) == shape]
        means.append(fmean(reached))
        lines.append(f"| {shape[0]} x {shape[1]} | {means[-1]:.3f} | {min(reached):.3f} | {max(reached):.3f} |")
    lines += ["", "(Above 1: list scheduling in the order of submission is not optimal, and luck decides at the end.)"]
    total, payload = memory
    lines += [
        "",
        f"A queued task takes {total:.1f} bytes of the scheduler, {payload:.1f} of them its payload and offset.",
    ]
    lines += ["", "| what must hold | measured | reach | aim |", "|---|---|---|---|"]
    last = rows[-1]
    lines += [
        f"| scheduler CPU per task, {last.workers} workers | {last.scheduler_us_per_task:.1f} us | 20 us | 3 us |",
        f"| messages a second, {last.workers} workers | {last.messages_per_second:,.0f} | 8,000 | 2,000 |",
        f"| efficiency on varied tasks, lowest mean | {min(means):.3f} | 0.95 | 0.99 |",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=SIZES)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args(arguments)
    rows = []
    for size in options.sizes:
        rows.append(measure(size, SLOTS, [TASK_SECONDS] * (size * SLOTS * TASKS_PER_SLOT), SEED))
        print(f"{size} workers: {rows[-1]}", file=sys.stderr, flush=True)
    varied = [
        measure(VARIED_SLOTS // slots, slots, lognormal(VARIED_TASKS, TASK_SECONDS, Random(seed)), seed)
        for slots in (16, 4, 1)
        for seed in range(VARIED_SEEDS)
    ]
    memory = bytes_per_queued_task()
    date, commit = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"), machine.commit()
    page = markdown(rows, varied, memory, f"{date}, commit {commit}")
    data = {
        "date": date,
        "commit": commit,
        "machine": machine.describe(),
        "rows": [asdict(row) for row in rows],
        "varied": [asdict(row) for row in varied],
        "bytes_per_queued_task": {"all": memory[0], "payload_and_offset": memory[1]},
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "scale.json").write_text(json.dumps(data, indent=1) + "\n")
    (options.output / "scale.md").write_text(page)
    plot([asdict(row) for row in rows], options.output / "scale.svg")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
