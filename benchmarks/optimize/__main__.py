"""Owns the command line of `./scripts/bench optimize`: which parts, which seeds, where it goes."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.names import Names
from benchmarks.optimize import efficiency, failing, fronts, memory, overhead, quality
from benchmarks.optimize.crew import say
from benchmarks.optimize.findings import Findings
from benchmarks.optimize.report import Run, markdown

RESULTS = Path(__file__).resolve().parent.parent / "results"
PACKAGES = ("manyhands", "numpy", "pygad", "deap", "pymoo", "scipy", "cmaes")
SEEDS, QUICK_SEEDS = 11, 3
FRONT_SEEDS = 5
#: Those of which CPU time does not count may use both cores.
PROCESSES = 2


def parts(seeds: Sequence[int], *, quick: bool) -> dict[str, Callable[[], Findings]]:
    """In the order in which they run: those that measure time first, while nothing else does."""
    repetitions = seeds[: 1 if quick else efficiency.REPETITIONS]
    share = 10 if quick else 1
    return {
        "efficiency": lambda: efficiency.measure(repetitions, efficiency.EVALUATIONS // (2 if quick else 1)),
        "overhead": overhead.measure,
        "memory": lambda: memory.measure(memory.EVALUATIONS // share),
        "quality": lambda: quality.measure(seeds, PROCESSES),
        "failing": lambda: failing.measure(seeds, PROCESSES),
        "fronts": lambda: fronts.measure(seeds[:FRONT_SEEDS], PROCESSES),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    seed = time.time_ns() % 2**32 if options.seed is None else options.seed
    count = QUICK_SEEDS if options.quick else options.seeds
    seeds = np.random.SeedSequence(seed).generate_state(count).tolist()
    load, stolen, begun = machine.load(), machine.stolen_seconds(), time.monotonic()
    say(f"--seed {seed} repeats this")
    found: dict[str, Findings] = {}
    for name, measure in parts(seeds, quick=options.quick).items():
        if options.only is None or name in options.only:
            say(f"{name}:")
            found[name] = measure()
    seconds = time.monotonic() - begun
    is_partial = options.only is not None or count != SEEDS
    run = Run(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        commit=machine.commit(),
        kind="quick" if options.quick else "partial" if is_partial else "complete",
        seconds=round(seconds, 1),
        seed=seed,
        seeds=count,
        machine=machine.describe(),
        versions=machine.versions(PACKAGES),
        remarks=machine.remarks(load, (machine.stolen_seconds() - stolen) / seconds),
        parts=found,
    )
    _write(run, options.output)
    return 0


def _write(run: Run, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = "optimize" if run.kind == "complete" else f"optimize-{run.kind}"
    page = markdown(run)
    (folder / f"{name}.json").write_text(json.dumps(run.as_json(), indent=1) + "\n")
    (folder / f"{name}.md").write_text(page)
    print(page)
    say(f"written: {name}.json, {name}.md")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench optimize", description=__doc__)
    names = list(parts([], quick=False))
    parser.add_argument("--only", type=Names(names), help=f"parts, comma-separated: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SEEDS} seeds, and less of what takes long")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--seed", type=int, help="of all seeds; from the clock if it is not given")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
