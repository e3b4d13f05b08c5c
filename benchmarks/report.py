"""Owns the Markdown page of a run: figures, ratios, targets, failures, machine, versions and caveats."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.caveats import CAVEATS, noise
from benchmarks.readings import Outcome, Reading
from benchmarks.systems import OURS, PEERS, STREAMS, TITLES
from benchmarks.targets import Bound, Figures, Verdict, judge

#: Rows of the table of figures: reading key -> words.
ROWS = {
    "map": "`map` of no-op ints, no chunk size given",
    "map.chunked": "the same with `chunksize=500` by hand",
    "map.lambda": "the same, a lambda",
    "map.shuffled": "the same, shuffled ints",
    "map.strings": "the same, 20-character strings",
    "submit": "`submit()` each, then gather",
    "round-trip": "submit -> result, p50",
    "round-trip.p99": "submit -> result, p99",
    "shortest-task": "shortest task at 50 % efficiency",
    "first-task": "first task starts after `map` of 1 000 000",
    "small-job": "10-task job behind 1 000 000 1-ms tasks (spinning) starts, median",
    "small-job.worst": "the same, worst of 7 probes",
    "small-job.sleep": "the same behind sleeping 1-ms tasks, median",
    "small-job.second-client": "the same behind spinning tasks, from a second client, median",
    "small-job.second-client.worst": "the same, worst of 7 probes",
    "generator.memory": "`map` over a generator: growth of client + master",
    "generator": "`map` over a generator: rate",
    "idle": "idle cluster, share of a core",
    "idle-workers": "master with 1 000 idle workers over gRPC, share of a core",
    "recovery.master": "kill -9 of the master, 100 000 tasks queued: first result after",
    "recovery.worker": "kill -9 of a worker: its task starts again after",
    "broadcast": "100 MB array to 4 tasks on 2 workers, which touch it",
    "broadcast.read": "the same, each of them reads all of it",
    "broadcast.memory": "memory that it takes, of all processes together",
    "shared-argument": "`submit()`s that share a 10 MB array",
    "shared-argument.put": "the same, put (scattered) before",
    "shared-argument.memory": "memory that the array takes, of all processes together",
    "word-count.library": "words of the standard library's sources, counted by key",
    "word-count.library.counters": "the same, a Counter for each file",
    "word-count.text": "words of 1 GB of text, counted by key",
    "word-count.text.counters": "the same, a Counter for each file of 10 MB",
    "word-count.memory": "counting 1 GB of text: peak memory of the largest process",
    "word-count.memory.counters": "the same, a Counter for each file of 10 MB",
    "sum-of-squares": "sum of squares by `map_reduce`",
    "sum-of-squares.map": "sum of squares by `map` and a local sum",
    "gather-arrays": "100 results of 10 MB until the client holds all",
    "gather-arrays.read": "the same, and has read all",
    "bare-stream": "echo of 100 bytes, p50",
    "bare-stream.p99": "echo of 100 bytes, p99",
    "bare-stream.rate": "echoed messages, pipelined",
}
#: The measure that takes a figure, by the first word of the figure's key.
MEASURE_OF = {
    "map": "map",
    "submit": "submit",
    "round-trip": "round-trip",
    "shortest-task": "shortest-task",
    "first-task": "first-task",
    "small-job": "first-task",
    "generator": "generator",
    "idle": "idle",
    "idle-workers": "idle-workers",
    "recovery": "recovery",
    "broadcast": "broadcast",
    "shared-argument": "shared-argument",
    "word-count": "word-count",
    "sum-of-squares": "sum-of-squares",
    "gather-arrays": "gather-arrays",
    "bare-stream": "bare-stream",
}
#: Figures that a system has none of, whatever happens.
ABSENT = {(system, "map.chunked") for system in (*OURS, "dask", "parsl")} | {
    (system, key) for system in PEERS for key in ("map.lambda", "map.shuffled", "map.strings")
}
#: Rows of the table of ratios: our key, the peers' key.
RATIOS = (
    ("map", "map"),
    ("map", "map.chunked"),
    ("submit", "submit"),
    ("round-trip", "round-trip"),
    ("round-trip.p99", "round-trip.p99"),
    ("shortest-task", "shortest-task"),
    ("idle", "idle"),
    ("broadcast", "broadcast"),
    ("broadcast.read", "broadcast.read"),
    ("broadcast.memory", "broadcast.memory"),
    ("shared-argument", "shared-argument"),
    ("shared-argument.put", "shared-argument.put"),
    ("word-count.library", "word-count.library"),
    ("word-count.library.counters", "word-count.library.counters"),
    ("word-count.text", "word-count.text"),
    ("word-count.text.counters", "word-count.text.counters"),
    ("gather-arrays", "gather-arrays"),
    ("gather-arrays.read", "gather-arrays.read"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run knows about itself."""

    date: str
    commit: str
    kind: str
    seconds: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    remarks: Sequence[str]
    outcomes: Sequence[Outcome]

    def figures(self) -> dict[tuple[str, str], Reading]:
        return {(o.system, key): reading for o in self.outcomes for key, reading in o.best().items()}

    def as_json(self) -> dict[str, object]:
        return {
            "format": 1,
            "date": self.date,
            "commit": self.commit,
            "kind": self.kind,
            "seconds": self.seconds,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "remarks": list(self.remarks),
            "outcomes": [outcome.as_json() for outcome in self.outcomes],
            "targets": [_verdict_as_json(verdict) for verdict in judge(self.figures())],
        }


