"""Owns what manyhands must reach and what it aims at, and judges the figures of a run by it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.readings import Reading, Unit
from benchmarks.systems import DATA, JUDGED, TITLES

#: Every figure of a run: (system, reading key) -> its best reading.
Figures = Mapping[tuple[str, str], Reading]

EMBEDDED, SEPARATE = JUDGED
TWO_WORKERS = DATA[0]


@dataclass(frozen=True, slots=True)
class Bound:
    """`factor` times another system's figure, or `factor` itself in the reading's own unit."""

    factor: float
    system: str = ""
    key: str = ""
    strict: bool = False

    def resolve(self, figures: Figures) -> float | None:
        """The bound as a figure; None if the other system gave none."""
        if not self.system:
            return self.factor
        other = figures.get((self.system, self.key))
        return None if other is None else self.factor * other.value

    def describe(self) -> str:
        title = TITLES.get(self.system, "")
        if self.strict:
            return f"better than {title}"
        return f"{self.factor:g} x {title}" if title else ""


@dataclass(frozen=True, slots=True)
class Target:
    label: str
    system: str
    key: str
    reach: Bound
    aim: Bound | None = None

    @property
    def unit(self) -> Unit:
        """The unit of its figure, known also when there is no figure."""
        if ".memory" in self.key:
            return "MB"
        rates = ("map", "submit", "shared-argument", "word-count", "sum-of-squares")
        units: dict[str, Unit] = {"idle": "%", **dict.fromkeys(rates, "1/s")}
        return units.get(self.key.partition(".")[0], "s")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target with the figures it was judged by; None where a figure is missing."""

    target: Target
    reading: Reading | None
    reach: float | None
    aim: float | None
    #: Our figure over the other system's, as many times as the figures say.
    ratio: float | None
    reach_met: bool | None
    aim_met: bool | None


def judge(figures: Figures) -> list[Verdict]:
    return [_judge(target, figures) for target in (*_targets(), *_data_targets())]


def _judge(target: Target, figures: Figures) -> Verdict:
    reading = figures.get((target.system, target.key))
    reach = target.reach.resolve(figures)
    aim = target.aim.resolve(figures) if target.aim else None
    ratio = None
    if reading is not None and target.reach.system and reach:
        ratio = reading.value / (reach / target.reach.factor)
    return Verdict(target, reading, reach, aim, ratio, _met(reading, reach), _met(reading, aim))


def _met(reading: Reading | None, bound: float | None) -> bool | None:
    if reading is None or bound is None:
        return None
    return reading.value >= bound if reading.better == "higher" else reading.value <= bound


def _targets() -> Iterator[Target]:
    """What the scheduler, the journal and the transports must reach, a line for each condition."""
    for system in JUDGED:
        million = Bound(1_000_000)
        yield Target("`map` of no-op ints", system, "map", Bound(100, "ray", "map"), million)
        yield Target("`map` of no-op ints", system, "map", Bound(0.15, "ppe", "map.chunked"), million)
        for key, name in (
            ("lambda", "a lambda"),
            ("shuffled", "shuffled ints"),
            ("strings", "20-character strings"),
        ):
            yield Target(f"`map`, {name}: within 20 % of ints", system, f"map.{key}", Bound(0.8, system, "map"))
    for system in JUDGED:
        yield Target("`submit()` and gather", system, "submit", Bound(1.5, "ppe", "submit"), Bound(40_000))
        yield Target("`submit()` and gather", system, "submit", Bound(10, "ray", "submit"), Bound(40_000))
    # Against gRPC in either case, although processes on one machine are spared it.
    for system, reach, aim, transport in ((SEPARATE, 0.5, 2.5, "grpc-tcp"), (EMBEDDED, 0.35, 1.5, "grpc-unix")):
        stream = Bound(aim, transport, "bare-stream")
        yield Target("submit -> result, p50", system, "round-trip", Bound(reach, "ray", "round-trip"), stream)
    for system in JUDGED:
        executor = Bound(1, "ppe", "shortest-task", strict=True)
        yield Target("shortest task at 50 % efficiency", system, "shortest-task", executor, Bound(30e-6))
    for system in JUDGED:
        yield Target("generator: growth of client + master", system, "generator.memory", Bound(200), Bound(50))
    tenth, hundredth = Bound(0.1), Bound(0.01)
    for system in JUDGED:
        yield Target("first task of a `map` of 1 000 000", system, "first-task", tenth, hundredth)
        yield Target("small job behind a big one, median", system, "small-job", tenth, hundredth)
        yield Target("small job behind a big one, worst probe", system, "small-job.worst", tenth)
    yield Target("small job of a second client, median", SEPARATE, "small-job.second-client", tenth, hundredth)
    yield Target("small job of a second client, worst probe", SEPARATE, "small-job.second-client.worst", tenth)
    for key, what in (("map", "`map` of no-op ints"), ("submit", "`submit()` and gather")):
        off = "manyhands-no-journal"
        yield Target(f"{what}, journal on against off", SEPARATE, key, Bound(0.7, off, key), Bound(0.9, off, key))
    secure, plain = "manyhands-tcp", "manyhands-plain"
    for key, what, factor in (
        ("map", "`map` of no-op ints", 0.85),
        ("submit", "`submit()` and gather", 0.85),
        ("round-trip", "submit -> result, p50", 1.3),
    ):
        yield Target(f"{what}, TLS and token against neither", secure, key, Bound(factor, plain, key))
    yield Target("kill -9 of the master, 100 000 tasks queued: first result", SEPARATE, "recovery.master", Bound(5))
    yield Target("kill -9 of a worker: its task starts again", SEPARATE, "recovery.worker", Bound(2))
    yield Target("idle cluster", EMBEDDED, "idle", Bound(2), Bound(0.5))


def _data_targets() -> Iterator[Target]:
    """What shared data and reductions must reach."""
    for key, what in (
        ("broadcast", "100 MB array to 4 tasks on 2 workers"),
        ("broadcast.read", "the same, all of it read"),
    ):
        yield Target(what, TWO_WORKERS, key, Bound(2, "ray", key), Bound(1, "ray", key))
    yield Target("the same: one copy a host", TWO_WORKERS, "broadcast.memory", Bound(150))
    shared = "shared-argument"
    yield Target("`submit()`s that share a 10 MB array", TWO_WORKERS, shared, Bound(20, "dask", shared))
    yield Target("the same: one upload", TWO_WORKERS, f"{shared}.memory", Bound(30))
    for key, what in (("library", "words of the standard library"), ("text", "words of 1 GB of text")):
        name = f"word-count.{key}"
        yield Target(what, TWO_WORKERS, name, Bound(3, "dask", name))
        # Where the user's own code does nearly all, there is little left to be faster in.
        name = f"word-count.{key}.counters"
        yield Target(
            f"{what}, a Counter for each file", TWO_WORKERS, name, Bound(1, "dask", name), Bound(3, "dask", name)
        )
    yield Target("the same: largest process", TWO_WORKERS, "word-count.memory", Bound(1000))
    squares = "sum-of-squares"
    yield Target("sum of squares by `map_reduce`", TWO_WORKERS, squares, Bound(3, TWO_WORKERS, f"{squares}.map"))
    arrays = "gather-arrays"
    times = [Bound(factor, "ray", arrays) for factor in (1.5, 1)]
    yield Target("1 GB of results at the client", TWO_WORKERS, arrays, *times)
