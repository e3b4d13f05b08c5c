"""Chaos: `./scripts/chaos --minutes M --seed S` breaks a real cluster under load, and checks what its clients saw."""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.plan import HEARTBEAT_TIMEOUT, Kind
from tests.chaos.report import as_text, make_report
from tests.chaos.run import Run, Settings
from tests.chaos.small_disk import SmallDisk


def main() -> int:
    arguments = _parser().parse_args()
    kinds = arguments.kinds or list(Kind)
    if Kind.FULL_DISK in kinds and not SmallDisk.is_possible():
        kinds.remove(Kind.FULL_DISK)
        print("no small disk, and so no full one: mounting needs root", flush=True)
    settings = Settings(
        seed=random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed,
        seconds=arguments.minutes * 60,
        kinds=kinds,
        workers=arguments.workers,
        slots=arguments.slots,
        clients=arguments.clients,
        heartbeat_timeout=arguments.heartbeat_timeout,
        apart=arguments.apart,
    )
    folder = Path(tempfile.mkdtemp(prefix="manyhands-chaos-"))
    print(f"seed {settings.seed}, logs in {folder}", flush=True)
    report = make_report(settings, asyncio.run(Run(settings, folder, lambda line: print(line, flush=True)).run()))
    print(as_text(report))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    if report.violations or arguments.keep:
        print(f"logs, histories and faults are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if report.violations else 0


def _kinds(text: str) -> list[Kind]:
    try:
        return [Kind(each) for each in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long faults go on (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeats a plan of faults, though not their timing (default: any)")
    parser.add_argument(
        "--kinds", type=_kinds, metavar="KIND,KIND",
        help=f"only these faults, of: {', '.join(Kind)}",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--slots", type=int, default=2, help="of each worker (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=4, help="default: %(default)s")
    parser.add_argument(
        "--heartbeat-timeout", type=float, default=HEARTBEAT_TIMEOUT, metavar="SECONDS",
        help="after which master, workers and clients give each other up (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--apart", action="store_true",
        help="workers, and every other client, share no memory, as if each were on another host (needs root)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="the report as JSON")
    parser.add_argument("--keep", action="store_true", help="the logs, also of a run without violations")
    return parser


if __name__ == "__main__":
    sys.exit(main())
