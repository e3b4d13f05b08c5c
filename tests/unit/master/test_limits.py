"""The ledger of what clients have queued: every sum true, limits kept, and who is short of room told once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from manyhands.master.limits import CLIENT_BYTES_MIN, JOB_OVERHEAD, OTHERS, Ledger, QueueLimits

LIMITS = QueueLimits(
    client_bytes=1_000_000, owner_bytes=1_500_000, total_bytes=2_000_000, client_tasks=1000, client_jobs=3
)


class Book:
    """A ledger, and what it said."""

    def __init__(self, limits: QueueLimits = LIMITS) -> None:
        self.told: list[tuple[int, bool]] = []
        self.ledger = Ledger(limits, lambda client, is_short: self.told.append((client, is_short)))

    def open(self, *jobs: tuple[int, int], owner: str = "") -> Ledger:
        for job, client in jobs:
            assert not self.ledger.open(job, client, owner)
        return self.ledger


def test_what_goes_beyond_is_refused_and_not_counted() -> None:
    ledger = Book().open((1, 10))
    assert not ledger.admit(1, 0, 900_000, 10)
    sentence = ledger.admit(1, 10, 200_000, 10)
    assert "this client has 882.9 KiB queued, 195.3 KiB more came, and it may have 976.6 KiB" in sentence
    assert not ledger.admit(1, 10, 90_000, 10), "what is smaller has room"
    ledger.release(1, [0])
    assert not ledger.admit(1, 20, 200_000, 10)
    ledger.check_invariants()


def test_tasks_and_jobs_are_limited_as_well() -> None:
    ledger = Book().open((1, 10), (2, 10), (3, 10))
    assert not ledger.admit(1, 0, 1, 600)
    assert "600 tasks queued, 600 more came, and it may have 1000" in ledger.admit(2, 0, 1, 600)
    assert "3 jobs open, and may have no more" in ledger.open(4, 10, "")
    ledger.close(4)
    ledger.close(1)
    assert not ledger.open(5, 10, "")
    ledger.check_invariants()


def test_clients_of_one_owner_share_a_limit_and_all_clients_another() -> None:
    book = Book()
    ledger = book.open((1, 10), (2, 11), owner="anna")
    book.open((3, 12), owner="bert")
    assert not ledger.admit(1, 0, 900_000, 1)
    assert "the clients of anna together have" in ledger.admit(2, 0, 600_000, 1)
    assert not ledger.admit(2, 0, 500_000, 1)
    assert "all clients together have" in ledger.admit(3, 0, 700_000, 1)
    assert not ledger.admit(3, 0, 500_000, 1)
    ledger.check_invariants()


def test_a_client_is_told_once_and_again_when_a_good_part_is_gone() -> None:
    book = Book()
    ledger = book.open((1, 10))
    for first in range(6):
        ledger.admit(1, first, 100_000, 1)
    assert book.told == [(10, True)]
    assert ledger.is_short(10)
    ledger.release(1, [0, 1])
    assert book.told == [(10, True)], "400 000 is more than three quarters of what was too much"
    ledger.release(1, [2])
    assert book.told == [(10, True), (10, False)]


def test_while_all_have_too_much_each_may_have_an_equal_share() -> None:
    book = Book()
    ledger = book.open((1, 10), (2, 11), (3, 12))
    ledger.admit(1, 0, 360_000, 1)
    ledger.admit(2, 0, 360_000, 1)
    ledger.admit(3, 0, 100_000, 1)
    assert book.told == []
    ledger.admit(3, 1, 200_000, 1)
    assert book.told == [(10, True), (11, True)], "together they have more than half; the third has little of that"
    ledger.close(1)
    assert set(book.told[2:]) == {(10, False), (11, False)}
    ledger.check_invariants()


def test_a_client_that_is_told_to_wait_has_something_to_wait_for() -> None:
    book = Book()
    ledger = book.open((1, 10), (2, 11))
    ledger.admit(1, 0, 990_000, 1)
    ledger.admit(2, 0, 990_000, 1)
    ledger.close(1)
    ledger.close(2)
    assert set(book.told[-2:]) == {(10, False), (11, False)}
    ledger.check_invariants()


def test_a_charge_outlives_the_jobs() -> None:
    ledger = Book().open((1, 10))
    ledger.charge(10, "", 500)
    ledger.close(1)
    ledger.check_invariants()
    ledger.release_charge(10, 500)
    ledger.check_invariants()


KEYS = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("open"), KEYS, st.integers(0, 2)),
    st.tuples(st.just("admit"), KEYS, st.integers(-1, 4), st.integers(1, 600_000)),
    st.tuples(st.just("release"), KEYS, st.lists(st.integers(-1, 4), max_size=3)),
    st.tuples(st.just("close"), KEYS),
)


@given(st.lists(STEPS, max_size=60))
def test_every_sum_is_true_whatever_happens(steps: Iterable[tuple[object, ...]]) -> None:
    book = Book()
    ledger = book.ledger
    open_jobs: set[int] = set()
    for kind, job, *rest in steps:
        assert isinstance(job, int)
        if kind == "open" and job not in open_jobs:
            (client,) = rest
            ledger.open(job, client, ("", "anna", "anna")[client])  # type: ignore[arg-type,index]
            open_jobs.add(job)
        elif kind == "admit" and job in open_jobs:
            ledger.admit(job, *rest, 1)  # type: ignore[arg-type]
        elif kind == "release":
            ledger.release(job, rest[0])  # type: ignore[arg-type]
        elif kind == "close":
            ledger.close(job)
            open_jobs.discard(job)
        ledger.check_invariants()
    for job in open_jobs:
        ledger.close(job)
    ledger.check_invariants()
    state = dict(book.told)
    assert not any(state.values()), "whoever was told to wait was told to go on"
    changes = [is_short for client, is_short in book.told if client == 0]
    assert all(a != b for a, b in pairwise(changes)), "nobody is told the same twice"


def test_limits_follow_the_machine_and_the_flag() -> None:
    limits = QueueLimits.of_machine(16 << 30, 0, 1000, 10)
    assert (limits.client_bytes, limits.owner_bytes, limits.total_bytes) == (4 << 30, 6 << 30, 8 << 30)
    limits = QueueLimits.of_machine(64 << 20, 0, 1000, 10)
    assert limits.client_bytes == limits.total_bytes == CLIENT_BYTES_MIN, "less would be in the way of everybody"
    limits = QueueLimits.of_machine(1 << 30, 64 << 30, 1000, 10)
    assert limits.client_bytes == limits.owner_bytes == limits.total_bytes == 64 << 30, "who says so is obeyed"


def test_other_messages_are_counted_together() -> None:
    ledger = Book().open((1, 10))
    for _ in range(9):
        assert not ledger.admit(1, OTHERS, 100_000, 0)
    assert ledger.admit(1, OTHERS, 100_000, 0)
    ledger.release(1, [OTHERS])
    assert not ledger.admit(1, OTHERS, 1_000_000 - JOB_OVERHEAD, 0)
