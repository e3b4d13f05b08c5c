"""How long recovery took, from written signs of life."""

from tests.chaos.history import Ended, Invoked
from tests.chaos.recovery import Signs, moved_after
from tests.chaos.starts import Start

STARTS = [
    Start(1.0, "a", "worker-0", 10),
    Start(2.0, "b", "worker-0", 10),
    Start(2.5, "c", "worker-0", 11),
    Start(4.0, "b", "worker-1", 20),
    Start(6.0, "b", "worker-1", 20),
    Start(7.0, "a", "worker-0", 12),
]


def test_only_what_was_running_counts_as_moved_and_only_its_first_start_elsewhere() -> None:
    assert moved_after([10, 11], 3.0, STARTS) == [1.0]
    assert moved_after([10], 1.5, STARTS) == [5.5]
    assert moved_after([99], 3.0, STARTS) == []


def test_signs_of_life() -> None:
    events = [Invoked(0.0, "x", "quick"), Ended(5.0, "x", "value"), Ended(9.0, "y", "raised")]
    signs = Signs({"client-0.2": events}, STARTS)
    assert signs.recovery("worker-0", 2.0) == 0.5
    assert signs.recovery("worker-1", 2.0) == 2.0
    assert signs.recovery("worker-1", 6.0) is None
    assert signs.recovery("client-0", 5.5) == signs.recovery("master", 5.5) == 3.5
    assert signs.recovery("client-1", 0.0) is None
