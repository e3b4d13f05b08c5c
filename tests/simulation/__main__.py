"""The long simulation: `./scripts/simulate --seeds N --first-seed S`; each seed is printed before it runs."""

import argparse
import sys
import time

from tests.simulation.disasters import disasters
from tests.simulation.scenario import from_seed, late_results
from tests.simulation.simulation import SimulationFailed, simulate
from tests.simulation.totals import Totals


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/simulate", description=__doc__.partition(":")[0])
    parser.add_argument("--seeds", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--workers", type=int, help="to begin with; by default each seed says")
    parser.add_argument("--late", action="store_true", help="workers that lose their sessions and report late")
    parser.add_argument("--crashes", action="store_true", help="masters, workers and clients that are killed, and more")
    parser.add_argument("--keep-going", action="store_true", help="also after a seed that failed")
    arguments = parser.parse_args()
    failed = []
    totals = Totals()
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        if arguments.crashes:
            scenario = disasters(seed)
        else:
            scenario = late_results(seed) if arguments.late else from_seed(seed, workers=arguments.workers)
        print(f"seed {seed}: {len(scenario.workers)} workers, {scenario.task_count} tasks", end="", flush=True)
        begun = time.perf_counter()
        try:
            outcome = simulate(scenario)
        except SimulationFailed as failure:
            print(f" FAILED\n{failure}")
            failed.append(seed)
            if not arguments.keep_going:
                break
            continue
        totals.add(scenario.task_count, outcome)
        counts = " ".join(f"{count} {name}" for name, count in (outcome.counts | outcome.faults).items() if count)
        print(f", {outcome.seconds:.2f} s virtual, {time.perf_counter() - begun:.2f} s real: {counts}")
    print(totals)
    if failed:
        print(f"failed seeds: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
