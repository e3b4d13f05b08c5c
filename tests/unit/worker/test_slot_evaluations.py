"""What a slot does with points, and what an evaluation learns about itself, in a cluster and outside of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from manyhands import current_task
from manyhands.errors import NotInTask
from manyhands.optimize.evaluating import Evaluator
from manyhands.optimize.evaluations import Batch, Status
from manyhands.optimize.space import Float, Space
from manyhands.optimize.task_format import pack_batch, unpack_outcomes
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.search_tasks import KEEPS, LETS_OUT, TEXT
from manyhands.wire.stand_in import stand_in
from manyhands.worker import slot_context
from manyhands.worker.slot_evaluations import EVALUATE, evaluating, text_of, with_context
from manyhands.worker.slot_frames import Chunk

SPACE = Space({"x": Float(0, 1)})
BATCH = Batch(
    np.array([4, 9]), np.array([[0.25], [0.75]]), np.array([40, 90], np.uint64), np.array([0, 0], np.int32)
)  # fmt: skip


def double(params: dict[str, Any]) -> float:
    if params["x"] > 0.5:
        raise LookupError("too large")
    return 2 * float(params["x"])


def test_the_number_is_the_protocols() -> None:
    assert EVALUATE == pb.CALL_EVALUATE


def test_each_point_has_its_outcome() -> None:
    evaluate = evaluating(Evaluator(double, SPACE))
    outcomes = unpack_outcomes(evaluate(memoryview(KEEPS + pack_batch(BATCH))))
    assert outcomes.ids.tolist() == [4, 9]
    assert outcomes.F[0, 0] == pytest.approx(0.5)
    assert outcomes.status.tolist() == [Status.OK, Status.FAILED]
    assert "LookupError: too large" in (outcomes.error or "")


def test_an_exception_is_let_out_where_it_may_be_tried_again() -> None:
    with pytest.raises(LookupError) as raised:
        evaluating(Evaluator(double, SPACE))(LETS_OUT + pack_batch(BATCH))
    text = text_of(raised.value)
    assert text.startswith(TEXT + b"Traceback")
    assert text.endswith(b"LookupError: too large\n")


def test_an_exception_without_a_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    assert text_of(Mute()).startswith(TEXT)
    assert b"Mute" in text_of(Mute())


def test_the_objective_is_given_the_context() -> None:
    evaluate = evaluating(with_context(Evaluator(lambda params, context: context + 1, SPACE), 41))
    assert unpack_outcomes(evaluate(KEEPS + pack_batch(BATCH))).F.tolist() == [[42.0], [42.0]]


class Page:
    words = [1] * 16
    times = [0.0] * 16
    note = bytearray(256)


class Drawer:
    state: Any = None

    def save(self, state: Any) -> None:
        self.state = state

    def load(self) -> Any:
        return self.state


@pytest.fixture
def in_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_context, "_place", None)
    empty = b""
    chunk = Chunk(1, 1, 5, "search", 17, 0, EVALUATE, empty, empty, empty, 0, empty, (), 0, empty, empty)
    slot_context.enter(Page(), chunk, Drawer())  # type: ignore[arg-type]  # all that is looked at


@pytest.mark.usefixtures("in_a_slot")
def test_in_a_task_each_evaluation_has_its_seed_and_its_state() -> None:
    assert current_task().seed is None
    seen = []

    def objective(_: dict[str, Any]) -> float:
        task = current_task()
        seen.append((task.job, task.index, task.seed, task.load("nothing")))
        task.save(f"state of {task.seed}")
        assert task.load() == f"state of {task.seed}"
        return 0.0

    evaluating(Evaluator(objective, SPACE))(KEEPS + pack_batch(BATCH))
    assert seen == [(5, 17, 40, "nothing"), (5, 17, 90, "nothing")]


def test_outside_of_a_cluster_a_stand_in_says_the_same() -> None:
    seen = []

    def objective(_: dict[str, Any]) -> float:
        task = current_task()
        task.progress(0.5)
        seen.append((task.job, task.index, task.seed, task.name, task.load("nothing")))
        task.save(3)
        return float(task.load())

    with stand_in("objective") as begin:
        outcomes = Evaluator(objective, SPACE).evaluate(BATCH, begin)
    assert outcomes.error is None
    assert seen == [(0, 4, 40, "objective", "nothing"), (0, 9, 90, "objective", "nothing")]
    with pytest.raises(NotInTask):
        current_task()


@pytest.mark.usefixtures("in_a_slot")
def test_within_a_task_the_stand_in_comes_before_it_and_then_is_gone() -> None:
    with stand_in("inner") as begin:
        begin(1, 7)
        assert (current_task().name, current_task().seed) == ("inner", 7)
    assert (current_task().name, current_task().seed) == ("search", None)
