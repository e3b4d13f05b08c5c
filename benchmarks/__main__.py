"""Owns the command line of a run: which measures and systems, in which order, and where results go."""

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.children import Laboratory, Repetition, laboratory
from benchmarks.measures import MEASURES
from benchmarks.names import Names
from benchmarks.plot import plot
from benchmarks.readings import Outcome, Scale
from benchmarks.report import Run, markdown, quantity
from benchmarks.systems import TITLES

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    scale = Scale(quick=options.quick, generator_items=options.generator_items)
    partial = bool(options.only or options.systems or options.repetitions or options.generator_items)
    kind = "quick" if options.quick else "partial" if partial else "complete"
    load, stolen, begun = machine.load(), machine.stolen_seconds(), time.monotonic()
    outcomes = [
        Outcome(name, system)
        for name in options.only or MEASURES
        for system in MEASURES[name].SYSTEMS
        if not options.systems or system in options.systems
    ]
    with laboratory() as place:
        _measure(place, outcomes, scale, 1 if options.quick else options.repetitions)
    seconds = time.monotonic() - begun
    run = Run(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        commit=machine.commit(),
        kind=kind,
        seconds=round(seconds, 1),
        machine=machine.describe(),
        versions=machine.versions(),
        remarks=machine.remarks(load, (machine.stolen_seconds() - stolen) / seconds),
        outcomes=outcomes,
    )
    _write(run, options.output)
    return 0


def _measure(place: Laboratory, outcomes: Sequence[Outcome], scale: Scale, repetitions: int | None) -> None:
    """Measure by measure, repetition by repetition, the systems taking turns."""
    told: set[str] = set()
    for name in dict.fromkeys(outcome.measure for outcome in outcomes):
        candidates = [outcome for outcome in outcomes if outcome.measure == name]
        for number in range(1, (repetitions or MEASURES[name].REPETITIONS) + 1):
            for outcome in candidates:
                if any(failure.startswith("timed out") for failure in outcome.failures):
                    continue  # once is enough to know, and the others wait
                begun = time.monotonic()
                repetition = place.run(name, outcome.system, scale)
                _record(outcome, number, repetition)
                _tell(outcome, number, repetition, time.monotonic() - begun)
                if repetition.log_tail and repetition.failure not in told:
                    print("    " + repetition.log_tail.replace("\n", "\n    "), file=sys.stderr)
                told.add(repetition.failure)


def _record(outcome: Outcome, number: int, repetition: Repetition) -> None:
    if repetition.failure:
        told = "; not repeated" if repetition.timed_out else ""
        outcome.failures.append(f"{repetition.failure} (repetition {number}{told})")
    else:
        outcome.repetitions.append(repetition.readings)
    outcome.strays += repetition.strays


def _tell(outcome: Outcome, number: int, repetition: Repetition, seconds: float) -> None:
    figures = ", ".join(f"{r.key} {quantity(r.value, r.unit)}" for r in repetition.readings)
    head = f"{outcome.measure} {number}, {TITLES[outcome.system]}, {seconds:.0f} s"
    print(f"{head}: {figures or 'FAILED: ' + repetition.failure}", file=sys.stderr, flush=True)
    if repetition.strays:
        print(f"    left behind, now ended: {'; '.join(repetition.strays)}", file=sys.stderr)


def _write(run: Run, folder: Path) -> None:
    """Complete runs become `latest`; others only leave their own file, marked by their kind."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = markdown(run), json.dumps(run.as_json(), indent=1) + "\n"
    suffix = "" if run.kind == "complete" else f"-{run.kind}"
    dated = folder / f"{run.date}-{run.commit}{suffix}.json"
    dated.write_text(data)
    written = [dated]
    if run.kind == "complete":
        (folder / "latest.json").write_text(data)
        (folder / "latest.md").write_text(page)
        plot(run, folder / "latest.svg")
        written += [folder / name for name in ("latest.json", "latest.md", "latest.svg")]
    print(page)
    print("Written:", ", ".join(path.name for path in written), file=sys.stderr)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = sorted({system for measure in MEASURES.values() for system in measure.SYSTEMS})
    parser.add_argument("--only", type=Names(list(MEASURES)), help=f"measures, comma-separated: {', '.join(MEASURES)}")
    parser.add_argument("--systems", type=Names(names), help=f"systems, comma-separated: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="one repetition, a fifth of the work: about three minutes")
    parser.add_argument("--repetitions", type=int, help="instead of each measure's own number")
    parser.add_argument("--generator-items", type=int, help="length of the generator whose memory is measured")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
