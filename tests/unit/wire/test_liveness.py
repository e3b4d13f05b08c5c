"""Silence is held against the other side only while we ourselves were awake to listen."""

from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.liveness import Liveness

INTERVAL, TIMEOUT = 1.0, 5.0


def watch(liveness, start, stop):
    """Check once an interval; when it was given up, or None."""
    now = start
    while now <= stop:
        if liveness.check(now):
            return now
        now += INTERVAL
    return None


def test_a_silent_peer_is_given_up_after_the_timeout_and_not_before():
    liveness = Liveness(INTERVAL, TIMEOUT, 100.0)
    assert watch(liveness, 101.0, 120.0) == 106.0


def test_any_frame_starts_the_wait_anew():
    liveness = Liveness(INTERVAL, TIMEOUT, 0.0)
    assert watch(liveness, 1.0, 4.0) is None
    liveness.heard(4.5)
    assert liveness.silent(5.0) == 0.5
    assert watch(liveness, 5.0, 20.0) == 10.0


def test_what_is_left_is_how_soon_it_is_given_up():
    liveness = Liveness(INTERVAL, TIMEOUT, 0.0)
    liveness.heard(0.7)
    for now in (1.0, 2.0, 3.0, 4.0, 5.0):
        assert not liveness.check(now)
        assert liveness.left(now) == TIMEOUT - (now - 0.7)
    assert not liveness.check(5.6)
    assert liveness.check(5.0 + liveness.left(5.0) + 0.001)


def test_our_own_pause_is_not_held_against_the_other_side():
    liveness = Liveness(INTERVAL, TIMEOUT, 0.0)
    assert watch(liveness, 1.0, 3.0) is None
    assert not liveness.check(60.0)
    given_up = watch(liveness, 61.0, 80.0)
    assert given_up is not None
    assert given_up <= 60.0 + TIMEOUT + INTERVAL


def test_a_pause_drained_before_the_check_buys_no_extra_time():
    liveness = Liveness(INTERVAL, TIMEOUT, 0.0)
    assert not liveness.check(1.0)
    liveness.heard(3600.0)  # what had arrived during the pause is read first
    assert not liveness.check(3600.0)
    assert liveness.silent(3600.0) == 0.0
    assert watch(liveness, 3601.0, 7200.0) == 3606.0


@given(st.lists(st.tuples(st.floats(0.1, 100.0), st.booleans()), min_size=1, max_size=30))
def test_whatever_happens_silence_of_two_timeouts_while_awake_is_noticed(steps):
    now = 0.0
    liveness = Liveness(INTERVAL, TIMEOUT, now)
    for step, speaks in steps:
        now += step
        if speaks:
            liveness.heard(now)
        liveness.check(now)
        assert liveness.silent(now) >= 0.0
    assert watch(liveness, now + INTERVAL, now + 2 * TIMEOUT) is not None


@given(st.lists(st.floats(0.1, 0.9 * TIMEOUT), min_size=1, max_size=30))
def test_a_peer_that_speaks_in_time_is_never_given_up(gaps):
    now = checked = 0.0
    liveness = Liveness(INTERVAL, TIMEOUT, now)
    for gap in gaps:
        now += gap
        while checked + INTERVAL < now:
            checked += INTERVAL
            assert not liveness.check(checked)
        liveness.heard(now)
