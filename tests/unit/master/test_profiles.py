"""Durations learnt from reports."""

import pytest

from manyhands.master.profiles import Profile, Profiles


def test_the_first_report_is_believed():
    profile = Profile()
    assert profile.mean is None
    profile.observe(10, 1.0)
    assert profile.mean == pytest.approx(0.1)


def test_one_task_moves_the_mean_by_a_fifth_and_a_thousand_replace_it():
    profile = Profile()
    profile.observe(1, 1.0)
    profile.observe(1, 2.0)
    assert profile.mean == pytest.approx(1.2)
    profile.observe(1000, 3000.0)
    assert profile.mean == pytest.approx(3.0, rel=0.01)


def test_a_slow_first_call_is_forgotten_soon():
    profile = Profile()
    profile.observe(1, 2.0)  # it imported numpy
    for _ in range(4):
        profile.observe(4, 0.004)
    assert profile.mean < 0.02


def test_the_mean_stays_within_what_was_seen():
    profile = Profile()
    for seconds in (0.5, 0.1, 0.9, 0.3):
        profile.observe(1, seconds)
        assert 0.1 <= profile.mean <= 0.9


def test_the_least_recently_used_function_is_forgotten():
    profiles = Profiles(capacity=2)
    a, b = profiles.get(b"a"), profiles.get(b"b")
    assert profiles.get(b"a") is a
    profiles.get(b"c")
    assert profiles.get(b"a") is a
    assert profiles.get(b"b") is not b


def test_results_have_a_moving_mean_too():
    profile = Profile()
    profile.observe_results(2, 200)
    assert profile.result_bytes == 100
    profile.observe_results(1, 600)
    assert profile.result_bytes == 200
