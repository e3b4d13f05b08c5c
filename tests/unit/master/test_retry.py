"""Delays between attempts, and the ticks in which they wake."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.master.events import RetryOptions
from manyhands.master.retry import JITTER, TICK, Wakes, retry_delay


def test_delays_grow_by_the_factor_up_to_the_maximum_and_then_end():
    options = RetryOptions(retries=6, delay=1.0, backoff=2.0, delay_max=10.0)
    for failures, nominal in enumerate([1.0, 2.0, 4.0, 8.0, 10.0, 10.0], start=1):
        delays = [retry_delay(options, failures, Random(seed)) for seed in range(200)]
        assert min(delays) >= nominal * (1 - JITTER)
        assert max(delays) <= nominal * (1 + JITTER)
        assert max(delays) - min(delays) > nominal * JITTER, "jitter spreads them"
    assert retry_delay(options, 7, Random(0)) is None


def test_no_retries_means_none():
    assert retry_delay(RetryOptions(retries=0), 1, Random(0)) is None


@pytest.mark.parametrize("failures", [1, 2, 65, 1_000_000])
@pytest.mark.parametrize(("delay", "backoff"), [(1.0, 1e9), (1e300, 1e300), (0.0, 0.0), (1.0, 1.0)])
def test_whatever_a_client_asks_for_the_delay_is_finite(failures, delay, backoff):
    options = RetryOptions(retries=2_000_000, delay=delay, backoff=backoff, delay_max=60.0)
    found = retry_delay(options, failures, Random(1))
    assert 0.0 <= found <= 60.0 * (1 + JITTER)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), max_size=40), st.lists(st.floats(0, 1.1), max_size=10))
def test_everything_wakes_once_and_never_early(added, looks):
    wakes = Wakes()
    for number, (due, job) in enumerate(added):
        wakes.add(due, job, number)
    woken = {}
    for now in [*sorted(looks), 2.0]:
        due_at = wakes.next_due()
        popped = wakes.pop_due(now)
        assert bool(popped) == (due_at is not None and due_at <= now)
        for job, number in popped:
            assert number not in woken
            woken[number] = now
            assert added[number] == (added[number][0], job)
            assert added[number][0] <= now
    assert len(woken) == len(added)
    assert wakes.next_due() is None
    for number, (due, _) in enumerate(added):
        later = [now for now in [*sorted(looks), 2.0] if now >= due + TICK + 1e-9]
        assert woken[number] <= later[0]


def test_those_due_in_one_tick_wake_together():
    wakes = Wakes()
    for index in range(100):
        wakes.add(1.0 + index * TICK / 100, 1, index)
    assert len(wakes._order) == 1
    assert wakes.pop_due(1.0 + TICK / 2) == []
    assert len(wakes.pop_due(wakes.next_due())) == 100


def test_the_latest_word_counts():
    wakes = Wakes()
    wakes.add(1.0, 1, 7)
    wakes.add(2.0, 1, 7)
    wakes.add(2.0, 1, 7)
    assert wakes.pop_due(1.5) == []
    assert wakes.pop_due(2.5) == [(1, 7)]
