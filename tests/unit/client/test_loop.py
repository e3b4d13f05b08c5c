"""The background: what is posted runs, whatever its neighbours do."""

import logging
import threading

import pytest

from manyhands.client.loop import Background, background


def fault() -> None:
    raise ZeroDivisionError("a fault of ours")


def leave() -> None:
    raise SystemExit


def test_a_fault_does_not_hold_up_what_was_posted_after_it(caplog: pytest.LogCaptureFixture) -> None:
    ran, held = threading.Event(), threading.Event()
    back = background()
    with caplog.at_level(logging.CRITICAL, "manyhands.client"):
        back.post(lambda: held.wait(10))  # type: ignore[arg-type, return-value]
        back.post(fault)
        back.post(fault)
        back.post(ran.set)
        held.set()
        assert ran.wait(5)


def test_a_callback_that_exits_does_not_end_the_callbacks(caplog: pytest.LogCaptureFixture) -> None:
    ran = threading.Event()
    back = background()
    back.call(leave)
    back.call(ran.set)
    assert ran.wait(5)
    assert "callback" in caplog.text


def test_a_loop_that_died_says_so_to_whoever_posts() -> None:
    told: list[BaseException] = []
    back = Background()
    back.on_death.add(told.append)
    back.post(back.loop.stop)
    back._thread.join(5)
    assert not back._thread.is_alive()
    assert len(told) == 1
    with pytest.raises(RuntimeError, match="was stopped"):
        back.post(fault)


def test_at_the_end_it_stands_still() -> None:
    """What finalizers post then must wake nobody."""
    back, ran = Background(), threading.Event()
    back.post(ran.set)
    assert ran.wait(5)
    ran.clear()
    back.end()
    assert not back.loop.is_running()
    back.post(ran.set)
    assert not back._posted
    assert not ran.is_set()