def markdown(run: Run) -> str:
    figures = run.figures()
    heading = f"# Benchmarks, {run.date}, commit {run.commit}"
    kind = "" if run.kind == "complete" else f" This is a {run.kind} run: do not quote its figures."
    lines = [
        heading,
        "",
        f"`./scripts/bench`, {run.seconds / 60:.0f} minutes, two slots everywhere.{kind}",
        "",
    ]
    lines += ["## Targets", "", *_targets(judge(figures), run.outcomes), ""]
    lines += ["## Figures", "", *_figures(figures, run.outcomes), ""]
    lines += [
        "## Ratios",
        "",
        "Times better than the peer: above 1 manyhands wins.",
        "",
        *_ratios(figures),
        "",
    ]
    lines += ["## What failed", "", *(_failures(run.outcomes) or ["Nothing."]), ""]
    lines += ["## Machine and versions", ""]
    lines += [f"- {name}: {value}" for name, value in [*run.machine.items(), *run.versions.items()]]
    lines += [
        "",
        "## Caveats",
        "",
        *(f"- {caveat}" for caveat in (*run.remarks, noise(run.outcomes), *CAVEATS) if caveat),
        "",
    ]
    return "\n".join(lines)


def quantity(value: float, unit: str) -> str:
    """A figure for people: three digits that count, and a unit."""
    if unit == "s":
        for factor, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if value >= factor or name == "us":
                return f"{_digits(value / factor)} {name}"
    return f"{_digits(value)}{'' if unit == '1/s' else ' '}{unit.removeprefix('1')}"


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _targets(verdicts: Sequence[Verdict], outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each target whose figure this run was to take, got or not."""
    tried = {(outcome.measure, outcome.system) for outcome in outcomes}
    rows = []
    for verdict in verdicts:
        target, reading = verdict.target, verdict.reading
        if (MEASURE_OF[target.key.partition(".")[0]], target.system) not in tried:
            continue
        unit = target.unit
        times = "" if verdict.ratio is None else f" ({verdict.ratio:.2g} x)"
        rows.append(
            (
                target.label,
                TITLES[target.system].removeprefix("manyhands "),
                quantity(reading.value, unit) + times if reading else "no figure",
                _bound(target.reach, verdict.reach, unit),
                met(verdict.reach_met),
                _bound(target.aim, verdict.aim, unit) if target.aim else "",
                met(verdict.aim_met) if target.aim else "",
            )
        )
    return list(table(("measure", "manyhands", "measured", "reach at least", "met", "aim", "met"), rows))


def _bound(bound: Bound, value: float | None, unit: str) -> str:
    words = bound.describe()
    if value is None:
        return f"{words}: no figure"
    return f"{words}: {quantity(value, unit)}" if words else quantity(value, unit)


def met(is_met: bool | None) -> str:
    return {True: "yes", False: "**no**", None: "unknown"}[is_met]


def _figures(figures: Figures, outcomes: Sequence[Outcome]) -> list[str]:
    systems = [name for name in (*OURS, *PEERS, *STREAMS) if any(o.system == name for o in outcomes)]
    failed = {(o.system, o.measure) for o in outcomes if o.failures and not o.repetitions}
    rows = []
    for key, words in ROWS.items():
        measure = MEASURE_OF[key.partition(".")[0]]
        cells = [
            quantity(figures[system, key].value, figures[system, key].unit)
            if (system, key) in figures
            else ("failed" if (system, measure) in failed and (system, key) not in ABSENT else "")
            for system in systems
        ]
        if any(cells):
            rows.append((words, *cells))
    return list(table(("measure", *(TITLES[system] for system in systems)), rows))


def _ratios(figures: Figures) -> list[str]:
    rows = []
    for ours, theirs in RATIOS:
        for system in OURS:
            if (mine := figures.get((system, ours))) is None:
                continue
            cells = []
            for peer in PEERS:
                other = figures.get((peer, theirs))
                if other is None:
                    cells.append("")
                    continue
                high, low = (mine, other) if mine.better == "higher" else (other, mine)
                cells.append(f"{high.value / low.value:.2g}" if low.value else "")
            words = ROWS[ours] if ours == theirs else f"{ROWS[ours]}; peers with `chunksize=500`"
            rows.append((words, TITLES[system].removeprefix("manyhands "), *cells))
    return list(table(("measure", "manyhands", *(TITLES[peer] for peer in PEERS)), rows))


def _failures(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for outcome in outcomes:
        where = f"`{outcome.measure}` on {TITLES[outcome.system]}"
        lines += [f"- {where}: {failure}" for failure in outcome.failures]
        if outcome.strays:
            lines.append(f"- {where} left {len(outcome.strays)} processes behind, such as `{outcome.strays[0]}`")
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' for _ in head)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _verdict_as_json(verdict: Verdict) -> dict[str, object]:
    return {
        "measure": verdict.target.label,
        "system": verdict.target.system,
        "key": verdict.target.key,
        "value": verdict.reading.value if verdict.reading else None,
        "unit": verdict.reading.unit if verdict.reading else None,
        "better": verdict.reading.better if verdict.reading else None,
        "ratio": verdict.ratio,
        "reach": verdict.reach,
        "reach_met": verdict.reach_met,
        "aim": verdict.aim,
        "aim_met": verdict.aim_met,
    }
