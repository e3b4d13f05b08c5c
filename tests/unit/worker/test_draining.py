"""A draining agent: what has not started goes back at once, what runs is finished and reported."""

from __future__ import annotations

from collections import Counter

from tests.unit.worker.agent_model import AgentModel


def running_model(seconds: float, slots: int = 2) -> AgentModel:
    """With 100 tasks, of which each slot runs one."""
    model = AgentModel(slots, lambda _: seconds)
    model.receive()
    model.dispatch(1, [(0, 100)])
    for _ in range(3):
        model.answer_wants()
        for number in range(slots):
            model.settle(number)
    return model


def test_unstarted_work_goes_back_at_once_and_running_tasks_finish() -> None:
    model = running_model(5.0)
    assert model.core.running == 2
    model.drain()
    model.advance(0.002)
    assert Counter(model.fate.values()) == {"returned": 98}
    assert model.core.has_work
    model.run_until_quiet()
    assert Counter(model.fate.values()) == {"returned": 98, "succeeded": 2}
    assert max(model.runs.values()) == 1


def test_what_slots_hold_unstarted_goes_back_too() -> None:
    model = running_model(0.0001)
    while model.core.outstanding < 20:
        model.advance(0.0001)
        for number in range(2):
            model.settle(number)
    done, held = Counter(model.fate.values())["succeeded"], model.core.outstanding
    model.drain()
    model.run_until_quiet()
    fates = Counter(model.fate.values())
    assert fates["returned"] + fates["succeeded"] == 100
    assert fates["succeeded"] < done + held, "some went back from the slots"
    assert max(model.runs.values()) == 1


def test_what_still_arrives_goes_back() -> None:
    model = running_model(5.0)
    model.drain()
    model.dispatch(2, [(0, 10)])
    assert all(model.fate[2, index] == "returned" for index in range(10))
    assert not any(lease == 2 for lease, _ in model.runs)


def test_a_slot_that_dies_is_not_started_again() -> None:
    model = running_model(5.0)
    model.drain()
    model.die(0)
    assert model.slots[0] is None
    model.run_until_quiet()
    assert Counter(model.fate.values()) == {"returned": 98, "succeeded": 1, "crashed": 1}


def test_results_do_not_wait_for_the_report_interval() -> None:
    model = running_model(0.5)
    model.core._reporting.flush_interval = 60.0
    model.drain()
    model.advance(0.5)
    for number in range(2):
        model.settle(number)
    assert Counter(model.fate.values()) == {"returned": 98, "succeeded": 2}
    assert not model.core.has_work
