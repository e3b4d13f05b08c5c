"""The checker: what the clients saw, held against what was promised. Pure, and imports nothing of manyhands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.history import Cancel, Ended, Event, Invoked, Left
from tests.chaos.values import digest, filler

#: A task whose process died so often is given up with TaskCrashed.
MAX_CRASHES = 3
#: Says the error of what the master would not take while its disk was full.
NO_ROOM = "has no room"


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    kind: str
    #: A client, or the process that misbehaved.
    who: str
    text: str
    task: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.who}{self.task and f', task {self.task}'}: {self.text}"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else happened: without it, some outcomes would be violations."""

    #: Monotonic seconds by which everything must have ended.
    deadline: float
    #: Clients that were killed: what they had open has no outcome.
    killed: Collection[str] = ()
    #: How often each task was seen to start in a slot.
    starts: Mapping[str, int] = field(default_factory=dict)
    #: Whether processes that run tasks were killed.
    slots_died: bool = False
    #: For each client, when the master may have refused what it invoked, as it had no room on its disk.
    refused: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    #: When the master was killed: how the data that are then with workers were computed is not known any more.
    master_deaths: Sequence[float] = ()


@dataclass(slots=True)
class _Story:
    """All that a client recorded of one task."""

    invoked: list[Invoked] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


def check(histories: Mapping[str, Sequence[Event]], around: Circumstances) -> list[Violation]:
    """Every violation in the histories, which are keyed by their clients' names."""
    return [found for client, events in histories.items() for found in _check_client(client, events, around)]


def _check_client(client: str, events: Sequence[Event], around: Circumstances) -> Iterator[Violation]:
    stories: dict[str, _Story] = defaultdict(_Story)
    left = False
    for event in events:
        match event:
            case Invoked():
                stories[event.task].invoked.append(event)
            case Cancel():
                stories[event.task].cancels.append(event)
            case Ended():
                stories[event.task].ended.append(event)
            case Left():
                left = True
    if not left and client not in around.killed:
        yield Violation("hang", client, "this client did not come to its end, and nobody killed it")
    for task, story in stories.items():
        for kind, text in _check_task(task, story, around, client, left=left):
            yield Violation(kind, client, text, task)


def _check_task(
    task: str, story: _Story, around: Circumstances, client: str, *, left: bool
) -> Iterator[tuple[str, str]]:
    killed = client in around.killed
    if len(story.invoked) != 1:
        yield "unknown", f"it has an outcome, and was invoked {len(story.invoked)} times"
        return
    invoked = story.invoked[0]
    if not story.ended:
        if not killed:
            yield ("lost", "no outcome, though its client believes it has all") if left else ("hang", "no outcome")
        return
    if len(story.ended) > 1:
        yield "duplicate", f"{len(story.ended)} outcomes: {', '.join(map(_shown, story.ended))}"
    for ended in story.ended:
        if ended.at > around.deadline:
            yield "hang", f"its outcome came {ended.at - around.deadline:.1f} s after everything should have ended"
        yield from _check_outcome(invoked, ended, around, around.refused.get(client, ()))
    agreed = any(cancel.agreed for cancel in story.cancels)
    for ended in story.ended:
        if agreed and ended.how != "cancelled":
            yield "uncancelled", f"cancel() returned True, and then came {_shown(ended)}"
        if not agreed and ended.how == "cancelled" and not killed:  # killed: perhaps before it wrote of its cancel()
            yield "unexplained", "it was cancelled, and nobody had asked for that"


def _check_outcome(
    invoked: Invoked, ended: Ended, around: Circumstances, refused: Sequence[tuple[float, float]]
) -> Iterator[tuple[str, str]]:
    starts = around.starts.get(invoked.task, 0)
    match ended.how:
        case "value":
            if invoked.kind == "failing":
                yield "wrong value", "it always raises, and returned something"
            elif ended.detail != digest(invoked.task, filler(invoked.task, invoked.size)):
                yield "wrong value", f"not what a {invoked.kind} task returns"
        case "raised" if ended.detail == "Deliberate":
            if invoked.kind not in {"failing", "flaky"} or ended.text != invoked.task:
                yield "wrong exception", f"a {invoked.kind} task, and the exception says {ended.text!r}"
            elif starts <= invoked.retries:
                yield "too few attempts", f"it started {starts} times, and had {invoked.retries} retries"
        case "raised" if ended.detail == "TaskCrashed":
            if not around.slots_died:
                yield "unexplained", f"nothing happened to any slot: {ended.text}"
            elif starts < MAX_CRASHES:
                yield "unexplained", f"it started only {starts} times: {ended.text}"
        case "raised" if NO_ROOM in ended.text and any(since <= invoked.at <= until for since, until in refused):
            pass
        case "raised" if ended.detail == "DataLost" and invoked.since:
            if not any(invoked.since <= death <= ended.at for death in around.master_deaths):
                yield (
                    "data lost",
                    f"the master has lived all the time, and did not have it computed again: {ended.text}",
                )
        case "raised":
            yield "unexplained", f"{ended.detail}: {ended.text}"
        case "cancelled":
            pass
        case _:
            yield "unknown", f"no outcome that exists: {ended.how!r}"


def _shown(ended: Ended) -> str:
    return f"{ended.how} {ended.detail}".rstrip() + f" at {ended.at:.3f}"


@dataclass(frozen=True, slots=True)
class Totals:
    """What the clients saw, in numbers."""

    tasks: int
    ended: int
    values: int
    raised: int
    #: Of those, what a master without room did not take.
    refused: int
    cancelled: int
    #: Tasks that were started more than once, beyond what their retries explain.
    started_again: int
    #: Seconds: the longest time a client that had open tasks saw no outcome, and which client.
    longest_stall: float
    stalled: str


def count(histories: Mapping[str, Sequence[Event]], starts: Mapping[str, int]) -> Totals:
    """The histories in numbers."""
    hows: Counter[str] = Counter()
    invoked: dict[str, Invoked] = {}
    stall, stalled, refused = 0.0, "", 0
    for client, events in histories.items():
        invoked.update((event.task, event) for event in events if isinstance(event, Invoked))
        hows.update(event.how for event in events if isinstance(event, Ended))
        refused += sum(1 for event in events if isinstance(event, Ended) and NO_ROOM in event.text)
        longest = longest_stall(events)
        if longest > stall:
            stall, stalled = longest, client
    again = sum(1 for task, times in starts.items() if task in invoked and times > 1 + invoked[task].retries)
    return Totals(
        tasks=len(invoked),
        ended=sum(hows.values()),
        values=hows["value"],
        raised=hows["raised"],
        refused=refused,
        cancelled=hows["cancelled"],
        started_again=again,
        longest_stall=stall,
        stalled=stalled,
    )


def longest_stall(events: Sequence[Event]) -> float:
    """Seconds between two outcomes, or from an invocation to the first, while something was open."""
    longest, waiting, since = 0.0, 0, 0.0
    for event in events:
        if isinstance(event, Invoked):
            if not waiting:
                since = event.at
            waiting += 1
        elif isinstance(event, Ended):
            longest = max(longest, event.at - since)
            waiting -= 1
            since = event.at
    return longest
