"""How long tasks take: first impressions, averages, and first calls that were not typical."""

import pytest

from manyhands.worker.durations import COLLAPSE, EACH_MIN, FUNCTIONS_MAX, WEIGHT, WEIGHT_MAX, Durations, updated
from manyhands.worker.pieces import Pace


def pace(each: float) -> Pace:
    made = Pace()
    made.each = each
    return made


@pytest.mark.parametrize(
    ("each", "count", "seconds", "expected"),
    [
        (0.0, 4, 2.0, 0.5),  # unknown until now
        (0.0, 4, 0.0, EACH_MIN),  # a clock that stands still
        (1.0, 1, 2.0, 1.0 + WEIGHT),
        (1.0, 2, 4.0, 1.0 + 2 * WEIGHT),
        (1.0, 1000, 2000.0, 1.0 + WEIGHT_MAX),  # one report is never believed altogether
        (1.0, 1, 1.01 / COLLAPSE, 1.0 + WEIGHT * (1.01 / COLLAPSE - 1.0)),
        (1.0, 1, 0.99 / COLLAPSE, 0.99 / COLLAPSE),  # the first call imported something
    ],
)
def test_update(each: float, count: int, seconds: float, expected: float) -> None:
    assert updated(pace(each), count, seconds) == pytest.approx(expected)


def test_the_oldest_functions_are_forgotten() -> None:
    durations = Durations()
    first, second = durations.of(0), durations.of(1)
    for function in range(2, FUNCTIONS_MAX + 1):
        durations.of(function)
    assert durations.of(1) is second
    assert durations.of(0) is not first
