"""The long simulation: `./scripts/simulate --seeds N --first SEED`, on all cores."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import SystemRandom

from tests.simulation.disasters import disasters
from tests.simulation.histories import run_all
from tests.simulation.scenario import Scenario, from_seed, late_results
from tests.simulation.totals import Totals

#: Real seconds between two lines of progress.
PROGRESS_INTERVAL = 10.0


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/simulate", description=__doc__.partition(":")[0])
    parser.add_argument("--seeds", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, metavar="SEED", help="the first of them (default: by chance)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after so long")
    parser.add_argument("--workers", type=int, help="to begin with; by default each seed says")
    parser.add_argument("--late", action="store_true", help="workers that lose their sessions and report late")
    parser.add_argument("--crashes", action="store_true", help="masters, workers and clients that are killed, and more")
    parser.add_argument("--keep-going", action="store_true", help="also after a seed that failed")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: one for each core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the totals there, too")
    return parser.parse_args(words)


def maker(arguments: argparse.Namespace) -> Callable[[int], Scenario]:
    if arguments.crashes:
        return disasters
    return late_results if arguments.late else partial(from_seed, workers=arguments.workers)


def main() -> int:
    arguments = parse()
    first = SystemRandom().randrange(1 << 20, 1 << 31) if arguments.first is None else arguments.first
    print(f"base seed {first}: {arguments.seeds} histories, {arguments.processes} at a time", flush=True)
    begun = told = time.monotonic()
    totals = Totals()

    def seeds() -> Iterator[int]:
        for seed in range(first, first + arguments.seeds):
            may_begin = arguments.keep_going or not totals.violations
            if not may_begin or time.monotonic() - begun > arguments.seconds:
                return
            yield seed

    for scenario, outcome, failure in run_all(maker(arguments), seeds(), arguments.processes):
        if outcome is None:
            totals.add_violation(scenario.seed)
            print(failure, flush=True)
        else:
            totals.add(scenario, outcome)
        if time.monotonic() - told > PROGRESS_INTERVAL:
            told = time.monotonic()
            so_far = f"{totals.histories} of {arguments.seeds} histories, {totals.qualify} qualify"
            print(f"{told - begun:6.0f} s: {so_far}, {len(totals.violations)} violations", flush=True)
    seconds = time.monotonic() - begun
    print(f"{totals}\nbase seed {first}, {seconds:.0f} s of real time")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"base_seed": first, "real_seconds": seconds, **totals.as_json()}) + "\n")
    return 1 if totals.violations else 0


if __name__ == "__main__":
    sys.exit(main())
