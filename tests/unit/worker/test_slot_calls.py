"""The four kinds of call, and coroutines."""

from __future__ import annotations

import asyncio

import pytest

from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker import slot_calls
from manyhands.worker.slot_calls import COROUTINE, AsyncRunner, caller, caller_with
from manyhands.worker.slot_interrupts import Interrupts


def test_numbers_are_the_protocols() -> None:
    ours = (slot_calls.ITEM, slot_calls.STAR, slot_calls.FULL, slot_calls.APPLY)
    assert ours == (pb.CALL_ITEM, pb.CALL_STAR, pb.CALL_FULL, pb.CALL_APPLY)


def show(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    return args, kwargs


@pytest.mark.parametrize(
    ("call", "item", "expected"),
    [
        (pb.CALL_ITEM, (1, 2), (((1, 2),), {})),
        (pb.CALL_STAR, (1, 2), ((1, 2), {})),
        (pb.CALL_FULL, ((1,), {"two": 2}), ((1,), {"two": 2})),
        (pb.CALL_APPLY, (show, (1,), {"two": 2}), ((1,), {"two": 2})),
    ],
)
def test_calls(call: int, item: object, expected: tuple[tuple[object, ...], dict[str, object]]) -> None:
    function = None if call == pb.CALL_APPLY else show
    assert caller(call, function)(item) == expected
    args, kwargs = caller_with("a model", call, function)(item)
    assert (args, kwargs) == (expected[0], {**expected[1], "context": "a model"})


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_coroutines_share_a_loop() -> None:
    runner = AsyncRunner(Interrupts(memoryview(bytearray(512)).cast("Q")))

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    coroutine = answer(3)
    assert type(coroutine) is COROUTINE
    assert runner.run(coroutine) == 3
    first = runner.run(loop())
    assert runner.run(loop()) is first
    with pytest.raises(SystemExit):
        runner.run(leave())
    assert runner.run(answer(4)) == 4
    first.close()
    assert runner.run(answer(5)) == 5
    runner._loop.close()
    asyncio.set_event_loop(None)


async def leave() -> None:
    raise SystemExit(1)
