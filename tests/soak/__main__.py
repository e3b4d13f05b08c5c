"""A soak: `./scripts/soak --tasks N` sends millions of tasks through one master and looks at what they leave."""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.report import WARM_TASKS, as_text
from tests.soak.run import Run, Settings

#: With fewer tasks no client is killed: the minute that the master gives it to come back would be most of the run.
KILL_TASKS = 1_000_000


def main() -> int:
    arguments = _parser().parse_args()
    settings = Settings(
        tasks=arguments.tasks,
        seed=random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed,
        kill_clients=arguments.tasks >= KILL_TASKS,
    )
    folder = Path(tempfile.mkdtemp(prefix="manyhands-soak-"))
    print(f"seed {settings.seed}, logs in {folder}", flush=True)
    report = Run(settings, folder, lambda line: print(line, flush=True)).run()
    print(as_text(report))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    violations = report.violations()
    if violations or arguments.keep:
        print(f"logs and journal are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/soak", description=__doc__)
    parser.add_argument(
        "--tasks", type=int, default=10_000_000,
        help=f"default: %(default)s; with {WARM_TASKS} or less memory is measured, but not judged",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="repeats the order of the load (default: any)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the report as JSON")
    parser.add_argument("--keep", action="store_true", help="the logs, also of a run that passed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
