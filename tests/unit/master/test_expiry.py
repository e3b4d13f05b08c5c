"""Deadlines of runs of tasks: few, never early, and gone with their job."""

from __future__ import annotations

from manyhands.master.expiry import LATENESS, Expiries


def test_each_run_once_and_never_early() -> None:
    expiries = Expiries()
    expiries.add(1, "total_timeout", 10.0, 0, 5, 100.0)
    expiries.add(1, "total_timeout", 10.0, 5, 9, 105.0)
    expiries.add(2, "queue_timeout", 1.0, 0, 3, 105.0)
    due = expiries.next_due()
    assert due is not None
    assert 106.0 <= due <= 106.0 + LATENESS
    assert list(expiries.pop_due(105.9)) == []
    assert list(expiries.pop_due(106.1)) == [(2, "queue_timeout", 0, 3)]
    assert list(expiries.pop_due(114.0)) == [(1, "total_timeout", 0, 5)]
    assert list(expiries.pop_due(200.0)) == [(1, "total_timeout", 5, 9)]
    assert expiries.next_due() is None


def test_a_million_tasks_that_arrive_one_by_one_take_a_few_hundred_deadlines() -> None:
    expiries = Expiries()
    for index in range(100_000):
        expiries.add(1, "queue_timeout", 5.0, index, index + 1, 100.0 + index * 0.0001)
    struck = list(expiries.pop_due(1000.0))
    assert len(struck) < 600
    assert [lo for _, _, lo, _ in struck[1:]] == [hi for _, _, _, hi in struck[:-1]]


def test_a_job_that_is_over_has_none() -> None:
    expiries = Expiries()
    expiries.add(1, "total_timeout", 10.0, 0, 5, 100.0)
    expiries.add(2, "total_timeout", 20.0, 0, 5, 100.0)
    expiries.forget(1)
    due = expiries.next_due()
    assert due is not None
    assert due >= 120.0
    expiries.forget(2)
    assert expiries.next_due() is None
