"""The checker of chaos runs catches what it is there for: each planted fault, and nothing in a history without one."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.chaos.checker import Circumstances, check, count, longest_stall
from tests.chaos.history import Cancel, Ended, Event, HistoryWriter, Invoked, Left, parse_event, read_history
from tests.chaos.values import digest, filler

AROUND = Circumstances(deadline=100.0, starts={"c-fail": 3, "c-quick": 1, "c-big": 2, "c-gone": 1})


def value(at: float, task: str, size: int = 0) -> Ended:
    return Ended(at, task, "value", digest(task, filler(task, size)))


def sound() -> list[Event]:
    """A client that saw everything as it should be."""
    return [
        Invoked(1.0, "c-quick", "quick"),
        Invoked(1.1, "c-big", "big", 70_000),
        Invoked(1.2, "c-fail", "failing", 0, 2),
        Invoked(1.3, "c-gone", "slow"),
        value(2.0, "c-quick"),
        Ended(2.1, "c-gone", "cancelled"),
        Cancel(2.1, "c-gone", agreed=True),
        Cancel(2.2, "c-quick", agreed=False),
        Ended(3.0, "c-fail", "raised", "Deliberate", "c-fail"),
        value(9.0, "c-big", 70_000),
        Left(9.5),
    ]


def found(events: Sequence[Event], around: Circumstances = AROUND) -> list[tuple[str, str]]:
    return [(each.kind, each.task) for each in check({"c": events}, around)]


def without(task: str) -> list[Event]:
    return [event for event in sound() if not (isinstance(event, Ended) and event.task == task)]


def test_a_sound_history_has_no_violations() -> None:
    assert found(sound()) == []
    totals = count({"c": sound()}, AROUND.starts)
    assert (totals.tasks, totals.ended, totals.values, totals.raised, totals.cancelled) == (4, 4, 2, 1, 1)
    assert totals.started_again == 1  # the failing one has explained retries
    assert (totals.longest_stall, totals.stalled) == (6.0, "c")


def test_a_planted_lost_acknowledgement_is_caught() -> None:
    assert found(without("c-big")) == [("lost", "c-big")]


def test_a_planted_duplicate_is_caught() -> None:
    assert found([*sound(), value(9.6, "c-quick")]) == [("duplicate", "c-quick")]


def test_a_planted_wrong_value_is_caught() -> None:
    """Another task's value; one of the right task and the wrong size; one of a task that always raises."""
    assert found([*without("c-quick"), value(5.0, "c-quick", 3)]) == [("wrong value", "c-quick")]
    swapped = Ended(5.0, "c-big", "value", digest("c-quick", filler("c-quick", 70_000)))
    assert found([*without("c-big"), swapped]) == [("wrong value", "c-big")]
    assert found([*without("c-fail"), value(5.0, "c-fail")]) == [("wrong value", "c-fail")]


def test_a_planted_hang_is_caught() -> None:
    """No end of the client, no outcome, or one that came too late."""
    assert found([event for event in sound() if not isinstance(event, Left)]) == [("hang", "")]
    stuck = [event for event in without("c-big") if not isinstance(event, Left)]
    assert found(stuck) == [("hang", ""), ("hang", "c-big")]
    assert found([*without("c-big"), value(101.0, "c-big", 70_000)]) == [("hang", "c-big")]


def test_what_a_killed_client_had_open_is_explained_and_nothing_else() -> None:
    killed = Circumstances(100.0, killed={"c"}, starts=AROUND.starts)
    stuck = [event for event in without("c-big") if not isinstance(event, Left)]
    assert found(stuck, killed) == []
    assert found([*stuck, value(9.6, "c-quick")], killed) == [("duplicate", "c-quick")]


def test_cancelled_stays_cancelled() -> None:
    """An outcome after it, or instead of it; and a cancellation that nobody asked for."""
    assert found([*sound(), value(9.6, "c-gone")]) == [("duplicate", "c-gone"), ("uncancelled", "c-gone")]
    assert found([*without("c-gone"), value(9.6, "c-gone")]) == [("uncancelled", "c-gone")]
    assert found([*without("c-big"), Ended(5.0, "c-big", "cancelled")]) == [("unexplained", "c-big")]


def test_an_outcome_of_a_task_that_was_never_invoked_is_caught() -> None:
    assert found([*sound(), value(9.6, "c-other")]) == [("unknown", "c-other")]


def test_exceptions_need_an_explanation() -> None:
    def ends(task: str, type_name: str, text: str = "") -> list[Event]:
        return [*without(task), Ended(5.0, task, "raised", type_name, text)]

    assert found(ends("c-quick", "SessionLost")) == [("unexplained", "c-quick")]
    assert found(ends("c-quick", "Deliberate", "c-quick")) == [("wrong exception", "c-quick")]
    assert found(ends("c-fail", "Deliberate", "c-quick")) == [("wrong exception", "c-fail")]
    hasty = Circumstances(100.0, starts={"c-fail": 2})
    assert found(sound(), hasty) == [("too few attempts", "c-fail")]


@pytest.mark.parametrize(("starts", "died", "expected"), [(3, True, 0), (2, True, 1), (3, False, 1)])
def test_a_crash_needs_slots_that_died_under_it(starts: int, *, died: bool, expected: int) -> None:
    around = Circumstances(100.0, starts={**AROUND.starts, "c-quick": starts}, slots_died=died)
    events = [*without("c-quick"), Ended(5.0, "c-quick", "raised", "TaskCrashed", "signal 9")]
    assert found(events, around) == [("unexplained", "c-quick")] * expected


def test_a_stall_counts_only_while_something_is_open() -> None:
    events = [Invoked(0.0, "a", "quick"), value(1.0, "a"), Invoked(50.0, "b", "quick"), value(53.0, "b")]
    assert longest_stall(events) == 3.0


def test_histories_are_read_as_they_were_written_but_for_a_torn_last_line(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "c")
    for event in sound():
        writer.write(event)
    with (tmp_path / "c").open("a") as file:
        file.write('["Invoked", {"at": 1')
    assert read_history(tmp_path / "c") == sound()
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_event('["Unheard", {}]')


@pytest.mark.parametrize(
    ("since", "deaths", "expected"),
    [
        (1.0, [0.5, 3.5], [("data lost", "c-big")]),
        (1.0, [2.0], []),
        (0.0, [2.0], [("unexplained", "c-big")]),
    ],
    ids=["the master lived", "it was restarted", "it was put"],
)
def test_lost_data_are_explained_by_the_master_s_death_alone(
    since: float, deaths: list[float], expected: list[tuple[str, str]]
) -> None:
    events = [Invoked(1.1, "c-big", "made", 70_000, 0, since), Ended(3.0, "c-big", "raised", "DataLost", "it is lost")]
    assert found([*events, Left(9.5)], Circumstances(100.0, master_deaths=deaths)) == expected
