"""Memory is given back once a process has worked and works no more, and only then."""

from manyhands.idle_memory import INTERVAL, RESTING, WORTHWHILE, Rest

BUSY = 1.1 * RESTING * INTERVAL
QUIET = 0.6 * RESTING * INTERVAL


def test_who_works_is_left_alone_and_who_stops_gives_back_once():
    rest = Rest(used=7.0)
    used = 7.0
    for _ in range(5):
        used += BUSY
        assert not rest.is_due(used)
    used += QUIET
    assert rest.is_due(used)
    assert not rest.is_due(used)
    assert not rest.is_due(used + QUIET)


def test_who_has_done_next_to_nothing_has_nothing_to_give_back():
    rest = Rest(used=0.0)
    assert not rest.is_due(QUIET)
    assert not rest.is_due(QUIET)


def test_what_little_an_idle_daemon_does_adds_up():
    rest = Rest(used=0.0)
    looks = [rest.is_due(QUIET * look) for look in range(1, 101)]
    between = int(WORTHWHILE / QUIET)
    assert looks == ([False] * between + [True]) * (100 // (between + 1))
