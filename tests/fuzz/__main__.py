"""Fuzzing: `./scripts/fuzz --minutes M --seed S` sends a master everything that is wrong, beside an honest client."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.run import Outcome, run
from tests.fuzz.tally import CLASSES, OUTCOMES


def main() -> int:
    arguments = _parser().parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    folder = Path(tempfile.mkdtemp(prefix="manyhands-fuzz-"))
    print(f"seed {seed}", flush=True)
    begun = time.monotonic()
    outcome = run(
        seed, arguments.minutes * 60, arguments.inputs, arguments.lives, folder, lambda line: print(line, flush=True)
    )
    print(as_text(outcome, time.monotonic() - begun))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(as_json(outcome), indent=2) + "\n")
    if outcome.failures or arguments.keep:
        print(f"logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if outcome.failures else 0


def as_json(outcome: Outcome) -> dict[str, object]:
    tally = outcome.tally
    return {
        "seed": outcome.seed,
        "seconds": outcome.seconds,
        "total": tally.total,
        "one_field": tally.one_field,
        **tally.as_json(),
        "honest": outcome.honest,
        "memory": outcome.memory,
        "failures": outcome.failures,
    }


def as_text(outcome: Outcome, took: float) -> str:
    tally, honest = outcome.tally, outcome.honest
    share = 100 * tally.one_field / (tally.total or 1)
    lines = [f"{'inputs':34}" + "".join(f"{each:>12}" for each in OUTCOMES) + f"{'all':>12}"]
    for kind in CLASSES:
        counts = [tally.inputs[kind, outcome] for outcome in OUTCOMES]
        lines.append(f"{kind:34}" + "".join(f"{count:12,}" for count in (*counts, sum(counts))))
    statuses = ", ".join(f"{name} {count:,}" for name, count in tally.statuses.most_common())
    lines += [
        f"{tally.total:,} inputs in {took:.0f} s, {share:.0f} % of them valid mid-session messages but for one field",
        f"{tally.sessions:,} sessions; {tally.context:,} whole messages led up to the inputs",
        f"refused with {statuses}",
        f"in process: {tally.probes:,} whole jobs in between, {tally.restarts:,} lives begun from the journal",
        f"honest client: {honest['done']:,} tasks done, {honest['wrong']} wrong, {honest['failed']} failed",
        f"it waited {honest['worst']:.2f} s at most",
        f"master: {outcome.memory[0] >> 20} MiB before, {outcome.memory[1] >> 20} MiB after",
        f"crashes: {len(tally.crashes)}",
        *outcome.failures,
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/fuzz", description=__doc__.partition(":")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="each session has its own, made of this one (default: any)")
    parser.add_argument(
        "--inputs", type=int, default=sys.maxsize, help="of each process, at most (default: any number)"
    )
    parser.add_argument(
        "--lives", type=int, default=os.cpu_count() or 1,
        help="processes that attack a master's life of their own, without its transports (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="the report as JSON")
    parser.add_argument("--keep", action="store_true", help="the logs, also of a run without failures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
