"""The figures of get_stats, from events at given times."""

from manyhands.client.stats import Stats


def test_only_time_with_open_work_counts() -> None:
    stats = Stats()
    stats.opened(4, now=10.0)
    stats.ended(2, now=11.0, seconds=1.5, completed=True)
    stats.ended(2, now=12.0, seconds=2.5, completed=True)
    stats.opened(1, now=100.0)  # after a long pause
    summary = stats.summary(workers=1, slots=2, now=102.0)
    assert summary == {
        "tasks_completed": 4,
        "tasks_recalled": 0,
        "throughput": 1.0,
        "num_workers": 1,
        "total_time": 4.0,
        "avg_task_time": 1.0,
        "efficiency": 0.5,
    }
    stats.ended(1, now=102.0)  # cancelled
    assert stats.summary(1, 2, now=200.0)["total_time"] == 4.0
    assert stats.completed == 4


def test_nothing_done_divides_by_nothing() -> None:
    assert Stats().summary(0, 0, now=5.0) == {
        "tasks_completed": 0,
        "tasks_recalled": 0,
        "throughput": 0.0,
        "num_workers": 0,
        "total_time": 0.0,
        "avg_task_time": 0.0,
        "efficiency": 0.0,
    }
